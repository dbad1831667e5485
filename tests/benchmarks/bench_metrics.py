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
from spooftrace.metrics import (
    ASVSPOOF5_ASV,
    a_dcf,
    act_dcf,
    cllr,
    eer,
    min_cllr,
    min_dcf,
    min_tdcf,
    range_eer,
    revised_weights,
    segment_eer,
    t_eer,
    ties_across_classes,
)

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
    weights = revised_weights(ASVSPOOF5_ASV)
    # SASV: a tenth of the bona fide trials are targets. Localisation: utterances of 200 frames, spoofed in the middle.
    target, nontarget = bonafide[: BONAFIDE // 10], bonafide[BONAFIDE // 10 :] - 1
    frames = list(pooled[: pooled.size // 200 * 200].reshape(-1, 200))
    labels = [np.repeat([1, 0, 1], [100, 50, 50])] * len(frames)
    segments = [[(0.0, 2.007, 1), (2.007, 3.011, 0), (3.011, 4.0, 1)]] * len(frames)
    metrics = {
        "det_curve + eer": lambda: eer(bonafide, spoof),
        "ties_across_classes": lambda: ties_across_classes(bonafide, spoof),
        "min_dcf": lambda: min_dcf(bonafide, spoof),
        "act_dcf": lambda: act_dcf(bonafide, spoof),
        "cllr": lambda: cllr(bonafide, spoof),
        "min_cllr": lambda: min_cllr(bonafide, spoof),
        "min_tdcf": lambda: min_tdcf(bonafide, spoof, weights),
        "a_dcf": lambda: a_dcf(target, nontarget, spoof),
        "t_eer": lambda: t_eer(bonafide, spoof, target, nontarget, spoof),
        "segment_eer": lambda: segment_eer(frames, labels, resolution_ms=40, score_ms=20, label_ms=20),
        "range_eer": lambda: range_eer(frames, segments),
    }
    sort, stable, *times = fastest(
        lambda: np.sort(pooled), lambda: np.argsort(pooled, kind="stable"), *metrics.values()
    )
    print(f"{pooled.size:,} trials; np.sort takes {1000 * sort:.1f} ms, a stable argsort {1000 * stable:.1f} ms")
    for name, seconds in zip(metrics, times, strict=True):
        print(f"{name + ':':20} {seconds / sort:6.2f} x np.sort, {seconds / stable:5.2f} x stable argsort")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.txt"
        path.write_text("".join(f"E_{index:010d} {score:.6f}\n" for index, score in enumerate(pooled)))
        split, read = fastest(lambda: path.read_text().split(), lambda: read_scores(path))
    print(f"read_scores:         {read / split:5.2f} x splitting the file's text ({read:.2f} s)")


if __name__ == "__main__":
    main()
