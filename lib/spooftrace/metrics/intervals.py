"""Bootstrap confidence intervals of a detection metric, and the paired comparison of two systems.

A draw of the bootstrap is a vector of counts: how many times each trial is in the resampled set. What is resampled is
the ``scheme``:

==================== =================================================================================================
iid                  N trials with replacement out of all N; the class sizes vary from draw to draw.
stratified           the bona fide among themselves and the spoof among themselves; the class sizes stay.
groups               whole groups (speakers, attacks ...) with replacement, each with all its trials. The rule to prefer
                     when trials of a group resemble each other, which makes the two above too narrow.
groups-then-trials   groups as above, then trials with replacement within each group; a group drawn twice brings the
                     same inner draw twice. The rule of the package confidence_intervals (Ferrer and Riera) when given
                     ``conditions``; wider than "groups", as the scatter within groups is counted twice.
==================== =================================================================================================

Counts are multinomial, not Poisson: a draw then has exactly as many trials (of each class, or groups) as the set, as
in the textbook bootstrap, and drawing N indices and counting them is faster than N Poisson numbers.

Bounds are percentiles of the draws, linearly interpolated. With few groups (under about 10) they are too narrow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from spooftrace.metrics.detection import det_curve

Array = np.ndarray
Metric = Callable[[Array, Array], float]
Scheme = Literal["iid", "stratified", "groups", "groups-then-trials"]
CLASSES = ("bona fide", "spoof")


@dataclass(frozen=True)
class Interval:
    """A metric on the trials as they are (``point``) and the bounds of its interval at ``level``.

    ``redrawn`` counts draws that lacked one of the classes and were drawn again; not 0 means a very small class (or
    groups that each hold one class only), where "stratified" is the better scheme.
    """

    point: float
    low: float
    high: float
    level: float
    draws: int
    redrawn: int


@dataclass(frozen=True)
class Difference(Interval):
    """Interval of ``metric(first) - metric(second)`` and the two-sided p-value of "there is no difference"."""

    p_value: float


class CountedEer:
    """The EER of resampled trials without sorting them again.

    Equal, to the last bit, to :func:`spooftrace.metrics.eer` of the trials repeated as often as counted, its tie rule
    included: copies of a trial are steps of the curve one by one, and bona fide come before spoof inside a tie.

    >>> rate = CountedEer([2.0, 4.0, 5.0], [1.0, 3.0, 0.0])
    >>> rate(np.array([1, 1, 1]), np.array([1, 1, 1]))  # each trial once
    0.3333333333333333
    >>> rate(np.array([0, 1, 2]), np.array([1, 1, 1]))  # without the bona fide of 2.0
    0.0
    """

    def __init__(self, bonafide: ArrayLike, spoof: ArrayLike) -> None:
        frr, _, _ = det_curve(bonafide, spoof)
        # (N + 1,) number of bona fide among the k lowest trials
        self._bonafide_below = np.rint(frr * np.size(bonafide)).astype(np.int64)
        self._orders = np.argsort(bonafide, kind="stable"), np.argsort(spoof, kind="stable")

    def __call__(self, bonafide_counts: Array, spoof_counts: Array) -> float:
        """EER (a fraction) of the draw in which trial i is there ``counts[i]`` times.

        Args:
            bonafide_counts: Integers, shape (Nb,), in the order of the scores given at construction.
            spoof_counts: Likewise, shape (Ns,).

        Raises:
            ValueError: The draw has no trial of one of the classes.
        """
        # (N. + 1,) trials of the draw among the 0, 1, 2 ... lowest of each class
        misses, rejections = (
            np.concatenate(([0], np.cumsum(counts[order], dtype=np.int64)))
            for counts, order in zip((bonafide_counts, spoof_counts), self._orders, strict=True)
        )
        bonafide, spoof = int(misses[-1]), int(rejections[-1])  # class sizes of this draw
        if not bonafide or not spoof:
            raise ValueError("the draw has trials of one class only; error rates need both")

        # FRR - FAR rises from -1 to 1 along the curve, so where it becomes >= 0 is found by bisection. All in whole
        # numbers: FRR - FAR >= 0 is misses * spoof + rejections * bonafide >= bonafide * spoof.
        below = self._bonafide_below

        def balance(k: int) -> int:
            return int(misses[below[k]]) * spoof + int(rejections[k - below[k]]) * bonafide

        k = bisect_left(range(below.size), bonafide * spoof, key=balance) - 1  # FRR < FAR at k, not at k + 1
        missed, rejected = int(misses[below[k]]), int(rejections[k - below[k]])
        # The trial from k to k + 1 may be there several times: FRR < FAR up to copy number `before` of it.
        is_bonafide = below[k + 1] > below[k]
        before = (bonafide * spoof - balance(k) - 1) // (spoof if is_bonafide else bonafide)
        rates = [
            ((missed + copies * is_bonafide) / bonafide, (spoof - rejected - copies * (not is_bonafide)) / spoof)
            for copies in (before, before + 1)
        ]
        frr, far = min(rates, key=lambda rate: abs(rate[0] - rate[1]))  # the lower point of equals, as in eer
        return float((frr + far) / 2)


def bootstrap_interval(
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    metric: Metric | None = None,
    scheme: Scheme = "stratified",
    bonafide_groups: Sequence | Array | None = None,
    spoof_groups: Sequence | Array | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a metric of the scores.

    Args:
        bonafide: Scores of the bona fide trials, shape (Nb,).
        spoof: Scores of the spoof trials, shape (Ns,).
        metric: Function of (bona fide scores, spoof scores) giving a number; left out, the EER, which is then
            computed without sorting each draw.
        scheme: What is resampled, see the module's table.
        bonafide_groups: Group (speaker, condition ...) of each bona fide trial, shape (Nb,), for the group schemes.
        spoof_groups: Likewise, shape (Ns,). A label found in both classes is one group, drawn with the trials of
            both. With the groups of one class only (attacks, say), the other class is resampled by trial.
        draws: Number of bootstrap draws.
        level: Of the interval, between 0 and 1.
        seed: Of the draws; equal trials in another order give the same interval.

    Raises:
        ValueError: Scores as for :func:`spooftrace.metrics.det_curve`; groups that do not fit the scores or the
            scheme; fewer than two groups; a metric that is not finite.
    """
    trials = _Trials([(bonafide, spoof)], bonafide_groups, spoof_groups, scheme)
    points, values, redrawn = trials.bootstrap(metric, draws, level, seed)
    return Interval(float(points[0]), *_percentiles(values[:, 0], level), level, draws, redrawn)


def paired_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    *,
    metric: Metric | None = None,
    scheme: Scheme = "stratified",
    bonafide_groups: Sequence | Array | None = None,
    spoof_groups: Sequence | Array | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two systems on the same trials: the difference of a metric, its interval and its p-value.

    Both systems are resampled with the same draws. The p-value is twice the smaller fraction of draws whose difference
    is on the far side of zero (zero counts for both sides), and at most 1. One is added to count and draws, so it is
    never 0. It is the level at which the percentile interval just reaches zero.

    Args:
        first: The (bona fide scores, spoof scores) of one system.
        second: Those of the other system, trial by trial in the same order.
        metric: As for :func:`bootstrap_interval`, like all arguments below.
        scheme: How trials are resampled.
        bonafide_groups: The group of each bona fide trial.
        spoof_groups: The group of each spoofed trial.
        draws: The number of draws.
        level: The level of the interval.
        seed: The seed of the draws.

    Raises:
        ValueError: As for :func:`bootstrap_interval`, or the systems have different numbers of trials.
    """
    trials = _Trials([first, second], bonafide_groups, spoof_groups, scheme)
    points, values, redrawn = trials.bootstrap(metric, draws, level, seed)
    differences = values[:, 0] - values[:, 1]
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    p_value = min(1.0, 2 * (int(beyond) + 1) / (draws + 1))
    point = float(points[0] - points[1])
    return Difference(point, *_percentiles(differences, level), level, draws, redrawn, p_value)


class _Trials:
    """Scores of one or more systems on the same trials, and how these are resampled.

    The trials of each class are sorted (by score, then group), so that draws do not depend on the order in which a
    file lists them. Counts are laid out as (Nb + Ns,), bona fide first.
    """

    def __init__(
        self,
        systems: Sequence[tuple[ArrayLike, ArrayLike]],
        bonafide_groups: Sequence | Array | None,
        spoof_groups: Sequence | Array | None,
        scheme: str,
    ) -> None:
        for scores in systems:
            det_curve(*scores)  # refuses what is not a set of scores
        sizes = [tuple(map(len, scores)) for scores in systems]
        if len(set(sizes)) > 1:
            raise ValueError(f"the systems have different numbers of (bona fide, spoof) trials: {sizes}")
        bonafide, spoof = (np.array(scores, np.float64) for scores in zip(*systems, strict=True))  # (systems, trials)
        codes = _group_codes((bonafide_groups, spoof_groups), sizes[0], scheme)
        for scores, code in zip((bonafide, spoof), codes, strict=True):
            order = np.lexsort([code, *scores[::-1]])
            scores[:], code[:] = scores[:, order], code[order]
        self._systems = list(zip(bonafide, spoof, strict=True))

        nested = scheme == "groups-then-trials"
        if scheme == "iid" or (bonafide_groups is not None and spoof_groups is not None):
            self._strata = [_Stratum(np.concatenate(codes), nested)]
        else:  # a class without groups has each trial as its group: resampling inside would change nothing
            self._strata = [_Stratum(code, nested) for code in codes]

    def bootstrap(self, metric: Metric | None, draws: int, level: float, seed: int) -> tuple[Array, Array, int]:
        """The metric on all trials (systems,), on each draw (draws, systems), and the number of draws made again."""
        if not 0 < level < 1 or draws < 1:
            raise ValueError(f"level is {level}, draws is {draws}; give 0 < level < 1 and at least one draw")
        rates = [CountedEer(*scores) if metric is None else _recount(metric, *scores) for scores in self._systems]
        rng, redrawn = np.random.default_rng(seed), 0
        values: list[list[float]] = []
        once = [np.ones(len(scores), dtype=np.int64) for scores in self._systems[0]]
        points = np.array([rate(*once) for rate in rates])
        while len(values) < draws:
            counts = np.concatenate([stratum.draw(rng) for stratum in self._strata])
            classes = np.split(counts, [len(once[0])])
            if classes[0].any() and classes[1].any():
                values.append([rate(*classes) for rate in rates])
            else:  # at worst, with two trials or groups, every second draw: the loop does end
                redrawn += 1
        results = np.array(values)  # (draws, systems)
        bad = np.count_nonzero(~np.isfinite(results).all(axis=1))
        if bad or not np.isfinite(points).all():
            raise ValueError(f"the metric is NaN or infinite on {bad} of {draws} draws (on all trials: {points})")
        return points, results, redrawn


class _Stratum:
    """Trials resampled apart from others, by their groups: ``codes`` 0, 1 ... of shape (N,)."""

    def __init__(self, codes: Array, nested: bool) -> None:
        self._labels, self._codes = np.unique(codes, return_inverse=True)
        self._single = self._labels.size == codes.size  # each trial a group of its own
        self._nested = nested and not self._single
        if self._nested:
            self._by_group = np.argsort(self._codes, kind="stable")
            sizes = np.bincount(self._codes)
            self._sizes = np.repeat(sizes, sizes)  # (N,) of the group of each trial, trials in group order
            self._starts = np.repeat(np.cumsum(sizes) - sizes, sizes)

    def draw(self, rng: np.random.Generator) -> Array:
        """How many times each trial is drawn: shape (N,)."""
        groups = self._labels.size
        counts = np.bincount(rng.integers(groups, size=groups), minlength=groups)
        if not self._single:
            counts = counts[self._codes]  # (groups,) -> (N,)
        if self._nested:
            # Faster than integers(sizes); the product of a number below 1 never rounds up to the size itself.
            within = (rng.random(self._sizes.size) * self._sizes).astype(np.int64)
            picked = self._by_group[self._starts + within]
            counts *= np.bincount(picked, minlength=counts.size)
        return counts


def _group_codes(groups: tuple, sizes: tuple[int, int], scheme: str) -> list[Array]:
    """Group of each trial as a whole number, per class; without groups each trial has its own."""
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme {scheme!r} is none of {', '.join(get_args(Scheme))}")
    given = [np.asarray(labels) for labels in groups if labels is not None]
    if bool(given) != scheme.startswith("groups"):
        raise ValueError(f"the scheme {scheme!r} {'goes without groups' if given else 'needs groups'}")
    if not given:
        return [np.arange(sizes[0]), sizes[0] + np.arange(sizes[1])]
    known = np.unique(np.concatenate(given))  # of both classes: a label found in both is one group
    if known.size < 2:
        raise ValueError(f"there is one group only, {known[0]}; resampling groups needs several")
    codes = []
    for labels, size, name in zip(groups, sizes, CLASSES, strict=True):
        if labels is None:
            codes.append(np.arange(size))
            continue
        if np.shape(labels) != (size,):
            raise ValueError(f"{size} {name} scores, but groups of shape {np.shape(labels)}")
        codes.append(np.searchsorted(known, np.asarray(labels).astype(known.dtype)))
    return codes


def _recount(metric: Metric, bonafide: Array, spoof: Array) -> Callable[[Array, Array], float]:
    """``metric`` as a function of counts."""
    return lambda *counts: float(metric(np.repeat(bonafide, counts[0]), np.repeat(spoof, counts[1])))


def _percentiles(values: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
