"""Closed-set tracing metrics against values worked out on paper, scikit-learn, and properties of any labels."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from spooftrace.metrics import attribution
from spooftrace.metrics.attribution import tracing_report


def test_hand_computed_report():
    #        a a a a b b c -> a a b x b a x
    report = tracing_report(list("aaaabbc"), list("aabxbax"))
    assert report.labels.tolist() == ["a", "b", "c"]
    assert report.columns.tolist() == ["a", "b", "c", "x"]
    assert report.num_classes == 3
    assert report.confusion.tolist() == [[2, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]]
    assert report.support.tolist() == [4, 2, 1]
    assert report.precision.tolist() == [2 / 3, 1 / 2, 0]
    assert report.recall.tolist() == [1 / 2, 1 / 2, 0]
    assert report.f1.tolist() == [4 / 7, 1 / 2, 0]
    assert report.accuracy == 3 / 7
    assert report.balanced_accuracy == pytest.approx(1 / 3)
    assert report.macro_f1 == pytest.approx((4 / 7 + 1 / 2) / 3)
    assert report.weighted_f1 == pytest.approx((4 * 4 / 7 + 2 * 1 / 2) / 7)


def test_a_class_absent_from_the_truth_is_not_averaged():
    report = tracing_report([0, 0, 2, 2], [0, 1, 2, 2])
    assert report.labels.tolist() == [0, 2]
    assert report.columns.tolist() == [0, 2, 1]
    assert report.macro_f1 == pytest.approx((2 / 3 + 1) / 2)  # scikit-learn's own choice of classes gives 5/9


def test_one_class_all_right():
    report = tracing_report(["snac"], ["snac"])
    assert (report.num_classes, report.accuracy, report.macro_f1, report.weighted_f1) == (1, 1, 1, 1)


def test_strings_in_object_arrays_are_strings():
    truth = np.array(["dac", "snac", "dac"], dtype=object)
    assert tracing_report(truth, ["dac", "snac", "mimi"]).labels.tolist() == ["dac", "snac"]


def test_integer_labels_of_any_width_go_together():
    report = tracing_report(np.array([-1, 300], np.int16), np.array([7, 300], np.int64))
    assert report.columns.tolist() == [-1, 300, 7]


@pytest.mark.parametrize(
    ("truth", "predicted", "reason"),
    [
        ([], [], "no utterances"),
        (["a"], [], "1 true labels but 0 predicted"),
        (["a"], ["a", "b"], "1 true labels but 2 predicted"),
        ([1], ["1"], "true labels are of type int64 but predicted ones of type <U1"),
        ([0.5], [1], "true labels must be all strings or all integers, not of type float64"),
        ([1], [None], "predicted labels must be all strings or all integers"),
        ([[1]], [1], "one-dimensional"),
    ],
)
def test_bad_labels_are_refused_with_the_reason(truth, predicted, reason):
    with pytest.raises(ValueError, match=reason):
        tracing_report(truth, predicted)


decisions = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=40)


@pytest.mark.filterwarnings("ignore:A single label was found")  # scikit-learn's, although it is told the labels
@given(decisions)
def test_agrees_with_scikit_learn_told_the_classes_of_the_truth(pairs):
    truth, predicted = np.array(pairs).T
    report = tracing_report(truth, predicted)
    labels = np.unique(truth)
    expected = sklearn_metrics.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    for ours, theirs in zip((report.precision, report.recall, report.f1, report.support), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    matrix = sklearn_metrics.confusion_matrix(truth, predicted, labels=report.columns)
    np.testing.assert_array_equal(report.confusion, matrix[: report.num_classes])
    assert not matrix[report.num_classes :].any()
    assert report.accuracy == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted), abs=1e-12)
    for average, ours in (("macro", report.macro_f1), ("weighted", report.weighted_f1)):
        theirs = sklearn_metrics.f1_score(truth, predicted, labels=labels, average=average, zero_division=0)
        assert ours == pytest.approx(theirs, abs=1e-12)


@given(decisions, st.randoms())
def test_neither_the_order_of_utterances_nor_the_names_of_classes_matter(pairs, random):
    truth, predicted = np.array(pairs).T
    report = tracing_report(truth, predicted)
    random.shuffle(pairs)
    shuffled_truth, shuffled_predicted = np.array([[f"codec {label}" for label in pair] for pair in pairs]).T
    renamed = tracing_report(shuffled_truth, shuffled_predicted)
    assert renamed.columns.tolist() == [f"codec {label}" for label in report.columns]
    np.testing.assert_array_equal(renamed.confusion, report.confusion)
    assert renamed.macro_f1 == report.macro_f1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_right_decisions_score_one(labels):
    report = tracing_report(labels, labels)
    assert report.accuracy == report.balanced_accuracy == 1
    assert report.macro_f1 == report.weighted_f1 == pytest.approx(1)
    np.testing.assert_array_equal(report.confusion, np.diag(report.support))


def test_docstring_examples():
    result = doctest.testmod(attribution)
    assert result.attempted > 0
    assert result.failed == 0
