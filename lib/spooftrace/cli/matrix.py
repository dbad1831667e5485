"""``spooftrace matrix``: trained systems x test sets of several corpora, one EER a cell."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spooftrace matrix``."""
    parser.add_argument("metrics", type=Path, nargs="+", help="files EXP/matrix/RECIPE/SET/metrics.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for matrix.md and matrix.csv")


def run(args: argparse.Namespace) -> None:
    """``spooftrace matrix``."""
    from spooftrace.report.matrix import write_matrix

    write_matrix(args.metrics, args.out)
