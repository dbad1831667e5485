"""Open-set source tracing: telling utterances of known sources (in distribution) from those of unknown ones.

Everywhere: the rejection score is high for an utterance that looks known, and an utterance is rejected as unknown where
its score is low; rates are fractions. The numbers follow OpenOOD (its ``ood_eval`` metrics) unless said otherwise.

Two conventions are in use for "FPR95", so here it has two names and no default. With equal scores on both sides, the
area measures count a tie as one half, and the FPR95s accept the ties at their threshold: both are what a threshold on
the score can do. Only the EER keeps the tie rule of the ASVspoof packages (see :mod:`spooftrace.metrics.detection`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import auc, precision_recall_curve
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from spooftrace.metrics.detection import eer

Array = np.ndarray


def open_set_report(known: ArrayLike, correct: ArrayLike, unknown: ArrayLike) -> dict[str, float]:
    """Every open-set figure by name.

    Args:
        known: Rejection scores of the utterances of known sources, shape (Nk,).
        correct: Whether the closed-set decision on each of them is right, booleans, shape (Nk,).
        unknown: Rejection scores of the utterances of unknown sources, shape (Nu,).

    Returns:
        ``auroc``, ``aupr_in``, ``aupr_out``, ``fpr95_ood_positive``, ``fpr95_id_positive``, ``eer``, ``oscr``,
        ``id_accuracy`` (closed-set accuracy on the known) and ``ccr_at_fpr_0.01``, ``_0.05``, ``_0.1``.

    Raises:
        ValueError: A side is empty, not one-dimensional or has a NaN or infinite score, or ``correct`` does not fit.
    """
    accepted_right = _checked_correct(known, correct)
    report = {
        "auroc": auroc(known, unknown),
        "aupr_in": aupr_in(known, unknown),
        "aupr_out": aupr_out(known, unknown),
        "fpr95_ood_positive": fpr95_ood_positive(known, unknown),
        "fpr95_id_positive": fpr95_id_positive(known, unknown),
        "eer": eer(known, unknown)[0],
        "oscr": oscr(known, correct, unknown),
        "id_accuracy": float(accepted_right.mean()),
    }
    report.update({f"ccr_at_fpr_{fpr}": ccr_at_fpr(known, correct, unknown, fpr) for fpr in (0.01, 0.05, 0.1)})
    return report


def auroc(known: ArrayLike, unknown: ArrayLike) -> float:
    """Area under the ROC curve: how often a known utterance scores above an unknown one, ties counting one half.

    The same whichever side is called positive. Shapes and errors as for :func:`open_set_report`.

    >>> auroc([3.0, 2.0], [1.0, 2.0])
    0.875
    """
    known, unknown = _checked(known, unknown)
    return float(_fraction_below(known, unknown).mean())


def fpr95_ood_positive(known: ArrayLike, unknown: ArrayLike) -> float:
    """Fraction of known utterances rejected where at least 95 % of the unknown ones are (OpenOOD's FPR@95).

    Shapes and errors as for :func:`open_set_report`.
    """
    known, unknown = _checked(known, unknown)
    return _false_positive_rate(-unknown, -known)


def fpr95_id_positive(known: ArrayLike, unknown: ArrayLike) -> float:
    """Fraction of unknown utterances accepted where at least 95 % of the known ones are (the roles in ST-Codecfake).

    An operating point of the full ROC curve. The ST-Codecfake code interpolates between the points that
    ``sklearn.metrics.roc_curve`` keeps by default, and so prints figures that differ by a point or so.
    Shapes and errors as for :func:`open_set_report`.
    """
    return _false_positive_rate(*_checked(known, unknown))


def aupr_in(known: ArrayLike, unknown: ArrayLike) -> float:
    """Area under precision over recall, with the known as positive, by trapezoids as in OpenOOD.

    Average precision is a step sum and differs slightly. The area depends on the ratio of known to unknown utterances.

    Shapes and errors as for :func:`open_set_report`.
    """
    known, unknown = _checked(known, unknown)
    precision, recall, _ = precision_recall_curve(
        np.repeat([True, False], [known.size, unknown.size]), np.concatenate((known, unknown))
    )
    return float(auc(recall, precision))


def aupr_out(known: ArrayLike, unknown: ArrayLike) -> float:
    """:func:`aupr_in` with the unknown as positive."""
    known, unknown = _checked(known, unknown)
    return aupr_in(-unknown, -known)


def oscr(known: ArrayLike, correct: ArrayLike, unknown: ArrayLike) -> float:
    """Open-set classification rate: area under the correct classification rate (CCR) over the false positive rate.

    At each threshold, CCR is the fraction of known utterances both accepted and attributed to the right class, and the
    false positive rate the fraction of unknown ones accepted (Dhamija et al., NeurIPS 2018). Ties are grouped: equal
    scores are passed in one step, joined by a trapezoid. Code that walks them one by one gives a number that depends
    on the order of the trials. With every decision right this is the AUROC; it is never above the closed-set accuracy.
    Shapes and errors as for :func:`open_set_report`.

    >>> oscr([3.0, 2.0], [True, False], [1.0, 2.0])
    0.5
    """
    right = _checked_correct(known, correct)
    known, unknown = _checked(known, unknown)
    return float((right * _fraction_below(known, unknown)).mean())


def ccr_at_fpr(known: ArrayLike, correct: ArrayLike, unknown: ArrayLike, fpr: float) -> float:
    """Fraction of known utterances accepted and attributed to the right class, at a false positive rate.

    As in OpenOOD: of Nu unknown scores the ceil(fpr * Nu)-th highest is the threshold, and only scores above it are
    accepted. Shapes and errors as for :func:`open_set_report`; also ValueError where ``fpr`` is not in (0, 1].

    >>> ccr_at_fpr([5.0, 4.0, 3.0, 2.0], [True, False, True, True], [4.5, 2.5, 1.0], fpr=0.5)
    0.5
    """
    if not 0 < fpr <= 1:
        raise ValueError(f"the false positive rate must be above 0 and at most 1, not {fpr}")
    right = _checked_correct(known, correct)
    known, unknown = _checked(known, unknown)
    # 0.07 * 100 is 7.000000000000001 in floating point; its ceiling must be 7.
    allowed = math.ceil(round(fpr * unknown.size, 9))
    threshold = np.sort(unknown)[-allowed]
    return float((right & (known > threshold)).mean())


def max_softmax(logits: ArrayLike) -> Array:
    """Rejection score: probability of the likeliest class (Hendrycks and Gimpel, ICLR 2017); (N, C) -> (N,)."""
    logits = _checked_rows(logits, "logits")
    return 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)  # (N, C) -> (N,)


def energy(logits: ArrayLike) -> Array:
    """Rejection score: log of the summed exponentials; (N, C) -> (N,).

    This is the negative free energy at temperature 1 (Liu et al., NeurIPS 2020).
    """
    return logsumexp(_checked_rows(logits, "logits"), axis=1)


class Mahalanobis:
    """Rejection score: minus the squared Mahalanobis distance to the nearest class mean (Lee et al., NeurIPS 2018).

    One covariance is shared by all classes, shrunk towards a multiple of the identity by the rule of Ledoit and Wolf
    (2004), so that it can be inverted with fewer training utterances than dimensions.
    """

    def fit(self, embeddings: ArrayLike, labels: ArrayLike) -> Mahalanobis:
        """Takes training embeddings (N, D) and their classes (N,).

        Raises:
            ValueError: The shapes do not fit, a value is NaN or infinite, or the covariance is singular even shrunk (as
                where every embedding equals its class mean).
        """
        embeddings = _checked_rows(embeddings, "embeddings")
        classes, rows = np.unique(np.asarray(labels), return_inverse=True)
        if np.shape(labels) != (len(embeddings),):
            raise ValueError(f"{len(embeddings)} embeddings but labels of shape {np.shape(labels)}")
        means = np.stack([embeddings[rows == row].mean(axis=0) for row in range(len(classes))])  # (C, D)
        residuals = embeddings - means[rows]  # (N, D)
        covariance, _ = ledoit_wolf(residuals, assume_centered=True)  # (D, D)
        try:
            # x @ whiten has the identity as covariance: Mahalanobis distances are Euclidean there.
            self._whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T  # (D, D)
        except np.linalg.LinAlgError:
            raise ValueError("the embeddings differ too little from their class means to have a covariance") from None
        self._means = means @ self._whiten  # (C, D)
        return self

    def score(self, embeddings: ArrayLike) -> Array:
        """(N, D) -> (N,). ValueError for a wrong shape or a value that is NaN or infinite."""
        embeddings = _checked_rows(embeddings, "embeddings", self._means.shape[1])
        return -cdist(embeddings @ self._whiten, self._means, "sqeuclidean").min(axis=1)  # (N, D) -> (N, C) -> (N,)


class NearestNeighbour:
    """Rejection score: minus the distance to the k-th nearest training embedding, all scaled to unit length.

    Source: Sun et al., ICML 2022. ``k`` is 50 in OpenOOD, which squares the distance: other numbers, the same order.
    """

    def __init__(self, k: int = 50) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        self._neighbours = NearestNeighbors(n_neighbors=k)

    def fit(self, embeddings: ArrayLike) -> NearestNeighbour:
        """Takes training embeddings (N, D). ValueError for fewer than k, or a value that is NaN or infinite."""
        embeddings = _checked_rows(embeddings, "embeddings")
        if len(embeddings) < self._neighbours.n_neighbors:
            raise ValueError(f"{len(embeddings)} training embeddings for k = {self._neighbours.n_neighbors} neighbours")
        self._neighbours.fit(normalize(embeddings))
        return self

    def score(self, embeddings: ArrayLike) -> Array:
        """(N, D) -> (N,). ValueError for a wrong shape or a value that is NaN or infinite."""
        embeddings = _checked_rows(embeddings, "embeddings", self._neighbours.n_features_in_)
        distances, _ = self._neighbours.kneighbors(normalize(embeddings))  # (N, D) -> (N, k), nearest first
        return -distances[:, -1]


def _fraction_below(scores: Array, others: Array) -> Array:
    """For each of ``scores`` the fraction of ``others`` below it, equal ones counting one half."""
    others = np.sort(others)
    twice = np.searchsorted(others, scores, side="left") + np.searchsorted(others, scores, side="right")
    return twice / (2 * others.size)


def _false_positive_rate(positive: Array, negative: Array) -> float:
    """Fraction of negatives at or above the highest threshold that lets at least 95 % of the positives through."""
    recall = np.arange(1, positive.size + 1) / positive.size
    threshold = np.sort(positive)[::-1][np.argmax(recall >= 0.95)]
    return float((negative >= threshold).mean())


def _checked(known: ArrayLike, unknown: ArrayLike) -> tuple[Array, Array]:
    sides = {"known": np.asarray(known, dtype=np.float64), "unknown": np.asarray(unknown, dtype=np.float64)}
    for name, scores in sides.items():
        if scores.ndim != 1 or scores.size == 0:
            raise ValueError(f"{name} scores must be a list of at least one number, not of shape {scores.shape}")
        if not np.isfinite(scores).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(scores))} {name} scores are NaN or infinite")
    return sides["known"], sides["unknown"]


def _checked_correct(known: ArrayLike, correct: ArrayLike) -> Array:
    correct = np.asarray(correct)
    if correct.dtype != bool or correct.shape != np.shape(known):
        raise ValueError(
            f"correct must be booleans, one for each known score {np.shape(known)}, not {correct.dtype} {correct.shape}"
        )
    return correct


def _checked_rows(values: ArrayLike, name: str, width: int | None = None) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape or (width is not None and values.shape[1] != width):
        raise ValueError(f"{name} must be of shape (N, {width or 'at least 1'}), not {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} contain values that are NaN or infinite")
    return values
