"""Detection metrics as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spooftrace.evaluation.conventions import CONVENTIONS, CTRSVDD_RULE
from spooftrace.evaluation.metric_text import DETECTION_METRICS, axis_text, caveat_notes, value_text

AXES = tuple(dict.fromkeys(axis for rules in CONVENTIONS.values() for axis in rules.by))
NAMES = DETECTION_METRICS | {"eer_ranking": "EER (%) without A14 and acesinger"}


def format_text(metrics: Mapping[str, Any]) -> str:
    """The metrics as plain text: counts, a table for each property, the costs, and notes on comparability."""
    rules, primary = CONVENTIONS[metrics["convention"]], metrics["primary"]
    names = {name: DETECTION_METRICS[name] for name in rules.metrics if name in metrics}
    lines = [
        f"{metrics['set']}: {metrics['trials']} trials ({metrics['bonafide']} bona fide, {metrics['spoof']} spoof)",
        *(axis_text(metrics, axis, names) + "\n" for axis in AXES if axis == "attack" or metrics.get(f"by_{axis}")),
        f"primary metric ({metrics['convention']}): {NAMES[primary]} {value_text(primary, metrics[primary])}, pooled",
        f"minDCF {metrics['min_dcf']:.4f}, actDCF {metrics['act_dcf']:.4f}, Cllr {metrics['cllr']:.4f}, "
        f"minCllr {metrics['min_cllr']:.4f} (pooled; costs of ASVspoof 5; scores used as log-likelihood ratios)",
    ]
    if rules.primary == "min_tdcf" and "min_tdcf" not in metrics:
        lines.append("no min t-DCF without --asv-scores: ASVspoof 2019 and 2021 LA rank by it, 2021 DF by the EER")
    if "min_tdcf" in metrics:
        lines.append(f"min t-DCF {metrics['min_tdcf']:.4f} (pooled): {metrics['min_tdcf_convention']}")
    if metrics["convention"] == "ctrsvdd":
        lines.append(CTRSVDD_RULE)
    lines += caveat_notes(metrics, names)
    if "subsets" in metrics:
        lines.append(f"subsets pooled: {', '.join(metrics['subsets'])}")
    if metrics["ties_across_classes"]:
        lines.append(
            f"{metrics['ties_across_classes']} trials have the same score as a trial of the other class: "
            "for the EER, bona fide trials come first among equal scores"
        )
    return "\n".join(lines)
