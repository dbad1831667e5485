"""Calibration and fusion against maps that are known, scikit-learn's logistic regression, and what Cllr must do."""

import doctest
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from spooftrace.metrics import calibration, eer
from spooftrace.metrics.calibration import (
    Calibration,
    Fusion,
    SignFlipWarning,
    calibrate_fit,
    fuse_fit,
    logits_to_llr,
)


def cllr(bonafide, spoof):
    """In bits, 1 for a system that says nothing."""
    return (np.logaddexp(0, -bonafide).mean() + np.logaddexp(0, spoof).mean()) / 2 / np.log(2)


def llr_gaussians(rng, bonafide=4000, spoof=4000, mean=2.0):
    """LLRs as such: N(m, 2m) for bona fide and N(-m, 2m) for spoof are their own log-likelihood ratios."""
    spread = np.sqrt(2 * mean)
    return rng.normal(mean, spread, bonafide), rng.normal(-mean, spread, spoof)


def test_fit_by_hand():
    # Score 1: 3 of 4 bona fide, 1 of 4 spoof, so the LLR is ln 3; score 0: the other way round.
    fitted = calibrate_fit([1, 1, 1, 0], [1, 0, 0, 0])
    assert (fitted.scale, fitted.offset) == pytest.approx((2 * np.log(3), -np.log(3)))
    assert fitted.apply([0, 0.5, 1]) == pytest.approx([-np.log(3), 0, np.log(3)])
    assert not fitted.flipped
    # The class sizes and the prior aimed at leave this map alone, as it goes through both points exactly.
    for prior in (0.05, 0.9):
        other = calibrate_fit([1, 1, 1, 0] * 5, [1, 0, 0, 0], prior)
        assert (other.scale, other.offset) == pytest.approx((fitted.scale, fitted.offset))


def test_fit_recovers_a_known_affine_map():
    bonafide, spoof = llr_gaussians(np.random.default_rng(0), 20000, 40000)
    fitted = calibrate_fit((bonafide - 3) / 0.2, (spoof - 3) / 0.2)
    assert (fitted.scale, fitted.offset) == pytest.approx((0.2, 3), rel=0.03)


@pytest.mark.parametrize("prior", [0.05, 0.5, 0.95])
def test_fit_is_the_weighted_logistic_regression_of_scikit_learn(prior):
    rng = np.random.default_rng(1)
    bonafide, spoof = rng.normal(1, 2, (80, 2)), rng.normal(0, 1, (200, 2))  # LLRs that no affine map gives
    weights = np.repeat([prior / 80, (1 - prior) / 200], [80, 200])
    labels = np.repeat([1, 0], [80, 200])
    for systems in (1, 2):
        scores = np.concatenate((bonafide, spoof))[:, :systems]
        theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(scores, labels, 1e4 * weights)
        offset = theirs.intercept_[0] - np.log(prior / (1 - prior))
        fused = fuse_fit(bonafide[:, :systems], spoof[:, :systems], prior)
        assert fused.weights == pytest.approx(theirs.coef_[0], rel=1e-4)
        assert fused.offset == pytest.approx(offset, rel=1e-4)
    alone = calibrate_fit(bonafide[:, 0], spoof[:, 0], prior)
    assert fuse_fit(bonafide[:, :1], spoof[:, :1], prior) == Fusion((alone.scale,), alone.offset)


def test_calibration_lowers_cllr_on_other_trials_and_keeps_the_eer():
    rng = np.random.default_rng(2)
    (dev_bonafide, dev_spoof), (bonafide, spoof) = llr_gaussians(rng), llr_gaussians(rng)
    raw_bonafide, raw_spoof = bonafide * 5 + 10, spoof * 5 + 10
    fitted = calibrate_fit(dev_bonafide * 5 + 10, dev_spoof * 5 + 10)
    after = cllr(fitted.apply(raw_bonafide), fitted.apply(raw_spoof))
    assert after < 0.2 * cllr(raw_bonafide, raw_spoof)
    assert after == pytest.approx(cllr(bonafide, spoof), rel=0.01)
    assert eer(fitted.apply(raw_bonafide), fitted.apply(raw_spoof))[0] == eer(bonafide, spoof)[0]


def test_fusion_lowers_cllr_below_that_of_each_system():
    rng = np.random.default_rng(3)

    def trials():
        bonafide, spoof = llr_gaussians(rng), llr_gaussians(rng)
        # Two independent systems: (trials, systems); the second in other units.
        return [np.column_stack((bonafide[i], spoof[i] * 10 - 4)) for i in (0, 1)]

    dev, test = trials(), trials()
    fused = fuse_fit(*dev)
    # LLRs of independent evidence add up.
    assert fused.weights == pytest.approx((1, 0.1), rel=0.1)
    assert fused.offset == pytest.approx(0.4, abs=0.2)
    alone = [cllr(*(calibrate_fit(dev[0][:, i], dev[1][:, i]).apply(part[:, i]) for part in test)) for i in range(2)]
    assert cllr(*(fused.apply(part) for part in test)) < 0.7 * min(alone)


def test_a_flipped_sign_is_told():
    bonafide, spoof = llr_gaussians(np.random.default_rng(4), 300, 300)
    with pytest.warns(SignFlipWarning, match=r"scale is negative \(-1\.\d+\).*check the sign"):
        fitted = calibrate_fit(-bonafide, -spoof)
    assert fitted.flipped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        right = calibrate_fit(bonafide, spoof)
    assert not right.flipped
    assert fitted.scale == pytest.approx(-right.scale)

    other = llr_gaussians(np.random.default_rng(5), 300, 300)
    with pytest.warns(SignFlipWarning, match=r"counted from 0\): \{1: -"):
        fused = fuse_fit(np.column_stack((bonafide, -other[0])), np.column_stack((spoof, -other[1])))
    assert fused.flipped


def test_logits_to_llr():
    assert logits_to_llr([[1, 3], [2, 2]], 0.5).tolist() == [2, 0]
    # One bona fide to nine spoof in training: log odds of -ln 9 say nothing about the trial.
    assert logits_to_llr([-np.log(9)], 0.1) == pytest.approx([0])
    assert logits_to_llr([[0.5, 1.5]], 0.9) == pytest.approx([1 - np.log(9)])


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.floats(0.1, 10), st.floats(-20, 20), st.floats(0.1, 0.9))
def test_order_and_units_of_the_scores_do_not_matter(random, scale, offset, prior):
    rng = np.random.default_rng(6)
    bonafide, spoof = rng.normal(1, 1, 40), rng.normal(0, 1, 60)
    expected = calibrate_fit(bonafide, spoof, prior).apply(spoof)
    shuffled = [np.array(random.sample(part.tolist(), part.size)) * scale + offset for part in (bonafide, spoof)]
    fitted = calibrate_fit(*shuffled, prior)
    np.testing.assert_allclose(fitted.apply(spoof * scale + offset), expected, rtol=1e-6, atol=1e-7)


@given(
    st.lists(st.integers(-4, 4), min_size=2, max_size=20),
    st.lists(st.integers(-4, 4), min_size=2, max_size=20),
)
@settings(deadline=None)
def test_a_fit_is_finite_and_the_best_or_refused(bonafide, spoof):
    bonafide, spoof = np.array(bonafide, float), np.array(spoof, float)
    overlap = min(bonafide) < max(spoof) and min(spoof) < max(bonafide)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SignFlipWarning)
        if not overlap:
            with pytest.raises(ValueError, match=r"separate the classes|all development scores are equal"):
                calibrate_fit(bonafide, spoof)
            return
        fitted = calibrate_fit(bonafide, spoof)
    best = cllr(fitted.apply(bonafide), fitted.apply(spoof))
    assert best <= 1 + 1e-12
    for scale, offset in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        other = Calibration(fitted.scale + scale, fitted.offset + offset)
        assert cllr(other.apply(bonafide), other.apply(spoof)) >= best - 1e-14


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: calibrate_fit([], [1.0]), "no bona fide scores"),
        (lambda: calibrate_fit([1.0], []), "no spoof scores"),
        (lambda: calibrate_fit([1.0, np.nan], [0.0]), "1 of 2 bona fide scores are NaN"),
        (lambda: calibrate_fit([1.0, 2.0], [np.inf]), "1 of 1 spoof scores are NaN or infinite"),
        (lambda: calibrate_fit([[1.0]], [0.0]), r"must have the shape \(trials,\)"),
        (lambda: calibrate_fit([0.1] * 3, [0.1] * 7), "all development scores are equal"),
        (lambda: calibrate_fit([3.0, 4.0], [1.0, 2.0]), "without error"),
        (lambda: calibrate_fit([1.0, 2.0], [3.0, 4.0]), "without error"),
        (lambda: calibrate_fit([1.0, 2.0], [0.0, 1.0]), "but for ties"),
        (lambda: calibrate_fit([1.0, 0.0], [0.0, 1.0], prior=1.0), "prior of bona fide is 1.0"),
        (lambda: fuse_fit([[1.0, 2.0]], [[1.0]]), "scores of 2 systems, spoof scores of 1"),
        (lambda: fuse_fit([[1, 2], [0, 0]], [[0, 0], [1, 2]]), "linear function of the others'"),
        (lambda: Calibration(1.0, 0.0).apply([np.nan]), "1 of 1 scores are NaN"),
        (lambda: Fusion((1.0, 2.0), 0.0).apply([[1.0]]), "1 systems given to a fusion of 2"),
        (lambda: logits_to_llr([[1.0, 2.0, 3.0]], 0.5), "3 columns"),
        (lambda: logits_to_llr([1.0], 0.0), "prior of bona fide is 0.0"),
        (lambda: logits_to_llr([[[1.0]]], 0.5), "must have the shape"),
    ],
)
def test_mistakes_are_refused_with_the_reason(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()


def test_docstring_examples():
    result = doctest.testmod(calibration)
    assert result.attempted > 0
    assert result.failed == 0
