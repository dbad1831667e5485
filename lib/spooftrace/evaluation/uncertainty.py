"""How sure the pooled figures of a test set are: bootstrap intervals, and the difference of two systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.evaluation.trials import ScoredTrials
from spooftrace.metrics import min_dcf
from spooftrace.metrics.intervals import bootstrap_interval, paired_difference

Figures = dict[str, dict[str, Any]]  # metric -> interval

# unit that is resampled -> the property with its name; trials have none
UNITS = {"trial": None, "speaker": "spk", "attack": "attack"}
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float] | None] = {
    "eer": None,  # None: the EER, counted without sorting every draw
    "min_dcf": lambda bonafide, spoof: min_dcf(bonafide, spoof)[0],
}
DRAWS, DRAWS_OF_MANY, MANY = 1000, 200, 100_000  # a draw takes time in proportion to the trials
FEW = 10  # below so many, what is resampled stands for too little of what else there could be


def intervals(trials: ScoredTrials, unit: str = "trial") -> Figures:
    """95 % intervals of the pooled EER and minDCF.

    Args:
        trials: the scored trials, both classes.
        unit: what the bootstrap resamples: "trial" within each class; "speaker", each with all its trials; or "attack",
            attacks with all their trials, and bona fide trials one by one.

    Raises:
        InputError: the trials have no such property, some of them none ("-"), or there is one value of it only.
    """
    return {
        name: asdict(_resampled(bootstrap_interval, trials, unit, trials.bonafide, trials.spoof, metric=metric))
        for name, metric in METRICS.items()
    }


def differences(trials: ScoredTrials, others: np.ndarray, unit: str = "trial") -> Figures:
    """Pooled EER and minDCF of ``trials`` minus those of another system, with 95 % interval and p-value.

    ``others``, (N,), are the other system's scores of the same trials, which are resampled alike for both. The rest
    as for :func:`intervals`.
    """
    first = trials.bonafide, trials.spoof
    second = others[trials.is_bonafide], others[~trials.is_bonafide]
    return {
        name: asdict(_resampled(paired_difference, trials, unit, first, second, metric=metric))
        for name, metric in METRICS.items()
    }


def too_few(trials: ScoredTrials, unit: str = "trial") -> str:
    """A warning where there is so little to resample that an interval says less than it seems to; else empty."""
    is_bonafide = trials.is_bonafide
    counts: dict[str, int] = {"bona fide trials": trials.bonafide.size, "spoof trials": trials.spoof.size}
    if name := UNITS[unit]:
        codes = trials.columns[name].codes
        counts[f"{unit}s"] = np.unique(codes[~is_bonafide] if unit == "attack" else codes).size
    few = [f"{count} {what}" for what, count in counts.items() if count < FEW]
    return f"only {', '.join(few)} to resample: the bootstrap interval is too narrow" if few else ""


def format_intervals(figures: Mapping[str, Mapping[str, Any]], unit: str) -> str:
    """One line for each figure."""
    return "\n".join(
        f"{_shown(name, cell['point'])}, {100 * cell['level']:g} % interval {_range(name, cell)} "
        f"({cell['draws']} bootstrap draws by {unit})"
        for name, cell in figures.items()
    )


def format_differences(figures: Mapping[str, Mapping[str, Any]], unit: str, other: str) -> str:
    """One line for each figure."""
    return "\n".join(
        f"difference (these scores minus {other}): {_shown(name, cell['point'])}, "
        f"{100 * cell['level']:g} % interval {_range(name, cell)}, "
        f"p = {cell['p_value']:.3g} ({cell['draws']} paired draws by {unit})"
        for name, cell in figures.items()
    )


def _resampled(method: Callable, trials: ScoredTrials, unit: str, *scores: Any, **settings: Any) -> Any:
    settings["draws"] = DRAWS if len(trials) <= MANY else DRAWS_OF_MANY
    name = UNITS[unit]
    if name is None:
        return method(*scores, **settings, scheme="stratified")
    if name not in trials.columns:
        raise InputError(f"{trials.name}: the key has no utt2{name}, so nothing can be resampled by {unit}")
    column = trials.columns[name]
    codes = column.codes
    unknown = np.count_nonzero(column.is_in(["-"]) & ~(trials.is_bonafide & (unit == "attack")))
    if unknown:
        raise InputError(
            f"{trials.name}: {unknown} trials have no {unit} ('-' in utt2{name}), so they cannot be resampled by it; "
            "give another --bootstrap"
        )
    settings["spoof_groups"] = codes[~trials.is_bonafide]
    if unit != "attack":  # bona fide trials have none
        settings["bonafide_groups"] = codes[trials.is_bonafide]
    try:
        return method(*scores, **settings, scheme="groups")
    except ValueError as error:
        raise InputError(f"{trials.name}: cannot resample by {unit}: {error}") from None


def _shown(name: str, value: float) -> str:
    return f"EER {100 * value:.3f} %" if name == "eer" else f"minDCF {value:.4f}"


def _range(name: str, cell: Mapping[str, Any]) -> str:
    scale, digits = (100, 3) if name == "eer" else (1, 4)
    return f"[{scale * cell['low']:.{digits}f}, {scale * cell['high']:.{digits}f}]"
