"""How well numbers tell classes apart: chance, direction, ties, luck, and what cross-validation keeps apart."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spooftrace.audit import separation
from spooftrace.audit.separation import (
    balanced_error,
    deal_folds,
    equal_error,
    f1_scores,
    histogram_decisions,
    joint_decisions,
)
from spooftrace.metrics import eer
from spooftrace.metrics.attribution import tracing_report


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(separation, "DRAWS", 100)


values = st.lists(st.integers(-5, 5), min_size=2, max_size=30)


def rate(bonafide, spoof, speakers=None):
    bonafide, spoof = np.array(bonafide, float), np.array(spoof, float)
    return equal_error(bonafide, spoof, speakers or (np.arange(len(bonafide)), np.arange(len(spoof))))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values, values)
def test_error_rate_knows_no_direction_and_no_scale(bonafide, spoof):
    figure = rate(bonafide, spoof)
    step = 1 / min(len(bonafide), len(spoof))
    assert 0 <= figure.value <= 0.5 + step
    assert figure.low <= figure.high
    assert rate([-v for v in bonafide], [-v for v in spoof]).value == pytest.approx(figure.value, abs=step)
    assert rate(np.exp(bonafide), np.exp(spoof)) == figure


def test_error_rate_without_ties_is_the_eer():
    rng = np.random.default_rng(0)
    bonafide, spoof = rng.normal(1, 1, 60), rng.normal(0, 1, 90)
    figure = rate(bonafide, spoof)
    assert figure.value == eer(bonafide, spoof)[0] == rate(spoof, bonafide).value
    assert figure.low < figure.value < figure.high
    assert figure.skill == pytest.approx(1 - 2 * figure.value)


@pytest.mark.parametrize("sizes", [(20, 20), (30, 200), (200, 30)])
def test_a_constant_says_nothing(sizes):
    figure = rate(*(np.zeros(size) for size in sizes))
    assert figure.value == pytest.approx(0.5, abs=1 / min(sizes))
    assert not figure.beyond_luck(0.5)


def test_a_flag_is_as_good_as_the_share_that_has_it():
    # 0 of 100 and 70 of 100: rejecting what has the flag and, by lot, 3 in 13 of the others gives both rates 3/13.
    assert rate(np.zeros(100), np.repeat([0, 1], [30, 70])).value == pytest.approx(3 / 13, abs=0.01)


def test_spread_is_what_chance_does():
    rng = np.random.default_rng(1)
    classes = rng.permutation(np.repeat([0, 1, 2], [40, 80, 160]))
    decided = rng.choice(3, 280, p=[0.5, 0.3, 0.2])
    decided[:60] = classes[:60]
    macro, each = f1_scores(classes, decided, 3, np.arange(280))
    report = tracing_report(classes, decided)
    assert macro.value == pytest.approx(report.macro_f1) and [one.value for one in each] == pytest.approx(report.f1)
    lots = [tracing_report(classes, rng.permutation(decided)) for _ in range(800)]
    assert np.mean([lot.macro_f1 for lot in lots]) == pytest.approx(macro.chance, abs=0.003)
    assert np.std([lot.macro_f1 for lot in lots]) == pytest.approx(macro.spread, rel=0.1)
    assert np.std([lot.f1[0] for lot in lots]) == pytest.approx(each[0].spread, rel=0.1)
    two, chosen = np.minimum(classes, 1), np.minimum(decided, 1)
    figure = balanced_error(two, chosen, np.arange(280))
    errors = [1 - tracing_report(two, rng.permutation(chosen)).balanced_accuracy for _ in range(800)]
    assert figure.value == pytest.approx(1 - tracing_report(two, chosen).balanced_accuracy)
    assert np.mean(errors) == pytest.approx(0.5, abs=0.005) and np.std(errors) == pytest.approx(figure.spread, rel=0.1)
    bonafide, spoof = rng.random((2, 800, 50))
    rates = [eer(*pair)[0] for pair in zip(bonafide, spoof, strict=True)]
    assert np.std(rates) == pytest.approx(rate(bonafide[0], spoof[0]).spread, rel=0.1)


def test_speakers_widen_the_interval():
    """Twenty speakers, each with one value said thirty times: twenty things were seen, not six hundred."""
    rng = np.random.default_rng(2)
    by_speaker = rng.normal(0, 1, 40)
    bonafide, spoof = by_speaker[:20].repeat(30), by_speaker[20:].repeat(30)
    speakers = np.arange(20).repeat(30), np.arange(20, 40).repeat(30)
    alone, grouped = rate(bonafide, spoof), rate(bonafide, spoof, speakers)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=8, max_size=80))
def test_folds_keep_speakers_whole_and_have_both_classes_left(pairs):
    classes, speakers = np.array(pairs).T
    if np.unique(classes).size < 2:
        return
    folds, whole = deal_folds(classes, speakers)
    lone = min(np.unique(speakers[classes == one]).size for one in (0, 1)) == 1
    assert whole is not lone
    if whole:
        assert all(np.unique(folds[speakers == one]).size == 1 for one in speakers)
        for fold in np.unique(folds):
            assert np.unique(classes[folds != fold]).size == 2


def test_histogram_sees_what_no_threshold_does():
    rng = np.random.default_rng(3)
    spread, fixed = rng.normal(0, 1, 300), np.full(300, 0.1)
    classes = np.repeat([0, 1], 300)
    folds, _ = deal_folds(classes, np.arange(600))
    decided = histogram_decisions(np.concatenate([spread, fixed]), classes, folds)
    assert rate(spread, fixed).value > 0.4
    assert balanced_error(classes, decided, np.arange(600)).value < 0.1


def test_voices_do_not_leak():
    """Each speaker has a value and a class of his own: by utterance that is learnt, by speaker it cannot be."""
    rng = np.random.default_rng(4)
    speakers = np.arange(60).repeat(10)
    classes, cue = (np.arange(60) % 2).repeat(10), rng.permutation(60).repeat(10) + rng.normal(0, 0.01, 600)
    for name, owners in (("speakers", speakers), ("utterances", np.arange(600))):
        folds, _ = deal_folds(classes, owners)
        error = balanced_error(classes, histogram_decisions(cue, classes, folds), speakers).value
        assert (error > 0.4) == (name == "speakers")


def test_regression_joins_cues():
    """Neither of two cues says much, their difference all; a third is large and noise."""
    rng = np.random.default_rng(5)
    common, classes = rng.normal(0, 3, 400), np.arange(400) % 2
    cues = np.column_stack([common, common + classes, 1e6 * rng.normal(0, 1, 400)])
    folds, _ = deal_folds(classes, np.arange(400))
    decided, scores = joint_decisions(cues, classes, folds)
    assert rate(cues[classes == 0, 1], cues[classes == 1, 1]).value > 0.4
    assert eer(scores[classes == 0], scores[classes == 1])[0] < 0.15
    assert np.mean(decided == classes) > 0.85
