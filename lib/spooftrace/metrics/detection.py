"""Detection error trade-off and equal error rate as the ASVspoof challenges count them.

Everywhere: a higher score means more bona fide, bona fide is the positive class ("target"), rates are fractions.

The definition is the one shared by the official ASVspoof 2019, 2021 and ASVspoof 5 evaluation packages. What sets it
apart from scikit-learn's and torchmetrics' is ties: trials of equal score are NOT one step of the curve. They are
walked one by one, all bona fide before all spoof, so the curve has points that no threshold can reach and the result
is pessimistic: constant scores give an EER of 100 %, where grouping the ties would give 50 %. The option
``ties="grouped"`` gives the curve of scikit-learn's ``roc_curve`` instead, which has only points a threshold reaches.

Every detection metric, here, in :mod:`~spooftrace.metrics.costs` and in :mod:`~spooftrace.metrics.tandem`, takes
either two arrays, ``eer(bonafide, spoof)``, or a :class:`DetCurve`, which sorts them once for all metrics::

    curve = DetCurve(bonafide, spoof)
    eer(curve), min_dcf(curve, p_spoof=0.1), min_tdcf(curve, legacy_weights(asv))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray
Ties = Literal["asvspoof", "grouped"]
Settings = ParamSpec("Settings")
Result = TypeVar("Result")


class DetCurve:
    """The error rates of one set of trials at every threshold, from one sort.

    The curve starts at (frr 0, far 1) and ends at (1, 0). A rejected bona fide trial is a step up in frr, a rejected
    spoof trial a step down in far, so anything that grows with both rates is smallest at a corner where steps down end
    and steps up begin. There are far fewer of those than trials, and the metrics need to look at no others.

    Attributes:
        bonafide: Scores of the bona fide trials in rising order, float64, shape (Nb,); must not be changed.
        spoof: Scores of the spoof trials in rising order, float64, shape (Ns,); must not be changed.

    Raises:
        ValueError: A class is empty or not one-dimensional, or has a score that is NaN or infinite.
    """

    def __init__(self, bonafide: ArrayLike, spoof: ArrayLike) -> None:
        self.bonafide = _in_order(checked_scores(bonafide, "bona fide"))
        self.spoof = _in_order(checked_scores(spoof, "spoof"))

    @cached_property
    def spoof_below(self) -> Array:
        """Number of spoof trials below each bona fide trial, in rising order of score, shape (Nb,)."""
        # "left" leaves out the spoof trials of equal score, which puts bona fide first inside a tie. To sort the two
        # classes and merge them is several times faster than a stable argsort of all, which is not vectorised.
        return np.searchsorted(self.spoof, self.bonafide, side="left")

    @cached_property
    def corners(self) -> tuple[Array, Array]:
        """Rejected bona fide and rejected spoof trials, each (C,): start, corners before steps up in frr, end."""
        corners = np.flatnonzero(np.diff(self.spoof_below, prepend=0))
        rejected_bonafide = np.concatenate(([0], corners, [self.bonafide.size]))
        rejected_spoof = np.concatenate(([0], self.spoof_below[corners], [self.spoof.size]))
        return rejected_bonafide, rejected_spoof

    @cached_property
    def corner_rates(self) -> tuple[Array, Array]:
        """False rejection and false acceptance rates at the corners, each (C,)."""
        return self.rates(*self.corners)

    def rates(self, rejected_bonafide: Array, rejected_spoof: Array) -> tuple[Array, Array]:
        """False rejection and false acceptance rates where these numbers of trials are rejected."""
        return rejected_bonafide / self.bonafide.size, (self.spoof.size - rejected_spoof) / self.spoof.size

    def minimum(self, cost: Callable[[Array, Array], Array]) -> tuple[float, float]:
        """Smallest ``cost(frr, far)`` on the curve and its threshold, the lowest threshold if several are.

        ``cost`` works element by element on arrays and must not fall where frr or far rises.
        """
        frr, far, threshold = self.first_minimum(cost, int(np.argmin(cost(*self.corner_rates))))
        return float(cost(frr, far)), threshold

    def first_minimum(self, cost: Callable[[Array, Array], Array], corner: int) -> tuple[np.float64, np.float64, float]:
        """frr, far and threshold of the first smallest ``cost`` on the way from the corner before to this one."""
        corner = max(corner, 1)
        rejected_bonafide, rejected_spoof = self.corners
        start, end = rejected_spoof[corner - 1], rejected_bonafide[corner]
        rejected = np.arange(rejected_bonafide[corner - 1] + start, end + rejected_spoof[corner] + 1)
        bonafide = np.minimum(rejected - start, end)  # first the steps up
        frr, far = self.rates(bonafide, rejected - bonafide)
        k = int(np.argmin(cost(frr, far)))
        return frr[k], far[k], self._threshold(bonafide[k], rejected[k] - bonafide[k])

    def _threshold(self, rejected_bonafide: int, rejected_spoof: int) -> float:
        """The highest score rejected, or 0.001 below the lowest one."""
        classes = (self.bonafide, rejected_bonafide), (self.spoof, rejected_spoof)
        highest = [scores[rejected - 1] for scores, rejected in classes if rejected]
        return float(max(highest) if highest else min(self.bonafide[0], self.spoof[0]) - 0.001)


def takes_scores(metric: Callable[Concatenate[DetCurve, Settings], Result]) -> Callable[..., Result]:
    """Let ``metric(curve, ...)`` be called as ``metric(bonafide, spoof, ...)`` too."""

    def of_arrays(bonafide: ArrayLike, spoof: ArrayLike, *args: Any, **settings: Any) -> Result:
        return metric(DetCurve(bonafide, spoof), *args, **settings)

    @wraps(metric)
    def call(scores: DetCurve | ArrayLike, *args: Any, **settings: Any) -> Result:
        return (metric if isinstance(scores, DetCurve) else of_arrays)(scores, *args, **settings)

    return call


@takes_scores
def det_curve(curve: DetCurve, ties: Ties = "asvspoof") -> tuple[Array, Array, Array]:
    """Error rates while the threshold walks up through all N = Nb + Ns sorted scores.

    Args:
        curve: The trials, or instead ``bonafide, spoof``: their scores as two arrays of shapes (Nb,) and (Ns,).
        ties: What becomes of equal scores: "asvspoof" walks them one by one, bona fide first; "grouped" takes them in
            one step and keeps only one point per distinct score, plus the first.

    Returns:
        ``(frr, far, thresholds)``, float64, each of shape (N + 1,), or fewer points when grouped. At point k the
        k lowest trials are rejected: ``frr[k]`` is the fraction of bona fide among them, ``far[k]`` the fraction of
        spoof not among them, and ``thresholds[k]`` the k-th lowest score (``thresholds[0]`` is the lowest score minus
        0.001).

    Raises:
        ValueError: A class is empty or not one-dimensional, has a score that is NaN or infinite, or ``ties`` is
            another word.

    >>> frr, far, thresholds = det_curve([2.0, 4.0], [1.0, 2.0])
    >>> frr.tolist(), far.tolist(), thresholds.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [1.0, 0.5, 0.5, 0.0, 0.0], [0.999, 1.0, 2.0, 2.0, 4.0])
    """
    if ties not in ("asvspoof", "grouped"):
        raise ValueError(f'ties must be "asvspoof" or "grouped", not {ties!r}')
    bonafide, spoof = curve.bonafide, curve.spoof
    total = bonafide.size + spoof.size
    is_bonafide = np.zeros(total, dtype=bool)
    is_bonafide[np.arange(bonafide.size) + curve.spoof_below] = True

    thresholds = np.empty(total + 1)
    thresholds[1:][is_bonafide] = bonafide
    thresholds[1:][~is_bonafide] = spoof
    thresholds[0] = thresholds[1] - 0.001

    rejected_bonafide = np.concatenate(([0], np.cumsum(is_bonafide)))  # (N,) -> (N + 1,)
    frr, far = curve.rates(rejected_bonafide, np.arange(total + 1) - rejected_bonafide)
    if ties == "grouped":
        last = np.ones(total + 1, dtype=bool)  # the last point of each run of equal scores, and point 0
        last[1:-1] = thresholds[1:-1] != thresholds[2:]
        return frr[last], far[last], thresholds[last]
    return frr, far, thresholds


@takes_scores
def eer(curve: DetCurve, ties: Ties = "asvspoof") -> tuple[float, float]:
    """Equal error rate (a fraction) and its threshold.

    The point of :func:`det_curve` where ``|frr - far|`` is smallest (the lowest threshold if several are), its two
    rates averaged, nothing interpolated. Arguments and errors as for :func:`det_curve`.

    >>> eer([2.0, 4.0, 5.0], [1.0, 3.0, 0.0])
    (0.3333333333333333, 2.0)
    >>> eer([1.0, 1.0], [1.0, 1.0, 1.0])  # constant scores
    (1.0, 1.0)
    >>> eer([1.0, 1.0], [1.0, 1.0, 1.0], ties="grouped")
    (0.5, 0.999)
    """
    if ties == "asvspoof":
        frr, far = curve.corner_rates
        # frr - far rises from -1 to 1 along the curve, so it changes sign on the way to the first corner with >= 0.
        crossing = int(np.searchsorted(frr - far, 0))
        frr, far, threshold = curve.first_minimum(lambda frr, far: np.abs(frr - far), crossing)
        return float((frr + far) / 2), threshold
    frr, far, thresholds = det_curve(curve, ties)
    k = int(np.argmin(np.abs(frr - far)))
    return float((frr[k] + far[k]) / 2), float(thresholds[k])


@takes_scores
def ties_across_classes(curve: DetCurve) -> int:
    """Number of trials, of either class, whose score a trial of the other class has too.

    Above zero, the EER depends on the tie rule. Arguments and errors as for :func:`det_curve`.

    >>> ties_across_classes([1.0, 2.0, 2.0], [2.0, 3.0])
    3
    """
    next_spoof = curve.spoof[np.minimum(curve.spoof_below, curve.spoof.size - 1)]
    tied = curve.bonafide[next_spoof == curve.bonafide]
    before, upto = (np.searchsorted(curve.spoof, np.unique(tied), side) for side in ("left", "right"))
    return int(tied.size + np.sum(upto - before))


def sorted_by_group(scores: ArrayLike, groups: ArrayLike) -> dict[int, Array]:
    """The scores of each group in rising order, for tables by attack, codec, or both.

    A :class:`DetCurve` takes such arrays as they are, so that the bona fide trials, which are in many cells of a table,
    are sorted once: ``{attack: DetCurve(bonafide, part) for attack, part in sorted_by_group(spoof, attacks).items()}``.

    Args:
        scores: Shape (N,).
        groups: Which group each trial belongs to, integers from 0 up, shape (N,).

    Raises:
        ValueError: The shapes differ, or a group is negative or not an integer.

    >>> {group: part.tolist() for group, part in sorted_by_group([3.0, 5.0, 1.0], [4, 0, 4]).items()}
    {0: [5.0], 4: [1.0, 3.0]}
    """
    scores, groups = np.asarray(scores, dtype=np.float64), np.asarray(groups)
    if scores.ndim != 1 or scores.shape != groups.shape:
        raise ValueError(f"one group for each score, not groups {groups.shape} for scores {scores.shape}")
    if not scores.size:
        return {}
    if groups.dtype.kind not in "iu" or groups.min() < 0:
        raise ValueError("groups must be integers from 0 up")
    # A small type, because numpy sorts integers of 16 bits in linear time.
    groups = groups.astype(np.min_scalar_type(groups.max()))
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    parts = np.split(scores[order], np.cumsum(counts)[:-1])
    return {int(group): np.sort(parts[group]) for group in np.flatnonzero(counts)}


def checked_scores(scores: ArrayLike, name: str) -> Array:
    """The scores of the class ``name`` as float64, shape (N,); ValueError as for :func:`det_curve`."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"{name} scores must be one-dimensional, not of shape {scores.shape}")
    if scores.size == 0:
        raise ValueError(f"there are no {name} scores; error rates need both classes")
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise ValueError(f"{bad} of {scores.size} {name} scores are NaN or infinite")
    return scores


def _in_order(scores: Array) -> Array:
    """The scores sorted; themselves if they are already, which is quick to see."""
    return scores if np.all(scores[:-1] <= scores[1:]) else np.sort(scores)
