"""Attribution metrics as tables and as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spooftrace.common.english import percent
from spooftrace.common.text_table import text_table
from spooftrace.evaluation.attribution import METRIC_NAMES
from spooftrace.evaluation.open_set import OPEN_SET_METRICS
from spooftrace.evaluation.subsets import AXES
from spooftrace.evaluation.tables import Table, as_text

CLASS_METRICS = {name: name for name in ("precision", "recall", "f1")}


def tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """Name -> table: confusions, and the metrics by class, by subset, by attack and by rejection score."""
    name: str = metrics["set"]
    style: dict[str, Any] = {"percent": True, "decimals": 2}
    title = f"{name}: precision, recall and F1 (%) by class of {metrics['label_table']}"
    result = {
        "by_class": Table.of_cells(title, "class", metrics["by_class"], CLASS_METRICS, **style),
        "confusion": _count_table(
            metrics["confusion"], f"{name}: utterances by true class (rows) and predicted class (columns)"
        ),
    }
    for axis in AXES:
        if cells := metrics.get(f"by_{axis}"):
            title = f"{name}: {', '.join(METRIC_NAMES.values())} (%) by {axis}"
            result[f"by_{axis}"] = Table.of_cells(title, axis, cells, METRIC_NAMES, **style)
    if "open_set" in metrics:
        title = f"{name}: rejection of unknown classes (%)"
        result["open_set"] = Table.of_cells(title, "score", metrics["open_set"], OPEN_SET_METRICS, **style)
        result["unknown_decided_as"] = _count_table(
            metrics["unknown_decided_as"],
            f"{name}: utterances of unknown classes (rows) by predicted class (columns)",
        )
    return result


def format_text(metrics: Mapping[str, Any]) -> str:
    """The metrics as plain text."""
    classes = [
        [name, str(cell["utterances"]), *(percent(cell[key]) for key in CLASS_METRICS)]
        for name, cell in metrics["by_class"].items()
    ]
    at_random, majority = metrics["chance"]["random"], metrics["chance"]["majority"]
    shown = {key: f"{percent(metrics[key])} %" for key in (*METRIC_NAMES, "balanced_accuracy")}
    lines = [
        f"{metrics['set']}: {metrics['label_table']}, {metrics['known_trials']} utterances of {metrics['num_classes']} "
        f"classes known to the model, {metrics['trials'] - metrics['known_trials']} of unknown classes, "
        f"{metrics['not_judged']} without a class",
        text_table(["class", "utterances", "precision %", "recall %", "F1 %"], classes) + "\n",
        f"accuracy {shown['accuracy']}, balanced accuracy {shown['balanced_accuracy']}, macro F1 {shown['macro_f1']}, "
        f"weighted F1 {shown['weighted_f1']} (over the {metrics['num_classes']} classes in the truth)",
        f"chance level: random macro F1 {percent(at_random['macro_f1'])} %, weighted F1 "
        f"{percent(at_random['weighted_f1'])} %; always {majority['class']} {percent(majority['macro_f1'])} % and "
        f"{percent(majority['weighted_f1'])} %",
    ]
    by_axis = tables(metrics)
    lines += [as_text(by_axis[name]) for name in ("by_subset", "by_attack") if name in by_axis]
    if "open_set" in metrics:
        rows = [
            [score, *(percent(cell[key]) for key in OPEN_SET_METRICS)] for score, cell in metrics["open_set"].items()
        ]
        unknown = ", ".join(f"{name} ({count})" for name, count in metrics["unknown_classes"].items())
        lines += [f"unknown classes: {unknown}", text_table(["rejection by, %", *OPEN_SET_METRICS.values()], rows)]
    return "\n".join(lines)


def _count_table(counts: Mapping[str, Any], title: str) -> Table:
    values = np.array(counts["counts"], dtype=np.float64)
    return Table(title, "class", tuple(counts["rows"]), tuple(counts["columns"]), values, decimals=0)
