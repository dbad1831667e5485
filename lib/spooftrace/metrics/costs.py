"""Detection costs of ASVspoof 5 Track 1, and the information-theoretic Cllr.

A higher score means more bona fide. The defaults are the constants of ASVspoof 5: spoof prior 0.05, cost of a miss (a
bona fide trial rejected) 1, cost of a false accept (a spoof trial accepted) 10.

Ties make no difference to a minimum cost: inside a run of equal scores the official curve first rejects bona fide,
which costs, and then spoof, which pays, so the minimum is never at a point that no threshold reaches.
"""

from __future__ import annotations

import math

import numpy as np

from spooftrace.metrics.detection import Array, DetCurve, takes_scores


@takes_scores
def min_dcf(curve: DetCurve, p_spoof: float = 0.05, c_miss: float = 1.0, c_fa: float = 10.0) -> tuple[float, float]:
    """Smallest normalised detection cost over all thresholds, and the threshold (the lowest if several are).

    The cost ``c_miss (1 - p_spoof) frr + c_fa p_spoof far`` is divided by that of the better of the two systems that
    do not listen (accept all, reject all), so the result is at most 1. Source: ASVspoof 5 evaluation package.

    Args:
        curve: The trials, or instead ``bonafide, spoof``: their scores as two arrays of shapes (Nb,) and (Ns,).
        p_spoof: Prior of spoof, between 0 and 1.
        c_miss: Cost of rejecting a bona fide trial.
        c_fa: Cost of accepting a spoof trial.

    Raises:
        ValueError: Scores as for :func:`det_curve`; a prior outside (0, 1) or a cost that is not above zero.

    >>> min_dcf([2.0, 4.0, 5.0], [1.0, 3.0, 0.0])
    (0.3333333333333333, 1.0)
    """
    miss, false_accept = _weights(p_spoof, c_miss, c_fa)
    cost, threshold = curve.minimum(lambda frr, far: miss * frr + false_accept * far)
    return float(cost / min(miss, false_accept)), threshold


@takes_scores
def act_dcf(curve: DetCurve, p_spoof: float = 0.05, c_miss: float = 1.0, c_fa: float = 10.0) -> tuple[float, float]:
    """Normalised detection cost at the threshold that is right for calibrated scores, and that threshold.

    The scores are taken for natural-log likelihood ratios (bona fide over spoof); a trial is accepted from
    ``ln(c_fa p_spoof / (c_miss (1 - p_spoof)))`` up (-0.642 with the defaults). Far above :func:`min_dcf` means badly
    calibrated. Not bounded by 1. Arguments and errors as for :func:`min_dcf`.

    >>> act_dcf([1.0, -1.0], [-2.0, -3.0])
    (0.95, -0.6418538861723947)
    """
    miss, false_accept = _weights(p_spoof, c_miss, c_fa)
    threshold = -math.log(miss / false_accept)
    frr, far = curve.rates(np.searchsorted(curve.bonafide, threshold), np.searchsorted(curve.spoof, threshold))
    cost = miss * frr + false_accept * far
    return float(cost / min(miss, false_accept)), threshold


@takes_scores
def cllr(curve: DetCurve) -> float:
    """Cost of the log-likelihood ratio in bits: 0 for perfect scores, 1 for scores that say nothing (all zero).

    Takes natural-log likelihood ratios; posteriors or cosines give a number without meaning. Unlike the official code
    it does not overflow beyond 709. Arguments and errors as for :func:`det_curve`. Source: Brummer and du Preez 2006,
    "Application-independent evaluation of speaker detection"; ASVspoof 5 evaluation package.

    >>> cllr([0.0, 0.0], [0.0])
    1.0
    """
    nats = _mean_log1p_exp(-curve.bonafide) + _mean_log1p_exp(curve.spoof)
    return float(nats / (2 * math.log(2)))


@takes_scores
def min_cllr(curve: DetCurve) -> float:
    """Cllr in bits after the best monotone calibration of these very scores: what is lost to discrimination alone.

    ``cllr - min_cllr`` is the loss to calibration. The calibration is the isotonic (pool adjacent violators) fit of
    the labels, equal scores getting one value; it needs only the order of the scores, which need not be likelihood
    ratios. Arguments and errors as for :func:`det_curve`.

    >>> min_cllr([3.0, 4.0], [1.0, 2.0]), min_cllr([1.0, 2.0], [3.0, 4.0])
    (0.0, 1.0)
    """
    bonafide, spoof = _isotonic_pools(curve)
    # The likelihood ratio of a pool is the share of all bona fide in it by the share of all spoof in it.
    nats = _mean_log1p_odds(bonafide, spoof) + _mean_log1p_odds(spoof, bonafide)
    return float(nats / (2 * math.log(2)))


def _isotonic_pools(curve: DetCurve) -> tuple[Array, Array]:
    """Number of bona fide and of spoof trials in each pool of the isotonic fit, by rising score.

    Pool adjacent violators: neighbours are pooled until the likelihood ratio rises from each pool to the next one.
    Whole numbers throughout, so exact.
    """
    # The curve between two corners rejects bona fide first: one pool. That goes for each tie, too.
    ends_bonafide, ends_spoof = curve.corners
    # A boundary between two violators is none in the end, whatever happens elsewhere (the pools are the sides of the
    # convex hull of all boundaries), so all such go at once, as long as that removes many; the loop does the rest.
    removed = 1.0
    while removed > 0.1:
        bonafide, spoof = np.diff(ends_bonafide), np.diff(ends_spoof)
        stays = np.ones(ends_spoof.size, dtype=bool)
        stays[1:-1] = bonafide[:-1] * spoof[1:] < bonafide[1:] * spoof[:-1]
        ends_bonafide, ends_spoof = ends_bonafide[stays], ends_spoof[stays]
        removed = 1 - np.mean(stays)

    pools: list[tuple[int, int]] = []
    for b, s in zip(np.diff(ends_bonafide).tolist(), np.diff(ends_spoof).tolist(), strict=True):
        while pools and pools[-1][0] * s >= b * pools[-1][1]:
            b, s = b + pools[-1][0], s + pools[-1][1]
            pools.pop()
        pools.append((b, s))
    bonafide, spoof = np.array(pools).T
    return bonafide, spoof


def _mean_log1p_odds(own: Array, other: Array) -> float:
    """Mean over the trials of one class of ``log(1 + odds)`` for the other class, both given by pool."""
    prior_odds = other.sum() / own.sum()
    pools = own > 0
    return own[pools] @ np.log1p(other[pools] / own[pools] / prior_odds) / own.sum()


def _mean_log1p_exp(x: Array) -> float:
    """Mean of ``log(1 + exp(x))``, without overflow."""
    # Several times faster than logaddexp, which is not vectorised, and in pieces that stay in the processor's cache.
    pieces = (x[start : start + 16384] for start in range(0, x.size, 16384))
    # Divided before the sum, which could exceed the largest number otherwise.
    return sum(np.sum((np.maximum(piece, 0) + np.log1p(np.exp(-np.abs(piece)))) / x.size) for piece in pieces)


def _weights(p_spoof: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Cost of rejecting all bona fide and of accepting all spoof, each weighted by its prior."""
    if not 0 < p_spoof < 1:
        raise ValueError(f"p_spoof must lie between 0 and 1, not {p_spoof}")
    if not (0 < c_miss < math.inf and 0 < c_fa < math.inf):
        raise ValueError(f"costs must be above zero and finite, not c_miss={c_miss}, c_fa={c_fa}")
    return c_miss * (1 - p_spoof), c_fa * p_spoof
