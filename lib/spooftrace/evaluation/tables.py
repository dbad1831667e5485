"""A table as aligned text, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.atomic import atomic_write
from spooftrace.common.cells import spreadsheet
from spooftrace.common.text_table import text_table

Array = np.ndarray

POOLED, MEAN = "pooled", "mean"
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
}


@dataclass(frozen=True)
class Table:
    """Numbers with names for their rows and columns.

    Attributes:
        title: Name of the numbers, with unit and convention.
        row_name: Name of the first column, such as "attack".
        rows: R names; totals (:func:`is_total`) come last.
        columns: C names, likewise.
        values: (R, C), NaN for empty cells.
        percent: Whether the values are fractions that are shown in per cent.
        decimals: Digits after the decimal point.
        notes: Notes below the table, one per line.

    Raises:
        ValueError: The shape of the values does not match the names.
    """

    title: str
    row_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Array
    percent: bool = False
    decimals: int = 4
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if np.shape(self.values) != (len(self.rows), len(self.columns)):
            raise ValueError(
                f"values of shape {np.shape(self.values)} for {len(self.rows)} rows and {len(self.columns)} columns"
            )

    @classmethod
    def of_cells(
        cls, title: str, row_name: str, cells: Mapping[str, Mapping[str, Any]], names: Mapping[str, str], **style: Any
    ) -> Table:
        """The table of some metrics of cells.

        Args:
            title: As for the class.
            row_name: As for the class.
            cells: Row -> metric -> value; values that are None or missing are empty cells.
            names: Metric -> name of its column.
            **style: ``percent``, ``decimals`` and ``notes`` of the class.
        """
        values = [[cell.get(metric) for metric in names] for cell in cells.values()]
        return cls(title, row_name, tuple(cells), tuple(names.values()), np.array(values, dtype=np.float64), **style)


def is_total(name: str) -> bool:
    """Whether a row or column is a pooled value or a mean, not a single attack, codec, ..."""
    return name == MEAN or name.startswith(POOLED)


def as_text(table: Table) -> str:
    """The table for a terminal, under its title; empty cells read ``n/a``."""
    return "\n".join([table.title, text_table(*_strings(table, "n/a"), totals=_totals(table.rows)), *table.notes])


def as_csv(table: Table) -> str:
    """The table for other programs: a header line, ten digits, per cent where the title says so, empty cells empty.

    The first field of the header is the title, so that the numbers keep their name; notes follow it in brackets.
    Names that a spreadsheet would take for a formula get ``'`` in front (:mod:`spooftrace.common.cells`).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(spreadsheet, [_titled(table), *table.columns]))
    for name, row in zip(table.rows, _shown(table), strict=True):
        writer.writerow([spreadsheet(name), *("" if np.isnan(value) else f"{value:.10g}" for value in row)])
    return text.getvalue()


def as_latex(table: Table, label: str = "") -> str:
    """The table for a paper: a ``table`` float with caption, which needs the package ``booktabs``.

    Totals stand behind a rule. ``label`` is what ``\\ref`` finds it by, with ``tab:`` before it.
    """
    header, rows = _strings(table, "--")
    body = [" & ".join(map(_escaped, row)) + r" \\" for row in rows]
    totals = _totals(table.rows)
    if totals:
        body.insert(len(body) - totals, r"\midrule")
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{_escaped(_titled(table))}}}",
        *([rf"\label{{tab:{label}}}"] if label else []),
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(map(_escaped, header)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def write_tables(folder: str | Path, tables: Mapping[str, Table]) -> list[Path]:
    """Write ``NAME.txt``, ``NAME.csv`` and ``NAME.tex`` of each table by name; returns their paths."""
    written = []
    for name, table in tables.items():
        texts = {".txt": as_text(table) + "\n", ".csv": as_csv(table), ".tex": as_latex(table, name.replace("_", "-"))}
        for suffix, text in texts.items():
            path = Path(folder) / f"{name}{suffix}"
            with atomic_write(path) as file:
                file.write(text)
            written.append(path)
    return written


def _titled(table: Table) -> str:
    """The title with the notes, for forms that have no place below."""
    return f"{table.title} ({'; '.join(table.notes)})" if table.notes else table.title


def _strings(table: Table, empty: str) -> tuple[list[str], list[list[str]]]:
    """The header and the rows as they are shown."""
    rows = [
        [name, *(empty if np.isnan(value) else f"{value:.{table.decimals}f}" for value in row)]
        for name, row in zip(table.rows, _shown(table), strict=True)
    ]
    return [table.row_name, *table.columns], rows


def _shown(table: Table) -> np.ndarray:
    return table.values * 100 if table.percent else table.values


def _totals(names: Sequence[str]) -> int:
    return sum(map(is_total, names))


def _escaped(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda match: LATEX_ESCAPES[match[0]], text)
