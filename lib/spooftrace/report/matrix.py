"""``spooftrace matrix``: trained systems x test sets of several corpora, one EER a cell.

Written as Markdown and CSV; read from files ``EXP/matrix/RECIPE/SET/metrics.json``, which ``utils/make_matrix.sh``
makes.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spooftrace.common.atomic import atomic_write
from spooftrace.common.cells import spreadsheet
from spooftrace.common.english import percent
from spooftrace.common.errors import InputError
from spooftrace.common.text_table import markdown_table
from spooftrace.datadir.incomplete import NOT_COMPARABLE
from spooftrace.report.incomplete import MARK, gaps_of_metrics, training_gaps
from spooftrace.report.markdown import MISSING, bullets
from spooftrace.report.runs import read_metrics


def write_matrix(files: Sequence[Path], out: Path) -> None:
    """Write ``matrix.md`` and ``matrix.csv`` and print the table.

    Args:
        files: The files ``EXP/matrix/RECIPE/SET/metrics.json``.
        out: Folder to write to.

    Raises:
        InputError: A file has another path, or is damaged.
    """
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    lacking: dict[str, list[str]] = {}
    for path in files:
        parts = path.resolve().parts
        if len(parts) < 6 or parts[-4] != "matrix":
            raise InputError(f"{path}: not EXP/matrix/RECIPE/SET/metrics.json; use utils/make_matrix.sh")
        recipe, test_set = parts[-3:-1]
        system = f"{parts[-7]}/{parts[-5]}" if parts[-6] == "exp" else parts[-5]
        metrics = read_metrics(path)
        cells.setdefault(system, {})[f"{recipe}/{test_set}"] = metrics
        gaps = lacking.setdefault(system, training_gaps(path.resolve().parents[3]))
        gaps += [f"{recipe}/{gap}" for gap in gaps_of_metrics(metrics)]
    columns = sorted({column for row in cells.values() for column in row})
    names = {system: system + (MARK if lacking[system] else "") for system in cells}
    rows = [[names[system], *(_eer(row.get(column)) for column in columns)] for system, row in cells.items()]
    first = {column: next(row[column] for row in cells.values() if column in row) for column in columns}
    counts = [f"{first[column]['bonafide']:,} + {first[column]['spoof']:,}" for column in columns]
    text = markdown_table(["Trained system", *columns], [*rows, ["bona fide + spoof trials", *counts]])
    conventions = sorted({metrics["eer_convention"] for row in cells.values() for metrics in row.values()})
    with atomic_write(out / "matrix.md") as file:
        file.write("\n\n".join(["# Pooled EER in % across corpora", text, *_notes(lacking), *conventions]) + "\n")
    with atomic_write(out / "matrix.csv") as file:
        # The mark would turn numbers into text: what is missing has a column of its own.
        plain = [["system", *columns], *([cell.removesuffix(MARK) for cell in row] for row in rows)]
        if any(lacking.values()):
            for row, missing in zip(plain, ["incomplete", *map("; ".join, lacking.values())], strict=True):
                row.append(missing)
        csv.writer(file, lineterminator="\n").writerows(map(spreadsheet, row) for row in plain)
    print(f"Pooled EER in %\n\n{text}\n\nwrote {out / 'matrix.md'} and {out / 'matrix.csv'}")


def _eer(metrics: dict[str, Any] | None) -> str:
    if metrics is None:
        return MISSING
    return percent(metrics["eer"]) + (MARK if gaps_of_metrics(metrics) else "")


def _notes(lacking: Mapping[str, Sequence[str]]) -> list[str]:
    """What the mark stands for, each thing once."""
    items = dict.fromkeys(gap for gaps in lacking.values() for gap in gaps)
    return [bullets(f"\\* {NOT_COMPARABLE}: {gap}." for gap in items)] if items else []
