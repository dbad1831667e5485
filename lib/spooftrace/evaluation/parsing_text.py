"""Codec parsing metrics as tables and as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spooftrace.common.english import percent
from spooftrace.common.text_table import text_table
from spooftrace.evaluation.parsing import CODEC_SETS, UNITS
from spooftrace.evaluation.subsets import AXES
from spooftrace.evaluation.tables import POOLED, Table
from spooftrace.metrics.regression import TARGETS


def tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """Name -> table: RMSE and MAE by codec, by subset and by attack, and pooled over each set of codecs."""
    rows = dict(metrics["by_codec"])
    rows |= {f"{POOLED}, {name}": metrics[key] for key, name in CODEC_SETS.items() if metrics.get(key)}
    rows[POOLED] = metrics
    by_axis = {"codec": rows} | {axis: metrics[f"by_{axis}"] for axis in AXES if metrics.get(f"by_{axis}")}
    result = {}
    for axis, cells in by_axis.items():
        for measure in ("rmse", "mae"):
            errors = {
                row: {target: cell["targets"][target][measure] for target in TARGETS} for row, cell in cells.items()
            }
            title = f"{metrics['set']}: {measure.upper()} by {axis}"
            result[f"{measure}_by_{axis}"] = Table.of_cells(title, axis, errors, UNITS, decimals=3)
    return result


def format_text(metrics: Mapping[str, Any]) -> str:
    """The metrics as plain text."""
    rows = {
        POOLED: metrics,
        **{name: metrics[key] for key, name in CODEC_SETS.items() if metrics.get(key)},
        **{f"subset {name}": cell for name, cell in metrics.get("by_subset", {}).items()},
        **metrics["by_codec"],
    }
    if mean := metrics.get("training_mean"):
        rows["mean of the training set"] = {"trials": metrics["trials"]} | mean
    header = [f"{measure} {unit}" for measure in ("RMSE", "MAE") for unit in UNITS.values()]
    grid = []
    for name, row in rows.items():
        errors = [row["targets"][target][measure] for measure in ("rmse", "mae") for target in TARGETS]
        accuracy = percent(row["nearest_codec_accuracy"]) if "nearest_codec_accuracy" in row else ""
        count = row["trials"] if "trials" in row else row["utterances"]
        grid.append([name, str(count), *("n/a" if error is None else f"{error:.3f}" for error in errors), accuracy])
    nearest = metrics["nearest_codec"]
    lines = [
        f"{metrics['set']}: {metrics['trials']} utterances, {metrics['not_judged']} without codec parameters",
        text_table(["codec", "utterances", *header, "nearest codec %"], grid) + "\n",
        f"nearest codec: accuracy among {len(nearest['candidates'])} codecs; differences divided by the "
        f"{nearest['scale_from']}: "
        + ", ".join(f"{value:.3g} {unit}" for value, unit in zip(nearest["scale"], UNITS.values(), strict=True)),
    ]
    lines += [f"indistinguishable by these values: {', '.join(names)}" for names in nearest["same_values"]]
    return "\n".join(lines)
