"""Conventions of each challenge: its primary metric, its breakdowns and its variant of the t-DCF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spooftrace.metrics import AsvErrorRates, TandemWeights, legacy_weights, revised_weights

EER_CONVENTION = (
    "EER as in the ASVspoof 2019, 2021 and ASVspoof 5 packages: trials in the order of a stable sort with bona fide "
    "first inside a tie, ties not grouped; (FRR + FAR) / 2 at the lowest threshold with the smallest |FRR - FAR|, no "
    "interpolation. 'eer' pools all trials; 'by_attack' takes the spoof trials of one attack against all bona fide."
)
COST_CONVENTION = (
    "ASVspoof 5 Track 1: spoof prior 0.05, a rejected bona fide trial costs 1, an accepted spoof trial 10, divided by "
    "the lower cost of accepting all and rejecting all trials; Cllr in bits. actDCF and Cllr use the scores as "
    "natural-log likelihood ratios, minDCF and minCllr use only their order."
)
UNRANKED_ATTACK, UNRANKED_SOURCE = "A14", "acesinger"  # of CtrSVDD
CTRSVDD_RULE = (
    "CtrSVDD: 'eer_ranking' excludes attack A14 and all trials of source acesinger; 'by_attack' of A14 includes all "
    "bona fide trials, that of the other attacks all but those of acesinger; 'by_source' includes the trials of one "
    "source only."
)
TDCF_CONVENTIONS = {
    "legacy": (
        "legacy min t-DCF of ASVspoof 2019 (no C0, so 0 is possible): priors target 0.9405, nontarget 0.0095, spoof "
        "0.05; a miss costs 1, a false accept 10. Not comparable with the revised one."
    ),
    "revised": (
        "revised (ASV-constrained) min t-DCF of ASVspoof 2021 and ASVspoof 5 Track 2: priors target 0.9405, nontarget "
        "0.0095, spoof 0.05; a miss costs 1, a false accept 10; above 0 even for perfect scores, as the ASV system "
        "errs. Not comparable with the legacy one."
    ),
}


@dataclass(frozen=True)
class Convention:
    """What a challenge reports.

    Attributes:
        primary: Metric that it ranks by; "eer" replaces "min_tdcf" if there are no rates of an ASV system.
        metrics: Metrics of each row of a breakdown, if they can be computed.
        crossed: Pairs of properties that it prints a table of.
        by: Properties whose values are the rows of a breakdown.
        tandem_weights: Function from the rates of an ASV system to the weights of the t-DCF.
        tdcf: Variant of the t-DCF, a name in TDCF_CONVENTIONS.
    """

    primary: str = "eer"
    metrics: tuple[str, ...] = ("eer", "min_tdcf")
    crossed: tuple[tuple[str, str], ...] = (("attack", "cond"),)
    by: tuple[str, ...] = ("attack", "cond", "subset")
    tandem_weights: Callable[[AsvErrorRates], TandemWeights] = revised_weights
    tdcf: str = "revised"


CONVENTIONS = {
    "plain": Convention(),
    "asvspoof2019": Convention(primary="min_tdcf", tandem_weights=legacy_weights, tdcf="legacy"),
    "asvspoof2021": Convention(
        primary="min_tdcf",
        by=("attack", "cond", "transmission", "subset", "source", "vocoder"),
        crossed=(("attack", "cond"), ("vocoder", "cond")),
    ),
    "asvspoof5": Convention(primary="min_dcf", metrics=("min_dcf", "act_dcf", "cllr", "eer", "min_tdcf")),
    "ctrsvdd": Convention(primary="eer_ranking", by=("attack", "source"), crossed=()),
}
