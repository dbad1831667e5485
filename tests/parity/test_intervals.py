"""Bootstrap intervals against those that the package confidence_intervals 0.0.3 gave for the reference score sets.

The reference draws come from scikit-learn's ``resample`` and numpy's legacy generator, ours from numpy's current one.
What can be equal digit for digit is therefore everything after the draw: the EER of a draw given as counts, and the
percentiles. The draws themselves can agree only within the scatter of 1000 of them. Not compared: the
Bengio-Mariethoz normal interval, which is no bootstrap and which we do not offer, and the run times.

The score sets are stored as the seeds they come from; that these are the right ones shows in the EER.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import resample

from spooftrace.metrics.intervals import CountedEer, bootstrap_interval

PATH = (
    Path(__file__).resolve().parents[2].parent / "shared/parity/metrics/source_tracing_openset_bootstrap_segment.json"
)
REFERENCE = json.loads(PATH.read_text(encoding="utf-8"))["bootstrap"] if PATH.is_file() else {}
SPEAKERS = "gauss_d2+speaker_offset_40spk"

pytestmark = pytest.mark.skipif(not REFERENCE, reason="no reference material beside the repository (../shared)")

# Seed of the legacy generator, mean of the bona fide, numbers of bona fide and spoof trials.
SETS = {
    "gauss_d2": (1005, 2, 700, 6300),
    "gauss_d4": (1007, 4, 700, 6300),
    "imb_10_vs_10000": (1200, 2, 10, 10000),
    "imb_99_vs_20000": (1204, 3, 99, 20000),
}


def score_set(name):
    seed, mean, bonafide, spoof = SETS[name]
    rng = np.random.RandomState(seed)
    return rng.normal(mean, 1, bonafide), rng.normal(0, 1, spoof)


def speaker_set():
    bonafide, spoof = score_set("gauss_d2")
    speakers = np.random.RandomState(1).randint(0, 40, 7000)
    offsets = np.random.RandomState(2).normal(0, 0.7, 40)[speakers]
    return bonafide + offsets[:700], spoof + offsets[700:], speakers


def percentiles_of_draws(bonafide, spoof, draws):
    """95 % interval of the EER over draws given as arrays of trial numbers, bona fide first."""
    rate = CountedEer(bonafide, spoof)
    values = []
    for picked in draws:
        counts = np.bincount(picked, minlength=len(bonafide) + len(spoof))
        values.append(rate(counts[: len(bonafide)], counts[len(bonafide) :]))
    return np.quantile(values, [0.025, 0.975])


@pytest.mark.parametrize("name", SETS)
def test_same_iid_draws_give_the_same_interval(name):
    bonafide, spoof = score_set(name)
    trials = np.arange(len(bonafide) + len(spoof))
    ours = percentiles_of_draws(bonafide, spoof, (resample(trials, random_state=seed) for seed in range(1000)))
    np.testing.assert_allclose(ours, REFERENCE[name]["ci95"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_same_stratified_draws_give_the_same_interval(name):
    bonafide, spoof = score_set(name)
    rng = np.random.RandomState(0)
    sizes = len(bonafide), len(spoof)
    draws = (
        np.concatenate((rng.randint(0, sizes[0], sizes[0]), sizes[0] + rng.randint(0, sizes[1], sizes[1])))
        for _ in range(1000)
    )
    ours = percentiles_of_draws(bonafide, spoof, draws)
    np.testing.assert_allclose(ours, REFERENCE[name]["stratified_ci95_RandomState0_1000"], rtol=0, atol=1e-12)


def test_same_draws_of_speakers_and_trials_give_the_same_interval():
    bonafide, spoof, speakers = speaker_set()

    def draw(seed):
        drawn = np.unique(resample(np.unique(speakers), random_state=seed), return_counts=True)
        return np.concatenate(
            [
                np.repeat(resample(np.flatnonzero(speakers == speaker), random_state=seed), times)
                for speaker, times in zip(*drawn, strict=True)
            ]
        )

    ours = percentiles_of_draws(bonafide, spoof, map(draw, range(500)))
    np.testing.assert_allclose(ours, REFERENCE[SPEAKERS]["ci95_by_speaker"], rtol=0, atol=1e-12)


# Bounds of 1000 draws scatter by about a tenth of the half-width; a fifth of the width is 4 times that. Without the set
# of 10 bona fide: its EER moves in steps of nearly 10 points, and whether 24 or 26 of 1000 draws make the step decides
# on which side of it the 2.5 % bound is.
@pytest.mark.parametrize("scheme", ["iid", "stratified"])
@pytest.mark.parametrize("name", sorted(SETS.keys() - {"imb_10_vs_10000"}))
def test_own_draws_give_the_interval_within_its_scatter(name, scheme):
    result = bootstrap_interval(*score_set(name), scheme=scheme)
    reference = REFERENCE[name]["ci95" if scheme == "iid" else "stratified_ci95_RandomState0_1000"]
    assert result.point == pytest.approx(REFERENCE[name]["center"], abs=1e-12)
    assert (result.low, result.high) == pytest.approx(reference, abs=0.2 * (reference[1] - reference[0]))


@pytest.mark.parametrize(("scheme", "entry"), [("iid", "ci95_iid"), ("groups-then-trials", "ci95_by_speaker")])
def test_own_draws_of_speakers_give_the_interval_within_its_scatter(scheme, entry):
    bonafide, spoof, speakers = speaker_set()
    groups = {} if scheme == "iid" else {"bonafide_groups": speakers[:700], "spoof_groups": speakers[700:]}
    result = bootstrap_interval(bonafide, spoof, scheme=scheme, draws=500, **groups)
    reference = REFERENCE[SPEAKERS][entry]
    assert result.point == pytest.approx(REFERENCE[SPEAKERS]["center"], abs=1e-12)
    assert (result.low, result.high) == pytest.approx(reference, abs=0.2 * (reference[1] - reference[0]))


def test_every_reference_set_is_covered():
    assert set(REFERENCE) == {*SETS, SPEAKERS}
