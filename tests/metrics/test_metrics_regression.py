"""Errors of codec parsing against values worked out on paper and properties that hold for any numbers."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.metrics import regression
from spooftrace.metrics.regression import (
    TARGETS,
    nearest_codec,
    nearest_codec_accuracy,
    target_errors,
    target_errors_per_codec,
)

NAN = float("nan")
# kHz, kbit/s, quantizers
TABLE = {
    "snac": [24, 0.98, 3],
    "encodec": [24, 6, 8],
    "dac": [44.1, 7.74, 9],
    "funcodec_zh": [16, 16, 32],
    "funcodec_en": [16, 16, 32],
}
SCALE = [8, 4, 8]


def test_hand_computed_errors():
    truth = [[16, 4, 8], [16, 4, 8], [24, 6, NAN]]
    predicted = [[19, 4, 9], [12, 5, 6], [24, 8, 100]]
    overall = target_errors(truth, predicted)
    assert overall.count.tolist() == [3, 3, 2]
    assert overall.mae.tolist() == [7 / 3, 1, 3 / 2]
    np.testing.assert_allclose(overall.rmse, [(25 / 3) ** 0.5, (5 / 3) ** 0.5, (5 / 2) ** 0.5], rtol=1e-15)

    per_codec = target_errors_per_codec(truth, predicted, ["speechtokenizer", "speechtokenizer", "encodec"])
    assert list(per_codec) == ["encodec", "speechtokenizer"]
    assert per_codec["speechtokenizer"].count.tolist() == [2, 2, 2]
    assert per_codec["speechtokenizer"].mae.tolist() == [3.5, 0.5, 1.5]
    assert per_codec["encodec"].count.tolist() == [1, 1, 0]
    np.testing.assert_array_equal(per_codec["encodec"].rmse, [0, 2, NAN])
    np.testing.assert_array_equal(per_codec["encodec"].mae, [0, 2, NAN])


def test_targets_are_named_in_the_order_of_the_columns():
    assert TARGETS == ("sampling_rate_khz", "bitrate_kbps", "quantizers")


def test_the_exact_values_of_a_codec_are_nearest_to_it():
    names = ["snac", "encodec", "dac", "funcodec_en"]
    predictions = [TABLE[name] for name in names]
    assert nearest_codec(predictions, TABLE, SCALE).tolist() == names
    assert nearest_codec_accuracy(predictions, names, TABLE, SCALE) == 1


def test_scale_decides_which_target_counts():
    table = {"a": [16, 0, 0], "b": [24, 0, 8]}
    prediction = [[18, 0, 7]]  # 2 kHz and 7 quantizers from a, 6 kHz and 1 quantizer from b
    assert nearest_codec(prediction, table, [1, 1, 8]).tolist() == ["a"]
    assert nearest_codec(prediction, table, [8, 1, 1]).tolist() == ["b"]


def test_of_equally_near_codecs_the_first_by_name_is_reported():
    for names in ("ab", "ba"):  # whatever the order of the table
        table = {name: [16, 16, 32] for name in names}
        assert nearest_codec([[16, 15, 30]], table, SCALE).tolist() == ["a"]
    assert nearest_codec([[20, 1, 1]], {"z": [16, 1, 1], "y": [24, 1, 1]}, SCALE).tolist() == ["y"]
    # Two codecs of the same numbers cannot be told apart, and the one named first takes both.
    assert nearest_codec_accuracy([[16, 16, 32]] * 2, ["funcodec_en", "funcodec_zh"], TABLE, SCALE) == 0.5


def test_unknown_cells_take_no_part_and_bring_no_advantage():
    table = {"full": [16, 4, 8], "half": [16, NAN, NAN]}
    # Squares (1/2, 1/2, 0), mean 1/3, for one; (1/2), mean 1/2, for the other. Sums would be 1 and 1/2.
    assert nearest_codec([[16 + 0.5**0.5, 4 + 0.5**0.5, 8]], table, [1, 1, 1]).tolist() == ["full"]
    # Far off in what is not known of "half".
    assert nearest_codec([[16, 40, 80]], table, [1, 1, 1]).tolist() == ["half"]


@pytest.mark.parametrize(
    ("truth", "predicted", "reason"),
    [
        (np.empty((0, 3)), np.empty((0, 3)), "truth must be of shape"),
        ([[1, 2]], [[1, 2, 3]], "truth must be of shape"),
        ([[1, 2, 3]], [1, 2, 3], "predictions must be of shape"),
        ([[1, 2, 3]], [[1, 2, 3]] * 2, "1 utterances in the truth but 2 in the predictions"),
        ([[1, 2, 3]], [[1, 2, NAN]], "predictions must not hold infinite values or NaN"),
        ([[1, 2, np.inf]], [[1, 2, 3]], "truth must not hold infinite values"),
    ],
)
def test_bad_values_are_refused_with_the_reason(truth, predicted, reason):
    with pytest.raises(ValueError, match=reason):
        target_errors(truth, predicted)
    with pytest.raises(ValueError, match=reason):
        target_errors_per_codec(truth, predicted, ["dac"] * len(truth))


@pytest.mark.parametrize(
    ("table", "scale", "reason"),
    [
        ({}, SCALE, "the table has no codecs"),
        ({"a": [1, 2, 3], "b": [NAN] * 3}, SCALE, "the table knows no value of codec b"),
        ({"a": [1, 2]}, SCALE, "table must be of shape"),
        (TABLE, [1, 0, 1], "scale must be 3 numbers above zero"),
        (TABLE, [1, NAN, 1], "scale must be 3 numbers above zero"),
        (TABLE, [1, 1], "scale must be 3 numbers above zero"),
    ],
)
def test_bad_tables_and_scales_are_refused_with_the_reason(table, scale, reason):
    with pytest.raises(ValueError, match=reason):
        nearest_codec([[1, 2, 3]], table, scale)


def test_true_codecs_must_fit_the_predictions_and_the_table():
    with pytest.raises(ValueError, match="codecs that are not in the table: mimi"):
        nearest_codec_accuracy([[1, 2, 3]], ["mimi"], TABLE, SCALE)
    for count in (0, 2):
        with pytest.raises(ValueError, match="1 utterances but codec names of shape"):
            nearest_codec_accuracy([[1, 2, 3]], ["dac"] * count, TABLE, SCALE)
        with pytest.raises(ValueError, match="1 utterances but codec names of shape"):
            target_errors_per_codec([[1, 2, 3]], [[1, 2, 3]], ["dac"] * count)


number = st.floats(-100, 100).map(lambda value: round(value, 3))
triple = st.tuples(number, number, number)
cell = st.one_of(number, st.just(NAN))


@given(st.lists(st.tuples(triple, st.tuples(cell, cell, cell), st.sampled_from("abc")), min_size=1, max_size=20))
def test_codecs_add_up_to_all_utterances(utterances):
    predicted, truth, codecs = zip(*utterances, strict=True)
    overall = target_errors(truth, predicted)
    parts = list(target_errors_per_codec(truth, predicted, codecs).values())
    np.testing.assert_array_equal(sum(part.count for part in parts), overall.count)
    with_data = overall.count > 0
    for total, share in (
        (overall.mae * overall.count, [part.mae * part.count for part in parts]),
        (overall.rmse**2 * overall.count, [part.rmse**2 * part.count for part in parts]),
    ):
        np.testing.assert_allclose(total[with_data], np.nansum(share, axis=0)[with_data], rtol=1e-9, atol=1e-9)
    assert (overall.mae[with_data] <= overall.rmse[with_data] * (1 + 1e-9) + 1e-9).all()
    assert np.isnan(overall.mae[~with_data]).all()


@given(st.lists(triple, min_size=1, max_size=8), st.lists(triple, min_size=1, max_size=8))
def test_complete_tables_give_the_euclidean_neighbour(predictions, rows):
    table = {f"codec{row}": values for row, values in enumerate(rows)}
    decided = nearest_codec(predictions, table, SCALE)
    for prediction, name in zip(np.array(predictions), decided, strict=True):
        distances = np.linalg.norm((np.array(rows) - prediction) / SCALE, axis=1)
        assert distances[int(name.removeprefix("codec"))] == pytest.approx(distances.min(), rel=1e-9, abs=1e-9)


def test_docstring_examples():
    result = doctest.testmod(regression)
    assert result.attempted > 0
    assert result.failed == 0
