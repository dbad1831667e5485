"""Localisation of spoofed parts: segment EER at any resolution, and the range EER in seconds.

One score per frame, a higher one meaning more bona fide; labels are 1 for bona fide and 0 for spoof. The frames of all
utterances are pooled. Source: Zhang et al. 2023, "Range-based equal error rate for spoof localization" and "The
PartialSpoof database and countermeasures for the detection of short fake speech segments embedded in an utterance".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from spooftrace.metrics.detection import Array, eer


def change_resolution(values: ArrayLike, lengths: ArrayLike, from_ms: int, to_ms: int) -> tuple[Array, Array]:
    """Frame scores or labels of many utterances at another frame step.

    To shorter frames each value is repeated; to longer ones the minimum is taken, so that a frame that is spoofed
    anywhere is spoofed; the last frame of an utterance may cover less than the others. With ``to_ms`` longer than any
    utterance each has one value: min pooling.

    Args:
        values: The frames of all utterances one after the other, shape (N,).
        lengths: Frames per utterance, shape (U,), summing to N.
        from_ms: Frame step of ``values`` in milliseconds.
        to_ms: Frame step wanted, a multiple or a divisor of ``from_ms``.

    Returns:
        The new values and lengths.

    Raises:
        ValueError: Steps that are not positive or do not divide one another, or lengths that do not fit.

    >>> change_resolution([5, 3, 4, 1, 2], [3, 2], 20, 40)
    (array([3, 4, 1]), array([2, 1]))
    >>> change_resolution([5, 3], [1, 1], 20, 10)
    (array([5, 5, 3, 3]), array([2, 2]))
    """
    values, lengths = np.asarray(values), np.asarray(lengths, dtype=np.int64)
    if values.ndim != 1 or lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != values.size:
        raise ValueError(f"lengths sum to {lengths.sum()}, but the values are of shape {values.shape}")
    if from_ms <= 0 or to_ms <= 0 or (from_ms % to_ms and to_ms % from_ms):
        raise ValueError(f"cannot go from frames of {from_ms} ms to {to_ms} ms: one must divide the other")
    if to_ms <= from_ms:
        repeats = from_ms // to_ms
        return np.repeat(values, repeats), lengths * repeats
    window = to_ms // from_ms
    starts = np.flatnonzero(_position(lengths) % window == 0)
    shorter = np.minimum.reduceat(values, starts) if starts.size else values
    return shorter, -(-lengths // window)


def segment_eer(
    scores: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    score_ms: int = 20,
    label_ms: int = 20,
    resolution_ms: int = 20,
) -> tuple[float, float]:
    """EER (a fraction) over the frames of all utterances at one resolution, and its threshold; ties as in ASVspoof.

    Args:
        scores: For each utterance its frame scores, shape (T,).
        labels: For each utterance its frame labels, shape (T',). Where the two differ in length at the resolution
            asked for, both are cut to the shorter.
        score_ms: Frame step of the scores in milliseconds.
        label_ms: Frame step of the labels in milliseconds.
        resolution_ms: Frame step to score at; see :func:`change_resolution`.

    Raises:
        ValueError: Scores and labels of different numbers of utterances, labels other than 0 and 1, steps as for
            :func:`change_resolution`, scores as for :func:`det_curve`.

    >>> segment_eer([[0.9, 0.2, 0.8], [0.7, 0.1]], [[1, 0, 1], [1, 1]])
    (0.125, 0.2)
    """
    if len(scores) != len(labels):
        raise ValueError(f"scores of {len(scores)} utterances, but labels of {len(labels)}")
    flat_scores, score_lengths = change_resolution(*_flat(scores), score_ms, resolution_ms)
    flat_labels, label_lengths = change_resolution(*_flat(labels), label_ms, resolution_ms)
    if not np.isin(flat_labels, (0, 1)).all():
        raise ValueError("frame labels must be 0 (spoof) or 1 (bona fide)")
    shared = np.minimum(score_lengths, label_lengths)
    flat_scores = flat_scores[_position(score_lengths) < np.repeat(shared, score_lengths)]
    is_bonafide = flat_labels[_position(label_lengths) < np.repeat(shared, label_lengths)] == 1
    return eer(flat_scores[is_bonafide], flat_scores[~is_bonafide])


def range_eer(
    scores: Sequence[ArrayLike], segments: Sequence[ArrayLike], frame_seconds: float = 0.02
) -> tuple[float, float]:
    """Range EER (a fraction) and its threshold: error rates in seconds of audio instead of frames. Exact.

    A frame that a segment boundary cuts counts for each class by the seconds it has of it. Equal scores are one step of
    the curve. The published implementations use a histogram of scores or a bisection, which come within about 0.0003.

    Args:
        scores: For each utterance its frame scores, shape (T,); frame t covers the seconds from t times
            ``frame_seconds`` on.
        segments: For each utterance its labelled segments, shape (S, 3): start and end in seconds and label (1 bona
            fide, 0 spoof), in order of time. Time that no segment or no frame covers is not counted.
        frame_seconds: Frame step in seconds.

    Raises:
        ValueError: Scores and segments of different numbers of utterances; scores that are NaN or infinite; segments
            that are empty, overlap or have other labels; a class without a covered second; a frame step of zero or
            less.

    >>> range_eer([[0.9, 0.2, 0.8]], [[(0.0, 1.5, 1), (1.5, 2.0, 0), (2.0, 3.0, 1)]], frame_seconds=1.0)
    (0.1, 0.2)
    """
    if len(scores) != len(segments):
        raise ValueError(f"scores of {len(scores)} utterances, but segments of {len(segments)}")
    if not frame_seconds > 0:
        raise ValueError(f"frame_seconds must be above zero, not {frame_seconds}")
    flat_scores, lengths = _flat(scores)
    if not np.isfinite(flat_scores).all():
        raise ValueError("frame scores are NaN or infinite")
    bonafide, spoof = _seconds_of_each_class(lengths, segments, frame_seconds)
    if not (bonafide.any() and spoof.any()):
        raise ValueError("range EER needs seconds of both classes")

    order = np.argsort(flat_scores)
    ordered = flat_scores[order]
    last = np.append(ordered[:-1] != ordered[1:], True)  # the end of each run of equal scores
    rejected_bonafide = np.cumsum(bonafide[order])  # seconds, (N,)
    rejected_spoof = np.cumsum(spoof[order])
    frr = np.append(0.0, rejected_bonafide[last] / rejected_bonafide[-1])
    far = np.append(1.0, 1 - rejected_spoof[last] / rejected_spoof[-1])
    thresholds = np.append(ordered[0] - 0.001, ordered[last])
    k = int(np.argmin(np.abs(frr - far)))
    return float((frr[k] + far[k]) / 2), float(thresholds[k])


def _seconds_of_each_class(lengths: Array, segments: Sequence[ArrayLike], frame_seconds: float) -> tuple[Array, Array]:
    """Bona fide and spoof seconds in each frame, shape (N,) each."""
    table = [np.asarray(rows, dtype=np.float64).reshape(-1, 3) for rows in segments]
    rows_per_utt = np.array([len(rows) for rows in table], dtype=np.int64)
    start, end, label = np.concatenate(table).T  # U x (S, 3) -> (3, R)
    row_utt = np.repeat(np.arange(len(table)), rows_per_utt)
    # A microsecond is let pass: an end computed as start + duration may lie a rounding error behind the next start.
    overlap = (row_utt[1:] == row_utt[:-1]) & (start[1:] < end[:-1] - 1e-6)
    wrong = ~(start < end) | (start < 0) | ~np.isin(label, (0, 1)) | np.append(False, overlap)
    if wrong.any():
        bad = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"segment {start[bad]} {end[bad]} {label[bad]:g} of utterance {row_utt[bad]} is empty, overlaps the one "
            "before it, starts before 0 or is labelled neither 0 nor 1"
        )

    # Cut time at every frame edge and every segment edge; each piece is then inside one frame and one segment at most.
    edges = lengths + 1
    edge_utt = np.repeat(np.arange(lengths.size), edges)
    time = np.concatenate((_position(edges) * frame_seconds, start, end))
    utt = np.concatenate((edge_utt, row_utt, row_utt))
    order = np.lexsort((time, utt))  # stable: of equal times the frame edge comes first
    edges_seen = np.cumsum(order < edge_utt.size)
    width = np.append(np.diff(time[order]), 0.0)
    last_edge = np.cumsum(edges) - 1  # all that comes after it, the step to the next utterance too, is in no frame

    def seconds(wanted: int) -> Array:
        opens = (label == wanted).astype(np.int64)
        inside = np.cumsum(np.concatenate((np.zeros(edge_utt.size, dtype=np.int64), opens, -opens))[order])
        per_edge = np.bincount(edges_seen - 1, weights=width * (inside == 1), minlength=edge_utt.size)
        return np.delete(per_edge, last_edge)  # (N + U,) -> (N,)

    return seconds(1), seconds(0)


def _flat(utterances: Sequence[ArrayLike]) -> tuple[Array, Array]:
    """Frames of all utterances one after the other, and how many each has."""
    arrays = [np.asarray(frames, dtype=np.float64) for frames in utterances]
    if not arrays or any(array.ndim != 1 for array in arrays):
        raise ValueError("one one-dimensional array of frames is needed per utterance, and at least one utterance")
    return np.concatenate(arrays), np.array([array.size for array in arrays], dtype=np.int64)


def _position(lengths: Array) -> Array:
    """Number of each frame within its utterance: (U,) -> (N,)."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
