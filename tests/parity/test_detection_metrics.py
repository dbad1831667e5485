"""Costs, t-DCF and localisation against what the official packages print, on every set of the reference material.

The material has the scores of the countermeasure sets and of the segment sets. Of the ASV sets it has only the error
rates, and of the SASV sets only results, so that a-DCF, t-EER and the SASV EERs have no comparison here.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from spooftrace.metrics import (
    ASVSPOOF5_ASV,
    AsvErrorRates,
    DetCurve,
    TandemWeights,
    act_dcf,
    cllr,
    eer,
    legacy_weights,
    min_cllr,
    min_dcf,
    min_tdcf,
    range_eer,
    revised_weights,
    segment_eer,
    ties_across_classes,
)

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "parity" / "metrics"
AVAILABLE = (FOLDER / "fixtures.json").is_file()


def stored(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8")) if AVAILABLE else {}


FIXTURES = stored("fixtures.json")
SETS = FIXTURES.get("cm", {})
ASV_SETS = FIXTURES.get("meta", {}).get("asv_sets", {})
SEGMENTS = stored("source_tracing_openset_bootstrap_segment.json").get("segment", {})
REFUSED = {"ties_constant", "tiny_1_1_tie"}  # fewer than three distinct scores

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no reference material beside the repository (../shared)")


@pytest.fixture(scope="module")
def scores():
    with np.load(FOLDER / "fixtures_scores.npz") as arrays:
        return dict(arrays)


def close(value):
    return pytest.approx(value, rel=0, abs=1e-12)


def rates_of(asv):
    stored_rates = ASV_SETS[asv]
    return AsvErrorRates(stored_rates["Pmiss_asv"], stored_rates["Pfa_asv"], stored_rates["Pfa_spoof_asv"])


@pytest.mark.parametrize("name", SETS)
def test_detection_costs_are_the_official_ones(scores, name):
    official = SETS[name]["asvspoof5_track1"]
    bonafide, spoof = scores[f"{name}__bona"], scores[f"{name}__spoof"]
    assert min_dcf(bonafide, spoof) == (close(official["min_dcf"]), official["min_dcf_threshold"])
    assert act_dcf(bonafide, spoof) == (close(official["act_dcf"]), official["act_dcf_threshold"])


@pytest.mark.parametrize("name", SETS)
def test_cllr_is_the_official_one(scores, name):
    _, finite, least = SETS[name]["others"]["pyllr_rocch_[eer,cllr,mincllr]"]
    bonafide, spoof = scores[f"{name}__bona"], scores[f"{name}__spoof"]
    assert cllr(bonafide, spoof) == pytest.approx(finite, rel=1e-12)
    assert min_cllr(bonafide, spoof) == close(least)
    official = float(SETS[name]["asvspoof5_track1"]["cllr"])
    if name == "llr_huge_overflow":
        assert official == np.inf  # the official package overflows where PYLLR and ours do not
    else:
        assert cllr(bonafide, spoof) == pytest.approx(official, rel=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_grouped_eer_is_that_of_scikit_learn_and_deepfense(scores, name):
    grouped, _ = eer(scores[f"{name}__bona"], scores[f"{name}__spoof"], ties="grouped")
    assert grouped == close(SETS[name]["others"]["sklearn_roc_argmin_avg_[avg,fpr,fnr]"][0])
    assert grouped == close(SETS[name]["others"]["deepfense_0.2.2_eer_[eer,thr]"][0])


@pytest.mark.parametrize("asv", ASV_SETS)
def test_revised_weights_are_the_official_ones(asv):
    assert revised_weights(rates_of(asv)) == close(tuple(ASV_SETS[asv][weight] for weight in ("C0", "C1", "C2")))


@pytest.mark.parametrize("asv", ASV_SETS)
@pytest.mark.parametrize("name", [name for name in SETS if name not in REFUSED])
def test_min_tdcf_is_the_official_one(scores, name, asv):
    official = SETS[name]["tdcf"][asv]
    bonafide, spoof = scores[f"{name}__bona"], scores[f"{name}__spoof"]
    cost, threshold = official["min_tdcf_2019_legacy"]
    assert min_tdcf(bonafide, spoof, legacy_weights(rates_of(asv))) == (close(cost), threshold)
    cost, threshold = official["min_tdcf_2021_revised"]
    assert min_tdcf(bonafide, spoof, revised_weights(rates_of(asv))) == (close(cost), threshold)
    published = TandemWeights(*(ASV_SETS[asv][weight] for weight in ("C0", "C1", "C2")))
    assert min_tdcf(bonafide, spoof, published)[0] == close(official["min_tdcf_2021_c012_wrapper"])


@pytest.mark.parametrize("name", [name for name in SETS if name not in REFUSED])
def test_track_2_min_tdcf_is_the_official_one(scores, name):
    official = SETS[name]["asvspoof5_fixed_asv_min_tdcf"]
    cost, _ = min_tdcf(scores[f"{name}__bona"], scores[f"{name}__spoof"], revised_weights(ASVSPOOF5_ASV))
    assert cost == close(official)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_min_tdcf_refuses_what_the_official_code_refuses(scores, name):
    entry = SETS[name]
    answers = [answer for official in entry["tdcf"].values() for answer in official.values()]
    assert all("soft CM scores" in answer for answer in [*answers, entry["asvspoof5_fixed_asv_min_tdcf"]])
    for weights in (legacy_weights(ASVSPOOF5_ASV), revised_weights(ASVSPOOF5_ASV)):
        with pytest.raises(ValueError, match="not decisions"):
            min_tdcf(scores[f"{name}__bona"], scores[f"{name}__spoof"], weights)


@pytest.mark.parametrize("name", SETS)
def test_one_curve_for_all_metrics_gives_what_each_gives_alone(scores, name):
    bonafide, spoof = scores[f"{name}__bona"], scores[f"{name}__spoof"]
    curve = DetCurve(bonafide, spoof)
    for metric in (eer, min_dcf, act_dcf, cllr, min_cllr, ties_across_classes):
        assert metric(curve) == metric(bonafide, spoof)
    for make in (legacy_weights, revised_weights):
        if name not in REFUSED:
            assert min_tdcf(curve, make(ASVSPOOF5_ASV)) == min_tdcf(bonafide, spoof, make(ASVSPOOF5_ASV))


@pytest.fixture(scope="module")
def frames():
    with np.load(FOLDER / "source_tracing_openset_segment_scores.npz") as arrays:
        return {name: array for name, array in arrays.items() if name.startswith("seg__")}


@pytest.mark.parametrize("name", SEGMENTS)
def test_localisation_is_the_official_one(frames, name):
    official = SEGMENTS[name]
    key = name.replace("_", "__")
    ends = np.cumsum(frames[f"{key}__utt_len"])[:-1]
    scores, labels = (np.split(frames[f"{key}__frame_{kind}"], ends) for kind in ("score", "label"))
    assert segment_eer(scores, labels)[0] == close(official["point_eer_20ms_official"])
    # 20 s are longer than any utterance: min pooling
    assert segment_eer(scores, labels, resolution_ms=20_000)[0] == close(official["utt_eer_min_pool"])
    rate, _ = range_eer(scores, list(official["segments_s"].values()))
    assert rate == close(official["exact_duration_weighted_eer"])
    assert rate == pytest.approx(official["psm_mseer_hist10000"][0], abs=4e-4)  # a histogram of scores


def test_every_stored_set_is_covered(scores, frames):
    assert {name.rpartition("__")[0] for name in scores} == set(SETS)
    assert {"_".join(name.split("__")[:2]) for name in frames} == set(SEGMENTS)
    assert (len(SETS), len(ASV_SETS), len(SEGMENTS)) == (32, 5, 3)
