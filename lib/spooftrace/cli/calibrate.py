"""``spooftrace calibrate``: calibrate and fuse score files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace calibrate``."""
    add = parser.add_argument
    files: dict[str, Any] = {"type": Path, "nargs": "+", "metavar": "FILE", "required": True}
    add("--dev-data", type=Path, required=True, metavar="DIR", help="data directory of the development set")
    add("--dev-scores", help="its score files, one per system; several systems are fused", **files)
    add("--scores", help="score files to calibrate, of the same systems in the same order", **files)
    add("--data", type=Path, metavar="DIR", help="data directory of --scores, to show what calibration does to them")
    add("--out", type=Path, required=True, metavar="FILE", help="score file of LLRs to write; FILE.json is the recipe")
    add("--prior", type=float, default=0.5, help="prior of bona fide that the fit aims at (0.5, which minimises Cllr)")


def run(args: argparse.Namespace) -> None:
    """``spooftrace calibrate``; files may be pipes."""
    from spooftrace.common.text import keep_pipes
    from spooftrace.evaluation.calibrate import calibrate

    with keep_pipes():
        calibrate(args.dev_data, args.dev_scores, args.scores, args.out, args.data, args.prior)
