"""Spectral front-ends against a plain numpy / scipy formulation, frame by frame."""

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch

from spooftrace.frontends import LFCC, LogMel
from spooftrace.frontends.spectral import triangular_filters

RATE, HOP, N_FFT = 16000, 160, 512


@pytest.fixture
def wave():
    rng = np.random.default_rng(5)
    time = np.arange(12345) / RATE
    tone = np.sin(2 * np.pi * (200 + 1500 * time) * time)
    return (0.3 * tone + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


def reference_power(wave, window):
    """Power of each frame, centred on samples 0, 160, ...: (T, 257)."""
    wave = np.concatenate([np.zeros(N_FFT), wave.astype(np.float64), np.zeros(N_FFT)])
    rows = []
    for centre in range(N_FFT, len(wave) - N_FFT + 1, HOP):
        half = len(window) // 2
        frame = wave[centre - half : centre - half + len(window)] * window
        rows.append(np.abs(scipy.fft.rfft(frame, N_FFT)) ** 2)
    return np.array(rows)


def reference_filters(edges):
    """Triangles by interpolation between (left, 0), (centre, 1), (right, 0): (257, M)."""
    hertz = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    return np.stack([np.interp(hertz, edges[m : m + 3], [0, 1, 0]) for m in range(len(edges) - 2)], axis=1)


def reference_delta(x):
    padded = np.concatenate([x[:1], x, x[-1:]])
    return padded[2:] - padded[:-2]


def run(front_end, wave):
    features, length = front_end(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
    assert int(length) == features.shape[1]
    return features[0].numpy()


@pytest.mark.parametrize("cmn", [False, True])
def test_lfcc_equals_the_scipy_formulation(wave, cmn):
    emphasised = scipy.signal.lfilter([1.0, -0.97], [1.0], wave.astype(np.float64))
    power = reference_power(emphasised, scipy.signal.get_window("hamming", 320))
    log = np.log10(power @ reference_filters(np.linspace(0, RATE / 2, 22)) + np.finfo(np.float32).eps)
    static = scipy.fft.dct(log, type=2, norm="ortho", axis=1)
    if cmn:
        static = static - static.mean(0)
    first = reference_delta(static)
    expected = np.concatenate([static, first, reference_delta(first)], axis=1)
    np.testing.assert_allclose(run(LFCC(cmn=cmn), wave), expected, atol=2e-4)


@pytest.mark.parametrize(("n_mels", "cmn"), [(80, False), (40, True)])
def test_log_mel_equals_the_numpy_formulation(wave, n_mels, cmn):
    mel = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 8000 / 700), n_mels + 2)
    power = reference_power(wave, scipy.signal.get_window("hann", 400))
    expected = np.log(np.maximum(power @ reference_filters(700 * (10 ** (mel / 2595) - 1)), 1e-10))
    if cmn:
        expected = expected - expected.mean(0)
    np.testing.assert_allclose(run(LogMel(n_mels, cmn), wave), expected, atol=2e-4)


def test_cmn_removes_the_mean_of_each_utterance_of_a_padded_batch(wave):
    batch = torch.from_numpy(np.stack([wave, wave]))
    features, length = LogMel(cmn=True)(batch, torch.tensor([len(wave), 4000]))
    for row in range(2):
        assert features[row, : length[row]].mean(0).abs().max() < 1e-4


def test_every_filter_sees_a_point_of_the_fft():
    assert (LogMel(80).filters.amax(0) > 0).all()
    assert (LFCC().filters.amax(0) > 0).all()


def test_linear_filters_add_up_to_one_between_the_first_and_the_last_centre():
    edges = torch.linspace(0, 8000, 22, dtype=torch.float64)
    total = triangular_filters(edges).sum(1)
    hertz = torch.arange(257) * RATE / N_FFT
    inside = (hertz >= edges[1]) & (hertz <= edges[-2])
    torch.testing.assert_close(total[inside], torch.ones(int(inside.sum())))


def test_digital_silence_gives_finite_features():
    for front_end in (LFCC(cmn=True), LogMel(cmn=True), LogMel()):
        assert torch.isfinite(front_end(torch.zeros(1, 800), torch.tensor([800]))[0]).all()


def test_autocast_does_not_lower_the_precision(wave):
    batch, length = torch.from_numpy(wave)[None], torch.tensor([len(wave)])
    expected, _ = LFCC()(batch, length)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, _ = LFCC()(batch, length)
    torch.testing.assert_close(features, expected, atol=0, rtol=0)


@pytest.mark.parametrize("n_mels", [0, 81])
def test_a_number_of_mel_filters_that_cannot_be_is_refused(n_mels):
    with pytest.raises(ValueError, match=r"not within 1\.\.80"):
        LogMel(n_mels)
