"""Tandem detection costs against values computed by hand and properties that hold for any scores."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.metrics import (
    ASVSPOOF5_ASV,
    AsvErrorRates,
    DetCurve,
    TandemPriors,
    TandemWeights,
    asv_error_rates,
    det_curve,
    legacy_weights,
    min_tdcf,
    revised_weights,
    tandem,
)

ASV = AsvErrorRates(miss=0.1, false_accept=0.2, spoof_accept=0.5)


def test_asv_error_rates_by_hand():
    # FRR, FAR: (0,1) (0,2/3) (1/3,2/3) (1/3,1/3): EER at score 3, where the target upon the threshold is accepted.
    target, nontarget, spoof = [2, 4, 6], [1, 3, 5], [0, 3, 7, 8]
    rates, threshold = asv_error_rates(target, nontarget, spoof)
    assert (rates, threshold) == (AsvErrorRates(1 / 3, 2 / 3, 3 / 4), 3.0)
    rates, threshold = asv_error_rates(target, nontarget, spoof, threshold=5.5)
    assert (rates, threshold) == (AsvErrorRates(2 / 3, 0, 1 / 2), 5.5)


def test_weights_by_hand():
    assert legacy_weights(ASV) == pytest.approx((0, 0.9405 * 0.9 - 0.095 * 0.2, 0.25), abs=1e-15)
    assert revised_weights(ASV) == pytest.approx((0.11305, 0.9405 - 0.11305, 0.25), abs=1e-15)
    assert legacy_weights(ASV, TandemPriors(0.5, 0.25, 0.25), 1, 1, 2, 4) == pytest.approx((0, 0.9, 0.5), abs=1e-15)
    assert revised_weights(ASV, TandemPriors(0.5, 0.25, 0.25), 1, 1, 4) == pytest.approx((0.1, 0.4, 0.5), abs=1e-15)


def test_perfect_asv_makes_legacy_and_revised_the_same():
    perfect = AsvErrorRates(0, 0, 1)
    assert legacy_weights(perfect) == revised_weights(perfect) == TandemWeights(0, 0.9405, 0.5)


def test_min_tdcf_by_hand():
    weights = TandemWeights(0.1, 0.4, 0.2)
    # Divided by 0.3: accept all 1; then frr 0, far 1/2 at score 1: 0.2 / 0.3
    assert min_tdcf([2, 4], [1, 3], weights) == (pytest.approx(2 / 3, abs=1e-15), 1.0)
    # A perfect countermeasure leaves what the ASV system costs: 0.1 / 0.3
    assert min_tdcf([3, 4], [1, 2], weights) == (pytest.approx(1 / 3, abs=1e-15), 2.0)
    assert min_tdcf([3, 4], [1, 2], TandemWeights(0, 0.4, 0.2)) == (0, 2.0)
    assert min_tdcf([1, 2], [3, 4], weights) == (pytest.approx(1, abs=1e-15), 0.999)  # inverted: accept all


def test_floor_of_asvspoof5_track_2():
    c0 = 0.9405 * 0.01880141010575793 + 0.095 * 0.01881016557566423
    floor = c0 / (c0 + 0.5 * 0.4607082907604729)
    assert min_tdcf([3, 4], [1, 2], revised_weights(ASVSPOOF5_ASV))[0] == pytest.approx(floor, rel=1e-12)


@pytest.mark.parametrize(
    ("bonafide", "spoof", "reason"),
    [
        ([1, 1], [1], "only 1 distinct"),
        ([1, 1, 0], [0, 1], "only 2 distinct values; the t-DCF needs scores, not decisions"),
        ([1, np.inf], [0, 2], "NaN or infinite"),
        ([], [0, 2], "no bona fide"),
    ],
)
def test_scores_the_official_code_refuses(bonafide, spoof, reason):
    with pytest.raises(ValueError, match=reason):
        min_tdcf(bonafide, spoof, revised_weights(ASV))


@pytest.mark.parametrize("make", [legacy_weights, revised_weights])
@pytest.mark.parametrize(
    ("asv", "priors", "reason"),
    [
        (ASV, TandemPriors(0.9, 0.05, 0.04), "must sum to 1"),
        (ASV, TandemPriors(1.1, -0.2, 0.1), "must not be negative"),
        (ASV, TandemPriors(math.nan, 0.5, 0.5), "priors"),
        (AsvErrorRates(0.1, 2.4, 0.5), TandemPriors(), "fractions from 0 to 1"),
        (AsvErrorRates(1.0, 1.0, 0.5), TandemPriors(), "weights must not be negative"),
    ],
)
def test_impossible_operating_points_are_refused(make, asv, priors, reason):
    with pytest.raises(ValueError, match=reason):
        make(asv, priors)


def test_weights_that_cannot_normalise_are_refused():
    with pytest.raises(ValueError, match="would cost nothing"):
        legacy_weights(AsvErrorRates(0.1, 0.1, 0.0))  # an ASV system no spoof passes
    with pytest.raises(ValueError, match="must not be negative"):
        min_tdcf([1, 2], [0], TandemWeights(0.1, -0.1, 0.2))
    with pytest.raises(ValueError, match="must not be negative"):
        min_tdcf([1, 2], [0], TandemWeights(0.1, math.nan, 0.2))


def test_each_class_of_asv_scores_is_checked_by_name():
    with pytest.raises(ValueError, match="no target scores"):
        asv_error_rates([], [1], [1])
    with pytest.raises(ValueError, match="1 of 2 nontarget scores"):
        asv_error_rates([1], [1, np.nan], [1])
    with pytest.raises(ValueError, match="no spoof scores"):
        asv_error_rates([1], [1], [])


coarse = st.lists(st.integers(-8, 8), min_size=1, max_size=40)
spread = st.lists(st.integers(-8, 8), min_size=3, max_size=40).filter(lambda scores: len(set(scores)) >= 3)
weight = st.floats(0.01, 10)


@given(spread, coarse, st.floats(0, 10), weight, weight)
def test_min_tdcf_is_the_least_cost_a_threshold_reaches(bonafide, spoof, c0, c1, c2):
    bonafide, spoof = np.array(bonafide), np.array(spoof)
    costs = [c0 + c1 * np.mean(bonafide < t) + c2 * np.mean(spoof >= t) for t in range(-9, 10)]
    cost, _ = min_tdcf(bonafide, spoof, TandemWeights(c0, c1, c2))
    assert cost == pytest.approx(min(costs) / (c0 + min(c1, c2)), rel=1e-12)
    assert c0 / (c0 + min(c1, c2)) - 1e-12 <= cost <= 1 + 1e-12


some_or_none = st.sampled_from([0.0, 1e-17, 0.3, 2.0])


@given(spread, coarse, st.floats(0.1, 10), some_or_none, some_or_none)
def test_min_tdcf_is_the_first_minimum_of_the_whole_curve(bonafide, spoof, c0, c1, c2):
    frr, far, thresholds = det_curve(bonafide, spoof)
    cost = (c0 + c1 * frr + c2 * far) / (c0 + min(c1, c2))
    expected = (cost.min(), thresholds[np.argmin(cost)])
    assert min_tdcf(bonafide, spoof, TandemWeights(c0, c1, c2)) == expected
    assert min_tdcf(DetCurve(bonafide, spoof), TandemWeights(c0, c1, c2)) == expected


@given(coarse, coarse)
def test_fewer_than_three_distinct_scores_are_refused(bonafide, spoof):
    distinct = len({*bonafide, *spoof})
    if distinct < 3:
        with pytest.raises(ValueError, match=f"only {distinct} distinct"):
            min_tdcf(bonafide, spoof, revised_weights(ASV))
    else:
        min_tdcf(bonafide, spoof, revised_weights(ASV))


@given(coarse, coarse, coarse)
def test_asv_rates_are_fractions_and_follow_the_threshold(target, nontarget, spoof):
    rates, threshold = asv_error_rates(target, nontarget, spoof)
    assert asv_error_rates(target, nontarget, spoof, threshold) == (rates, threshold)
    higher, _ = asv_error_rates(target, nontarget, spoof, threshold + 1)
    assert 0 <= rates.miss <= higher.miss <= 1
    assert 0 <= higher.false_accept <= rates.false_accept <= 1
    assert 0 <= higher.spoof_accept <= rates.spoof_accept <= 1


@pytest.mark.parametrize("function", [asv_error_rates, min_tdcf])
def test_docstring_examples(function):
    # doctest.testmod passes over functions that a decorator of another module has wrapped
    (examples,) = doctest.DocTestFinder().find(function, globs=vars(tandem))
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0
