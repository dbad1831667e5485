"""Lightning callbacks of a training: early stopping, checkpoints, progress, the table of epochs."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.signals import Stopped, StopSignals
from spooftrace.training.learner import Learner
from spooftrace.training.selection import History, best_epochs, epochs_without_better

CHECKPOINT_NAME = re.compile(r"epoch(\d+)\.ckpt")  # of an epoch, counted from 0


def _learner(module: lightning.LightningModule) -> Learner:
    assert isinstance(module, Learner)
    return module


class StopEarly(Callback):
    """Ends the training once the last ``patience`` epochs did not improve on the best one before them.

    It decides anew after every epoch: if ``min_epochs`` keeps the training going, a better epoch renews the patience.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        self.monitor, self.patience = monitor, patience

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._decide(trainer, module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._decide(trainer, module)

    def _decide(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        trainer.should_stop = epochs_without_better(_learner(module).epochs, self.monitor) >= self.patience


class KeepBest(Checkpoint):
    """Saves the weights of the best epochs as ``epochNNN.ckpt``, where NNN counts from 0.

    ``KeepLast`` calls :meth:`remove_others` after it has saved ``last.ckpt``: until then, a resumed run may need the
    file of an epoch that is no longer among the best.

    Args:
        folder: Folder of the checkpoints.
        monitor: The value that is lower in a better epoch.
        count: Number of epochs to keep.
    """

    def __init__(self, folder: Path, monitor: str, count: int) -> None:
        self.folder, self.monitor, self.count = folder, monitor, count

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.paths(_learner(module).epochs)  # a missing file is an error now rather than after the training

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.current_epoch + 1 in best_epochs(_learner(module).epochs, self.monitor, self.count):
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


class KeepLast(Checkpoint):
    """Saves ``last.ckpt``, the state to resume from: after every epoch, and every ``minutes`` inside one.

    It also saves when one of ``signals`` is received, and then raises :class:`Stopped`: after the current batch, or
    after the dev set if that batch is the last of its epoch. Lightning runs ``Checkpoint`` callbacks after all others,
    so the checkpoint includes the state of the others.

    Args:
        path: ``last.ckpt``.
        minutes: Minutes between two checkpoints inside an epoch.
        signals: The signals that end the training.
        best: Keeps the best epochs; the files of the others are removed once ``last.ckpt`` names the best.
    """

    def __init__(self, path: Path, minutes: float, signals: StopSignals, best: KeepBest) -> None:
        self.path = path
        self.best = best
        self.interval = 60 * minutes
        self.signals = signals
        self.seconds_before = 0.0  # training time of earlier runs of the same experiment
        self._started = self._saved = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.signals.wait()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        _learner(module).train_batches.done = batch_idx + 1
        if trainer.is_last_batch:
            return  # on_train_epoch_end saves, with the values of the dev set
        signum, due = self._agreed(trainer, time.monotonic() - self._saved >= self.interval)
        if signum or due:
            self._save(trainer)
        if signum:
            raise Stopped(signum, f"in epoch {trainer.current_epoch + 1} after batch {batch_idx + 1}, which is saved")

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._save(trainer)
        if trainer.is_global_zero:
            self.best.remove_others(_learner(module).epochs)
        signum, _ = self._agreed(trainer)
        if signum:
            raise Stopped(signum, f"after epoch {trainer.current_epoch + 1}, which is saved")

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds_before + time.monotonic() - self._started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds_before = state["seconds"]

    def _agreed(self, trainer: lightning.Trainer, due: bool = False) -> tuple[int, bool]:
        """The signal received and whether to save, as the maximum over all ranks, so all ranks act alike."""
        if trainer.world_size == 1:
            return self.signals.received, due
        own = torch.tensor((self.signals.received, due), device=trainer.strategy.root_device)
        signum, any_due = trainer.strategy.reduce(own, reduce_op="max").tolist()
        return int(signum), bool(any_due)

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()


class Progress(Callback):
    """Prints a line for each epoch; on a terminal, also shows a bar inside the epoch."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Not at the start of the epoch: Lightning does not call that hook when it resumes inside an epoch.
        if self._bar is None and sys.stderr.isatty() and trainer.is_global_zero:
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(f"epoch {trainer.current_epoch + 1}", total=trainer.num_training_batches)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=batch_idx + 1)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._close()
        if trainer.is_global_zero:
            figures = {key: float(value) for key, value in trainer.callback_metrics.items()}
            text = "  ".join(f"{key} {figures[key]:.4f}" for key in sorted(figures) if key != "train_loss_step")
            print(f"epoch {trainer.current_epoch + 1:3d}  {text}", flush=True)

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class WriteEpochs(Callback):
    """Writes a table with a row for each epoch so far.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            epochs = _learner(module).epochs
            rows = [list(epochs[0]), *([f"{value:.6g}" for value in epoch.values()] for epoch in epochs)]
            with atomic_write(self.path) as file:
                file.writelines("\t".join(row) + "\n" for row in rows)
