"""Breakdown tables: which trials a cell has, what is pooled and what is averaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.evaluation.breakdown import breakdown, cells
from spooftrace.evaluation.tables import MEAN, POOLED, Table
from spooftrace.evaluation.trials import Column, ScoredTrials
from spooftrace.metrics import TandemWeights, eer, min_dcf, min_tdcf

# label, attack, codec, score; "C2" has no spoof trial, A2 none in C1
TRIALS = [
    ("bonafide", "-", "C0", 2.0),
    ("bonafide", "-", "C0", 0.5),
    ("bonafide", "-", "C1", 1.0),
    ("bonafide", "-", "C1", 3.0),
    ("bonafide", "-", "C2", -1.0),
    ("spoof", "A1", "C0", 0.7),
    ("spoof", "A1", "C0", -1.0),
    ("spoof", "A1", "C1", 2.0),
    ("spoof", "A2", "C0", -3.0),
    ("spoof", "A2", "C0", 2.5),
]


def scored(rows, **columns):
    labels, attacks, conditions, scores = zip(*rows, strict=True)
    columns = {"attack": attacks, "cond": conditions} | columns
    return ScoredTrials(
        "eval",
        [f"u{index}" for index in range(len(rows))],
        np.array(scores, dtype=np.float64),
        np.array(labels) == "bonafide",
        {name: Column.of(values) for name, values in columns.items()},
    )


def cell(table, row, column):
    return table.values[table.rows.index(row), table.columns.index(column)]


def test_a_property_that_only_spoof_trials_have_takes_all_bona_fide_ones():
    newness = ["-"] * 5 + ["seen", "new", "seen", "new", "new"]
    table = breakdown(scored(TRIALS, subset=newness), "subset")["eer"]
    assert table.rows == ("new", "seen", POOLED, MEAN)
    assert table.values[0, 0] == eer([2.0, 0.5, 1.0, 3.0, -1.0], [-1.0, -3.0, 2.5])[0]
    # "-" is a value like any other, such as "not coded", as soon as one spoof trial has it.
    shared = breakdown(scored(TRIALS, subset=[*newness[:-1], "-"]), "subset")["eer"]
    assert shared.rows == ("-", "new", "seen", POOLED, MEAN)
    assert np.isnan(shared.values[1, 0]), "no bona fide trial is 'new'"


def test_codec_filters_both_classes_and_attack_only_spoof():
    table = breakdown(scored(TRIALS), "attack", "cond")["eer"]
    assert table.rows == ("A1", "A2", POOLED, MEAN)
    assert table.columns == ("C0", "C1", "C2", POOLED, MEAN)
    everything = [2.0, 0.5, 1.0, 3.0, -1.0]
    expected = {
        ("A1", "C0"): eer([2.0, 0.5], [0.7, -1.0])[0],
        ("A2", "C0"): eer([2.0, 0.5], [-3.0, 2.5])[0],
        ("A1", "C1"): eer([1.0, 3.0], [2.0])[0],
        ("A1", POOLED): eer(everything, [0.7, -1.0, 2.0])[0],
        ("A2", POOLED): eer(everything, [-3.0, 2.5])[0],
        (POOLED, "C0"): eer([2.0, 0.5], [0.7, -1.0, -3.0, 2.5])[0],
        (POOLED, POOLED): eer(everything, [0.7, -1.0, 2.0, -3.0, 2.5])[0],
    }
    assert {where: cell(table, *where) for where in expected} == expected
    for empty in [("A2", "C1"), ("A1", "C2"), (POOLED, "C2"), (MEAN, "C2"), (MEAN, MEAN)]:
        assert np.isnan(cell(table, *empty))


def test_means_are_of_single_cells_and_not_of_totals():
    table = breakdown(scored(TRIALS), "attack", "cond", ("min_dcf",))["min_dcf"]
    assert cell(table, MEAN, "C0") == pytest.approx((cell(table, "A1", "C0") + cell(table, "A2", "C0")) / 2)
    assert cell(table, "A1", MEAN) == pytest.approx((cell(table, "A1", "C0") + cell(table, "A1", "C1")) / 2)
    assert cell(table, "A2", MEAN) == cell(table, "A2", "C0")
    assert cell(table, MEAN, POOLED) == pytest.approx((cell(table, "A1", POOLED) + cell(table, "A2", POOLED)) / 2)


def test_a_single_property_gives_one_column_per_metric():
    tables = breakdown(scored(TRIALS), "cond", metrics=("eer", "min_dcf"))
    assert tables["eer"].columns == ("EER (%)",)
    assert tables["min_dcf"].columns == ("minDCF",)
    assert tables["eer"].rows == ("C0", "C1", "C2", POOLED, MEAN)
    assert tables["eer"].percent and not tables["min_dcf"].percent
    assert tables["eer"].values[1, 0] == eer([1.0, 3.0], [2.0])[0]


def test_categories_without_a_trial_have_no_row():
    trials = scored(TRIALS)
    kept = trials.select(~trials.columns["attack"].is_in(["A1"]) & ~trials.columns["cond"].is_in(["C1"]))
    table = breakdown(kept, "attack", "cond")["eer"]
    assert table.rows == ("A2", POOLED, MEAN)
    assert table.columns == ("C0", "C2", POOLED, MEAN)
    assert cell(table, "A2", "C0") == eer([2.0, 0.5], [-3.0, 2.5])[0]


def test_what_bona_fide_trials_are_called_does_not_matter():
    renamed = [(label, "bonafide" if label == "bonafide" else a, c, s) for label, a, c, s in TRIALS]
    table, expected = (breakdown(scored(rows), "attack", "cond")["eer"] for rows in (renamed, TRIALS))
    assert table.rows == expected.rows
    np.testing.assert_array_equal(table.values, expected.values)


def test_tdcf_takes_the_weights_of_each_cell():
    given_weights = {
        ("A1", "C0"): TandemWeights(0.1, 0.9, 0.4),
        (POOLED, "C0"): TandemWeights(0.2, 0.8, 0.3),
        ("A1", "C1"): TandemWeights(0.0, 0.8, 0.0),  # never let through by the ASV system: nothing to divide by
    }
    asked = breakdown(
        scored(TRIALS), "attack", "cond", ("min_tdcf",), lambda attack, cond: given_weights.get((attack, cond))
    )["min_tdcf"]
    assert cell(asked, "A1", "C0") == min_tdcf([2.0, 0.5], [0.7, -1.0], given_weights["A1", "C0"])[0]
    assert cell(asked, POOLED, "C0") == min_tdcf([2.0, 0.5], [0.7, -1.0, -3.0, 2.5], given_weights[POOLED, "C0"])[0]
    assert np.isnan(cell(asked, "A1", "C1"))
    assert np.isnan(cell(asked, "A1", POOLED))  # no weights given


def test_no_tdcf_by_a_property_that_asv_systems_are_not_measured_by():
    trials = scored(TRIALS, subset=["x", "y"] * 5)
    table = breakdown(trials, "subset", metrics=("min_tdcf",), weights=lambda *_: TandemWeights(0.1, 0.9, 0.4))
    values = table["min_tdcf"].values[:, 0]
    assert np.isnan(values[:2]).all()
    assert values[2] == min_tdcf(trials.bonafide, trials.spoof, TandemWeights(0.1, 0.9, 0.4))[0]


def test_unknown_property():
    with pytest.raises(ValueError, match="no 'source'; known are attack, cond"):
        breakdown(scored(TRIALS), "source")


def test_table_checks_its_shape():
    with pytest.raises(ValueError, match="2 rows and 1 columns"):
        Table("t", "row", ("a", "b"), ("c",), np.zeros((1, 2)))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["bonafide", "spoof"]),
            st.sampled_from(["A1", "A2", "A3"]),
            st.sampled_from(["-", "C1", "C2"]),
            st.integers(-4, 4),
        ),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([("attack", "cond"), ("cond", "attack"), ("cond", None), ("attack", None)]),
)
def test_cells_are_what_filtering_gives(rows, axes):
    trials = scored(rows)
    names = {axis: np.array([row[1 if axis == "attack" else 2] for row in rows]) for axis in axes if axis}
    for *where, curve in cells(trials, *axes):
        spoof, bonafide = ~trials.is_bonafide, trials.is_bonafide.copy()
        for axis, value in zip(axes, where, strict=True):
            if value != POOLED:
                spoof &= names[axis] == value
                bonafide &= (names[axis] == value) | (axis == "attack")
        if not spoof.any() or not bonafide.any():
            assert curve is None
            continue
        assert curve.spoof.tolist() == sorted(trials.scores[spoof])
        assert curve.bonafide.tolist() == sorted(trials.scores[bonafide])
        assert min_dcf(curve) == min_dcf(trials.scores[bonafide], trials.scores[spoof])
