"""Detection metrics against values computed by hand and properties that hold for any scores."""

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.metrics import DetCurve, det_curve, detection, eer, sorted_by_group, ties_across_classes

# Bona fide scores, spoof scores, EER, threshold, trials tied across classes; each worked out on paper.
BY_HAND = {
    "separated": ([3, 4], [1, 2], 0.0, 2.0, 0),
    "inverted": ([1, 2], [3, 4], 1.0, 2.0, 0),
    "constant": ([1] * 10, [1] * 30, 1.0, 1.0, 40),
    "one trial each, tied": ([1], [1], 1.0, 1.0, 2),
    "one trial each, right": ([2], [1], 0.0, 1.0, 0),
    "nested": ([1, 4], [2, 3], 0.5, 2.0, 0),
    "interleaved": ([2, 4], [1, 3], 0.5, 2.0, 0),
    # FRR, FAR: (0,1) (1/4,1) (1/2,1) (1/2,3/4) (1/2,1/2): both tied bona fide go before the two tied spoof.
    "tie at the crossing": ([2, 2, 5, 6], [2, 2, 0.5, 1], 0.5, 2.0, 4),
    # |FRR - FAR| is 1/6 at two points: (1/2, 2/3) comes first, (1/2, 1/3) second.
    "two equal minima": ([1, 4], [2, 3, 5], 7 / 12, 2.0, 0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_hand_computed_cases(case):
    bonafide, spoof, rate, threshold, ties = BY_HAND[case]
    for trials in ((bonafide, spoof), (DetCurve(bonafide, spoof),)):
        assert eer(*trials) == (pytest.approx(rate, abs=1e-15), threshold)
        assert ties_across_classes(*trials) == ties


def test_curve_is_that_of_a_stable_sort_with_bona_fide_first():
    rng = np.random.default_rng(7)
    bonafide = rng.integers(0, 12, 80).astype(float)
    spoof = rng.integers(-4, 9, 200).astype(float)
    # The definition, one trial after the other.
    trials = [(score, True) for score in bonafide] + [(score, False) for score in spoof]
    trials.sort(key=lambda trial: trial[0])  # stable
    frr, far, thresholds = [0.0], [1.0], [min(trials)[0] - 0.001]
    misses, rejected = 0, 0
    for score, is_bonafide in trials:
        misses, rejected = misses + is_bonafide, rejected + (not is_bonafide)
        frr.append(misses / 80)
        far.append((200 - rejected) / 200)
        thresholds.append(score)
    for ours, expected in zip(det_curve(bonafide, spoof), (frr, far, thresholds), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    ("bonafide", "spoof", "reason"),
    [
        ([], [1.0], "no bona fide scores"),
        ([1.0], [], "no spoof scores"),
        ([1.0, np.nan], [1.0], "1 of 2 bona fide scores are NaN or infinite"),
        ([1.0], [np.inf, -np.inf, 0.0], "2 of 3 spoof scores are NaN or infinite"),
        ([[1.0]], [1.0], "one-dimensional"),
    ],
)
@pytest.mark.parametrize("metric", [DetCurve, det_curve, eer, ties_across_classes])
def test_bad_scores_are_refused_with_the_reason(metric, bonafide, spoof, reason):
    with pytest.raises(ValueError, match=reason):
        metric(bonafide, spoof)


def test_one_array_is_not_enough():
    with pytest.raises(TypeError, match="spoof"):
        eer([1.0, 2.0])


def test_the_scores_given_stay_as_they_are():
    bonafide, spoof = np.array([3.0, 1.0]), np.array([2.0, 0.0])
    eer(bonafide, spoof)
    assert bonafide.tolist() == [3.0, 1.0]
    assert spoof.tolist() == [2.0, 0.0]


coarse = st.lists(st.integers(-8, 8), min_size=1, max_size=40)  # ties abound
distinct = st.sets(st.integers(-1000, 1000), min_size=2, max_size=60)


@given(coarse, coarse)
def test_rates_are_monotone_and_in_range(bonafide, spoof):
    frr, far, thresholds = det_curve(bonafide, spoof)
    assert len(frr) == len(far) == len(thresholds) == len(bonafide) + len(spoof) + 1
    assert (frr[0], far[0], frr[-1], far[-1]) == (0, 1, 1, 0)
    assert (np.diff(frr) >= 0).all()
    assert (np.diff(far) <= 0).all()
    assert (np.diff(thresholds) >= 0).all()
    rate, threshold = eer(bonafide, spoof)
    assert 0 <= rate <= 1
    assert threshold in thresholds


@given(coarse, coarse, st.sampled_from(["asvspoof", "grouped"]))
def test_eer_is_the_first_smallest_gap_of_the_whole_curve(bonafide, spoof, ties):
    frr, far, thresholds = det_curve(bonafide, spoof, ties)
    k = np.argmin(np.abs(frr - far))
    expected = ((frr[k] + far[k]) / 2, thresholds[k])
    assert eer(bonafide, spoof, ties) == expected
    assert eer(DetCurve(bonafide, spoof), ties) == expected


@given(coarse, coarse)
def test_corners_are_points_of_the_curve_and_between_them_no_step_down_precedes_a_step_up(bonafide, spoof):
    curve = DetCurve(bonafide, spoof)
    rejected_bonafide, rejected_spoof = curve.corners
    frr, far, _ = det_curve(curve)
    at = rejected_bonafide + rejected_spoof
    np.testing.assert_array_equal((frr[at], far[at]), curve.corner_rates)
    assert (at[0], at[-1]) == (0, frr.size - 1)
    assert (np.diff(at) > 0).all()
    for start, end in itertools.pairwise(at):
        moves_up = np.diff(frr[start : end + 1]) > 0
        assert (np.diff(moves_up.astype(int)) <= 0).all()


labelled = st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 3)), min_size=1, max_size=60)


@given(coarse, labelled)
def test_a_group_of_sorted_trials_has_the_metrics_of_its_trials_alone(bonafide, spoof):
    scores, groups = (np.array(column) for column in zip(*spoof, strict=True))
    whole = DetCurve(bonafide, scores)
    cells = {group: DetCurve(whole.bonafide, part) for group, part in sorted_by_group(scores, groups).items()}
    assert list(cells) == sorted(set(groups.tolist()))
    for group, cell in cells.items():
        alone = scores[groups == group]
        assert eer(cell) == eer(bonafide, alone)
        assert ties_across_classes(cell) == ties_across_classes(bonafide, alone)
        for ours, expected in zip(det_curve(cell), det_curve(bonafide, alone), strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_sorted_scores_are_taken_as_they_are():
    whole = DetCurve([3.0, 1.0], [2.0, 0.0])
    again = DetCurve(whole.bonafide, whole.spoof)
    assert again.bonafide is whole.bonafide
    assert again.spoof is whole.spoof


def test_groups_that_do_not_fit_are_refused():
    assert sorted_by_group([], []) == {}
    with pytest.raises(ValueError, match="one group for each score"):
        sorted_by_group([1.0, 2.0], [0])
    with pytest.raises(ValueError, match="integers from 0 up"):
        sorted_by_group([1.0, 2.0], [0, -1])
    with pytest.raises(ValueError, match="integers from 0 up"):
        sorted_by_group([1.0, 2.0], ["A01", "A02"])


@given(distinct, st.data())
def test_strictly_increasing_maps_change_only_the_threshold(scores, data):
    scores = data.draw(st.permutations(sorted(scores)))
    cut = data.draw(st.integers(1, len(scores) - 1))
    bonafide, spoof = np.array(scores[:cut], float), np.array(scores[cut:], float)

    def curved(x):
        return np.arctan(x / 100) * 3 + x**3 * 1e-6 - 5

    rate, threshold = eer(bonafide, spoof)
    mapped_rate, mapped_threshold = eer(curved(bonafide), curved(spoof))
    assert mapped_rate == rate
    if threshold >= min(scores):  # otherwise it is the lowest score minus 0.001, which no map carries over
        assert mapped_threshold == curved(np.array([threshold]))[0]


@given(coarse, coarse)
def test_negating_scores_and_swapping_roles_mirrors_the_curve(bonafide, spoof):
    frr, far, _ = det_curve(bonafide, spoof)
    mirrored_frr, mirrored_far, _ = det_curve(-np.array(spoof), -np.array(bonafide))
    np.testing.assert_array_equal(mirrored_frr, far[::-1])
    np.testing.assert_array_equal(mirrored_far, frr[::-1])
    # The same points, so the same EER; only where |FRR - FAR| has its minimum twice may the other one be first.
    gap = np.abs(frr - far)
    if np.count_nonzero(np.isclose(gap, gap.min(), rtol=0, atol=1e-12)) == 1:
        assert eer(-np.array(spoof), -np.array(bonafide))[0] == eer(bonafide, spoof)[0]


@given(coarse, coarse)
def test_ties_are_counted_as_by_comparing_every_pair(bonafide, spoof):
    expected = sum(score in spoof for score in bonafide) + sum(score in bonafide for score in spoof)
    assert ties_across_classes(bonafide, spoof) == expected


def test_docstring_examples():
    result = doctest.testmod(detection)
    assert result.attempted > 0
    assert result.failed == 0
