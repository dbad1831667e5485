"""Detection metrics by the convention of each challenge."""

import json

import numpy as np
import pytest

from spooftrace.common.errors import InputError
from spooftrace.evaluation.conventions import CONVENTIONS
from spooftrace.evaluation.detection import breakdown_tables, evaluate_detection, format_text
from spooftrace.evaluation.tables import POOLED
from spooftrace.evaluation.trials import Column, ScoredTrials
from spooftrace.metrics import (
    ASVSPOOF5_ASV,
    AsvErrorRates,
    TandemWeights,
    act_dcf,
    cllr,
    eer,
    legacy_weights,
    min_cllr,
    min_dcf,
    min_tdcf,
    revised_weights,
    ties_across_classes,
)

RATES = AsvErrorRates(0.025, 0.025, 0.76)
WEAK = AsvErrorRates(0.025, 0.025, 0.3)


def scored(is_bonafide, scores, **columns):
    columns = {name: Column.of(values) for name, values in columns.items()}
    return ScoredTrials("eval", [f"u{i}" for i in range(len(scores))], np.array(scores), np.array(is_bonafide), columns)


@pytest.fixture
def trials():
    """Two attacks, two codecs, two subsets, 240 trials."""
    rng = np.random.default_rng(3)
    is_bonafide = np.arange(240) % 3 == 0
    attack = np.where(is_bonafide, "-", np.where(np.arange(240) % 2, "A07", "A08"))
    return scored(
        is_bonafide,
        rng.normal(np.where(is_bonafide, 1.5, np.where(attack == "A07", 0.0, 0.6)), 1),
        attack=attack.tolist(),
        cond=rng.choice(["none", "alaw"], 240).tolist(),
        subset=rng.choice(["eval", "progress"], 240).tolist(),
    )


def part(trials, **values):
    """Scores of the bona fide and the spoof trials with these values; an attack selects spoof trials alone."""
    keep = np.ones(len(trials), bool)
    for name, value in values.items():
        keep &= trials.columns[name].is_in([value]) | ((name == "attack") & trials.is_bonafide)
    return trials.scores[keep & trials.is_bonafide], trials.scores[keep & ~trials.is_bonafide]


def test_pooled_figures(trials):
    metrics = evaluate_detection(trials)
    bonafide, spoof = trials.bonafide, trials.spoof
    expected = {
        "task": "detection",
        "set": "eval",
        "convention": "plain",
        "primary": "eer",
        "trials": 240,
        "bonafide": 80,
        "spoof": 160,
        "eer": eer(bonafide, spoof)[0],
        "eer_threshold": eer(bonafide, spoof)[1],
        "min_dcf": min_dcf(bonafide, spoof)[0],
        "act_dcf": act_dcf(bonafide, spoof)[0],
        "cllr": pytest.approx(cllr(bonafide, spoof)),
        "min_cllr": min_cllr(bonafide, spoof),
        "ties_across_classes": ties_across_classes(bonafide, spoof),
        "subsets": ["eval", "progress"],
    }
    assert {name: metrics[name] for name in expected} == expected
    assert "min_tdcf" not in metrics and "score_sign_warning" not in metrics


@pytest.mark.parametrize("convention", [name for name in CONVENTIONS if name != "ctrsvdd"])
def test_rows_of_breakdowns(trials, convention):
    metrics = evaluate_detection(trials, convention)
    for axis, values in {"attack": ("A07", "A08"), "cond": ("alaw", "none"), "subset": ("eval", "progress")}.items():
        assert tuple(metrics[f"by_{axis}"]) == values
        for value, row in metrics[f"by_{axis}"].items():
            bonafide, spoof = part(trials, **{axis: value})
            assert row["trials"] == bonafide.size + spoof.size
            assert (row["bonafide"], row["spoof"], row["eer"]) == (bonafide.size, spoof.size, eer(bonafide, spoof)[0])
            costs = {"min_dcf": min_dcf(bonafide, spoof)[0], "act_dcf": act_dcf(bonafide, spoof)[0]}
            costs |= {"cllr": pytest.approx(cllr(bonafide, spoof))}
            assert {name: row.get(name) for name in costs} == (
                costs if convention == "asvspoof5" else dict.fromkeys(costs)
            )
    assert metrics["mean_over_attacks"] == pytest.approx(np.mean([r["eer"] for r in metrics["by_attack"].values()]))
    json.dumps(metrics, allow_nan=False)


PRIMARY = {
    ("plain", None): "eer",
    ("asvspoof2019", None): "eer",
    ("asvspoof2019", RATES): "min_tdcf",
    ("asvspoof2021", None): "eer",
    ("asvspoof2021", RATES): "min_tdcf",
    ("asvspoof5", None): "min_dcf",
    ("asvspoof5", ASVSPOOF5_ASV): "min_dcf",
}


@pytest.mark.parametrize(("convention", "asv"), PRIMARY)
def test_primary_metric(trials, convention, asv):
    metrics = evaluate_detection(trials, convention, asv)
    assert metrics["primary"] == PRIMARY[convention, asv]
    assert f"primary metric ({convention}): " in format_text(metrics)


def test_legacy_tdcf_pooled_and_by_attack(trials):
    asv = {(POOLED, POOLED): RATES, ("A07", POOLED): WEAK}
    metrics = evaluate_detection(trials, "asvspoof2019", asv)
    assert metrics["min_tdcf"] == min_tdcf(trials.bonafide, trials.spoof, legacy_weights(RATES))[0]
    assert metrics["min_tdcf_convention"].startswith("legacy")
    expected = min_tdcf(*part(trials, attack="A07"), legacy_weights(WEAK))[0]
    assert metrics["by_attack"]["A07"]["min_tdcf"] == expected
    assert "min_tdcf" not in metrics["by_attack"]["A08"]
    assert metrics["mean_min_tdcf_over_attacks"] == expected
    assert "legacy min t-DCF" in format_text(metrics)
    table = breakdown_tables(trials, "asvspoof2019", asv)["min_tdcf_by_attack"]
    assert table.title == "eval: legacy min t-DCF, attack"
    assert table.values[0, 0] == expected


def test_revised_tdcf_with_weights_of_each_condition(trials):
    asv = {
        (POOLED, POOLED): RATES,
        ("A08", "alaw"): TandemWeights(0.06, 0.9, 0.2),  # as published
        (POOLED, "alaw"): WEAK,
    }
    metrics = evaluate_detection(trials, "asvspoof2021", asv)
    assert metrics["min_tdcf"] == min_tdcf(trials.bonafide, trials.spoof, revised_weights(RATES))[0]
    assert metrics["min_tdcf_convention"].startswith("revised")
    alaw = min_tdcf(*part(trials, cond="alaw"), revised_weights(WEAK))[0]
    assert metrics["by_cond"]["alaw"]["min_tdcf"] == alaw
    assert "min_tdcf" not in metrics["by_subset"]["eval"]
    tables = breakdown_tables(trials, "asvspoof2021", asv)
    assert "min_tdcf_by_subset" not in tables
    table = tables["min_tdcf_by_attack_and_cond"]
    assert table.rows == ("A07", "A08", "pooled", "mean")
    assert table.columns == ("alaw", "none", "pooled", "mean")
    assert table.values[1, 0] == min_tdcf(*part(trials, attack="A08", cond="alaw"), TandemWeights(0.06, 0.9, 0.2))[0]
    assert table.values[2, 0] == alaw
    assert np.isnan(table.values[0]).all()


def test_one_asv_system_for_every_cell(trials):
    metrics = evaluate_detection(trials, "asvspoof5", ASVSPOOF5_ASV)
    weights = revised_weights(ASVSPOOF5_ASV)
    assert metrics["by_cond"]["none"]["min_tdcf"] == min_tdcf(*part(trials, cond="none"), weights)[0]
    assert not np.isnan(breakdown_tables(trials, "asvspoof5", ASVSPOOF5_ASV)["min_tdcf_by_cond"].values).any()


def test_tables_of_asvspoof5(trials):
    tables = breakdown_tables(trials, "asvspoof5")
    assert list(tables) == [
        f"{metric}_by_{by}"
        for by in ("attack", "cond", "subset", "attack_and_cond")
        for metric in ("min_dcf", "act_dcf", "cllr", "eer")
    ]  # fmt: skip
    assert tables["eer_by_attack_and_cond"].values[0, 0] == eer(*part(trials, attack="A07", cond="alaw"))[0]


def test_a_property_of_one_value_gets_no_table(trials):
    kept = trials.select(trials.columns["cond"].is_in(["none"]) & trials.columns["subset"].is_in(["eval"]))
    metrics = evaluate_detection(kept, "asvspoof2021")
    assert metrics["subsets"] == ["eval"]
    assert "by_cond" not in metrics and "by_subset" not in metrics
    assert list(breakdown_tables(kept, "asvspoof2021")) == ["eer_by_attack"]
    assert "subsets pooled: eval" in format_text(metrics)


def test_trials_without_any_property(trials):
    bare = scored(trials.is_bonafide, trials.scores)
    metrics = evaluate_detection(bare)
    assert metrics["by_attack"] == {} and metrics["mean_over_attacks"] is None
    assert breakdown_tables(bare) == {}
    assert f"{100 * metrics['eer']:.3f}" in format_text(metrics)


@pytest.fixture
def singing():
    """CtrSVDD: 3 attacks, 3 sources. Here acesinger has a few spoof trials of another attack than A14."""
    rng = np.random.default_rng(5)
    is_bonafide = np.arange(180) % 2 == 0
    source = rng.choice(["kising", "m4singer", "acesinger"], 180)
    attack = np.where(is_bonafide, "-", np.where(source == "acesinger", "A14", rng.choice(["A09", "A10"], 180)))
    attack[(attack == "A14").nonzero()[0][:3]] = "A09"
    scores = rng.normal(np.where(is_bonafide, 2.0, 0.0) + (source == "acesinger") * 0.8, 1)
    return scored(is_bonafide, scores, attack=attack.tolist(), source=source.tolist())


def test_ctrsvdd_leaves_out_a14_and_acesinger_to_rank(singing):
    metrics = evaluate_detection(singing, "ctrsvdd")
    ace, a14 = singing.columns["source"].is_in(["acesinger"]), singing.columns["attack"].is_in(["A14"])
    a09 = singing.columns["attack"].is_in(["A09"])
    bonafide, spoof = singing.is_bonafide, ~singing.is_bonafide
    scores = singing.scores
    ranking = eer(scores[bonafide & ~ace], scores[spoof & ~a14 & ~ace])[0]
    assert metrics["primary"] == "eer_ranking"
    assert metrics["eer_ranking"] == ranking
    assert metrics["ranking_trials"] == {"bonafide": (bonafide & ~ace).sum(), "spoof": (spoof & ~a14 & ~ace).sum()}
    assert metrics["eer"] == eer(scores[bonafide], scores[spoof])[0] != ranking
    assert list(metrics["by_attack"]) == ["A09", "A10", "A14"]
    assert metrics["by_attack"]["A09"]["eer"] == eer(scores[bonafide & ~ace], scores[a09])[0]
    assert metrics["by_attack"]["A14"]["eer"] == eer(scores[bonafide], scores[a14])[0]
    assert metrics["by_source"]["acesinger"]["eer"] == eer(scores[bonafide & ace], scores[spoof & ace])[0]
    assert "acesinger" in metrics["eer_convention"]

    table = breakdown_tables(singing, "ctrsvdd")["eer_by_attack"]
    assert table.rows == ("A09", "A10", "A14", "pooled without A14", "pooled", "mean")
    assert table.values[3:5, 0].tolist() == [ranking, metrics["eer"]]
    assert table.values[5, 0] == pytest.approx(metrics["mean_over_attacks"])
    assert f"primary metric (ctrsvdd): EER (%) without A14 and acesinger {100 * ranking:.3f}" in format_text(metrics)


def test_ctrsvdd_needs_to_know_the_source(trials):
    with pytest.raises(InputError, match=r"^eval: no utt2source; the rule of CtrSVDD needs it"):
        evaluate_detection(trials, "ctrsvdd")


def test_negated_scores_are_reported_and_not_flipped(trials):
    flipped = scored(trials.is_bonafide, -trials.scores)
    metrics = evaluate_detection(flipped)
    assert metrics["eer"] > 0.5
    better = 100 * eer(trials.bonafide, trials.spoof)[0]
    assert f"{better:.2f} % with every score negated" in metrics["score_sign_warning"]


def test_decisions_instead_of_scores(trials):
    decisions = scored(trials.is_bonafide, np.sign(trials.scores))
    with pytest.raises(InputError, match=r"^eval: no min t-DCF: .*only 2 distinct values"):
        evaluate_detection(decisions, "asvspoof2019", {(POOLED, POOLED): RATES})
    metrics = evaluate_detection(decisions, "asvspoof5", ASVSPOOF5_ASV)  # with a t-DCF that was not asked for
    assert "min_tdcf" not in metrics
    assert metrics["min_dcf"] == min_dcf(decisions.bonafide, decisions.spoof)[0]
    assert "t-DCF" not in format_text(metrics)


def test_asv_scores_of_another_set_are_refused(trials):
    pooled = {(POOLED, POOLED): RATES}
    with pytest.raises(InputError, match=r"^eval: no attack \(A07, A08\) is one of the ASV scores \(A01\)"):
        evaluate_detection(trials, "asvspoof2019", pooled | {("A01", POOLED): RATES})
    with pytest.raises(InputError, match=r"^eval: no condition \(alaw, none\) is one of .* \(low_mp3\); .* DF track"):
        evaluate_detection(trials, "asvspoof2021", pooled | {("A07", "low_mp3"): RATES})
    assert "min_tdcf" in evaluate_detection(trials, "asvspoof2021", pooled | {("A07", "alaw"): RATES})


@pytest.mark.parametrize(("convention", "said"), [("asvspoof2019", True), ("asvspoof2021", True), ("plain", False)])
def test_the_eer_is_said_to_stand_in_for_the_tdcf(trials, convention, said):
    assert ("no min t-DCF without --asv-scores" in format_text(evaluate_detection(trials, convention))) is said
    with_asv = evaluate_detection(trials, convention, {(POOLED, POOLED): RATES})
    assert "no min t-DCF" not in format_text(with_asv)


def test_pooled_asv_rates_must_be_there(trials):
    with pytest.raises(InputError, match="over all attacks and conditions are not given"):
        evaluate_detection(trials, "asvspoof2019", {("A07", POOLED): RATES})


def test_a_class_without_trials(trials):
    with pytest.raises(InputError, match="there are no spoof scores"):
        evaluate_detection(trials.select(trials.is_bonafide))
