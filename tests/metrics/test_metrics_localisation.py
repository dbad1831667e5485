"""Segment and range EER against values computed by hand and against each other."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.metrics import change_resolution, det_curve, eer, localisation, range_eer, segment_eer


def test_longer_frames_take_the_minimum_and_keep_the_tail():
    values, lengths = change_resolution([5, 3, 4, 1, 2, 9, 7], [3, 0, 4], 10, 20)
    assert (values.tolist(), lengths.tolist()) == ([3, 4, 1, 7], [2, 0, 2])
    values, lengths = change_resolution([5, 3, 4, 1, 2, 9, 7], [3, 0, 4], 10, 640)
    assert (values.tolist(), lengths.tolist()) == ([3, 1], [1, 0, 1])  # min pooling over the utterance


def test_shorter_frames_repeat():
    values, lengths = change_resolution([0.5, 0.25], [2, 0], 40, 10)
    assert (values.tolist(), lengths.tolist()) == ([0.5] * 4 + [0.25] * 4, [8, 0])


def test_no_frames_at_all():
    values, lengths = change_resolution([], [0, 0], 10, 20)
    assert (values.tolist(), lengths.tolist()) == ([], [0, 0])


@pytest.mark.parametrize(
    ("values", "lengths", "from_ms", "to_ms", "reason"),
    [
        ([1, 2], [3], 10, 20, "lengths sum to 3"),
        ([1, 2], [3, -1], 10, 20, "lengths"),
        ([1, 2], [2], 20, 30, "from frames of 20 ms to 30 ms"),
        ([1, 2], [2], 20, 0, "one must divide the other"),
        ([1, 2], [2], -20, 20, "one must divide the other"),
    ],
)
def test_impossible_resolutions_are_refused(values, lengths, from_ms, to_ms, reason):
    with pytest.raises(ValueError, match=reason):
        change_resolution(values, lengths, from_ms, to_ms)


def test_segment_eer_by_hand():
    scores = [[0.9, 0.2, 0.8, 0.3], [0.7, 0.1]]
    labels = [[1, 0, 1, 1], [1, 1]]
    # At 40 ms: scores 0.2 0.3 0.1, labels 0 1 1. FRR, FAR: (0,1) (1/2,1) (1/2,0)
    assert segment_eer(scores, labels, resolution_ms=40) == (0.75, 0.1)
    # One score per utterance: 0.2 spoof, 0.1 bona fide, so inverted.
    assert segment_eer(scores, labels, resolution_ms=20_000) == (1.0, 0.1)
    # Labels every 10 ms, the last of them missing: at 20 ms as many labels as scores, the tail one from one value.
    fine = [[1, 1, 0, 1, 1, 1, 1], [1, 1, 1, 1]]
    assert segment_eer(scores, fine, label_ms=10) == segment_eer(scores, labels)


def test_scores_and_labels_are_cut_to_the_shorter():
    assert segment_eer([[0.9, 0.2, 0.8], [0.5]], [[1, 0], [1, 0, 0]]) == eer([0.9, 0.5], [0.2])


@pytest.mark.parametrize(
    ("scores", "labels", "reason"),
    [
        ([[1.0]], [[1], [0]], "scores of 1 utterances, but labels of 2"),
        ([[1.0, 2.0]], [[1, 2]], "0 .spoof. or 1"),
        ([[1.0, 2.0]], [[1, 1]], "no spoof scores"),
        ([[1.0, np.nan]], [[1, 0]], "NaN"),
        ([[[1.0]]], [[1]], "one-dimensional"),
        ([], [], "at least one utterance"),
    ],
)
def test_bad_frames_are_refused(scores, labels, reason):
    with pytest.raises(ValueError, match=reason):
        segment_eer(scores, labels)


def test_range_eer_by_hand():
    # Frames of 1 s. Bona fide seconds by score: 0.9: 1, 0.5: 0.25, 0.2: 0.75; spoof seconds: 0.5: 0.75, 0.1: 0.5.
    scores = [[0.9, 0.5], [0.2, 0.1]]
    segments = [[(0, 1.25, 1), (1.25, 2, 0)], [(0.25, 1, 1), (1, 1.5, 0)]]
    # FRR, FAR in score order: (0,1) (0,0.6) (0.375,0.6) (0.5,0) ...
    rate, threshold = range_eer(scores, segments, frame_seconds=1)
    assert (rate, threshold) == (pytest.approx((0.375 + 0.6) / 2, abs=1e-15), 0.2)


def test_time_outside_all_frames_or_segments_counts_for_nothing():
    scores = [[0.9, 0.5], [], [0.1]]
    segments = [[(0, 1, 1), (1, 2, 0)], [(0, 3, 0)], [(0, 1, 0)]]
    longer = [[(0, 1, 1), (1, 9, 0)], [(0, 7, 1)], [(0, 1, 0), (2, 3, 1)]]
    assert range_eer(scores, longer, 1) == range_eer(scores, segments, 1) == (0, 0.5)


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ([[(0, 1, 1)], [(0, 1, 0)]], "scores of 1 utterances, but segments of 2"),
        ([[(0, 1, 1), (0.5, 2, 0)]], "segment 0.5 2.0 0 of utterance 0 is empty, overlaps"),
        ([[(0, 1, 1), (1, 1, 0)]], "segment 1.0 1.0 0"),
        ([[(0, 1, 1), (1, 2, 2)]], "segment 1.0 2.0 2"),
        ([[(-1, 1, 1), (1, 2, 0)]], "segment -1.0 1.0 1"),
        ([[(0, np.nan, 1), (1, 2, 0)]], "segment 0.0 nan 1"),
        ([[(0, 2, 1)]], "seconds of both classes"),
        ([[(0, 1, 1), (5, 6, 0)]], "seconds of both classes"),
    ],
)
def test_bad_segments_are_refused(segments, reason):
    with pytest.raises(ValueError, match=reason):
        range_eer([[0.5, 0.7]], segments, frame_seconds=1)


def test_bad_range_scores_are_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        range_eer([[0.5, np.inf]], [[(0, 1, 1), (1, 2, 0)]], frame_seconds=1)
    with pytest.raises(ValueError, match="frame_seconds must be above zero"):
        range_eer([[0.5, 0.7]], [[(0, 1, 1), (1, 2, 0)]], frame_seconds=0)


def test_segments_may_overlap_by_a_rounding_error():
    rate, _ = range_eer([[0.9, 0.1]], [[(0, 0.1 + 0.2, 1), (0.3, 0.6, 0)]], frame_seconds=0.3)
    assert rate == pytest.approx(0, abs=1e-12)


frames = st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 1)), max_size=12)
utterances = st.lists(frames, min_size=1, max_size=5)
both_classes = utterances.filter(lambda utts: len({label for utt in utts for _, label in utt}) == 2)


@given(utterances, st.integers(1, 5))
def test_resolution_change_is_that_of_each_utterance_alone(utts, window):
    flat = np.array([score for utt in utts for score, _ in utt], dtype=float)
    lengths = [len(utt) for utt in utts]
    expected = [[min(s for s, _ in utt[i : i + window]) for i in range(0, len(utt), window)] for utt in utts]
    values, counts = change_resolution(flat, lengths, 10, 10 * window)
    assert values.tolist() == [value for utt in expected for value in utt]
    assert counts.tolist() == [len(utt) for utt in expected]
    repeated, counts = change_resolution(flat, lengths, 10 * window, 10)
    again, counts = change_resolution(repeated, counts, 10, 10 * window)
    assert (again.tolist(), counts.tolist()) == (flat.tolist(), lengths)


@given(both_classes)
def test_with_segments_on_frame_edges_the_range_eer_counts_frames(utts):
    scores = [[score for score, _ in utt] for utt in utts]
    segments = [[(i, i + 1, label) for i, (_, label) in enumerate(utt)] for utt in utts]
    bonafide = [score for utt in utts for score, label in utt if label]
    spoof = [score for utt in utts for score, label in utt if not label]
    frr, far, _ = det_curve(bonafide, spoof, ties="grouped")
    gap = np.abs(frr - far)
    # Where |FRR - FAR| has its minimum twice, rounding may decide which of the two is first.
    candidates = ((frr + far) / 2)[np.isclose(gap, gap.min(), rtol=0, atol=1e-12)]
    rate, _ = range_eer(scores, segments, frame_seconds=1)
    assert np.abs(candidates - rate).min() < 1e-12


@given(both_classes, st.floats(0.05, 0.95))
def test_cutting_segments_changes_nothing(utts, cut):
    lengths = np.array([len(utt) for utt in utts])
    whole = [[(i, i + 1, label) for i, (_, label) in enumerate(utt)] for utt in utts]
    pieces = [[row for a, b, c in utt for row in ((a, a + cut, c), (a + cut, b, c))] for utt in whole]
    ours, expected = (localisation._seconds_of_each_class(lengths, segments, 1) for segments in (pieces, whole))
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_docstring_examples():
    result = doctest.testmod(localisation)
    assert result.attempted > 0
    assert result.failed == 0
