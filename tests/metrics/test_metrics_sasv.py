"""SASV metrics against values computed by hand and against their definitions, point by point."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.metrics import A_DCF1, SasvCosts, a_dcf, det_curve, eer, sasv, sasv_eers, t_eer


def test_a_dcf_by_hand():
    # ASVspoof 5: 0.9405 frr + 0.095 far_nontarget + 0.5 far_spoof, divided by 0.595
    target, nontarget, spoof = [4, 6, 7, 8], [1, 5], [2, 3]
    assert a_dcf(target, nontarget, spoof) == (pytest.approx(0.095 / 2 / 0.595, abs=1e-15), 3.0)
    # a-DCF1: 0.9 frr + 0.5 far_nontarget + 1.0 far_spoof, divided by 0.9: (0.9 / 4) at 5 against 0.25 at 3
    assert a_dcf(target, nontarget, spoof, A_DCF1) == (pytest.approx(0.25, abs=1e-15), 5.0)
    assert a_dcf([1], [2], [3]) == (pytest.approx(1, abs=1e-15), 1 - 1e-8)  # inverted: accept all
    assert a_dcf([3], [1], [2]) == (0, 2.0)


def test_three_eers_by_hand():
    # Against nontarget separated; against spoof (0,1) (0,1/2) (1/2,1/2); against both (0,1/4) first, then (1/2,1/4).
    assert sasv_eers([3, 5], [1, 2], [0, 4]) == (0.125, 0.0, 0.5)


def test_t_eer_of_two_perfect_systems_is_zero():
    assert t_eer([3, 4], [1, 2], [5, 6], [1, 2], [3, 4]).rate == 0


def test_t_eer_by_hand():
    # No ASV point but "accept all" (0, 1, 1) is open: the next ones miss half or all of the targets. Along the CM curve
    # misses minus mean false accepts are 0 - (1 + 1)/2 = -1, 1/2 - (1/2 + 1)/2 = -1/4 and 1/2 - (1/2 + 0)/2 = 1/4: the
    # first is taken, where all spoof passes.
    assert t_eer([1, 3], [2], [0, 0], [1], [1]) == (1.0, -1e-8, 1.0)


@pytest.mark.parametrize(
    ("costs", "reason"),
    [
        (A_DCF1._replace(p_target=0.8), "sum to 1"),
        (A_DCF1._replace(p_nontarget=-0.05), "above zero"),
        (A_DCF1._replace(c_miss=float("nan")), "above zero"),
    ],
)
def test_impossible_costs_are_refused(costs, reason):
    with pytest.raises(ValueError, match=reason):
        a_dcf([1], [0], [0], costs)


@pytest.mark.parametrize("metric", [a_dcf, sasv_eers])
def test_each_class_is_checked_by_name(metric):
    with pytest.raises(ValueError, match="no target scores"):
        metric([], [1], [1])
    with pytest.raises(ValueError, match="nontarget scores must be one-dimensional"):
        metric([1], [[1]], [1])
    with pytest.raises(ValueError, match="1 of 1 spoof scores are NaN"):
        metric([1], [1], [np.nan])


def test_t_eer_refuses_what_it_cannot_balance():
    with pytest.raises(ValueError, match="no bona fide scores"):
        t_eer([], [1], [1], [1], [1])
    with pytest.raises(ValueError, match="no nontarget scores"):
        t_eer([1], [1], [1], [], [1])
    # One bona fide CM trial: misses are 0 or 1, and 1 is nearer to the false accepts.
    with pytest.raises(ValueError, match="no pair of thresholds"):
        t_eer([1], [2], [1], [1], [1])


coarse = st.lists(st.integers(-6, 6), min_size=1, max_size=25)


@given(coarse, coarse, coarse, st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.1, 10))
def test_a_dcf_is_the_least_cost_a_threshold_reaches(target, nontarget, spoof, c_miss, c_non, c_spf):
    costs = SasvCosts(0.5, 0.25, 0.25, c_miss, c_non, c_spf)
    expected = min(
        0.5 * c_miss * np.mean(np.array(target) < t)
        + 0.25 * c_non * np.mean(np.array(nontarget) >= t)
        + 0.25 * c_spf * np.mean(np.array(spoof) >= t)
        for t in range(-7, 8)
    ) / min(0.5 * c_miss, 0.25 * (c_non + c_spf))
    assert a_dcf(target, nontarget, spoof, costs)[0] == pytest.approx(expected, rel=1e-12)


@given(coarse, coarse, coarse)
def test_sasv_eers_are_those_of_the_pairs(target, nontarget, spoof):
    eers = sasv_eers(target, nontarget, spoof)
    assert eers == (eer(target, nontarget + spoof)[0], eer(target, nontarget)[0], eer(target, spoof)[0])


def three_class_curves(target, nontarget, spoof):
    """One trial after the other: lowest score first, inside a tie target, nontarget, spoof."""
    trials = [(score, 0) for score in target] + [(score, 1) for score in nontarget] + [(score, 2) for score in spoof]
    trials.sort()
    sizes = np.array([len(target), len(nontarget), len(spoof)])
    rejected = np.zeros((len(trials) + 1, 3))
    for k, (_, kind) in enumerate(trials):
        rejected[k + 1] = rejected[k]
        rejected[k + 1, kind] += 1
    miss, fa_nontarget, fa_spoof = rejected[:, 0], sizes[1] - rejected[:, 1], sizes[2] - rejected[:, 2]
    thresholds = [trials[0][0] - 1e-8] + [float(score) for score, _ in trials]
    return miss / sizes[0], fa_nontarget / sizes[1], fa_spoof / sizes[2], thresholds


@settings(max_examples=50)
@given(coarse, coarse, coarse, coarse, coarse)
def test_t_eer_is_that_of_trying_every_pair_of_thresholds(cm_bonafide, cm_spoof, target, nontarget, spoof):
    frr, far, cm_thresholds = det_curve(cm_bonafide, cm_spoof)
    best, expected = np.inf, None
    for miss, fa_nontarget, fa_spoof, threshold in zip(*three_class_curves(target, nontarget, spoof), strict=True):
        if miss >= 0.5 * fa_nontarget + 0.5 * fa_spoof or fa_spoof == 0:
            continue
        tandem_miss = frr + (1 - frr) * miss
        tandem_false_accept = 0.5 * (1 - frr) * fa_nontarget + 0.5 * far * fa_spoof
        k = np.argmin(np.abs(tandem_miss - tandem_false_accept))
        if frr[k] == 1:
            continue
        disagreement = abs(fa_nontarget / fa_spoof - far[k] / (1 - frr[k]))
        if disagreement < best:
            best, expected = disagreement, (fa_spoof * far[k], threshold, cm_thresholds[k])
    if expected is None:
        with pytest.raises(ValueError, match="no pair of thresholds"):
            t_eer(cm_bonafide, cm_spoof, target, nontarget, spoof)
    else:
        assert t_eer(cm_bonafide, cm_spoof, target, nontarget, spoof) == expected


def test_t_eer_describes_all_three_errors_at_once():
    rng = np.random.default_rng(3)
    cm_bonafide, cm_spoof = rng.normal(2, 1, 4000), rng.normal(0, 1, 4000)
    target, nontarget, spoof = rng.normal(4, 1, 2000), rng.normal(0, 1, 2000), rng.normal(3, 1, 4000)
    rate, asv_threshold, cm_threshold = t_eer(cm_bonafide, cm_spoof, target, nontarget, spoof)
    passed = np.mean(cm_bonafide > cm_threshold)
    misses = 1 - passed * np.mean(target > asv_threshold)
    nontarget_accepted = passed * np.mean(nontarget > asv_threshold)
    spoof_accepted = np.mean(cm_spoof > cm_threshold) * np.mean(spoof > asv_threshold)
    assert rate == pytest.approx(spoof_accepted, abs=1e-12)
    assert rate == pytest.approx(misses, abs=2e-3)
    assert rate == pytest.approx(nontarget_accepted, abs=2e-3)


def test_docstring_examples():
    result = doctest.testmod(sasv)
    assert result.attempted > 0
    assert result.failed == 0
