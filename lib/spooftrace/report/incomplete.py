"""Results of test sets or training sets that are not whole: marked in every table and figure, with a note below."""

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
    """The groups, with a mark behind the name where a training set or one of these test sets is incomplete."""
    return [
        replace(group, name=group.name + MARK) if any(_gaps(run, test_sets) for run in group.runs) else group
        for group in groups
    ]


def mark(run: Run, test_sets: Collection[str] = ()) -> str:
    """The mark behind the name of one run; "" where all is whole."""
    return MARK if _gaps(run, test_sets) else ""


def notes(runs: Iterable[Run], test_sets: Collection[str] = ()) -> list[str]:
    """What the mark stands for: an item for each thing that is missing, with the runs that lack it."""
    lacking: dict[str, list[str]] = {}
    for run in runs:
        for gap in _gaps(run, test_sets):
            lacking.setdefault(gap, []).append(run.name)
    return [f"\\* {NOT_COMPARABLE}: {gap} ({', '.join(names)})." for gap, names in lacking.items()]


def title_of(exp: Path, data: Path | None = None) -> str:
    """What a figure calls an experiment: its name, and whether its training sets or ``data`` are incomplete."""
    incomplete = training_gaps(exp) or (data is not None and read_gaps(data))
    return f"{exp.name} (incomplete data)" if incomplete else exp.name


def training_gaps(exp: Path) -> list[str]:
    """What the sets lack that an experiment was trained and selected on.

    Raises:
        InputError: what ``run.json`` says of that cannot be read.
    """
    return _training(read_run(exp), exp)


def gaps_of_metrics(metrics: Mapping[str, Any]) -> list[Gap]:
    """What the test set of one ``metrics.json`` lacks.

    Raises:
        InputError: what it says of that cannot be read.
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
        raise InputError(f"{where}: 'incomplete' is not a list of what is missing; run its stage again") from None
