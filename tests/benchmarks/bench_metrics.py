"""Detection metrics at the size of the ASVspoof 5 evaluation set, as a ratio to one sort of the same scores.

Run: python tests/benchmarks/bench_metrics.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spooftrace.evaluation import read_scores
from spooftrace.metrics import eer, ties_across_classes

BONAFIDE, SPOOF = 138_688, 542_086  # 680,774 trials
REPEATS = 7


def fastest(*functions: Callable[[], object]) -> list[float]:
    """Best time of each function in seconds; the functions take turns, so that they share whatever else is running."""
    best = [float("inf")] * len(functions)
    for _ in range(REPEATS):
        for index, function in enumerate(functions):
            started = time.perf_counter()
            function()
            best[index] = min(best[index], time.perf_counter() - started)
    return best


def main() -> None:
    rng = np.random.default_rng(0)
    bonafide, spoof = rng.normal(2.0, 1.0, BONAFIDE), rng.normal(0.0, 1.0, SPOOF)
    pooled = np.concatenate((bonafide, spoof))
    sort, stable, rate, ties = fastest(
        lambda: np.sort(pooled),
        lambda: np.argsort(pooled, kind="stable"),
        lambda: eer(bonafide, spoof),
        lambda: ties_across_classes(bonafide, spoof),
    )
    print(f"{pooled.size:,} trials; np.sort takes {1000 * sort:.1f} ms, a stable argsort {1000 * stable:.1f} ms")
    print(f"det_curve + eer:     {rate / sort:5.2f} x np.sort, {rate / stable:5.2f} x stable argsort")
    print(f"ties_across_classes: {ties / sort:5.2f} x np.sort, {ties / stable:5.2f} x stable argsort")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.txt"
        path.write_text("".join(f"E_{index:010d} {score:.6f}\n" for index, score in enumerate(pooled)))
        split, read = fastest(lambda: path.read_text().split(), lambda: read_scores(path))
    print(f"read_scores:         {read / split:5.2f} x splitting the file's text ({read:.2f} s)")


if __name__ == "__main__":
    main()
