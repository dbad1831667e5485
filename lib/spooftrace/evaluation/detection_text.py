"""Detection metrics as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spooftrace.common.text_table import text_table
from spooftrace.evaluation.breakdown import AXIS_NAMES, METRIC_NAMES, POOLED
from spooftrace.evaluation.caveats import MARK, few_note, left_out_note, share_of
from spooftrace.evaluation.conventions import CONVENTIONS, CTRSVDD_RULE

AXES = tuple(dict.fromkeys(axis for rules in CONVENTIONS.values() for axis in rules.by))
NAMES = METRIC_NAMES | {"eer_ranking": "EER (%) without A14 and acesinger"}


def format_text(metrics: Mapping[str, Any]) -> str:
    """The metrics as plain text: counts, a table for each property, the costs, and what to know before comparing."""
    names = [name for name in CONVENTIONS[metrics["convention"]].metrics if name in metrics]
    lines = [
        f"{metrics['set']}: {metrics['trials']} trials ({metrics['bonafide']} bona fide, {metrics['spoof']} spoof)",
        *(_axis_text(metrics, axis, names) + "\n" for axis in AXES if axis == "attack" or metrics.get(f"by_{axis}")),
        f"primary metric ({metrics['convention']}): {NAMES[metrics['primary']]} "
        f"{_figure(metrics['primary'], metrics[metrics['primary']])}, pooled",
        f"minDCF {metrics['min_dcf']:.4f}, actDCF {metrics['act_dcf']:.4f}, Cllr {metrics['cllr']:.4f}, "
        f"minCllr {metrics['min_cllr']:.4f} (pooled, ASVspoof 5 costs, scores taken for log-likelihood ratios)",
    ]
    if CONVENTIONS[metrics["convention"]].primary == "min_tdcf" and "min_tdcf" not in metrics:
        lines.append("no min t-DCF without --asv-scores: ASVspoof 2019 and 2021 LA rank by it, 2021 DF by the EER")
    if "min_tdcf" in metrics:
        lines.append(f"min t-DCF {metrics['min_tdcf']:.4f} (pooled): {metrics['min_tdcf_convention']}")
    if metrics["convention"] == "ctrsvdd":
        lines.append(CTRSVDD_RULE)
    lines += [
        left_out_note(METRIC_NAMES[name], lacking, len(metrics["by_attack"]))
        for name, lacking in metrics.get("left_out_of_mean", {}).items()
    ]
    if few := few_note(metrics.get("few_trials", {})):
        lines.append(few)
    if "subsets" in metrics:
        lines.append(f"subsets pooled: {', '.join(metrics['subsets'])}")
    if metrics["ties_across_classes"]:
        lines.append(
            f"{metrics['ties_across_classes']} trials have the score of a trial of the other class: "
            "the EER counts bona fide first inside a tie"
        )
    return "\n".join(lines)


def _axis_text(metrics: Mapping[str, Any], axis: str, names: Sequence[str]) -> str:
    """The pooled figures, those of each value of one property, and for attacks their mean."""
    cells = {POOLED: metrics} | metrics.get(f"by_{axis}", {})
    few, lacking = metrics.get("few_trials", {}), metrics.get("left_out_of_mean", {})
    rows = [
        [f"{row}{MARK}" if row in few else row, str(cell["spoof"]), *(_figure(name, cell.get(name)) for name in names)]
        for row, cell in cells.items()
    ]
    if axis == "attack" and metrics["mean_over_attacks"] is not None:
        means = {"eer": metrics["mean_over_attacks"]}
        means |= {name: metrics.get(f"mean_{name}_over_attacks") for name in names if name != "eer"}
        title = f"mean over attacks{MARK}" if few.keys() & metrics["by_attack"].keys() else "mean over attacks"
        total = len(metrics["by_attack"])
        shown = (_figure(name, means[name]) + share_of(lacking.get(name, []), total) for name in names)
        rows.append([title, "", *shown])
    return text_table([AXIS_NAMES.get(axis, axis), "spoof", *(METRIC_NAMES[name] for name in names)], rows)


def _figure(metric: str, value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{100 * value:.3f}" if metric.startswith("eer") else f"{value:.4f}"
