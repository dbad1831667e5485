"""EER against what the official evaluation packages print, on every score set of the reference material."""

import json
from pathlib import Path

import numpy as np
import pytest

from spooftrace.metrics import DetCurve, det_curve, eer

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "parity" / "metrics"
AVAILABLE = (FOLDER / "fixtures.json").is_file()
SETS = json.loads((FOLDER / "fixtures.json").read_text(encoding="utf-8"))["cm"] if AVAILABLE else {}

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no reference material beside the repository (../shared)")


@pytest.fixture(scope="module")
def scores():
    with np.load(FOLDER / "fixtures_scores.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", SETS)
def test_eer_is_the_official_one(scores, name):
    official = SETS[name]["asvspoof5_track1"]
    bonafide, spoof = scores[f"{name}__bona"], scores[f"{name}__spoof"]
    curve = DetCurve(bonafide, spoof)
    rate, threshold = eer(curve)
    assert rate == pytest.approx(official["eer"], abs=1e-12)
    assert threshold == official["eer_threshold"]
    assert eer(bonafide, spoof) == (rate, threshold)

    frr, far, thresholds = det_curve(curve)
    k = official["eer_index"]
    assert thresholds[k] == official["eer_threshold"]
    assert (frr[k], far[k]) == pytest.approx((official["eer_frr"], official["eer_far"]), abs=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_negated_and_swapped_eer_is_the_official_one(scores, name):
    official = SETS[name]["others"]["official_eer_negated_and_swapped_roles"]
    assert eer(-scores[f"{name}__spoof"], -scores[f"{name}__bona"])[0] == pytest.approx(official, abs=1e-12)


def test_every_stored_score_set_is_covered(scores):
    assert {name.rpartition("__")[0] for name in scores} == set(SETS)
    assert len(SETS) == 32
