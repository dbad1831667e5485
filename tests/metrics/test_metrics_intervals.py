"""Bootstrap intervals against hand-made cases, the naive bootstrap and what they promise about coverage."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.metrics import eer, intervals
from spooftrace.metrics.intervals import CountedEer, bootstrap_interval, paired_difference

TRUE_EER = 0.15865525393145707  # of N(2, 1) against N(0, 1): the normal distribution function at -1


def gaussians(rng, bonafide=200, spoof=400, distance=2.0):
    return rng.normal(distance, 1, bonafide), rng.normal(0, 1, spoof)


def equal_error_rate(bonafide, spoof):
    return eer(bonafide, spoof)[0]


# Bona fide scores and counts, spoof scores and counts, EER; each worked out on paper.
COUNTED_BY_HAND = {
    "separated": ([3, 4], [2, 0], [1, 2], [0, 3], 0.0),
    "inverted": ([1, 2], [1, 1], [3, 4], [2, 1], 1.0),
    "one tied pair, copied": ([1], [3], [1], [2], 1.0),
    # FRR, FAR: (0, 1) (1/3, 1) (2/3, 1) (2/3, 0) (1, 0): |FRR - FAR| is least at (2/3, 1), inside the copies.
    "crossing at the last copy": ([1, 4], [2, 1], [2], [1], (2 / 3 + 1) / 2),
    # (0, 1) (1, 1) after four steps of 1/4, (1, 2/3) ...: least, 0, at (1, 1).
    "bona fide copies all below": ([1], [4], [2, 3], [1, 2], 1.0),
    # (0, 1) (0, 2/3) (0, 1/3) (0, 0): the copies of one spoof are walked one by one up to (0, 0).
    "spoof copies": ([5], [1], [2], [3], 0.0),
    # (0, 1) (0, 3/4) (1/2, 3/4) (1/2, 1/2) inside the three copies of the spoof at 3.
    "crossing inside the copies": ([2, 4], [1, 1], [1, 3], [1, 3], 0.5),
}


@pytest.mark.parametrize("case", COUNTED_BY_HAND)
def test_counted_eer_by_hand(case):
    bonafide, bonafide_counts, spoof, spoof_counts, rate = COUNTED_BY_HAND[case]
    assert CountedEer(bonafide, spoof)(np.array(bonafide_counts), np.array(spoof_counts)) == rate


coarse = st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=1, max_size=30)  # ties abound


@given(coarse, coarse)
def test_counted_eer_is_that_of_the_repeated_trials_to_the_last_bit(bonafide, spoof):
    (bonafide, bonafide_counts), (spoof, spoof_counts) = np.array(bonafide).T, np.array(spoof).T
    counted = CountedEer(bonafide, spoof)
    if not bonafide_counts.any() or not spoof_counts.any():
        with pytest.raises(ValueError, match="one class only"):
            counted(bonafide_counts, spoof_counts)
    else:
        repeated = eer(np.repeat(bonafide, bonafide_counts), np.repeat(spoof, spoof_counts))[0]
        assert counted(bonafide_counts, spoof_counts) == repeated


SCHEMES = {
    "iid": {},
    "stratified": {},
    "groups": {"bonafide_groups": np.arange(200) % 20, "spoof_groups": np.arange(400) % 25},
    "groups-then-trials": {"bonafide_groups": np.arange(200) % 20, "spoof_groups": np.arange(400) % 25},
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fast_path_is_the_naive_bootstrap(scheme):
    bonafide, spoof = gaussians(np.random.default_rng(1))
    bonafide, spoof = bonafide.round(1), spoof.round(1)  # ties
    options = {"scheme": scheme, "draws": 100, "seed": 5, **SCHEMES[scheme]}
    naive = bootstrap_interval(bonafide, spoof, metric=equal_error_rate, **options)
    assert bootstrap_interval(bonafide, spoof, **options) == naive


@pytest.mark.parametrize("scheme", SCHEMES)
def test_interval_contains_the_point_and_depends_on_the_seed_only(scheme):
    bonafide, spoof = gaussians(np.random.default_rng(2))
    options = {"scheme": scheme, "draws": 200, **SCHEMES[scheme]}
    first = bootstrap_interval(bonafide, spoof, seed=1, **options)
    assert first.low < first.point < first.high
    assert first.point == eer(bonafide, spoof)[0]
    assert (first.level, first.draws, first.redrawn) == (0.95, 200, 0)
    assert bootstrap_interval(bonafide, spoof, seed=1, **options) == first
    assert bootstrap_interval(bonafide, spoof, seed=2, **options) != first
    narrower = bootstrap_interval(bonafide, spoof, seed=1, level=0.5, **options)
    assert first.low < narrower.low < narrower.high < first.high


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(sorted(SCHEMES)))
def test_order_of_the_trials_does_not_matter(random, scheme):
    rng = np.random.default_rng(3)
    scores = [part.round(1) for part in gaussians(rng, 30, 50)]
    others = [part.round(1) for part in gaussians(rng, 30, 50)]
    labels = [[f"spk{i}" for i in rng.integers(0, 6, part.size)] for part in scores]
    orders = [random.sample(range(part.size), part.size) for part in scores]

    def result(*columns):
        first, second, groups = columns
        options = {"scheme": scheme, "draws": 30}
        if scheme.startswith("groups"):
            options |= {"bonafide_groups": groups[0], "spoof_groups": groups[1]}
        return bootstrap_interval(*first, **options), paired_difference(first, second, **options)

    shuffled = [
        [[part[i] for i in order] for part, order in zip(column, orders, strict=True)]
        for column in (scores, others, labels)
    ]
    assert result(*shuffled) == result(scores, others, labels)


@pytest.mark.parametrize("scheme", ["iid", "stratified"])
def test_interval_covers_the_known_rate_about_as_often_as_it_says(scheme):
    rng = np.random.default_rng(4)
    results = [bootstrap_interval(*gaussians(rng), scheme=scheme, draws=200, level=0.9, seed=i) for i in range(100)]
    covered = sum(result.low <= TRUE_EER <= result.high for result in results)
    assert 80 <= covered <= 98  # 90 expected, standard deviation 3


def test_speakers_that_matter_widen_the_interval_and_others_do_not():
    rng = np.random.default_rng(5)
    bonafide, spoof = gaussians(rng, 1000, 2000)
    speakers = np.arange(1000) % 40, np.arange(2000) % 40
    offsets = rng.normal(0, 1, 40)

    def width(scores, scheme):
        groups = {"bonafide_groups": speakers[0], "spoof_groups": speakers[1]} if scheme.startswith("groups") else {}
        result = bootstrap_interval(*scores, scheme=scheme, draws=400, **groups)
        return result.high - result.low

    biased = bonafide + offsets[speakers[0]], spoof + offsets[speakers[1]]
    assert width(biased, "groups") > 1.5 * width(biased, "iid")
    assert width((bonafide, spoof), "groups") == pytest.approx(width((bonafide, spoof), "iid"), rel=0.3)
    assert width((bonafide, spoof), "groups-then-trials") > 1.2 * width((bonafide, spoof), "groups")


def test_a_drawn_group_brings_all_its_trials_of_both_classes():
    sizes = set()

    def record(bonafide, spoof):
        sizes.add((np.count_nonzero(bonafide == 1), np.count_nonzero(spoof == 1), bonafide.size, spoof.size))
        return 0.0

    # Speaker a: two bona fide of score 1, one spoof of score 1. Speaker b: one and three of score 0.
    options = {"metric": record, "scheme": "groups", "draws": 50}
    bootstrap_interval([1, 0, 1], [0, 0, 1, 0], bonafide_groups=list("aba"), spoof_groups=list("bbab"), **options)
    assert sizes == {(4, 2, 4, 2), (2, 1, 3, 4), (0, 0, 2, 6)}


def test_groups_of_one_class_leave_the_other_resampled_by_trial():
    seen = []

    def record(bonafide, spoof):
        seen.append((bonafide.tolist(), spoof.tolist()))
        return 0.0

    bootstrap_interval(
        [5, 6, 7, 8], [1, 1, 2, 2], metric=record, scheme="groups", spoof_groups=["A07", "A07", "A08", "A08"], draws=60
    )
    assert {tuple(spoof) for _, spoof in seen} == {(1, 1, 1, 1), (1, 1, 2, 2), (2, 2, 2, 2)}
    assert all(len(bonafide) == 4 for bonafide, _ in seen)
    assert len({tuple(bonafide) for bonafide, _ in seen}) > 10


def test_draws_of_one_class_are_made_again_and_counted():
    result = bootstrap_interval([1.0, 2.0], np.linspace(-3, 1.5, 50), scheme="iid", draws=200)
    assert 10 < result.redrawn < 60  # (50 / 52) ** 52 = 13 % of the draws
    assert bootstrap_interval([1.0, 2.0], np.linspace(-3, 1.5, 50), draws=200).redrawn == 0
    groups = {"bonafide_groups": ["x"], "spoof_groups": ["y"] * 29 + ["x"]}
    assert bootstrap_interval([1.0], np.arange(30), scheme="groups", draws=200, **groups).redrawn > 20  # 1 in 4
    assert 100 < bootstrap_interval([1.0], [0.0], scheme="iid", draws=200).redrawn < 300  # the worst case: 1 in 2


def test_paired_difference_sees_what_two_intervals_do_not():
    rng = np.random.default_rng(6)
    bonafide, spoof = gaussians(rng, 500, 1000)
    better = bonafide + 0.2, spoof
    result = paired_difference(better, (bonafide, spoof), draws=500)
    assert result.point == eer(*better)[0] - eer(bonafide, spoof)[0] < 0
    assert result.low < result.point < result.high < 0
    assert result.p_value == 2 / 501  # no draw on the other side
    one, other = bootstrap_interval(*better, draws=500), bootstrap_interval(bonafide, spoof, draws=500)
    assert one.high > other.low  # the separate intervals overlap

    turned = paired_difference((bonafide, spoof), better, draws=500)
    assert turned.point == -result.point
    assert turned.p_value == result.p_value


def test_paired_difference_of_a_system_from_itself_is_none():
    scores = gaussians(np.random.default_rng(7))
    result = paired_difference(scores, (scores[0] * 3 - 1, scores[1] * 3 - 1), draws=50)
    assert (result.point, result.low, result.high, result.p_value) == (0, 0, 0, 1)


def test_p_value_is_small_as_often_as_it_says_when_the_systems_are_equally_good():
    rng = np.random.default_rng(8)
    p_values = []
    for seed in range(100):
        shared = gaussians(rng, 100, 200)
        systems = [[part + rng.normal(0, 0.5, part.size) for part in shared] for _ in range(2)]
        p_values.append(paired_difference(*systems, draws=150, seed=seed).p_value)
    assert 2 <= np.count_nonzero(np.array(p_values) < 0.2) <= 32  # 20 expected at most, the EER being discrete
    assert all(0 < p_value <= 1 for p_value in p_values)


def test_another_metric():
    bonafide, spoof = gaussians(np.random.default_rng(9), 400, 400)
    result = bootstrap_interval(bonafide, spoof, metric=lambda b, s: b.mean() - s.mean(), draws=500)
    half = 1.96 * np.sqrt(bonafide.var() / 400 + spoof.var() / 400)
    assert (result.low, result.high) == pytest.approx((result.point - half, result.point + half), abs=0.15 * half)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scheme": "speaker"}, "none of iid, stratified, groups, groups-then-trials"),
        ({"scheme": "groups"}, "needs groups"),
        ({"scheme": "iid", "spoof_groups": [1, 2]}, "goes without groups"),
        ({"scheme": "groups", "spoof_groups": [1, 2, 3]}, r"2 spoof scores, but groups of shape \(3,\)"),
        ({"scheme": "groups", "spoof_groups": ["A01", "A01"]}, "one group only, A01"),
        ({"level": 95}, "level is 95"),
        ({"draws": 0}, "draws is 0"),
        ({"metric": lambda bonafide, spoof: np.nan}, "NaN or infinite on 1000 of 1000 draws"),
    ],
)
def test_bad_options_are_refused_with_the_reason(options, reason):
    with pytest.raises(ValueError, match=reason):
        bootstrap_interval([1.0, 2.0], [0.0, 1.0], **options)


def test_bad_scores_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="no spoof scores"):
        bootstrap_interval([1.0], [])
    with pytest.raises(ValueError, match="1 of 2 bona fide scores are NaN"):
        bootstrap_interval([1.0, np.nan], [0.0])
    with pytest.raises(ValueError, match="different numbers of"):
        paired_difference(([1.0, 2.0], [0.0]), ([1.0], [0.0]))


def test_docstring_examples():
    result = doctest.testmod(intervals)
    assert result.attempted > 0
    assert result.failed == 0
