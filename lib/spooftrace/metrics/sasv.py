"""Metrics of spoofing-aware speaker verification (SASV): a-DCF, t-EER and the three EERs of SASVC 2022.

Trials are of three classes: target (bona fide, the claimed speaker), nontarget (bona fide, another speaker) and spoof.
A higher score means more to be accepted; rates are fractions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spooftrace.metrics.detection import Array, checked_scores, det_curve, eer


class SasvCosts(NamedTuple):
    """Priors of the three classes and the cost of each error."""

    p_target: float
    p_nontarget: float
    p_spoof: float
    c_miss: float
    c_fa_nontarget: float
    c_fa_spoof: float


ASVSPOOF5_A_DCF = SasvCosts(0.9405, 0.0095, 0.05, 1.0, 10.0, 10.0)
A_DCF1 = SasvCosts(0.9, 0.05, 0.05, 1.0, 10.0, 20.0)  # the default of the a-DCF authors' package: another number


class SasvEers(NamedTuple):
    """Equal error rates: target against nontarget and spoof together, against nontarget, against spoof."""

    sasv: float
    sv: float
    spf: float


class TandemEer(NamedTuple):
    """Concurrent t-EER (a fraction) and the pair of thresholds where it holds."""

    rate: float
    asv_threshold: float
    cm_threshold: float


def a_dcf(
    target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, costs: SasvCosts = ASVSPOOF5_A_DCF
) -> tuple[float, float]:
    """Smallest architecture-agnostic detection cost over all thresholds, and the threshold (the lowest if several).

    For systems with a single SASV score. Normalised by the better of accept all and reject all, so at most 1. Source:
    Shim et al. 2024, "a-DCF: an architecture agnostic metric with application to spoofing-robust speaker verification".

    Args:
        target: Scores of the target trials, shape (Nt,).
        nontarget: Scores of the nontarget trials, shape (Nn,).
        spoof: Scores of the spoof trials, shape (Ns,).
        costs: Priors and costs; ``A_DCF1`` for the a-DCF authors' default.

    Raises:
        ValueError: A class is empty, not one-dimensional, or has NaN or infinite scores; priors that do not sum to 1;
            a prior or cost that is not above zero.

    >>> a_dcf([3.0, 5.0], [1.0, 2.0], [4.0, 0.0], SasvCosts(0.5, 0.25, 0.25, 1.0, 2.0, 2.0))
    (0.5, 2.0)
    """
    if not all(0 < value < math.inf for value in costs):
        raise ValueError(f"priors and costs must be above zero and finite: {costs}")
    if not math.isclose(costs.p_target + costs.p_nontarget + costs.p_spoof, 1, rel_tol=0, abs_tol=1e-10):
        raise ValueError(f"the three priors must sum to 1: {costs}")
    miss, fa_nontarget, fa_spoof, thresholds = _error_curves(target, nontarget, spoof)
    of_miss = costs.c_miss * costs.p_target
    of_nontarget, of_spoof = costs.c_fa_nontarget * costs.p_nontarget, costs.c_fa_spoof * costs.p_spoof
    cost = of_miss * miss + of_nontarget * fa_nontarget + of_spoof * fa_spoof
    k = int(np.argmin(cost))
    return float(cost[k] / min(of_miss, of_nontarget + of_spoof)), float(thresholds[k])


def sasv_eers(target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> SasvEers:
    """SASV-EER, SV-EER and SPF-EER of single scores, with the tie rule of ASVspoof. Shapes as for :func:`a_dcf`.

    Raises:
        ValueError: A class is empty, not one-dimensional, or has NaN or infinite scores.

    >>> sasv_eers([3.0, 5.0], [1.0, 2.0], [4.0, 0.0])
    SasvEers(sasv=0.125, sv=0.0, spf=0.5)
    """
    target, nontarget, spoof = map(np.sort, _checked(target, nontarget, spoof))  # once for all pairs
    impostors = np.concatenate((nontarget, spoof))
    return SasvEers(eer(target, impostors)[0], eer(target, nontarget)[0], eer(target, spoof)[0])


def t_eer(
    cm_bonafide: ArrayLike,
    cm_spoof: ArrayLike,
    asv_target: ArrayLike,
    asv_nontarget: ArrayLike,
    asv_spoof: ArrayLike,
) -> TandemEer:
    """Concurrent tandem equal error rate of a countermeasure (CM) and an ASV system that decide independently.

    A trial is accepted if both accept it. For each ASV threshold there is a CM threshold where the tandem's misses
    equal its false accepts (half nontarget, half spoof); of these pairs the one is taken where false accepts of
    nontarget and of spoof agree best, so that one rate describes all three errors whatever the share of spoof. Every
    pair of thresholds is considered; the ASVspoof 5 package thins them to some thousands, so its value may differ
    slightly (and is in percent). Source: Kinnunen et al. 2023, "t-EER: parameter-free tandem evaluation of
    countermeasures and biometric comparators".

    Args:
        cm_bonafide: CM scores of target and nontarget trials together, shape (Nb,).
        cm_spoof: CM scores of the spoof trials, shape (Ns,).
        asv_target: ASV scores of the target trials, shape (Nt,).
        asv_nontarget: ASV scores of the nontarget trials, shape (Nn,).
        asv_spoof: ASV scores of the spoof trials, shape (Na,).

    Raises:
        ValueError: A class is empty, not one-dimensional, or has NaN or infinite scores; no pair of thresholds at
            which the CM accepts a bona fide trial and the ASV system a spoof trial balances the errors.
    """
    frr, far, cm_thresholds = det_curve(cm_bonafide, cm_spoof)
    miss, fa_nontarget, fa_spoof, asv_thresholds = _error_curves(asv_target, asv_nontarget, asv_spoof)
    # Where the ASV system alone misses more than it accepts wrongly, no CM threshold can balance the two.
    open_points = np.flatnonzero(miss < (fa_nontarget + fa_spoof) / 2)
    miss, fa_nontarget, fa_spoof = miss[open_points], fa_nontarget[open_points], fa_spoof[open_points]

    def imbalance(k: Array) -> Array:
        """Tandem misses minus tandem false accepts at CM point k[i] with ASV point i; grows with k."""
        passed = 1 - frr[k]
        return frr[k] + passed * miss - (passed * fa_nontarget + far[k] * fa_spoof) / 2

    # Bisection for all ASV points at once: the first CM point where misses reach the false accepts. It lies beyond
    # point 0, where the CM accepts all, and not beyond the last one, where it accepts nothing.
    below, reached = np.zeros(open_points.size, dtype=np.intp), np.full(open_points.size, frr.size - 1)
    for _ in range(frr.size.bit_length()):
        middle = (below + reached) // 2
        at_or_above = imbalance(middle) >= 0
        below, reached = np.where(at_or_above, below, middle), np.where(at_or_above, middle, reached)
    crossing = np.where(np.abs(imbalance(below)) <= np.abs(imbalance(reached)), below, reached)

    # Infinite where the ASV system accepts no spoof or the CM no bona fide trial: no errors to compare. Never 0 / 0, as
    # an open point accepts something wrongly, and the tandem that accepts nothing (imbalance 1) is never the nearest.
    with np.errstate(divide="ignore"):
        disagreement = np.abs(fa_nontarget / fa_spoof - far[crossing] / (1 - frr[crossing]))
    best = int(np.argmin(disagreement))  # point 0 of the ASV system, accept all, is always there
    if disagreement[best] == np.inf:
        raise ValueError("no pair of thresholds balances the errors while the countermeasure accepts a bona fide trial")
    rate = fa_spoof[best] * far[crossing[best]]
    return TandemEer(float(rate), float(asv_thresholds[open_points[best]]), float(cm_thresholds[crossing[best]]))


def _error_curves(target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """Misses, accepted nontargets, accepted spoof and thresholds, each (N + 1,): det_curve for three classes.

    Equal scores are walked one by one here too: target, then nontarget, then spoof.
    """
    target, nontarget, spoof = map(np.sort, _checked(target, nontarget, spoof))
    total = target.size + nontarget.size + spoof.size
    # Merge the sorted classes: a trial's place is its own rank plus the trials of the other classes before it.
    before_target = np.searchsorted(nontarget, target, "left") + np.searchsorted(spoof, target, "left")
    before_nontarget = np.searchsorted(target, nontarget, "right") + np.searchsorted(spoof, nontarget, "left")
    is_target, is_nontarget = np.zeros(total, dtype=bool), np.zeros(total, dtype=bool)
    is_target[np.arange(target.size) + before_target] = True
    is_nontarget[np.arange(nontarget.size) + before_nontarget] = True

    thresholds = np.empty(total + 1)
    thresholds[1:][is_target] = target
    thresholds[1:][is_nontarget] = nontarget
    thresholds[1:][~(is_target | is_nontarget)] = spoof
    thresholds[0] = thresholds[1] - 1e-8  # as in the official a-DCF; the two-class curve has 0.001

    rejected_target = np.concatenate(([0], np.cumsum(is_target)))  # (N,) -> (N + 1,)
    rejected_nontarget = np.concatenate(([0], np.cumsum(is_nontarget)))  # (N,) -> (N + 1,)
    accepted_spoof = spoof.size - (np.arange(total + 1) - rejected_target - rejected_nontarget)
    return (
        rejected_target / target.size,
        (nontarget.size - rejected_nontarget) / nontarget.size,
        accepted_spoof / spoof.size,
        thresholds,
    )


def _checked(target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> tuple[Array, Array, Array]:
    return checked_scores(target, "target"), checked_scores(nontarget, "nontarget"), checked_scores(spoof, "spoof")
