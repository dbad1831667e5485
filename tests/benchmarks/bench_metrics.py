"""Detection metrics at the size of the ASVspoof 5 evaluation set, next to sorting the same scores.

All times are taken in turns in one run, best of several. ``np.sort`` is the fastest sort there is here: vectorised,
and of values only. A stable argsort is what the official packages do before each metric; scikit-learn's ``roc_curve``
sorts and counts.

Run: python tests/benchmarks/bench_metrics.py
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_curve

from spooftrace.evaluation import read_scores
from spooftrace.metrics import (
    ASVSPOOF5_ASV,
    AsvErrorRates,
    DetCurve,
    a_dcf,
    act_dcf,
    cllr,
    eer,
    legacy_weights,
    min_cllr,
    min_dcf,
    min_tdcf,
    range_eer,
    revised_weights,
    segment_eer,
    sorted_by_group,
    t_eer,
    ties_across_classes,
)

BONAFIDE, SPOOF = 138_688, 542_086  # 680,774 trials
ATTACKS, CODECS = 32, 12
REPEATS = 15
ASV = AsvErrorRates(miss=0.025, false_accept=0.025, spoof_accept=0.76)
T_DCF = {
    "legacy": legacy_weights(ASV),
    "revised": revised_weights(ASV),
    "ASVspoof 5": revised_weights(ASVSPOOF5_ASV),
}
METRICS = {
    "eer": eer,
    "min_dcf": min_dcf,
    "act_dcf": act_dcf,
    "cllr": cllr,
    "min_cllr": min_cllr,
    "ties_across_classes": ties_across_classes,
    **{f"min_tdcf, {name}": lambda *trials, w=weights: min_tdcf(*trials, w) for name, weights in T_DCF.items()},
}


def fastest(functions: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """Best time of each function in seconds; the functions take turns, so that they share whatever else is running."""
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def every_metric(bonafide: np.ndarray, spoof: np.ndarray) -> list[object]:
    curve = DetCurve(bonafide, spoof)
    return [metric(curve) for metric in METRICS.values()]


def breakdown(bonafide: np.ndarray, spoof: np.ndarray, codec: np.ndarray, cell: np.ndarray) -> list[object]:
    """EER, minDCF and min t-DCF of each attack under each codec against the bona fide trials of the codec."""
    of_codec = sorted_by_group(bonafide, codec)
    curves = [DetCurve(of_codec[group % CODECS], part) for group, part in sorted_by_group(spoof, cell).items()]
    return [(eer(curve), min_dcf(curve), min_tdcf(curve, T_DCF["ASVspoof 5"])) for curve in curves]


def by_attack(bonafide: np.ndarray, spoof: np.ndarray, attack: np.ndarray) -> list[object]:
    """The same of each attack, against all bona fide trials."""
    bonafide = np.sort(bonafide)
    curves = [DetCurve(bonafide, part) for part in sorted_by_group(spoof, attack).values()]
    return [(eer(curve), min_dcf(curve), min_tdcf(curve, T_DCF["ASVspoof 5"])) for curve in curves]


def main() -> None:
    rng = np.random.default_rng(0)
    bonafide, spoof = rng.normal(2.0, 1.0, BONAFIDE), rng.normal(0.0, 1.0, SPOOF)
    pooled, label = np.concatenate((bonafide, spoof)), np.repeat([1, 0], [BONAFIDE, SPOOF])
    codec, cell = rng.integers(0, CODECS, BONAFIDE), rng.integers(0, ATTACKS * CODECS, SPOOF)

    sorts = {
        "np.sort": lambda: np.sort(pooled),
        "np.argsort": lambda: np.argsort(pooled),
        "stable argsort": lambda: np.argsort(pooled, kind="stable"),
        "sklearn roc_curve": lambda: roc_curve(label, pooled),
    }
    curve = DetCurve(bonafide, spoof)
    for metric in METRICS.values():
        metric(curve)  # now what the metrics share is there
    times = fastest(
        {
            **sorts,
            f"all {len(METRICS)} metrics, one DetCurve": lambda: every_metric(bonafide, spoof),
            f"all {len(METRICS)} metrics, each from arrays": lambda: [m(bonafide, spoof) for m in METRICS.values()],
            **{f"{name}, from arrays": lambda m=metric: m(bonafide, spoof) for name, metric in METRICS.items()},
            **{f"{name}, from a used DetCurve": lambda m=metric: m(curve) for name, metric in METRICS.items()},
            f"3 metrics of {ATTACKS} attacks": lambda: by_attack(bonafide, spoof, cell // CODECS),
            f"3 metrics of {ATTACKS} x {CODECS} cells": lambda: breakdown(bonafide, spoof, codec, cell),
        }
    )
    print(f"{f'{pooled.size:,} trials':42}{'ms':>9}" + "".join(f"{'x ' + name:>21}" for name in sorts))
    for name, seconds in times.items():
        print(f"{name:42}{1000 * seconds:9.2f}" + "".join(f"{seconds / times[sort]:21.2f}" for sort in sorts))

    tracemalloc.start()
    every_metric(bonafide, spoof)
    print(f"peak memory of all metrics beside the scores: {tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")
    tracemalloc.stop()

    # SASV: a tenth of the bona fide trials are targets. Localisation: utterances of 200 frames, spoofed in the middle.
    target, nontarget = bonafide[: BONAFIDE // 10], bonafide[BONAFIDE // 10 :] - 1
    frames = list(pooled[: pooled.size // 200 * 200].reshape(-1, 200))
    labels = [np.repeat([1, 0, 1], [100, 50, 50])] * len(frames)
    segments = [[(0.0, 2.007, 1), (2.007, 3.011, 0), (3.011, 4.0, 1)]] * len(frames)
    others = {
        "a_dcf": lambda: a_dcf(target, nontarget, spoof),
        "t_eer": lambda: t_eer(bonafide, spoof, target, nontarget, spoof),
        "segment_eer": lambda: segment_eer(frames, labels, resolution_ms=40, score_ms=20, label_ms=20),
        "range_eer": lambda: range_eer(frames, segments),
    }
    for name, seconds in fastest(others, 3).items():
        print(f"{name:42}{1000 * seconds:9.2f}" + "".join(f"{seconds / times[sort]:21.2f}" for sort in sorts))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.txt"
        path.write_text("".join(f"E_{index:010d} {score:.6f}\n" for index, score in enumerate(pooled)))
        reading = fastest({"split": lambda: path.read_text().split(), "read": lambda: read_scores(path)}, 5)
    print(
        f"read_scores: {reading['read'] / reading['split']:.2f} x splitting the file's text ({reading['read']:.2f} s)"
    )


if __name__ == "__main__":
    main()
