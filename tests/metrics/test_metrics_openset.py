"""Open-set metrics and detectors against values worked out on paper, scikit-learn, and properties of any scores."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from spooftrace.metrics import openset
from spooftrace.metrics.openset import (
    Mahalanobis,
    NearestNeighbour,
    aupr_in,
    aupr_out,
    auroc,
    ccr_at_fpr,
    energy,
    fpr95_id_positive,
    fpr95_ood_positive,
    max_softmax,
    open_set_report,
    oscr,
)

KNOWN, CORRECT, UNKNOWN = [4.0, 3.0, 2.0, 2.0], [True, False, True, False], [3.0, 1.0]


def test_hand_computed_figures():
    # Known against unknown, won pairs of two: 4 wins 2, 3 wins 1.5 (a tie), each 2 wins 1.
    assert auroc(KNOWN, UNKNOWN) == (2 + 1.5 + 1 + 1) / 8
    assert oscr(KNOWN, CORRECT, UNKNOWN) == (2 + 1) / 8
    # All the known are accepted down to 2, and of the unknown the 3; all the unknown are rejected up to 3, and with
    # them every known utterance but the 4.
    assert fpr95_id_positive(KNOWN, UNKNOWN) == 1 / 2
    assert fpr95_ood_positive(KNOWN, UNKNOWN) == 3 / 4
    # Recall, precision: (0,1) (1/4,1) (1/2,2/3) (1,4/5).
    assert aupr_in(KNOWN, UNKNOWN) == pytest.approx(1 / 4 + (1 + 2 / 3) / 2 / 4 + (2 / 3 + 4 / 5) / 2 / 2)
    # Unknown first: (0,1) (1/2,1) (1/2,1/3) (1,2/5), then a point that adds precision but no recall.
    assert aupr_out(KNOWN, UNKNOWN) == pytest.approx(1 / 2 + (1 / 3 + 2 / 5) / 2 / 2)
    assert ccr_at_fpr(KNOWN, CORRECT, UNKNOWN, fpr=0.5) == 1 / 4  # above 3: only the 4, and it is right
    assert ccr_at_fpr(KNOWN, CORRECT, UNKNOWN, fpr=1) == 2 / 4


def test_report_names_every_figure():
    report = open_set_report(KNOWN, CORRECT, UNKNOWN)
    assert report == {
        "auroc": auroc(KNOWN, UNKNOWN),
        "aupr_in": aupr_in(KNOWN, UNKNOWN),
        "aupr_out": aupr_out(KNOWN, UNKNOWN),
        "fpr95_ood_positive": 0.75,
        "fpr95_id_positive": 0.5,
        "eer": 0.5,  # official: FRR, FAR (0,1) (0,1/2) (1/4,1/2) (1/2,1/2)
        "oscr": 0.375,
        "id_accuracy": 0.5,
        "ccr_at_fpr_0.01": 0.25,
        "ccr_at_fpr_0.05": 0.25,
        "ccr_at_fpr_0.1": 0.25,
    }
    assert all(type(value) is float for value in report.values())


def test_allowed_false_positives_are_not_rounded_up_by_floating_point():
    unknown = np.arange(100.0)  # 0.07 * 100 > 7 in floating point; the 7th highest is 93
    assert ccr_at_fpr([93.5, 92.5], [True, True], unknown, fpr=0.07) == 0.5


def test_exactly_95_percent_is_enough():
    twenty = np.arange(1.0, 21.0)  # 2 to 20 are 95 % of them, 1 to 19 too
    assert fpr95_id_positive(twenty, [1.5, 2.5]) == 0.5
    assert fpr95_ood_positive([18.5, 19.5], twenty) == 0.5


def test_constant_scores():
    assert auroc([1.0] * 3, [1.0] * 5) == 0.5
    assert fpr95_id_positive([1.0] * 3, [1.0] * 5) == fpr95_ood_positive([1.0] * 3, [1.0] * 5) == 1


@pytest.mark.parametrize("metric", [auroc, aupr_in, aupr_out, fpr95_id_positive, fpr95_ood_positive])
@pytest.mark.parametrize(
    ("known", "unknown", "reason"),
    [
        ([], [1.0], "known scores must be a list of at least one number"),
        ([1.0], [], "unknown scores must be a list of at least one number"),
        ([1.0], [[1.0]], "unknown scores must be"),
        ([1.0, np.nan], [1.0], "1 known scores are NaN or infinite"),
        ([1.0], [np.inf, 0], "1 unknown scores are NaN or infinite"),
    ],
)
def test_bad_scores_are_refused_with_the_reason(metric, known, unknown, reason):
    with pytest.raises(ValueError, match=reason):
        metric(known, unknown)


@pytest.mark.parametrize("correct", [[True], [1, 0], [[True, False]]])
def test_correct_must_be_booleans_one_for_each_known_score(correct):
    for metric in (oscr, open_set_report):
        with pytest.raises(ValueError, match="correct must be booleans"):
            metric([1.0, 2.0], correct, [0.0])


@pytest.mark.parametrize("fpr", [0, -0.1, 1.01, np.nan])
def test_impossible_false_positive_rates_are_refused(fpr):
    with pytest.raises(ValueError, match="must be above 0 and at most 1"):
        ccr_at_fpr(KNOWN, CORRECT, UNKNOWN, fpr)


coarse = st.lists(st.integers(-8, 8), min_size=1, max_size=30)  # ties abound
judged = st.lists(st.tuples(st.integers(-8, 8), st.booleans()), min_size=1, max_size=30)


@given(coarse, coarse)
def test_roc_figures_agree_with_scikit_learn(known, unknown):
    is_known = np.repeat([True, False], [len(known), len(unknown)])
    scores = np.concatenate((known, unknown))
    assert auroc(known, unknown) == pytest.approx(roc_auc_score(is_known, scores), abs=1e-12)
    for ours, positive, direction in ((fpr95_id_positive, is_known, 1), (fpr95_ood_positive, ~is_known, -1)):
        fpr, tpr, _ = roc_curve(positive, direction * scores, drop_intermediate=False)
        assert ours(known, unknown) == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-12)


@given(judged, coarse)
def test_oscr_is_the_area_under_the_curve_of_all_thresholds(pairs, unknown):
    known, correct = np.array([score for score, _ in pairs]), np.array([right for _, right in pairs])
    unknown = np.array(unknown)
    area, previous = 0.0, (0.0, 0.0)
    for threshold in sorted({*known, *unknown}, reverse=True):
        fpr, ccr = np.mean(unknown >= threshold), np.mean(correct & (known >= threshold))
        area += (fpr - previous[0]) * (ccr + previous[1]) / 2
        previous = fpr, ccr
    value = oscr(known, correct, unknown)
    assert value == pytest.approx(area, abs=1e-12)
    assert value <= min(correct.mean(), auroc(known, unknown)) + 1e-12
    assert oscr(known, np.ones(len(known), bool), unknown) == auroc(known, unknown)


@given(judged, coarse)
def test_ccr_rises_with_the_rate_allowed_and_keeps_to_it(pairs, unknown):
    known, correct = np.array([score for score, _ in pairs]), np.array([right for _, right in pairs])
    rates = [ccr_at_fpr(known, correct, unknown, fpr) for fpr in (0.01, 0.1, 0.3, 0.7, 1)]
    assert rates == sorted(rates)
    assert rates[-1] <= correct.mean()
    strict = ccr_at_fpr(known, correct, unknown, 1e-6)  # none but those above every unknown score
    assert strict == np.mean(correct & (known > max(unknown)))


@given(coarse, coarse)
def test_negating_scores_and_swapping_sides_swaps_the_conventions(known, unknown):
    known, unknown = np.array(known), np.array(unknown)
    assert auroc(-unknown, -known) == pytest.approx(auroc(known, unknown), abs=1e-12)
    assert fpr95_id_positive(-unknown, -known) == fpr95_ood_positive(known, unknown)
    assert aupr_in(-unknown, -known) == aupr_out(known, unknown)


def test_softmax_and_energy_by_hand():
    logits = np.log([[1.0, 3.0], [2.0, 2.0], [0.5, 0.125]])
    np.testing.assert_allclose(max_softmax(logits), [3 / 4, 1 / 2, 4 / 5], rtol=1e-15)
    np.testing.assert_allclose(energy(logits), np.log([4, 4, 0.625]), rtol=1e-15)


@given(st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=10), st.floats(-1e4, 1e4))
def test_an_offset_on_all_logits_moves_the_energy_only(logits, offset):
    logits = np.array(logits)
    np.testing.assert_allclose(max_softmax(logits + offset), max_softmax(logits), rtol=1e-9)
    np.testing.assert_allclose(energy(logits + offset), energy(logits) + offset, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def embeddings():
    """Two known classes, long in one direction; (N, D) and labels."""
    rng = np.random.default_rng(3)
    labels = np.repeat(["dac", "snac"], 200)
    centres = np.where((labels == "dac")[:, None], [10.0, 0, 0], [0, 10.0, 0])
    return centres + rng.standard_normal((400, 3)) * [1.0, 1.0, 5.0], labels


def test_mahalanobis_is_the_distance_to_the_nearest_class_mean(embeddings):
    x, labels = embeddings
    detector = Mahalanobis().fit(x, labels)
    means = np.stack([x[labels == name].mean(axis=0) for name in ("dac", "snac")])
    np.testing.assert_allclose(detector.score(means), 0, atol=1e-12)
    # Five units are far in the first direction and near in the long third one.
    far, near = detector.score(means[[0, 0]] + np.array([[5.0, 0, 0], [0, 0, 5.0]]))
    assert far < -15
    assert near > -2
    # With many utterances there is next to no shrinkage, and the mean squared distance is the dimension.
    assert detector.score(x).mean() == pytest.approx(-3, abs=0.2)


def test_mahalanobis_does_not_depend_on_rotation_and_scale(embeddings):
    x, labels = embeddings
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    turned = Mahalanobis().fit(7 * x @ rotation + 2, labels).score(7 * x @ rotation + 2)
    np.testing.assert_allclose(turned, Mahalanobis().fit(x, labels).score(x), rtol=1e-8, atol=1e-10)


def test_mahalanobis_with_fewer_utterances_than_dimensions():
    rng = np.random.default_rng(5)
    known, unknown = rng.standard_normal((12, 40)), rng.standard_normal((12, 40)) + 3
    detector = Mahalanobis().fit(known, np.arange(12) % 3)
    assert detector.score(known).min() > detector.score(unknown).max()


def test_nearest_neighbour_by_hand():
    # Unit vectors at 0, 90 and 180 degrees; lengths are no matter.
    detector = NearestNeighbour(k=2).fit([[2.0, 0.0], [0.0, 0.5], [-1.0, 0.0]])
    scores = detector.score([[1.0, 0.0], [0.0, 3.0], [5.0, 5.0], [0.0, -1.0]])
    np.testing.assert_allclose(scores, -np.sqrt([2, 2, 2 - np.sqrt(2), 2]))


def test_nearest_neighbour_finds_the_unknown(embeddings):
    x, _ = embeddings
    detector = NearestNeighbour(k=5).fit(x)
    assert auroc(detector.score(x), detector.score(-np.abs(x) - 1)) > 0.99


@pytest.mark.parametrize(
    ("fit", "reason"),
    [
        (lambda: Mahalanobis().fit([[1.0, 2.0]], ["a", "b"]), "1 embeddings but labels of shape"),
        (lambda: Mahalanobis().fit([[1.0], [2.0]], ["a", "b"]), "differ too little from their class means"),
        (lambda: Mahalanobis().fit([1.0], ["a"]), "embeddings must be of shape"),
        (lambda: NearestNeighbour(k=0), "k must be at least 1"),
        (lambda: NearestNeighbour(k=3).fit([[1.0], [2.0]]), "2 training embeddings for k = 3"),
        (lambda: NearestNeighbour(k=1).fit([[np.nan]]), "NaN or infinite"),
        (lambda: NearestNeighbour(k=1).fit([[1.0]]).score([[1.0, 2.0]]), "embeddings must be of shape"),
        (lambda: max_softmax([1.0, 2.0]), "logits must be of shape"),
        (lambda: energy([[np.inf, 0.0]]), "logits contain values that are NaN or infinite"),
    ],
)
def test_bad_input_to_detectors_is_refused_with_the_reason(fit, reason):
    with pytest.raises(ValueError, match=reason):
        fit()


def test_docstring_examples():
    result = doctest.testmod(openset)
    assert result.attempted > 0
    assert result.failed == 0
