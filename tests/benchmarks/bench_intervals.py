"""Bootstrap interval of the EER: 1,000 draws of 100,000 trials, against sorting every draw anew.

Run: python tests/benchmarks/bench_intervals.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from spooftrace.metrics import eer
from spooftrace.metrics.intervals import bootstrap_interval, paired_difference

BONAFIDE, SPOOF, SPEAKERS = 20_000, 80_000, 67
DRAWS, NAIVE_DRAWS = 1_000, 50


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    rng = np.random.default_rng(0)
    bonafide, spoof = rng.normal(2.0, 1.0, BONAFIDE), rng.normal(0.0, 1.0, SPOOF)
    other = bonafide + rng.normal(0.0, 0.3, BONAFIDE), spoof + rng.normal(0.0, 0.3, SPOOF)
    speakers = {
        "bonafide_groups": rng.integers(0, SPEAKERS, BONAFIDE),
        "spoof_groups": rng.integers(0, SPEAKERS, SPOOF),
    }

    def resort() -> None:
        draw = np.random.default_rng(0)
        for _ in range(NAIVE_DRAWS):
            eer(bonafide[draw.integers(BONAFIDE, size=BONAFIDE)], spoof[draw.integers(SPOOF, size=SPOOF)])

    naive = seconds(resort) / NAIVE_DRAWS
    print(f"{BONAFIDE + SPOOF:,} trials; a draw that is sorted anew takes {1000 * naive:.2f} ms ({NAIVE_DRAWS} draws)")
    for name, function in {
        "iid": lambda: bootstrap_interval(bonafide, spoof, scheme="iid", draws=DRAWS),
        "stratified": lambda: bootstrap_interval(bonafide, spoof, draws=DRAWS),
        "groups": lambda: bootstrap_interval(bonafide, spoof, scheme="groups", draws=DRAWS, **speakers),
        "groups-then-trials": lambda: bootstrap_interval(
            bonafide, spoof, scheme="groups-then-trials", draws=DRAWS, **speakers
        ),
        "paired, stratified": lambda: paired_difference((bonafide, spoof), other, draws=DRAWS),
    }.items():
        took = seconds(function)
        anew = naive * DRAWS * (2 if name.startswith("paired") else 1)
        print(f"{name:20s}{took:6.2f} s for {DRAWS:,} draws, {anew / took:5.1f} times as fast as sorting anew")


if __name__ == "__main__":
    main()
