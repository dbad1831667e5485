"""Which epochs make the model and when a training ends, as functions of the figures of all its epochs.

The figures are in every checkpoint (``Learner.epochs``), so a resumed run decides as one that was never stopped, in
whatever folder the experiment lies then. Figures are compared in single precision: those that differ in the rounding of
double precision are ties, and of two equal epochs the earlier one is better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback, Checkpoint

from spooftrace.common.errors import InputError

LAST_EPOCH = "last_epoch"  # the monitor that looks at no figure
CHECKPOINT_NAME = re.compile(r"epoch(\d+)\.ckpt")  # of an epoch, counted from 0

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


def end_of(history: History, trainer: Mapping[str, Any]) -> int | None:
    """After which of these epochs a training with the settings ``trainer`` is over; None if it goes on.

    >>> history = [{"dev_eer": 0.1}, {"dev_eer": 0.2}, {"dev_eer": 0.3}]
    >>> end_of(history, {"monitor": "dev_eer", "max_epochs": 9, "min_epochs": 0, "patience": None})
    >>> end_of(history, {"monitor": "dev_eer", "max_epochs": 9, "min_epochs": 0, "patience": 1})
    2
    """
    patience = math.inf if trainer["patience"] is None else trainer["patience"]
    for done in range(1, len(history) + 1):
        waits = done < trainer["min_epochs"] or epochs_without_better(history[:done], trainer["monitor"]) < patience
        if done >= trainer["max_epochs"] or not waits:
            return done
    return None


def _values(history: History, monitor: str) -> list[float]:
    """What is lower in a better epoch; infinite where it is not a number."""
    if monitor == LAST_EPOCH:
        return [-float(number) for number in range(len(history))]
    values = [float(np.float32(figures[monitor])) for figures in history]
    return [math.inf if math.isnan(value) else value for value in values]


class StopEarly(Callback):
    """Ends the training once the last ``patience`` epochs were not better than one before them.

    It is asked after every epoch anew: where ``min_epochs`` keeps the training going, a better epoch renews the
    patience.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        self.monitor, self.patience = monitor, patience

    def on_train_start(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        self._decide(trainer, learner)

    def on_train_epoch_end(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        self._decide(trainer, learner)

    def _decide(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        trainer.should_stop = epochs_without_better(learner.epochs, self.monitor) >= self.patience


class KeepBest(Checkpoint):
    """Keeps the weights of the best epochs, ``epochNNN.ckpt``, where NNN counts from 0.

    Those of an epoch that is no longer among the best are removed by :meth:`remove_others`, once the checkpoint to
    resume from knows so: until then a resumed run may need them.
    """

    def __init__(self, folder: Path, monitor: str, count: int) -> None:
        self.folder, self.monitor, self.count = folder, monitor, count

    def on_train_start(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        self.paths(learner.epochs)  # what is gone is better said before than after the training

    def on_train_epoch_end(self, trainer: lightning.Trainer, learner: lightning.LightningModule) -> None:
        if trainer.current_epoch + 1 in best_epochs(learner.epochs, self.monitor, self.count):
            trainer.save_checkpoint(self.path(trainer.current_epoch + 1), weights_only=True)

    def path(self, epoch: int) -> Path:
        """The file of an epoch, counted from 1."""
        return self.folder / f"epoch{epoch - 1:03d}.ckpt"

    def paths(self, history: History) -> list[Path]:
        """The files of the best epochs, the best one first; raises ``InputError`` if one is gone."""
        paths = [self.path(epoch) for epoch in best_epochs(history, self.monitor, self.count)]
        for path in paths:
            if not path.exists():
                raise InputError(
                    f"{path}: the weights of one of the best epochs so far are gone; put a copy back, or remove "
                    f"{self.folder} to start this training anew"
                )
        return paths

    def remove_others(self, history: History) -> None:
        """Remove the files of all epochs but the best."""
        kept = set(self.paths(history))
        for path in self.folder.iterdir():
            if CHECKPOINT_NAME.fullmatch(path.name) and path not in kept:
                path.unlink(missing_ok=True)
