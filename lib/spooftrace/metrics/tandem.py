"""Tandem detection cost (t-DCF) of a countermeasure in front of a fixed speaker verification (ASV) system.

A higher score means more bona fide (countermeasure) or more the claimed speaker (ASV). Three conventions are in use,
and their numbers differ; every one is ``(C0 + C1 frr + C2 far) / (C0 + min(C1, C2))`` with frr and far of the
countermeasure and three weights, so a convention is a way to get the weights:

* legacy, ASVspoof 2019: ``min_tdcf(bonafide, spoof, legacy_weights(asv))``, where C0 is 0;
* revised ("ASV-constrained"), ASVspoof 2021: ``min_tdcf(bonafide, spoof, revised_weights(asv))``, or, per condition,
  the organisers' own ``TandemWeights(c0, c1, c2)``; never 0 when the ASV system errs;
* ASVspoof 5 Track 2: the revised one with ``ASVSPOOF5_ASV``, the same ASV rates for every condition.

Source: Kinnunen et al. 2020, "Tandem assessment of spoofing countermeasures and automatic speaker verification";
ASVspoof 2019, 2021 and 5 evaluation packages.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spooftrace.metrics.detection import Array, DetCurve, checked_scores, eer, takes_scores


class AsvErrorRates(NamedTuple):
    """Error rates (fractions) of an ASV system at its threshold."""

    miss: float  # targets rejected
    false_accept: float  # nontargets accepted
    spoof_accept: float  # spoof trials accepted


class TandemWeights(NamedTuple):
    """Weights of the tandem cost: what the ASV system costs alone, a countermeasure miss, a spoof trial let through."""

    c0: float
    c1: float
    c2: float


class TandemPriors(NamedTuple):
    """Prior probabilities of the three kinds of trial; the defaults are those of all ASVspoof challenges."""

    target: float = 0.9405
    nontarget: float = 0.0095
    spoof: float = 0.05


ASVSPOOF5_ASV = AsvErrorRates(
    miss=0.01880141010575793, false_accept=0.01881016557566423, spoof_accept=0.4607082907604729
)
ASVSPOOF_PRIORS = TandemPriors()


def asv_error_rates(
    target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, threshold: float | None = None
) -> tuple[AsvErrorRates, float]:
    """Error rates of an ASV system from its scores, and the threshold, from which up a trial is accepted.

    Args:
        target: Scores of the target trials, shape (Nt,).
        nontarget: Scores of the bona fide impostor trials, shape (Nn,).
        spoof: Scores of the spoof trials, shape (Ns,).
        threshold: Where to decide; by default the EER threshold of target against nontarget.

    Raises:
        ValueError: A class is empty, not one-dimensional, or has NaN or infinite scores.

    >>> asv_error_rates([2.0, 4.0, 5.0], [1.0, 3.0, 0.0], [2.5, 0.5])
    (AsvErrorRates(miss=0.0, false_accept=0.3333333333333333, spoof_accept=0.5), 2.0)
    """
    target, nontarget = checked_scores(target, "target"), checked_scores(nontarget, "nontarget")
    spoof = checked_scores(spoof, "spoof")
    if threshold is None:
        _, threshold = eer(target, nontarget)
    rates = (np.mean(target < threshold), np.mean(nontarget >= threshold), np.mean(spoof >= threshold))
    return AsvErrorRates(*map(float, rates)), float(threshold)


def legacy_weights(
    asv: AsvErrorRates,
    priors: TandemPriors = ASVSPOOF_PRIORS,
    c_miss_asv: float = 1.0,
    c_fa_asv: float = 10.0,
    c_miss_cm: float = 1.0,
    c_fa_cm: float = 10.0,
) -> TandemWeights:
    """Weights of the legacy t-DCF (ASVspoof 2019) from the rates of the ASV system; C0 is 0.

    Raises:
        ValueError: Priors are negative or do not sum to 1, rates outside [0, 1], or a weight that comes out negative.
    """
    _check(asv, priors)
    c1 = priors.target * (c_miss_cm - c_miss_asv * asv.miss) - priors.nontarget * c_fa_asv * asv.false_accept
    c2 = c_fa_cm * priors.spoof * asv.spoof_accept
    return _usable(TandemWeights(0.0, c1, c2))


def revised_weights(
    asv: AsvErrorRates,
    priors: TandemPriors = ASVSPOOF_PRIORS,
    c_miss: float = 1.0,
    c_fa: float = 10.0,
    c_fa_spoof: float = 10.0,
) -> TandemWeights:
    """Weights of the revised t-DCF (ASVspoof 2021 and 5) from the rates of the ASV system. Errors: legacy_weights."""
    _check(asv, priors)
    c0 = priors.target * c_miss * asv.miss + priors.nontarget * c_fa * asv.false_accept
    c1 = priors.target * c_miss - c0
    c2 = priors.spoof * c_fa_spoof * asv.spoof_accept
    return _usable(TandemWeights(c0, c1, c2))


@takes_scores
def min_tdcf(curve: DetCurve, weights: TandemWeights) -> tuple[float, float]:
    """Smallest normalised tandem cost over all countermeasure thresholds, and the threshold (the lowest if several).

    Args:
        curve: The trials of the countermeasure, or instead ``bonafide, spoof``: their scores as two arrays of shapes
            (Nb,) and (Ns,).
        weights: From :func:`legacy_weights`, :func:`revised_weights`, or as published for a condition.

    Raises:
        ValueError: Scores as for :func:`det_curve`; fewer than three distinct scores (decisions, not scores); a weight
            that is negative, NaN or infinite, or weights by which a system that does not listen costs nothing.

    >>> min_tdcf([2.0, 4.0, 5.0], [1.0, 3.0, 0.0], TandemWeights(0.25, 1.0, 0.75))
    (0.5, 1.0)
    """
    c0, c1, c2 = _usable(weights)
    lowest, highest = min(curve.bonafide[0], curve.spoof[0]), max(curve.bonafide[-1], curve.spoof[-1])
    if not any(_any_between(scores, lowest, highest) for scores in (curve.bonafide, curve.spoof)):
        distinct = 1 + (lowest < highest)
        raise ValueError(f"the scores take only {distinct} distinct values; the t-DCF needs scores, not decisions")
    return curve.minimum(lambda frr, far: (c0 + c1 * frr + c2 * far) / (c0 + min(c1, c2)))


def _any_between(ordered: Array, low: float, high: float) -> bool:
    return bool(np.searchsorted(ordered, low, "right") < np.searchsorted(ordered, high, "left"))


def _check(asv: AsvErrorRates, priors: TandemPriors) -> None:
    if min(priors) < 0 or not math.isclose(sum(priors), 1, rel_tol=0, abs_tol=1e-10):
        raise ValueError(f"priors must not be negative and must sum to 1: {priors}")
    if not all(0 <= rate <= 1 for rate in asv):
        raise ValueError(f"ASV error rates are fractions from 0 to 1: {asv}")


def _usable(weights: TandemWeights) -> TandemWeights:
    """The weights, if a cost can be normalised with them."""
    if not all(0 <= weight < math.inf for weight in weights):
        raise ValueError(f"t-DCF weights must not be negative; too bad an ASV system, or wrong costs? {weights}")
    if weights[0] + min(weights[1:]) == 0:
        raise ValueError(f"a countermeasure that accepts or rejects everything would cost nothing: {weights}")
    return weights
