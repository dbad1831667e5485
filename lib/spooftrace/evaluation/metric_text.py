"""Names of metrics, and their values as text: pooled and by attack or another property, for detection and SASV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spooftrace.common.english import percent
from spooftrace.common.text_table import text_table
from spooftrace.evaluation.caveats import MARK, few_note, left_out_note, share_of
from spooftrace.evaluation.tables import POOLED

AXIS_NAMES = {"cond": "condition"}  # properties whose name in tables differs from that of their file
DETECTION_METRICS = {
    "eer": "EER (%)",
    "min_dcf": "minDCF",
    "act_dcf": "actDCF",
    "cllr": "Cllr (bits)",
    "min_tdcf": "min t-DCF",
}
SASV_METRICS = {
    "a_dcf": "a-DCF",
    "a_dcf1": "a-DCF1",
    "sasv_eer": "SASV-EER (%)",
    "spf_eer": "SPF-EER (%)",
    "min_tdcf": "min t-DCF",
    "t_eer": "t-EER (%)",
}
METRIC_NAMES = DETECTION_METRICS | SASV_METRICS


def is_rate(metric: str) -> bool:
    """Whether the values of a metric are fractions, shown in per cent: those of all EERs."""
    return "eer" in metric.split("_")


def value_text(metric: str, value: float | None) -> str:
    """A value with the digits that its metric is printed with; ``n/a`` for None.

    >>> value_text("t_eer", 0.0123), value_text("min_dcf", 0.5), value_text("eer", None)
    ('1.230', '0.5000', 'n/a')
    """
    if value is None or is_rate(metric):
        return percent(value, 3)
    return f"{value:.4f}"


def mean_key(metric: str) -> str:
    """The key in ``metrics.json`` of the mean of a metric over the attacks."""
    return "mean_over_attacks" if metric == "eer" else f"mean_{metric}_over_attacks"


def axis_text(metrics: Mapping[str, Any], axis: str, names: Mapping[str, str]) -> str:
    """Table of the pooled metrics, those of each value of a property, and for attacks their mean.

    Args:
        metrics: Content of ``metrics.json``.
        axis: The property; ``by_<axis>`` holds its values.
        names: Metric -> name, in the order of the columns.
    """
    by_value = metrics.get(f"by_{axis}", {})
    few, left_out = metrics.get("few_trials", {}), metrics.get("left_out_of_mean", {})
    rows = [
        [f"{row}{MARK}" if row in few else row, str(cell["spoof"]), *(value_text(m, cell.get(m)) for m in names)]
        for row, cell in ({POOLED: metrics} | by_value).items()
    ]
    means = {metric: metrics.get(mean_key(metric)) for metric in names}
    if axis == "attack" and any(mean is not None for mean in means.values()):
        title = f"mean over attacks{MARK}" if few.keys() & by_value.keys() else "mean over attacks"
        parts = (value_text(m, mean) + share_of(left_out.get(m, []), len(by_value)) for m, mean in means.items())
        rows.append([title, "", *parts])
    return text_table([AXIS_NAMES.get(axis, axis), "spoof", *names.values()], rows)


def caveat_notes(metrics: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """Notes on means that leave attacks out and on cells with few trials; ``names`` as for :func:`axis_text`."""
    left_out = metrics.get("left_out_of_mean", {})
    total = len(metrics["by_attack"])
    notes = [left_out_note(name, left_out[metric], total) for metric, name in names.items() if metric in left_out]
    return [*notes, *filter(None, [few_note(metrics.get("few_trials", {}))])]
