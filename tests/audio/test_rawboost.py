"""RawBoost against a plain formulation with scipy's own filter functions, on real speech."""

import random

import numpy as np
import pytest
from scipy import signal

from spooftrace.audio.rawboost import (
    ALGORITHMS,
    RawBoostSettings,
    convolutive_noise,
    impulsive_noise,
    rawboost,
    stationary_noise,
)

PUBLISHED = RawBoostSettings()


@pytest.fixture(scope="module")
def wave(speech):
    return speech.bonafide[0]


def plain_filter(rng, settings, gain):
    """Taps of one filter: firwin, one notch after the other, the peak found by freqz."""
    taps = np.ones(1)
    for _ in range(settings.notches):
        centre, width = rng.uniform(*settings.centre), rng.uniform(*settings.width)
        count = int(rng.uniform(*settings.taps))
        edges = [max(centre - width / 2, 1e-3), min(centre + width / 2, settings.rate / 2 - 1e-3)]
        taps = np.convolve(taps, signal.firwin(count + 1 - count % 2, edges, fs=settings.rate))
    peak = np.abs(signal.freqz(taps)[1]).max()
    return taps / peak * 10 ** (rng.uniform(*gain) / 20)


def plain_filtered(wave, taps):
    """The convolution, from one sample after the filter's middle on."""
    first = len(taps) // 2 + 1
    return np.convolve(np.append(wave, 0), taps)[first : first + len(wave)]


def plain_convolutive(wave, rng, settings):
    total = 0
    for power in range(1, settings.powers + 1):
        gain = np.subtract(settings.gain, settings.gain_drop if power > 1 else 0)
        total = total + plain_filtered(wave.astype(float) ** power, plain_filter(rng, settings, gain))
    total = total - total.mean()
    return total / max(1, np.abs(total).max())


@pytest.mark.parametrize(
    "settings",
    [
        PUBLISHED,
        RawBoostSettings(gain=(-6, 6), powers=3, notches=2),
        RawBoostSettings(taps=(900, 1000), width=(50, 4000)),  # longer than the usual blocks of the FFT
        RawBoostSettings(taps=(2, 4), notches=1, powers=1),
    ],
    ids=["published", "gain", "long", "short"],
)
@pytest.mark.parametrize("samples", [40, 3000, 32000])
def test_convolutive_noise_is_filters_on_powers(wave, settings, samples):
    ours, theirs = np.random.RandomState(3), np.random.RandomState(3)
    result = convolutive_noise(wave[:samples] * 3, ours, settings)
    expected = plain_convolutive(wave[:samples] * 3, theirs, settings)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12 + 1e-9 * np.abs(expected).max())
    assert ours.random_sample() == theirs.random_sample()


def test_stationary_noise_has_the_snr_that_was_drawn(wave):
    settings = RawBoostSettings(snr=(17, 17))
    wave = wave.astype(np.float64)
    noise = stationary_noise(wave, np.random.RandomState(1), settings) - wave
    assert 20 * np.log10(np.linalg.norm(wave) / np.linalg.norm(noise)) == pytest.approx(17, abs=1e-6)
    rng = np.random.RandomState(1)
    expected = plain_filtered(rng.normal(0, 1, len(wave)), plain_filter(rng, settings, (0, 0)))
    assert np.dot(noise, expected) / np.linalg.norm(noise) / np.linalg.norm(expected) == pytest.approx(1, abs=1e-9)


def test_impulsive_noise_hits_few_samples_in_proportion(wave):
    scaled = wave / 10
    result = impulsive_noise(scaled, np.random.RandomState(5), PUBLISHED)
    changed = np.flatnonzero(result != scaled)
    assert 0 < len(changed) <= 0.1 * len(wave)
    assert (np.abs(result - scaled)[changed] <= 2 * np.abs(scaled[changed]) * (1 + 1e-6)).all()
    assert result.dtype == np.float32


@pytest.mark.parametrize("algorithm", range(1, 12))
def test_only_the_generators_decide(wave, algorithm):
    def run(seed):
        return rawboost(wave, algorithm, np.random.RandomState(seed), random.Random(seed))

    before = wave.copy()
    first = run(1)
    np.testing.assert_array_equal(first, run(1))
    assert not np.array_equal(first, run(2))
    assert first.shape == wave.shape and np.isfinite(first).all()
    np.testing.assert_array_equal(wave, before)


def test_algorithms_by_chance_are_those_without_when_all_parts_are_certain(wave):
    for by_chance, certain in ((10, 8), (11, 4)):
        np.testing.assert_array_equal(
            rawboost(wave, by_chance, np.random.RandomState(9), random.Random(0)),
            rawboost(wave, certain, np.random.RandomState(9)),
        )


@pytest.mark.parametrize(("chances", "alone"), [((1, 0, 0), 1), ((0, 1, 0), 2), ((0, 0, 0), 0)])
@pytest.mark.parametrize("algorithm", [10, 11])
def test_parts_without_a_chance_never_take_place(wave, algorithm, chances, alone):
    settings = RawBoostSettings(chances=chances)
    np.testing.assert_array_equal(
        rawboost(wave, algorithm, np.random.RandomState(9), random.Random(0), settings),
        rawboost(wave, alone, np.random.RandomState(9)),
    )


def test_chances_are_drawn_part_by_part(wave):
    # The first two numbers of random.Random(1) are 0.134 and 0.847, those of random.Random(2) 0.956 and 0.948.
    settings = RawBoostSettings(chances=(0.5, 0.5, 0.5))
    for seed, alone in ((1, 1), (2, 0)):
        np.testing.assert_array_equal(
            rawboost(wave, 10, np.random.RandomState(9), random.Random(seed), settings),
            rawboost(wave, alone, np.random.RandomState(9)),
        )


def test_loud_results_are_brought_down_to_full_scale(wave):
    loud = 4 * wave / np.abs(wave).max()
    for algorithm in (1, 2, 5, 8, 9):
        peak = np.abs(rawboost(loud, algorithm, np.random.RandomState(0))).max()
        assert peak == pytest.approx(1)
    quiet = wave / 100
    assert np.abs(rawboost(quiet, 8, np.random.RandomState(0))).max() < 0.1


def test_silence_stays_silent():
    for algorithm in ALGORITHMS:
        silence = np.zeros(2000, np.float32)
        assert not rawboost(silence, algorithm, np.random.RandomState(0), random.Random(0)).any()


def test_wrong_use_is_named(wave):
    with pytest.raises(ValueError, match="0 to 11, not 12"):
        rawboost(wave, 12, np.random.RandomState(0))
    with pytest.raises(ValueError, match=r"algorithm 11 needs a random\.Random"):
        rawboost(wave, 11, np.random.RandomState(0))
