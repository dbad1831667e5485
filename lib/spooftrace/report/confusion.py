"""Confusion matrices of the systems on one test set: the numbers, and their table in RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spooftrace.common.english import percent
from spooftrace.common.text_table import markdown_table
from spooftrace.report.markdown import MAX_COLUMNS
from spooftrace.report.runs import Group


@dataclass(frozen=True)
class Confusion:
    """Decisions of one system, all seeds together; utterances of unknown classes are not among them."""

    name: str
    rows: Sequence[str]  # the R true classes
    columns: Sequence[str]  # the C classes decided on
    utterances: np.ndarray  # of each true class in the test set, (R,)
    rates: np.ndarray  # share of the true class (row) that was decided to be of the other (column), (R, C)


def class_order(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """The classes of several ``metrics.json``: those of the models in their order, then others by name."""
    found = list(found)
    models = [name for metrics in found for name in metrics["model_classes"] or ()]
    others = sorted({name for metrics in found for key in ("rows", "columns") for name in metrics["confusion"][key]})
    return list(dict.fromkeys([*models, *others]))


def confusions(groups: Sequence[Group], test_set: str) -> list[Confusion]:
    """The confusions of each group that was evaluated on the test set; one order of classes for all."""
    order = class_order(run.metrics[test_set] for group in groups for run in group.on(test_set))
    found = []
    for group in groups:
        counts = [run.metrics[test_set]["confusion"] for run in group.on(test_set)]
        if not counts:
            continue
        rows, columns = ([name for name in order if any(name in c[key] for c in counts)] for key in ("rows", "columns"))
        total = np.zeros((len(rows), len(columns)))
        for one in counts:
            place = np.ix_([rows.index(name) for name in one["rows"]], [columns.index(name) for name in one["columns"]])
            total[place] += one["counts"]
        of_class = total.sum(axis=1)  # each true class has utterances, or it would have no row
        utterances = np.rint(of_class / len(counts)).astype(int)
        found.append(Confusion(group.name, rows, columns, utterances, total / of_class[:, None]))
    return found


def confusion_table(groups: Sequence[Group], test_set: str) -> str:
    """A row for each system and true class, a column for each decision; "" with too many classes for columns."""
    found = confusions(groups, test_set)
    columns = list(dict.fromkeys(name for one in found for name in one.columns))
    if len(columns) > MAX_COLUMNS:
        return ""
    rows = []
    for one in found:
        for name, count, rates in zip(one.rows, one.utterances, one.rates, strict=True):
            decided = dict(zip(one.columns, rates, strict=True))
            cells = (percent(decided[column], 1) if column in decided else "" for column in columns)
            rows.append([one.name, name, f"{count:,}", *cells])
    return markdown_table(
        ["System", "True class", "Utterances", *(f"decided {name} %" for name in columns)], rows, left=2
    )
