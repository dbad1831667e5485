"""The last steps shared by every class of a generated corpus."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.audio.postprocessing import (
    LEVEL,
    active_level,
    high_pass,
    low_pass,
    postprocess,
    triangular_noise,
    trim_silence,
)
from spooftrace.common.errors import InputError

RATE = 16000


def tone(frequency, seconds=1.0, amplitude=0.1, rate=RATE):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def speech(seed=0, seconds=2.0):
    """Noise bursts with pauses between them."""
    wave = np.random.default_rng(seed).standard_normal(int(seconds * RATE)) * 0.05
    return wave * (np.sin(2 * np.pi * 2 * np.arange(len(wave)) / RATE) > 0)


def rms_db(wave):
    return 10 * np.log10(np.mean(np.asarray(wave, float) ** 2))


@pytest.mark.parametrize(
    ("frequency", "low", "high"), [(20, -200, -60), (60, -6.5, -5.5), (200, -0.1, 0.1), (3000, -0.01, 0.01)]
)
def test_high_pass_response_without_delay(frequency, low, high):
    wave = tone(frequency, 2.0)
    passed = high_pass(wave)
    inner = slice(RATE // 2, -RATE // 2)
    assert low < rms_db(passed[inner]) - rms_db(wave[inner]) < high
    if frequency >= 200:
        assert np.corrcoef(wave[inner], passed[inner])[0, 1] > 0.9999


@pytest.mark.parametrize(
    ("frequency", "low", "high"), [(100, -0.02, 0.02), (7300, -0.1, 0.1), (7500, -6.5, -5.5), (7700, -200, -50)]
)
def test_low_pass_response_without_delay(frequency, low, high):
    wave = tone(frequency, 1.0)
    passed = low_pass(wave)
    inner = slice(RATE // 4, -RATE // 4)
    assert low < rms_db(passed[inner]) - rms_db(wave[inner]) < high
    if high > 0:
        assert np.corrcoef(wave[inner], passed[inner])[0, 1] > 0.9999


def test_finish_leaves_nothing_but_dither_above_the_band():
    done = postprocess(np.random.default_rng(0).standard_normal(RATE), "utt") * np.hanning(RATE)
    spectrum = np.abs(np.fft.rfft(done)) ** 2
    in_band, above = spectrum[2000:7000].mean(), spectrum[7700:].mean()
    assert 10 * np.log10(above / in_band) < -50


def test_trimming_keeps_the_margin():
    wave = np.concatenate([np.zeros(8000), tone(300), np.zeros(4000)])
    trimmed = trim_silence(wave)
    assert len(trimmed) == RATE + 2 * 800
    np.testing.assert_array_equal(trimmed, wave[7200:24800])
    assert trim_silence(wave, margin=0).shape == (RATE,)
    np.testing.assert_array_equal(trim_silence(trim_silence(wave)), trimmed)


def test_trimming_goes_by_the_loudest_frame_and_spares_pauses_inside():
    loud, soft, pause = tone(300), tone(300, amplitude=0.0005), np.zeros(8000)
    assert len(trim_silence(np.concatenate([soft, loud, pause, loud, soft]), margin=0)) == 2 * RATE + 8000
    assert len(trim_silence(soft)) == RATE  # soft throughout is not silent


@pytest.mark.parametrize("wave", [np.zeros(1000), np.ones(10), np.zeros(0)])
def test_nothing_to_trim(wave):
    np.testing.assert_array_equal(trim_silence(wave), wave)


def test_active_level_leaves_pauses_out():
    wave = tone(400, amplitude=0.1)
    expected = 20 * np.log10(0.1 / np.sqrt(2))
    assert active_level(wave) == pytest.approx(expected, abs=0.01)
    assert active_level(np.concatenate([np.zeros(30000), wave, np.zeros(30000)])) == pytest.approx(expected, abs=0.2)
    assert active_level(wave * 0.5) == pytest.approx(expected - 6.02, abs=0.01)
    assert active_level(tone(400, rate=48000), 48000) == pytest.approx(expected, abs=0.01)
    assert active_level(np.full(5, 0.1)) == pytest.approx(-20)
    assert active_level(np.zeros(1000)) == -np.inf == active_level(np.zeros(0))


@pytest.mark.parametrize("scale", [1e-3, 0.3, 10])
def test_finish_level_length_and_mean(scale):
    wave = speech() * scale + 0.2
    done = postprocess(wave, "utt")
    assert done.dtype == np.int16 and done.shape == wave.shape
    assert active_level(done / 32768) == pytest.approx(LEVEL, abs=0.1)
    assert abs(done.mean()) < 0.05
    assert active_level(postprocess(wave, "utt", level=-36) / 32768) == pytest.approx(-36, abs=0.1)


def test_finish_depends_on_nothing_but_wave_and_id():
    np.testing.assert_array_equal(postprocess(speech(), "utt1"), postprocess(speech(), "utt1"))
    difference = np.abs(postprocess(speech(), "utt1").astype(int)) - np.abs(postprocess(speech(), "utt2").astype(int))
    assert 0 < np.abs(difference).max() <= 2


def test_half_of_the_utterances_are_turned_over():
    wave = speech()
    same = [np.dot(postprocess(wave, f"utt-{number:03d}"), wave) > 0 for number in range(100)]
    assert 35 <= sum(same) <= 65


def test_the_noise_is_the_same_for_ever():
    # Typed in: these numbers must never change, or a corpus made again differs from the one that was published.
    expected = [-0.4383205214745568, -0.19061836831941514, 0.3790656378266114]
    np.testing.assert_array_equal(triangular_noise("utt1", 3), expected)


def test_noise_is_triangular_and_white():
    noise = triangular_noise("any", 200_000)
    assert np.abs(noise).max() < 1 and np.abs(noise).max() > 0.99
    assert noise.mean() == pytest.approx(0, abs=0.005)
    assert noise.var() == pytest.approx(1 / 6, rel=0.01)
    shares = np.histogram(noise, bins=[-1, -0.5, 0, 0.5, 1])[0] / len(noise)
    np.testing.assert_allclose(shares, [1 / 8, 3 / 8, 3 / 8, 1 / 8], atol=0.005)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.01


def test_dither_makes_the_rounding_error_independent_of_the_signal():
    # A pause far below one step: without dither it would be digital silence, with it noise of 1/6 + 1/12 LSB^2.
    wave = np.concatenate([speech(seconds=1.0), np.zeros(RATE)])
    pause = postprocess(wave, "utt")[RATE + 4000 : -4000].astype(float)
    assert pause.var() == pytest.approx(1 / 6 + 1 / 12, rel=0.1)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(1000), "utt-7: the audio is empty or silent"),
        (np.full(1000, 0.25), "utt-7: the audio is empty or silent"),
        (np.zeros(0), "utt-7: the audio is empty or silent"),
        (np.array([0.1, np.nan] * 500), "utt-7: the generated audio has NaN"),
    ],
)
def test_finish_names_what_it_cannot_use(wave, message):
    with pytest.raises(InputError, match=message):
        postprocess(wave, "utt-7")


def test_finish_never_limits():
    wave = np.random.default_rng(0).standard_normal(RATE) * 0.002
    wave[8000] = 1.0
    with pytest.raises(InputError, match=r"utt-7: peaks at \+\d+\.\d dB when its speech is at -30 dB"):
        postprocess(wave, "utt-7")


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 3000), st.integers(0, 9), st.floats(-3, 3))
def test_any_length_keeps_its_length(length, seed, offset):
    wave = np.random.default_rng(seed).standard_normal(length) * 0.1 + offset
    assert postprocess(wave, "utt").shape == (length,)
