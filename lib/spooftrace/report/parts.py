"""Figures of the parts of a test set side by side, and beside them those of the same set without silence.

``spooftrace trim`` makes ``eval_trim`` of ``eval``. Where both were evaluated, the trimmed set has no section of its
own: its figures are a second block of columns, and the differences (trimmed - original) a third.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spooftrace.common.text_table import markdown_table
from spooftrace.report.markdown import MISSING, spread
from spooftrace.report.runs import Group, Run, test_sets

Cell = Mapping[str, Any]

TRIM = "_trim"
TRIM_CONVENTION = (
    "trimmed: the same recordings without silence. Differences are trimmed - original, their SD is that of the "
    "differences of single seeds."
)


@dataclass(frozen=True)
class Figure:
    """One row of the table: its name, how to find it in a cell (None: not there), how to write it."""

    name: str
    of: Callable[[Cell], float | None]
    show: Callable[[float], str]


@dataclass(frozen=True)
class Layout:
    """What a task shows of its cells.

    Attributes:
        figures: the rows of each system.
        cells_of: ``metrics.json`` -> the cells by the name of their column.
        floors_of: a cell -> what trivial systems reach in it, by name.
    """

    figures: Sequence[Figure]
    cells_of: Callable[[Cell], Mapping[str, Cell | None]]
    floors_of: Callable[[Cell], Mapping[str, Cell]]


def main_sets(runs: Sequence[Run]) -> list[str]:
    """The test sets that get a section: not those that are trimmed copies of another one."""
    names = test_sets(runs)
    return [name for name in names if not (name.endswith(TRIM) and name.removesuffix(TRIM) in names)]


def evaluated_on(groups: Sequence[Group], test_set: str) -> list[Run]:
    """The runs evaluated on a test set or on its trimmed copy."""
    return [run for group in groups for run in group.runs if run.metrics.keys() & {test_set, test_set + TRIM}]


def parts_table(groups: Sequence[Group], test_set: str, layout: Layout) -> str:
    """A row for each system and figure, a column for each part; "" where there is but the whole of the test set.

    Cells are means over the seeds and their SD.
    """
    runs = evaluated_on(groups, test_set)
    original, trimmed = (_columns(runs, test_set + suffix, layout) for suffix in ("", TRIM))
    both = [column for column in original if column in trimmed]
    if len(original) < 2 and not both:
        return ""
    header = ["System", "Runs", "Figure", *original, *(f"{column}, trimmed" for column in trimmed)]
    header += [f"{column}, difference" for column in both]
    places = [*(("", column) for column in original), *((TRIM, column) for column in trimmed)]
    rows = []
    for group in groups:
        own = evaluated_on([group], test_set)
        for figure in layout.figures if own else ():

            def values(suffix: str, column: str, own: Sequence[Run] = own, figure: Figure = figure) -> np.ndarray:
                return np.array([_value(figure, _cell(run, test_set + suffix, column, layout)) for run in own])

            cells = [spread(values(*place), figure.show) for place in places]
            cells += [_signed(spread(values(TRIM, name) - values("", name), figure.show)) for name in both]
            rows.append([group.name, str(len(own)), figure.name, *cells])
    for name, floor in _floors(runs, test_set, places, layout).items():
        for figure in layout.figures:
            cells = [spread([_value(figure, floor.get(place))], figure.show) for place in places]
            rows.append([name, "", figure.name, *cells, *("" for _ in both)])
    return markdown_table(header, rows, left=3)


def _signed(text: str) -> str:
    return text if text == MISSING or text.startswith("-") else f"+{text}"


def _columns(runs: Sequence[Run], test_set: str, layout: Layout) -> list[str]:
    cells = (layout.cells_of(run.metrics[test_set]) for run in runs if test_set in run.metrics)
    return list(dict.fromkeys(column for found in cells for column, cell in found.items() if cell))


def _cell(run: Run, test_set: str, column: str, layout: Layout) -> Cell | None:
    return layout.cells_of(run.metrics[test_set]).get(column) if test_set in run.metrics else None


def _value(figure: Figure, cell: Cell | None) -> float:
    value = figure.of(cell) if cell else None
    return np.nan if value is None else value


def _floors(
    runs: Sequence[Run], test_set: str, places: Sequence[tuple[str, str]], layout: Layout
) -> dict[str, dict[tuple[str, str], Cell]]:
    """What trivial systems reach: name -> (suffix, column) -> cell, from the first run that says so."""
    floors: dict[str, dict[tuple[str, str], Cell]] = {}
    for run in runs:
        for suffix, column in places:
            for name, floor in layout.floors_of(_cell(run, test_set + suffix, column, layout) or {}).items():
                floors.setdefault(name, {}).setdefault((suffix, column), floor)
    return floors
