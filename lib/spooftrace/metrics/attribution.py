"""Closed-set source tracing: which of the known systems (or codecs) made an utterance.

Published F1 scores cannot be compared without two facts: how classes are averaged (macro in ADD 2023 track 3 and
ST-Codecfake, weighted in CodecFake+), and which classes are averaged. scikit-learn takes every class that occurs in the
truth OR in the decisions, so one stray decision for a class with no utterances adds a zero to the macro average. Here
the classes are those of the truth, always, and their number belongs to the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray


@dataclass(frozen=True)
class TracingReport:
    """What :func:`tracing_report` counts over N utterances of C true classes; rates are fractions."""

    labels: Array  # (C,) the classes present in the truth, sorted; the order of everything per class
    columns: Array  # (C + E,) the same, then the E classes that were only ever decided, sorted
    confusion: Array  # (C, C + E) utterances of true class (row) decided to be of a class (column)
    accuracy: float
    balanced_accuracy: float  # mean recall
    macro_f1: float  # mean over the C classes
    weighted_f1: float  # mean over the C classes, each counting as often as it has utterances
    precision: Array  # (C,) 0 for a class that is never decided
    recall: Array  # (C,)
    f1: Array  # (C,)
    support: Array  # (C,) utterances

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.labels)


def tracing_report(truth: ArrayLike, predicted: ArrayLike) -> TracingReport:
    """Accuracy, F1 and confusions of closed-set decisions.

    To score open-set decisions as one more class, as ADD 2023 track 3 does, give the unknown utterances one label of
    their own.

    Args:
        truth: The class of each utterance, strings or integers, shape (N,).
        predicted: The class decided on, labels of the same kind, shape (N,).

    Raises:
        ValueError: No utterances, unequal lengths, or labels that are not all strings or all integers.

    >>> report = tracing_report(["dac", "dac", "snac", "mimi"], ["dac", "snac", "snac", "encodec"])
    >>> report.num_classes, report.accuracy, report.f1.round(3).tolist()
    (3, 0.5, [0.667, 0.0, 0.667])
    >>> report.columns.tolist(), report.confusion.tolist()
    (['dac', 'mimi', 'snac', 'encodec'], [[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    """
    truth, predicted = _labels(truth, "true"), _labels(predicted, "predicted")
    if truth.size != predicted.size:
        raise ValueError(f"{truth.size} true labels but {predicted.size} predicted ones")
    if truth.size == 0:
        raise ValueError("there are no utterances to score")
    if (truth.dtype.kind == "U") != (predicted.dtype.kind == "U"):
        raise ValueError(f"true labels are of type {truth.dtype} but predicted ones of type {predicted.dtype}")

    labels, rows = np.unique(truth, return_inverse=True)
    decided, columns = np.unique(predicted, return_inverse=True)
    is_true = np.isin(decided, labels)
    extra = decided[~is_true]
    # Where each decided class stands among the columns: true classes keep their row number, the others follow.
    place = np.empty(decided.size, dtype=np.intp)
    place[is_true] = np.searchsorted(labels, decided[is_true])
    place[~is_true] = labels.size + np.arange(extra.size)
    width = labels.size + extra.size
    confusion = np.bincount(rows * width + place[columns], minlength=labels.size * width)
    confusion = confusion.reshape(labels.size, width)  # (C * (C + E),) -> (C, C + E)

    support = confusion.sum(axis=1)
    decisions = confusion.sum(axis=0)[: labels.size]
    right = confusion.diagonal()
    recall = right / support
    f1 = 2 * right / (support + decisions)
    return TracingReport(
        labels=labels,
        columns=np.concatenate((labels, extra)),
        confusion=confusion,
        accuracy=float(right.sum() / truth.size),
        balanced_accuracy=float(recall.mean()),
        macro_f1=float(f1.mean()),
        weighted_f1=float(np.average(f1, weights=support)),
        precision=right / np.maximum(decisions, 1),
        recall=recall,
        f1=f1,
        support=support,
    )


def _labels(values: ArrayLike, name: str) -> Array:
    labels = np.asarray(values)
    if labels.ndim != 1:
        raise ValueError(f"{name} labels must be one-dimensional, not of shape {labels.shape}")
    if labels.size == 0:  # an empty list has no type to check
        return labels.astype(str)
    if labels.dtype == object and all(isinstance(label, str) for label in labels):
        return labels.astype(str)
    if labels.dtype.kind not in "Uiu":
        raise ValueError(f"{name} labels must be all strings or all integers, not of type {labels.dtype}")
    return labels
