"""Detection error trade-off and equal error rate as the ASVspoof challenges count them.

Everywhere: a higher score means more bona fide, bona fide is the positive class ("target"), rates are fractions.

The definition is the one shared by the official ASVspoof 2019, 2021 and ASVspoof 5 evaluation packages. What sets it
apart from scikit-learn's and torchmetrics' is ties: trials of equal score are NOT one step of the curve. They are
walked one by one, all bona fide before all spoof, so the curve has points that no threshold can reach and the result
is pessimistic: constant scores give an EER of 100 %, where grouping the ties would give 50 %. The option
``ties="grouped"`` gives the curve of scikit-learn's ``roc_curve`` instead, which has only points a threshold reaches.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray
Ties = Literal["asvspoof", "grouped"]


def det_curve(bonafide: ArrayLike, spoof: ArrayLike, ties: Ties = "asvspoof") -> tuple[Array, Array, Array]:
    """Error rates while the threshold walks up through all N = Nb + Ns sorted scores.

    Args:
        bonafide: scores of the bona fide trials, shape (Nb,).
        spoof: scores of the spoof trials, shape (Ns,).
        ties: what becomes of equal scores: "asvspoof" walks them one by one, bona fide first; "grouped" takes them in
            one step and keeps only one point per distinct score, plus the first.

    Returns:
        ``(frr, far, thresholds)``, float64, each of shape (N + 1,), or fewer points when grouped. At point k the
        k lowest trials are rejected: ``frr[k]`` is the fraction of bona fide among them, ``far[k]`` the fraction of
        spoof not among them, and ``thresholds[k]`` the k-th lowest score (``thresholds[0]`` is the lowest score minus
        0.001).

    Raises:
        ValueError: a class is empty or not one-dimensional, has a score that is NaN or infinite, or ``ties`` is
            another word.

    >>> frr, far, thresholds = det_curve([2.0, 4.0], [1.0, 2.0])
    >>> frr.tolist(), far.tolist(), thresholds.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [1.0, 0.5, 0.5, 0.0, 0.0], [0.999, 1.0, 2.0, 2.0, 4.0])
    """
    if ties not in ("asvspoof", "grouped"):
        raise ValueError(f'ties must be "asvspoof" or "grouped", not {ties!r}')
    bonafide, spoof = checked_scores(bonafide, "bona fide"), checked_scores(spoof, "spoof")
    # Sorting the classes apart and merging them gives what a stable sort of (bona fide, spoof) gives, several times
    # faster: np.sort is vectorised, the stable argsort is not.
    bonafide, spoof = np.sort(bonafide), np.sort(spoof)
    total = bonafide.size + spoof.size
    # "left" counts only the spoof trials strictly below, which puts bona fide first inside a tie.
    is_bonafide = np.zeros(total, dtype=bool)
    is_bonafide[np.arange(bonafide.size) + np.searchsorted(spoof, bonafide, side="left")] = True

    thresholds = np.empty(total + 1)
    thresholds[1:][is_bonafide] = bonafide
    thresholds[1:][~is_bonafide] = spoof
    thresholds[0] = thresholds[1] - 0.001

    rejected_bonafide = np.concatenate(([0], np.cumsum(is_bonafide)))  # (N,) -> (N + 1,)
    rejected_spoof = np.arange(total + 1) - rejected_bonafide
    frr = rejected_bonafide / bonafide.size
    far = (spoof.size - rejected_spoof) / spoof.size
    if ties == "grouped":
        last = np.ones(total + 1, dtype=bool)  # the last point of each run of equal scores, and point 0
        last[1:-1] = thresholds[1:-1] != thresholds[2:]
        return frr[last], far[last], thresholds[last]
    return frr, far, thresholds


def eer(bonafide: ArrayLike, spoof: ArrayLike, ties: Ties = "asvspoof") -> tuple[float, float]:
    """Equal error rate (a fraction) and its threshold.

    The point of :func:`det_curve` where ``|frr - far|`` is smallest (the lowest threshold if several are), its two
    rates averaged, nothing interpolated. Shapes, ``ties`` and errors as for :func:`det_curve`.

    >>> eer([2.0, 4.0, 5.0], [1.0, 3.0, 0.0])
    (0.3333333333333333, 2.0)
    >>> eer([1.0, 1.0], [1.0, 1.0, 1.0])  # constant scores
    (1.0, 1.0)
    >>> eer([1.0, 1.0], [1.0, 1.0, 1.0], ties="grouped")
    (0.5, 0.999)
    """
    frr, far, thresholds = det_curve(bonafide, spoof, ties)
    k = int(np.argmin(np.abs(frr - far)))
    return float((frr[k] + far[k]) / 2), float(thresholds[k])


def ties_across_classes(bonafide: ArrayLike, spoof: ArrayLike) -> int:
    """Number of trials, of either class, whose score a trial of the other class has too.

    Above zero, the EER depends on the tie rule. Shapes and errors as for :func:`det_curve`.

    >>> ties_across_classes([1.0, 2.0, 2.0], [2.0, 3.0])
    3
    """
    bonafide, spoof = np.sort(checked_scores(bonafide, "bona fide")), np.sort(checked_scores(spoof, "spoof"))
    return _count_in(bonafide, spoof) + _count_in(spoof, bonafide)


def _count_in(values: Array, ordered: Array) -> int:
    """How many of ``values`` are in ``ordered``, which is sorted."""
    position = np.minimum(np.searchsorted(ordered, values), ordered.size - 1)
    return int(np.count_nonzero(ordered[position] == values))


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
