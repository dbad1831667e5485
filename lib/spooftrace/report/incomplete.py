"""Marks in tables and figures for results on incomplete test or training sets, with notes that explain them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spooftrace.common.errors import InputError
from spooftrace.common.records import read_run
from spooftrace.datadir.incomplete import NOT_COMPARABLE, Gap, gaps_of, read_gaps
from spooftrace.report.runs import Group, Run

MARK = " *"


def marked(groups: Sequence[Group], test_sets: Collection[str]) -> list[Group]:
    """The groups, with a mark after the name if a training set or one of these test sets is incomplete."""
    return [
        replace(group, name=group.name + MARK) if any(_gaps(run, test_sets) for run in group.runs) else group
        for group in groups
    ]


def mark(run: Run, test_sets: Collection[str] = ()) -> str:
    """The mark after the name of a run; "" if its data are complete."""
    return MARK if _gaps(run, test_sets) else ""


def notes(runs: Iterable[Run], test_sets: Collection[str] = ()) -> list[str]:
    """Explanations of the mark: one item for each gap in the data, with the runs that it concerns."""
    lacking: dict[str, list[str]] = {}
    for run in runs:
        for gap in _gaps(run, test_sets):
            lacking.setdefault(gap, []).append(run.name)
    return [f"\\* {NOT_COMPARABLE}: {gap} ({', '.join(names)})." for gap, names in lacking.items()]


def title_of(exp: Path, data: Path | None = None) -> str:
    """Name of an experiment in titles of figures; says if its training sets or ``data`` are incomplete."""
    incomplete = training_gaps(exp) or (data is not None and read_gaps(data))
    return f"{exp.name} (incomplete data)" if incomplete else exp.name


def training_gaps(exp: Path) -> list[str]:
    """Gaps in the training and development sets of an experiment.

    Raises:
        InputError: Their list in ``run.json`` is damaged.
    """
    return _training(read_run(exp), exp)


def gaps_of_metrics(metrics: Mapping[str, Any]) -> list[Gap]:
    """Gaps in the test set of a ``metrics.json``.

    Raises:
        InputError: Their list is damaged.
    """
    return _read(metrics.get("incomplete", []), Path("metrics.json"))


def _gaps(run: Run, test_sets: Collection[str]) -> list[str]:
    lines = _training(run.info, run.folder)
    for test_set in test_sets:
        lines += [f"test set, {gap}" for gap in gaps_of_metrics(run.metrics.get(test_set, {}))]
    return lines


def _training(info: Any, folder: Path) -> list[str]:
    by_role = info.get("incomplete") or {}
    roles = {"train": "training set", "dev": "development set"}
    return [f"{roles.get(role, role)}, {gap}" for role, gaps in by_role.items() for gap in _read(gaps, folder)]


def _read(content: Any, where: Path) -> list[Gap]:
    try:
        return gaps_of(content)
    except (TypeError, ValueError, KeyError):
        raise InputError(f"{where}: 'incomplete' is not a list of gaps; run the stage that writes it again") from None
