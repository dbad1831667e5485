"""Breakdowns by condition against what the official packages print: every reference set is one condition of one key."""

import json
from pathlib import Path

import numpy as np
import pytest

from spooftrace.evaluation.detection import breakdown_tables, evaluate_detection
from spooftrace.evaluation.trials import Column, ScoredTrials
from spooftrace.metrics import AsvErrorRates, TandemWeights

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "parity" / "metrics"
AVAILABLE = (FOLDER / "fixtures.json").is_file()
FIXTURES = json.loads((FOLDER / "fixtures.json").read_text(encoding="utf-8")) if AVAILABLE else {"cm": {}}
SETS = FIXTURES["cm"]
REFUSED = {"ties_constant", "tiny_1_1_tie"}  # fewer than three distinct scores: no t-DCF

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no reference material beside the repository (../shared)")


@pytest.fixture(scope="module")
def trials():
    """All reference sets in one, each trial with the name of its set as condition, in random order."""
    with np.load(FOLDER / "fixtures_scores.npz") as arrays:
        parts = [(name, side, arrays[f"{name}__{side}"]) for name in SETS for side in ("bona", "spoof")]
    scores = np.concatenate([part.astype(np.float64) for *_, part in parts])
    order = np.random.default_rng(0).permutation(scores.size)
    names = np.repeat([name for name, *_ in parts], [part.size for *_, part in parts])[order]
    is_bonafide = np.repeat([side == "bona" for _, side, _ in parts], [part.size for *_, part in parts])[order]
    columns = {"cond": Column.of(names.tolist()), "system": Column.of(["A01"] * scores.size)}
    return ScoredTrials("all", [f"u{index}" for index in range(scores.size)], scores[order], is_bonafide, columns)


def close(value):
    return pytest.approx(value, rel=0, abs=1e-12)


def column(table):
    """The single figures of a table by condition."""
    return dict(zip(table.rows, table.values[:, 0].tolist(), strict=True))


def test_eer_and_min_dcf_of_every_condition(trials):
    tables = breakdown_tables(trials, "asvspoof5")
    eers, costs = column(tables["eer_by_cond"]), column(tables["min_dcf_by_cond"])
    for name, reference in SETS.items():
        assert eers[name] == close(reference["asvspoof5_track1"]["eer"]), name
        assert costs[name] == close(reference["asvspoof5_track1"]["min_dcf"]), name
    by_cond = evaluate_detection(trials, "asvspoof5")["by_cond"]
    assert {name: row["eer"] for name, row in by_cond.items()} == {name: eers[name] for name in SETS}


CONVENTIONS = {"asvspoof2019": "min_tdcf_2019_legacy", "asvspoof2021": "min_tdcf_2021_revised"}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_tdcf_of_every_condition_with_rates_of_its_own(trials, convention):
    measured = FIXTURES["meta"]["asv_sets"]
    asv_of = {name: list(measured)[index % len(measured)] for index, name in enumerate(SETS)}
    rates = {name: AsvErrorRates(r["Pmiss_asv"], r["Pfa_asv"], r["Pfa_spoof_asv"]) for name, r in measured.items()}
    asv = {("pooled", name): rates[asv_of[name]] for name in SETS} | {("pooled", "pooled"): rates["asv_synth_strong"]}
    found = column(breakdown_tables(trials, convention, asv)["min_tdcf_by_cond"])
    for name, reference in SETS.items():
        if name in REFUSED:
            assert np.isnan(found[name])
        else:
            assert found[name] == close(reference["tdcf"][asv_of[name]][CONVENTIONS[convention]][0]), name


def test_tdcf_with_the_published_weights_of_a_condition(trials):
    asv = {("pooled", "pooled"): TandemWeights(0.1, 0.9, 0.4)}
    for name, reference in FIXTURES["meta"]["asv_sets"].items():
        weights = TandemWeights(reference["C0"], reference["C1"], reference["C2"])
        asv |= {("pooled", condition): weights for condition in SETS}
        found = column(breakdown_tables(trials, "asvspoof2021", asv)["min_tdcf_by_cond"])
        for condition in set(SETS) - REFUSED:
            official = SETS[condition]["tdcf"][name]["min_tdcf_2021_c012_wrapper"]
            assert found[condition] == close(official), (name, condition)
