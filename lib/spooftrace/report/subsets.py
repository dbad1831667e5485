"""Metrics of the subsets of a test set side by side, and of the same test set without silence.

``spooftrace trim`` makes ``eval_trim`` of ``eval``. If both were evaluated, the trimmed set has no section of its
own: its metrics are a second block of columns, and the differences (trimmed - original) a third.
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
class Metric:
    """A row of the table: its name, its value in a cell (None: missing), and its format."""

    name: str
    of: Callable[[Cell], float | None]
    show: Callable[[float], str]


@dataclass(frozen=True)
class TaskMetrics:
    """The metrics of a task, and how to find them in ``metrics.json``.

    Attributes:
        metrics: Rows of each system.
        cells_of: Function from ``metrics.json`` to its cells by name of the column.
        baselines_of: Function from a cell to the metrics of trivial systems, by name.
    """

    metrics: Sequence[Metric]
    cells_of: Callable[[Cell], Mapping[str, Cell | None]]
    baselines_of: Callable[[Cell], Mapping[str, Cell]]


def main_sets(runs: Sequence[Run]) -> list[str]:
    """The test sets with a section of their own: all but trimmed copies."""
    names = test_sets(runs)
    return [name for name in names if not (name.endswith(TRIM) and name.removesuffix(TRIM) in names)]


def evaluated_on(groups: Sequence[Group], test_set: str) -> list[Run]:
    """The runs evaluated on a test set or on its trimmed copy."""
    return [run for group in groups for run in group.runs if run.metrics.keys() & {test_set, test_set + TRIM}]


def subsets_table(groups: Sequence[Group], test_set: str, task: TaskMetrics) -> str:
    """A row per system and metric, a column per subset; "" if there are no subsets and no trimmed copy.

    Cells hold the mean over the seeds and its SD.
    """
    runs = evaluated_on(groups, test_set)
    original, trimmed = (_columns(runs, test_set + suffix, task) for suffix in ("", TRIM))
    both = [column for column in original if column in trimmed]
    if len(original) < 2 and not both:
        return ""
    header = ["System", "Runs", "Metric", *original, *(f"{column}, trimmed" for column in trimmed)]
    header += [f"{column}, difference" for column in both]
    places = [*(("", column) for column in original), *((TRIM, column) for column in trimmed)]
    rows = []
    for group in groups:
        own = evaluated_on([group], test_set)
        for metric in task.metrics if own else ():

            def values(suffix: str, column: str, own: Sequence[Run] = own, metric: Metric = metric) -> np.ndarray:
                return np.array([_value(metric, _cell(run, test_set + suffix, column, task)) for run in own])

            cells = [spread(values(*place), metric.show) for place in places]
            cells += [_signed(spread(values(TRIM, name) - values("", name), metric.show)) for name in both]
            rows.append([group.name, str(len(own)), metric.name, *cells])
    for name, baseline in _baselines(runs, test_set, places, task).items():
        for metric in task.metrics:
            cells = [spread([_value(metric, baseline.get(place))], metric.show) for place in places]
            rows.append([name, "", metric.name, *cells, *("" for _ in both)])
    return markdown_table(header, rows, left=3)


def _signed(text: str) -> str:
    return text if text == MISSING or text.startswith("-") else f"+{text}"


def _columns(runs: Sequence[Run], test_set: str, task: TaskMetrics) -> list[str]:
    cells = (task.cells_of(run.metrics[test_set]) for run in runs if test_set in run.metrics)
    return list(dict.fromkeys(column for found in cells for column, cell in found.items() if cell))


def _cell(run: Run, test_set: str, column: str, task: TaskMetrics) -> Cell | None:
    return task.cells_of(run.metrics[test_set]).get(column) if test_set in run.metrics else None


def _value(metric: Metric, cell: Cell | None) -> float:
    value = metric.of(cell) if cell else None
    return np.nan if value is None else value


def _baselines(
    runs: Sequence[Run], test_set: str, places: Sequence[tuple[str, str]], task: TaskMetrics
) -> dict[str, dict[tuple[str, str], Cell]]:
    """Metrics of trivial systems: name -> (suffix, column) -> cell, from the first run that has them."""
    baselines: dict[str, dict[tuple[str, str], Cell]] = {}
    for run in runs:
        for suffix, column in places:
            for name, baseline in task.baselines_of(_cell(run, test_set + suffix, column, task) or {}).items():
                baselines.setdefault(name, {}).setdefault((suffix, column), baseline)
    return baselines
