"""Numbers out of scores. Arrays in, plain numbers out; no files and no torch."""

from spooftrace.metrics.costs import act_dcf, cllr, min_cllr, min_dcf
from spooftrace.metrics.detection import DetCurve, det_curve, eer, sorted_by_group, ties_across_classes
from spooftrace.metrics.localisation import change_resolution, range_eer, segment_eer
from spooftrace.metrics.sasv import A_DCF1, ASVSPOOF5_A_DCF, SasvCosts, SasvEers, TandemEer, a_dcf, sasv_eers, t_eer
from spooftrace.metrics.tandem import (
    ASVSPOOF5_ASV,
    ASVSPOOF_PRIORS,
    AsvErrorRates,
    TandemPriors,
    TandemWeights,
    asv_error_rates,
    legacy_weights,
    min_tdcf,
    revised_weights,
)

__all__ = [
    "ASVSPOOF5_ASV",
    "ASVSPOOF5_A_DCF",
    "ASVSPOOF_PRIORS",
    "A_DCF1",
    "AsvErrorRates",
    "DetCurve",
    "SasvCosts",
    "SasvEers",
    "TandemEer",
    "TandemPriors",
    "TandemWeights",
    "a_dcf",
    "act_dcf",
    "asv_error_rates",
    "change_resolution",
    "cllr",
    "det_curve",
    "eer",
    "legacy_weights",
    "min_cllr",
    "min_dcf",
    "min_tdcf",
    "range_eer",
    "revised_weights",
    "sasv_eers",
    "segment_eer",
    "sorted_by_group",
    "t_eer",
    "ties_across_classes",
]
