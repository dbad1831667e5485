"""RawBoost (Tak et al., ICASSP 2022): random distortions of a telephone channel, applied to the raw waveform.

For the same ``numpy.random.RandomState``, the draws and, up to rounding, the samples equal those of the authors' code
(github.com/TakHemlata/RawBoost-antispoofing). That code spends its time on direct convolution with hundreds of taps and
on float powers. This code only computes frequency responses: the notches are symmetric, so their responses about the
middle tap are real and can be multiplied, and the filtered powers of a wave are summed before a single inverse FFT.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import fft

from spooftrace.common.sample_rate import SAMPLE_RATE

GAIN_GRID = 1024  # number of frequencies on the whole circle at which the peak of a response is taken, as in freqz
EDGE = 0.001  # Hz; notches that reach beyond 0 or half the sampling rate end this far from it


@dataclass(frozen=True)
class RawBoostSettings:
    """Settings of RawBoost. The defaults are those of all published systems; the authors' names are in brackets."""

    notches: int = 5  # in a filter [nBands]
    centre: tuple[float, float] = (20, 8000)  # of a notch, Hz [minF, maxF]
    width: tuple[float, float] = (100, 1000)  # of a notch, Hz [minBW, maxBW]
    taps: tuple[float, float] = (10, 100)  # of a notch, rounded down and then up to an odd number [minCoeff, maxCoeff]
    gain: tuple[float, float] = (0, 0)  # of a filter's peak, dB [minG, maxG]
    gain_drop: tuple[float, float] = (5, 20)  # of the powers above the first, dB [minBiasLinNonLin, maxBiasLinNonLin]
    powers: int = 5  # highest power of the wave that convolutive noise filters [N_f]
    impulses: float = 10  # impulsive noise hits at most this share of the samples, % [P]
    impulse_gain: float = 2  # [g_sd]
    snr: tuple[float, float] = (10, 40)  # of stationary noise, dB [SNRmin, SNRmax]
    chances: tuple[float, float, float] = (1, 1, 1)  # of each distortion in 10, 11 [LnL_ratio, ISD_ratio, SSI_ratio]
    rate: int = SAMPLE_RATE  # Hz


class Algorithm(NamedTuple):
    """The distortions of an algorithm (0 convolutive, 1 impulsive, 2 stationary noise) and how they are combined."""

    distortions: tuple[int, ...] = ()
    parallel: bool = False  # sum the outputs of the distortions instead of chaining them
    by_chance: bool = False  # apply each distortion with its probability in ``chances``


# 0 to 8 are the authors'; 9 to 11 were added by the authors of Nes2Net.
ALGORITHMS = {
    0: Algorithm(),
    1: Algorithm((0,)),
    2: Algorithm((1,)),
    3: Algorithm((2,)),
    4: Algorithm((0, 1, 2)),
    5: Algorithm((0, 1)),
    6: Algorithm((0, 2)),
    7: Algorithm((1, 2)),
    8: Algorithm((0, 1), parallel=True),
    9: Algorithm((0, 1, 2), parallel=True),
    10: Algorithm((0, 1), parallel=True, by_chance=True),
    11: Algorithm((0, 1, 2), by_chance=True),
}


def rawboost(
    wave: np.ndarray,
    algorithm: int,
    rng: np.random.RandomState,
    chance: random.Random | None = None,
    settings: RawBoostSettings = RawBoostSettings(),
) -> np.ndarray:
    """Distort a whole utterance by one of the algorithms 0 (nothing) to 11.

    Args:
        wave: (N,) float, full scale = 1.
        algorithm: A key of ``ALGORITHMS``.
        rng: Source of all draws but those of ``chance``.
        chance: Chooses the distortions of algorithms 10 and 11; the authors use Python's own generator for this.
        settings: The published ones by default.

    Returns:
        (N,) float64; of the type of ``wave`` if only impulsive noise or no distortion was applied. The result of 3, 4,
        6, 7 and 11 may exceed full scale, as in the authors' code.

    Raises:
        ValueError: The algorithm does not exist, or ``chance`` is missing for 10 or 11.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"RawBoost has the algorithms 0 to {max(ALGORITHMS)}, not {algorithm}")
    distortions, parallel, by_chance = ALGORITHMS[algorithm]
    if by_chance:
        if chance is None:
            raise ValueError(f"RawBoost algorithm {algorithm} needs a random.Random to choose its distortions")
        drawn = [chance.random() for _ in distortions]
        distortions = tuple(
            index for index, draw in zip(distortions, drawn, strict=True) if draw < settings.chances[index]
        )
    if parallel and distortions:
        return _limit(np.sum([DISTORTIONS[index](wave, rng, settings) for index in distortions], axis=0))
    for index in distortions:
        wave = DISTORTIONS[index](wave, rng, settings)
    return wave


def convolutive_noise(wave: np.ndarray, rng: np.random.RandomState, settings: RawBoostSettings) -> np.ndarray:
    """Add linear and non-linear convolutive noise: (N,) -> (N,).

    The result is the sum of the powers 1 to ``settings.powers`` of the wave, each filtered separately. It is scaled
    down if its peak exceeds full scale.
    """
    low, high = np.subtract(settings.gain, settings.gain_drop)
    responses, reach = notch_filters(rng, settings, [settings.gain] + [(low, high)] * (settings.powers - 1))
    result = _filter_powers(wave, responses, reach)
    return _limit(result - result.mean())


def impulsive_noise(wave: np.ndarray, rng: np.random.RandomState, settings: RawBoostSettings) -> np.ndarray:
    """Add impulsive signal-dependent noise, proportional to the sample, to random samples: (N,) -> (N,)."""
    share = rng.uniform(0, settings.impulses) / 100
    hit = rng.permutation(len(wave))[: int(len(wave) * share)]
    factor = (2 * rng.random_sample(len(hit)) - 1) * (2 * rng.random_sample(len(hit)) - 1)
    result = wave.copy()
    result[hit] += settings.impulse_gain * wave[hit] * factor
    return _limit(result)


def stationary_noise(wave: np.ndarray, rng: np.random.RandomState, settings: RawBoostSettings) -> np.ndarray:
    """Add stationary signal-independent noise, filtered white noise at a random SNR: (N,) -> (N,)."""
    white = rng.standard_normal(len(wave))
    responses, reach = notch_filters(rng, settings, [settings.gain])
    noise = _filter_powers(white, responses, reach)
    snr = rng.uniform(*settings.snr)
    # The authors first scale the noise to full scale, which has no effect: the SNR determines its level.
    return wave + noise * (rms(wave) / rms(noise) * 10 ** (-snr / 20))


DISTORTIONS = (convolutive_noise, impulsive_noise, stationary_noise)


def notch_filters(
    rng: np.random.RandomState, settings: RawBoostSettings, gains: list[tuple[float, float]]
) -> tuple[np.ndarray, int]:
    """Draw filters, each a cascade of ``settings.notches`` windowed-sinc band-stops with Hamming windows.

    Args:
        rng: Source of the draws.
        settings: Ranges of centre, width and taps.
        gains: For each filter, the range in dB from which the gain of its peak is drawn.

    Returns:
        Real frequency responses about the middle tap (F, K), at K frequencies from 0 to half the sampling rate, and the
        maximum distance of a tap from the middle tap.
    """
    # One row per filter: centre, width and taps of each notch, then the gain.
    drawn = rng.random_sample((len(gains), 3 * settings.notches + 1))
    notches = drawn[:, :-1].reshape(len(gains), -1, 3)  # -> (F, notches, 3)
    centre, width, taps = (
        low + (high - low) * notches[..., index]
        for index, (low, high) in enumerate((settings.centre, settings.width, settings.taps))
    )
    half = (taps.astype(int) | 1) // 2  # (F, notches)
    nyquist = settings.rate / 2
    lower = centre - width / 2
    lower = np.where(lower <= 0, EDGE, lower) / nyquist
    upper = centre + width / 2
    upper = np.where(upper >= nyquist, nyquist - EDGE, upper) / nyquist

    # For each notch, the taps from the middle on; the other half is the mirror image.
    n = np.arange(half.max() + 1)
    lower, upper, middle = lower[..., None], upper[..., None], half[..., None]  # -> (F, notches, 1)
    ideal = np.where(n == 0, 1.0, 0.0) + lower * np.sinc(lower * n) - upper * np.sinc(upper * n)
    window = np.where(n <= middle, 0.54 + 0.46 * np.cos(np.pi * n / np.maximum(middle, 1)), 0.0)
    one_side = ideal * window  # (F, notches, n)
    one_side /= (2 * one_side.sum(-1) - one_side[..., 0])[..., None]  # gain 1 at 0 Hz

    reach = max(1, int(half.sum(-1).max()))
    size = max(2 * GAIN_GRID, 1 << (8 * reach - 1).bit_length())  # of the FFTs, at least 8 times the reach
    around = np.zeros((*half.shape, size))  # the middle tap at 0, the taps before it at the end
    around[..., : len(n)] = one_side
    around[..., size - len(n) + 1 :] = one_side[..., :0:-1]
    responses = fft.rfft(around).real.prod(axis=1)  # (F, notches, size) -> (F, K), K = size // 2 + 1
    peaks = np.abs(responses[:, : -1 : size // GAIN_GRID]).max(axis=1)
    low, high = np.array(gains, dtype=np.float64).T
    gain = low + (high - low) * drawn[:, -1]
    return responses * (10 ** (gain / 20) / peaks)[:, None], reach


def rms(wave: np.ndarray) -> float:
    """Return the root mean square of a wave (N,)."""
    # np.linalg.norm calls BLAS, whose threads compete with each other in loader processes.
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def _filter_powers(wave: np.ndarray, responses: np.ndarray, reach: int) -> np.ndarray:
    """Sum the powers 1 to F of the wave, each filtered by its response (F, K): (N,) -> (N,).

    The result is one sample early, as in the authors' code. Overlap-save: the ends of each block are discarded.
    """
    size = 2 * (responses.shape[1] - 1)
    step = size - 2 * reach
    blocks = -(-len(wave) // step)
    padded = np.zeros(blocks * step + 2 * reach)
    padded[reach - 1 : reach - 1 + len(wave)] = wave
    power = padded.copy()
    windows = np.lib.stride_tricks.sliding_window_view(power, size)[::step]  # (blocks, size), a view of ``power``
    spectrum = fft.rfft(windows) * responses[0]
    for response in responses[1:]:
        power *= padded
        spectrum += fft.rfft(windows) * response
    filtered = fft.irfft(spectrum, size)[:, reach : reach + step]  # (blocks, K) -> (blocks, step)
    return filtered.reshape(-1)[: len(wave)]


def _limit(wave: np.ndarray) -> np.ndarray:
    """Scale the wave to a peak of full scale if its peak exceeds full scale."""
    peak = np.abs(wave).max()
    return wave / peak if peak > 1 else wave
