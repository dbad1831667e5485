"""Time of RawBoost against a plain formulation of the same algorithms, beside a training step of AASIST.

Usage, from the repository root: python tests/benchmarks/bench_rawboost.py [--rounds 30] [--no-aasist]

The plain formulation is that of the authors' code: `firwin` for each notch, `freqz` for the gain, `lfilter` for the
filter, a float power for each order. It is also a check: both give the same samples from the same seed. Prints the
least CPU time for an utterance of 64,600 samples over the rounds; the formulations take turns.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import signal

from spooftrace.audio.rawboost import RawBoostSettings, rawboost

SAMPLES = 64600


class Plain:
    """RawBoost as one would write it down from the paper, with scipy's filter functions."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.RandomState(seed)
        self.settings = RawBoostSettings()

    def notches(self, gain: tuple[float, float]) -> np.ndarray:
        s = self.settings
        taps = np.ones(1)
        for _ in range(s.notches):
            centre = self.rng.uniform(*s.centre, size=1)[0]
            width = self.rng.uniform(*s.width, size=1)[0]
            count = int(self.rng.uniform(*s.taps, size=1)[0])
            count += 1 - count % 2
            low, high = max(centre - width / 2, 0.001), min(centre + width / 2, s.rate / 2 - 0.001)
            taps = np.convolve(signal.firwin(count, [low, high], window="hamming", fs=s.rate), taps)
        _, response = signal.freqz(taps, 1, fs=s.rate)
        return 10 ** (self.rng.uniform(*gain, size=1)[0] / 20) * taps / np.abs(response).max()

    def filtered(self, wave: np.ndarray, taps: np.ndarray) -> np.ndarray:
        extra = len(taps) + 1
        return signal.lfilter(taps, 1, np.pad(wave, (0, extra)))[extra // 2 : -(extra // 2)]

    def convolutive(self, wave: np.ndarray) -> np.ndarray:
        s = self.settings
        total = np.zeros(len(wave))
        for power in range(1, s.powers + 1):
            gain = s.gain if power == 1 else tuple(np.subtract(s.gain, s.gain_drop))
            total = total + self.filtered(np.power(wave, power), self.notches(gain))
        total = total - total.mean()
        return total / max(1, np.abs(total).max())

    def impulsive(self, wave: np.ndarray) -> np.ndarray:
        share = self.rng.uniform(0, self.settings.impulses, size=1)[0]
        hit = self.rng.permutation(len(wave))[: int(len(wave) * (share / 100))]
        factor = (2 * self.rng.rand(len(hit)) - 1) * (2 * self.rng.rand(len(hit)) - 1)
        result = wave.copy()
        result[hit] = wave[hit] + self.settings.impulse_gain * wave[hit] * factor
        return result / max(1, np.abs(result).max())

    def stationary(self, wave: np.ndarray) -> np.ndarray:
        noise = self.rng.normal(0, 1, len(wave))
        noise = self.filtered(noise, self.notches(self.settings.gain))
        noise = noise / np.abs(noise).max()
        snr = self.rng.uniform(*self.settings.snr, size=1)[0]
        return wave + noise / np.linalg.norm(noise) * np.linalg.norm(wave) / 10 ** (0.05 * snr)

    def __call__(self, wave: np.ndarray, algorithm: int) -> np.ndarray:
        steps = {1: "c", 2: "i", 3: "s", 4: "cis", 5: "ci", 6: "cs", 7: "is"}[algorithm]
        for step in steps:
            wave = {"c": self.convolutive, "i": self.impulsive, "s": self.stationary}[step](wave)
        return wave


def cpu_time(function: Callable[..., object], *arguments: object) -> float:
    # Of this thread only: those of the linear algebra library go on spinning into the other formulation's turn.
    started = time.thread_time()
    function(*arguments)
    return time.thread_time() - started


def aasist_step() -> float:
    """CPU seconds of an utterance's forward and backward pass on one thread, batch of 2, the better of two."""
    import torch

    from spooftrace.backends import AASIST

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, waves = AASIST(), torch.randn(2, SAMPLES)
    return min(cpu_time(lambda: model(waves).sum().backward()) for _ in range(2)) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--no-aasist", action="store_true", help="do not time a training step")
    args = parser.parse_args()
    step = None if args.no_aasist else aasist_step()

    wave = (0.1 * np.random.RandomState(0).standard_normal(SAMPLES)).astype(np.float32)
    print(f"{'algorithm':<12}{'plain ms':>10}{'ours ms':>10}{'ratio':>8}{'difference':>12}")
    for algorithm in (1, 2, 3, 4, 5):
        expected = Plain(0)(wave, algorithm)
        difference = np.abs(rawboost(wave, algorithm, np.random.RandomState(0)) - expected).max()
        plain, rng = Plain(1), np.random.RandomState(1)
        times = [
            (cpu_time(plain, wave, algorithm), cpu_time(rawboost, wave, algorithm, rng)) for _ in range(args.rounds)
        ]
        theirs, ours = (1000 * min(column) for column in zip(*times, strict=True))
        relative = difference / np.abs(expected).max()
        print(f"{algorithm:<12}{theirs:>10.2f}{ours:>10.2f}{theirs / ours:>8.1f}{relative:>12.1e}")
    if step is not None:
        print(f"AASIST, forward and backward pass of an utterance: {1000 * step:.0f} ms")


if __name__ == "__main__":
    main()
