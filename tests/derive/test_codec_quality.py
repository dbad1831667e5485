"""The measurements of the codec table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.derive.quality import character_error_rate, mel_distance, mutual_information


@given(st.text(max_size=30), st.text(max_size=30))
def test_error_rates_are_shares(reference, hypothesis):
    assert 0 <= character_error_rate(reference, hypothesis) <= 1
    assert character_error_rate(reference, reference) == 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [("abcd", "abxd", 0.25), ("abcd", "acd", 0.25), ("abcd", "", 1.0), ("Ab, cd!", "ab cd", 0.0), ("", "", 0.0)],
)
def test_error_rates(reference, hypothesis, expected):
    assert character_error_rate(reference, hypothesis) == expected


def test_mel_distance_grows_with_the_damage_and_ignores_the_level():
    draws = np.random.default_rng(0)
    wave = np.sin(np.arange(16000) * 0.1 * np.linspace(0.5, 2, 16000)).astype(np.float32)
    noise = draws.standard_normal(16000).astype(np.float32)
    distances = [mel_distance(wave + amount * noise, wave) for amount in (0, 0.01, 0.1)]
    assert distances[0] == pytest.approx(0, abs=1e-4)
    assert distances == sorted(distances)
    assert distances[2] > distances[1] + 1
    assert mel_distance(0.1 * wave, wave) == pytest.approx(0, abs=0.05)


def test_mel_distance_can_leave_the_top_out():
    draws = np.random.default_rng(0)
    wave = draws.standard_normal(16000).astype(np.float32)
    spectrum = np.fft.rfft(wave)
    spectrum[4000:] = 0  # nothing above 4 kHz
    narrow = np.fft.irfft(spectrum).astype(np.float32)
    assert mel_distance(narrow, wave, top=3400) < 4 < mel_distance(narrow, wave)


def test_mel_distance_says_what_it_cannot_measure():
    with pytest.raises(ValueError, match="silence"):
        mel_distance(np.zeros(2000), np.ones(2000))
    with pytest.raises(ValueError, match="samples"):
        mel_distance(np.ones(2000), np.ones(2001))


def test_mutual_information():
    draws = np.random.default_rng(0)
    a, b = draws.integers(0, 16, (2, 20000))
    assert mutual_information(a, b) == pytest.approx(0, abs=0.01)
    assert mutual_information(a, a // 2) == pytest.approx(3, abs=0.01)
