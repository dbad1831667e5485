"""``spooftrace matrix``: trained systems x test sets of several corpora, one EER a cell.

Written as Markdown and CSV; read from files ``EXP/matrix/RECIPE/SET/metrics.json``, which ``utils/make_matrix.sh``
makes.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

from spooftrace.atomic import atomic_write
from spooftrace.errors import InputError
from spooftrace.report.markdown import MISSING, table
from spooftrace.report.runs import read_metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spooftrace matrix``."""
    parser.add_argument("metrics", type=Path, nargs="+", help="files EXP/matrix/RECIPE/SET/metrics.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for matrix.md and matrix.csv")


def run(args: argparse.Namespace) -> None:
    """Write the table and print it."""
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for path in args.metrics:
        parts = path.resolve().parts
        if len(parts) < 6 or parts[-4] != "matrix":
            raise InputError(f"{path}: not EXP/matrix/RECIPE/SET/metrics.json; use utils/make_matrix.sh")
        recipe, test_set = parts[-3:-1]
        system = f"{parts[-7]}/{parts[-5]}" if parts[-6] == "exp" else parts[-5]
        cells.setdefault(system, {})[f"{recipe}/{test_set}"] = read_metrics(path)
    columns = sorted({column for row in cells.values() for column in row})
    rows = [[system, *(_percent(row.get(column)) for column in columns)] for system, row in cells.items()]
    first = {column: next(row[column] for row in cells.values() if column in row) for column in columns}
    counts = [f"{first[column]['bonafide']:,} + {first[column]['spoof']:,}" for column in columns]
    text = table(["Trained system", *columns], [*rows, ["bona fide + spoof trials", *counts]])
    conventions = sorted({metrics["eer_convention"] for row in cells.values() for metrics in row.values()})
    with atomic_write(args.out / "matrix.md") as file:
        file.write("\n\n".join(["# Pooled EER in % across corpora", text, *conventions]) + "\n")
    with atomic_write(args.out / "matrix.csv") as file:
        csv.writer(file, lineterminator="\n").writerows([["system", *columns], *rows])
    print(f"Pooled EER in %\n\n{text}\n\nwrote {args.out / 'matrix.md'} and {args.out / 'matrix.csv'}")


def _percent(metrics: dict[str, Any] | None) -> str:
    return MISSING if metrics is None else f"{100 * metrics['eer']:.2f}"
