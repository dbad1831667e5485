"""Detection costs of ASVspoof 5 Track 1, and the information-theoretic Cllr.

A higher score means more bona fide. The defaults are the constants of ASVspoof 5: spoof prior 0.05, cost of a miss (a
bona fide trial rejected) 1, cost of a false accept (a spoof trial accepted) 10.

Ties make no difference to a minimum cost: inside a run of equal scores the official curve first rejects bona fide,
which costs, and then spoof, which pays, so the minimum is never at a point that no threshold reaches.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from spooftrace.metrics.detection import checked_scores, det_curve


def min_dcf(
    bonafide: ArrayLike, spoof: ArrayLike, p_spoof: float = 0.05, c_miss: float = 1.0, c_fa: float = 10.0
) -> tuple[float, float]:
    """Smallest normalised detection cost over all thresholds, and the threshold (the lowest if several are).

    The cost ``c_miss (1 - p_spoof) frr + c_fa p_spoof far`` is divided by that of the better of the two systems that
    do not listen (accept all, reject all), so the result is at most 1. Source: ASVspoof 5 evaluation package.

    Args:
        bonafide: scores of the bona fide trials, shape (Nb,).
        spoof: scores of the spoof trials, shape (Ns,).
        p_spoof: prior of spoof, between 0 and 1.
        c_miss: cost of rejecting a bona fide trial.
        c_fa: cost of accepting a spoof trial.

    Raises:
        ValueError: scores as for :func:`det_curve`; a prior outside (0, 1) or a cost that is not above zero.

    >>> min_dcf([2.0, 4.0, 5.0], [1.0, 3.0, 0.0])
    (0.3333333333333333, 1.0)
    """
    miss, false_accept = _weights(p_spoof, c_miss, c_fa)
    frr, far, thresholds = det_curve(bonafide, spoof)
    cost = miss * frr + false_accept * far
    k = int(np.argmin(cost))
    return float(cost[k] / min(miss, false_accept)), float(thresholds[k])


def act_dcf(
    bonafide: ArrayLike, spoof: ArrayLike, p_spoof: float = 0.05, c_miss: float = 1.0, c_fa: float = 10.0
) -> tuple[float, float]:
    """Normalised detection cost at the threshold that is right for calibrated scores, and that threshold.

    The scores are taken for natural-log likelihood ratios (bona fide over spoof); a trial is accepted from
    ``ln(c_fa p_spoof / (c_miss (1 - p_spoof)))`` up (-0.642 with the defaults). Far above :func:`min_dcf` means badly
    calibrated. Not bounded by 1. Arguments and errors as for :func:`min_dcf`.

    >>> act_dcf([1.0, -1.0], [-2.0, -3.0])
    (0.95, -0.6418538861723947)
    """
    miss, false_accept = _weights(p_spoof, c_miss, c_fa)
    bonafide, spoof = checked_scores(bonafide, "bona fide"), checked_scores(spoof, "spoof")
    threshold = -math.log(miss / false_accept)
    cost = miss * np.mean(bonafide < threshold) + false_accept * np.mean(spoof >= threshold)
    return float(cost / min(miss, false_accept)), threshold


def cllr(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Cost of the log-likelihood ratio in bits: 0 for perfect scores, 1 for scores that say nothing (all zero).

    Takes natural-log likelihood ratios; posteriors or cosines give a number without meaning. Unlike the official code
    it does not overflow beyond 709. Shapes and errors as for :func:`det_curve`. Source: Brummer and du Preez 2006,
    "Application-independent evaluation of speaker detection"; ASVspoof 5 evaluation package.

    >>> cllr([0.0, 0.0], [0.0])
    1.0
    """
    bonafide, spoof = checked_scores(bonafide, "bona fide"), checked_scores(spoof, "spoof")
    nats = np.mean(np.logaddexp(0, -bonafide)) + np.mean(np.logaddexp(0, spoof))
    return float(nats / (2 * math.log(2)))


def min_cllr(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Cllr in bits after the best monotone calibration of these very scores: what is lost to discrimination alone.

    ``cllr - min_cllr`` is the loss to calibration. The calibration is the isotonic (pool adjacent violators) fit of
    the labels, equal scores getting one value; it needs only the order of the scores, which need not be likelihood
    ratios. Shapes and errors as for :func:`det_curve`.

    >>> min_cllr([3.0, 4.0], [1.0, 2.0]), min_cllr([1.0, 2.0], [3.0, 4.0])
    (0.0, 1.0)
    """
    from sklearn.isotonic import isotonic_regression  # half a second to import, and only needed here

    # The order of the official curve, bona fide first inside a tie, makes each tie a violation and so one pool.
    frr, _, _ = det_curve(bonafide, spoof)
    label = np.diff(frr) > 0  # (N + 1,) -> (N,)
    posterior = isotonic_regression(label.astype(np.float64))  # P(bona fide) at the prior of these trials
    prior_odds = label.sum() / (~label).sum()
    of_bonafide, of_spoof = posterior[label], posterior[~label]  # above 0 and below 1: each is in its own pool
    # log(1 + 1 / LR) and log(1 + LR), where LR = posterior odds / prior odds
    nats = np.mean(np.log1p((1 - of_bonafide) / of_bonafide * prior_odds))
    nats += np.mean(np.log1p(of_spoof / (1 - of_spoof) / prior_odds))
    return float(nats / (2 * math.log(2)))


def _weights(p_spoof: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Cost of rejecting all bona fide and of accepting all spoof, each weighted by its prior."""
    if not 0 < p_spoof < 1:
        raise ValueError(f"p_spoof must lie between 0 and 1, not {p_spoof}")
    if not (0 < c_miss < math.inf and 0 < c_fa < math.inf):
        raise ValueError(f"costs must be above zero and finite, not c_miss={c_miss}, c_fa={c_fa}")
    return c_miss * (1 - p_spoof), c_fa * p_spoof
