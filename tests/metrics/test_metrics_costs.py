"""Detection costs, Cllr and grouped ties: values computed by hand and properties that hold for any scores."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression
from sklearn.metrics import roc_curve

from spooftrace.metrics import DetCurve, act_dcf, cllr, costs, det_curve, eer, min_cllr, min_dcf

# With the ASVspoof 5 constants the normalised cost is 1.9 frr + far. Bona fide, spoof, minDCF, its threshold.
MIN_DCF_BY_HAND = {
    "separated": ([3, 4], [1, 2], 0.0, 2.0),
    "inverted, so accept all": ([1, 2], [3, 4], 1.0, 0.999),
    "constant, so accept all": ([1] * 10, [1] * 30, 1.0, 0.999),
    "nested: 0 + 1, 0.95 + 1, 0.95 + 1/2, 0.95 + 0": ([1, 4], [2, 3], 0.95, 3.0),
    "tie, rejected with all spoof: 1.9 / 4": ([2, 4, 5, 6], [1, 2], 0.475, 2.0),
    "one spoof in ten slips through": ([8.5, 9.5], [*range(-1, 8), 20], 0.1, 7.0),
}


@pytest.mark.parametrize("case", MIN_DCF_BY_HAND)
def test_min_dcf_by_hand(case):
    bonafide, spoof, cost, threshold = MIN_DCF_BY_HAND[case]
    assert min_dcf(bonafide, spoof) == (pytest.approx(cost, abs=1e-15), threshold)


def test_the_constants_can_be_set():
    # 0.5 frr + 0.5 far, divided by 0.5: at best 1/2 + 0
    assert min_dcf([1, 4], [2, 3], p_spoof=0.5, c_miss=1, c_fa=1) == (0.5, 3.0)
    # threshold ln(0.5 / 0.5) = 0: one of two bona fide below it, the spoof trial upon it accepted
    assert act_dcf([1, -1], [0, -2], p_spoof=0.5, c_miss=1, c_fa=1) == (1.0, 0.0)


def test_act_dcf_by_hand():
    threshold = -math.log(1.9)
    assert act_dcf([threshold, 9.0], [-9.0, -9.0]) == (0.0, threshold)  # upon the threshold: accepted
    assert act_dcf([9.0], [threshold, -9.0]) == (0.5, threshold)
    assert act_dcf([-9.0], [9.0]) == (pytest.approx(2.9, abs=1e-15), threshold)  # the worst there is


def test_cllr_by_hand():
    # log2(1 + 1/3) for bona fide at ln 3, log2(1 + 1) for spoof at 0
    assert cllr([math.log(3)], [0.0]) == pytest.approx((math.log2(4 / 3) + 1) / 2, abs=1e-15)
    assert cllr([800.0], [-800.0]) == 0.0
    assert cllr([-1e6], [1e6]) == pytest.approx(1e6 / math.log(2), rel=1e-15)  # no overflow
    assert cllr([-1e308] * 4, [0.0]) == pytest.approx(1e308 / (2 * math.log(2)), rel=1e-15)  # nor in the sum


def test_min_cllr_by_hand():
    # Pools by score: {1: spoof} {2, 3: bona fide then spoof} {4: bona fide}. Inside the middle one the likelihood ratio
    # is 1, so that its two trials cost 1 bit each and the two others nothing.
    assert min_cllr([2, 4], [1, 3]) == pytest.approx((1 / 2 + 1 / 2) / 2, abs=1e-15)
    assert min_cllr([5] * 4, [5] * 9) == pytest.approx(1.0, abs=1e-15)
    # The tie at 2 is one pool, half of the bona fide and a third of the spoof: LR = 3/2; 3 is bona fide, 0 and 1 spoof.
    expected = (math.log2(1 + 2 / 3) / 2 + math.log2(1 + 3 / 2) / 3) / 2
    assert min_cllr([2, 3], [0, 1, 2]) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("metric", [min_dcf, act_dcf, cllr, min_cllr])
@pytest.mark.parametrize(
    ("bonafide", "spoof", "reason"),
    [
        ([], [1.0], "no bona fide scores"),
        ([1.0], [np.nan], "1 of 1 spoof scores are NaN"),
        ([[1.0]], [1.0], "one-dimensional"),
    ],
)
def test_bad_scores_are_refused_with_the_reason(metric, bonafide, spoof, reason):
    with pytest.raises(ValueError, match=reason):
        metric(bonafide, spoof)


@pytest.mark.parametrize("metric", [min_dcf, act_dcf])
@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"p_spoof": 0.0}, "p_spoof must lie between 0 and 1, not 0.0"),
        ({"p_spoof": 1.5}, "not 1.5"),
        ({"p_spoof": math.nan}, "not nan"),
        ({"c_miss": 0}, "costs must be above zero"),
        ({"c_fa": -1}, "c_fa=-1"),
    ],
)
def test_impossible_constants_are_refused(metric, setting, reason):
    with pytest.raises(ValueError, match=reason):
        metric([1.0], [0.0], **setting)


coarse = st.lists(st.integers(-8, 8), min_size=1, max_size=40)  # ties abound


@given(coarse, coarse, st.floats(0.01, 0.99), st.floats(0.1, 20), st.floats(0.1, 20))
def test_min_dcf_is_the_least_cost_a_threshold_reaches(bonafide, spoof, p_spoof, c_miss, c_fa):
    bonafide, spoof = np.array(bonafide), np.array(spoof)
    expected = min(
        c_miss * (1 - p_spoof) * np.mean(bonafide < t) + c_fa * p_spoof * np.mean(spoof >= t) for t in range(-9, 10)
    ) / min(c_miss * (1 - p_spoof), c_fa * p_spoof)
    cost, threshold = min_dcf(bonafide, spoof, p_spoof, c_miss, c_fa)
    assert cost == pytest.approx(expected, rel=1e-12)
    assert cost <= 1
    assert threshold in det_curve(bonafide, spoof)[2]
    assert act_dcf(bonafide, spoof, p_spoof, c_miss, c_fa)[0] >= cost - 1e-12


@given(coarse, coarse, st.sampled_from([0.05, 0.5, 0.9]), st.sampled_from([1.0, 10.0]))
def test_min_dcf_is_the_first_minimum_of_the_whole_curve(bonafide, spoof, p_spoof, c_fa):
    frr, far, thresholds = det_curve(bonafide, spoof)
    miss, false_accept = 1 - p_spoof, c_fa * p_spoof
    cost = miss * frr + false_accept * far
    expected = (cost.min() / min(miss, false_accept), thresholds[np.argmin(cost)])
    assert min_dcf(bonafide, spoof, p_spoof, c_fa=c_fa) == expected
    assert min_dcf(DetCurve(bonafide, spoof), p_spoof, c_fa=c_fa) == expected


@given(coarse, coarse)
def test_one_curve_serves_every_metric(bonafide, spoof):
    curve = DetCurve(bonafide, spoof)
    for metric in (min_dcf, act_dcf, cllr, min_cllr):
        assert metric(curve) == metric(bonafide, spoof)


def min_cllr_of_scikit_learn(bonafide, spoof):
    score, label = np.concatenate((bonafide, spoof)), np.repeat([1.0, 0.0], [len(bonafide), len(spoof)])
    order = np.lexsort((-label, score))  # bona fide first inside a tie, which makes it one pool
    posterior, label = isotonic_regression(label[order]), label[order] == 1
    odds = len(bonafide) / len(spoof)
    of_bonafide, of_spoof = posterior[label], posterior[~label]
    nats = np.mean(np.log1p((1 - of_bonafide) / of_bonafide * odds))
    nats += np.mean(np.log1p(of_spoof / (1 - of_spoof) / odds))
    return nats / (2 * math.log(2))


@given(coarse, coarse)
def test_min_cllr_is_that_of_isotonic_regression(bonafide, spoof):
    assert min_cllr(bonafide, spoof) == pytest.approx(min_cllr_of_scikit_learn(bonafide, spoof), rel=1e-12, abs=1e-15)


ramp = np.linspace(0, 1, 3000)
LARGE = {
    "normal": lambda rng: (rng.normal(1, 1, 4000), rng.normal(0, 1, 30_000)),
    "one decimal": lambda rng: (rng.normal(1, 1, 4000).round(1), rng.normal(0, 1, 30_000).round(1)),
    "few bona fide": lambda rng: (rng.normal(1, 1, 5), rng.normal(0, 1, 30_000)),
    "hardly any violation": lambda rng: (ramp**0.3, np.linspace(0, 1, 7000)),
    "violations all the way": lambda rng: (ramp**3, np.linspace(0, 1, 7000)),
    "overflowing": lambda rng: (rng.normal(1e6, 1e6, 4000), rng.normal(-1e6, 1e6, 30_000)),
}


@pytest.mark.parametrize("name", LARGE)
def test_both_cllr_of_many_trials(name):
    bonafide, spoof = LARGE[name](np.random.default_rng(5))
    expected = (np.mean(np.logaddexp(0, -bonafide)) + np.mean(np.logaddexp(0, spoof))) / (2 * math.log(2))
    assert cllr(bonafide, spoof) == pytest.approx(expected, rel=1e-12)
    assert min_cllr(bonafide, spoof) == pytest.approx(min_cllr_of_scikit_learn(bonafide, spoof), rel=1e-12)


@given(coarse, coarse)
def test_increasing_maps_change_no_minimum(bonafide, spoof):
    bonafide, spoof = np.array(bonafide, float), np.array(spoof, float)
    assert min_dcf(bonafide**3 - 7, spoof**3 - 7)[0] == min_dcf(bonafide, spoof)[0]
    assert min_cllr(bonafide**3 - 7, spoof**3 - 7) == min_cllr(bonafide, spoof)


@given(coarse, coarse)
def test_no_increasing_map_brings_cllr_below_the_minimum(bonafide, spoof):
    bonafide, spoof = np.array(bonafide, float), np.array(spoof, float)
    least = min_cllr(bonafide, spoof)
    assert 0 <= least <= 1 + 1e-12
    for scale, shift in [(1, 0), (0.3, -1), (2, 1), (0, 0)]:
        assert cllr(scale * bonafide + shift, scale * spoof + shift) >= least - 1e-12


@given(coarse, coarse)
def test_swapped_roles_and_negated_scores_have_the_same_cllr(bonafide, spoof):
    bonafide, spoof = np.array(bonafide, float), np.array(spoof, float)
    assert cllr(-spoof, -bonafide) == pytest.approx(cllr(bonafide, spoof), rel=1e-12)
    assert min_cllr(-spoof, -bonafide) == pytest.approx(min_cllr(bonafide, spoof), abs=1e-12)


@given(coarse, coarse)
def test_grouped_curve_is_that_of_scikit_learn(bonafide, spoof):
    frr, far, thresholds = det_curve(bonafide, spoof, ties="grouped")
    label, scores = [1] * len(bonafide) + [0] * len(spoof), bonafide + spoof
    fpr, tpr, accept_from = roc_curve(label, scores, drop_intermediate=False)  # thresholds from the top
    np.testing.assert_allclose(frr, 1 - tpr[::-1], atol=1e-12)
    np.testing.assert_array_equal(far, fpr[::-1])
    # Rejecting up to one score is accepting from the next one.
    np.testing.assert_array_equal(thresholds[1:], accept_from[:0:-1])


def test_grouped_eer_by_hand():
    assert eer([1] * 10, [1] * 30, ties="grouped") == (0.5, 0.999)
    # (0, 1) (0, 3/4) (0, 1/2), then both bona fide and both spoof at 2 in one step: (1/2, 0)
    assert eer([2, 2, 5, 6], [2, 2, 0.5, 1], ties="grouped") == (0.25, 1.0)
    with pytest.raises(ValueError, match="ties must be"):
        eer([1], [0], ties="random")


@pytest.mark.parametrize("function", [min_dcf, act_dcf, cllr, min_cllr])
def test_docstring_examples(function):
    # doctest.testmod passes over functions that a decorator of another module has wrapped
    (examples,) = doctest.DocTestFinder().find(function, globs=vars(costs))
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0
