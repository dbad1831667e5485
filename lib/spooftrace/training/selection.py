"""Which epochs make the model and when a training ends, as functions of the figures of all its epochs.

The figures are in every checkpoint (``Learner.epochs``), so a resumed run decides as one that was never stopped, in
whatever folder the experiment lies then. Figures are compared in single precision: those that differ in the rounding of
double precision are ties, and of two equal epochs the earlier one is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from spooftrace.config.settings import Training

LAST_EPOCH = "last_epoch"  # the monitor that looks at no figure

History = Sequence[Mapping[str, float]]  # the figures of each epoch so far


def best_epochs(history: History, monitor: str, count: int) -> list[int]:
    """Numbers of the ``count`` best epochs, counted from 1, the best one first.

    >>> best_epochs([{"dev_eer": 0.3}, {"dev_eer": 0.1}, {"dev_eer": 0.1}, {"dev_eer": 0.2}], "dev_eer", 2)
    [2, 3]
    """
    kept: dict[int, float] = {}
    for number, value in enumerate(_values(history, monitor), 1):
        if len(kept) == count:
            worst = max(kept, key=kept.__getitem__)
            if not value < kept[worst]:
                continue
            del kept[worst]
        kept[number] = value
    return sorted(kept, key=kept.__getitem__)


def epochs_without_better(history: History, monitor: str) -> int:
    """How many epochs at the end were not better than the best one before them.

    >>> epochs_without_better([{"dev_eer": 0.3}, {"dev_eer": 0.1}, {"dev_eer": 0.1}, {"dev_eer": 0.2}], "dev_eer")
    2
    """
    best, since = math.inf, 0
    for value in _values(history, monitor):
        best, since = (value, 0) if value < best else (best, since + 1)
    return since


def end_of(history: History, trainer: Training) -> int | None:
    """After which of these epochs a training with the settings ``trainer`` is over; None if it goes on.

    >>> history = [{"dev_eer": 0.1}, {"dev_eer": 0.2}, {"dev_eer": 0.3}]
    >>> end_of(history, Training(max_epochs=9))
    >>> end_of(history, Training(max_epochs=9, patience=1))
    2
    """
    patience = math.inf if trainer.patience is None else trainer.patience
    for done in range(1, len(history) + 1):
        waits = done < trainer.min_epochs or epochs_without_better(history[:done], trainer.monitor) < patience
        if done >= trainer.max_epochs or not waits:
            return done
    return None


def _values(history: History, monitor: str) -> list[float]:
    """What is lower in a better epoch; infinite where it is not a number."""
    if monitor == LAST_EPOCH:
        return [-float(number) for number in range(len(history))]
    values = [float(np.float32(figures[monitor])) for figures in history]
    return [math.inf if math.isnan(value) else value for value in values]
