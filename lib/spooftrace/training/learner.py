"""The ``LightningModule`` of a training: loss, optimizer, and the values of each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from spooftrace.batching.batches import Batches
from spooftrace.common.errors import InputError
from spooftrace.config.loading import build
from spooftrace.config.schedules import learning_rate_factor
from spooftrace.config.settings import Config
from spooftrace.system.system import System
from spooftrace.training.symptoms import Symptoms, all_equal

AUGMENTED = "_augmented"  # ends the names of figures of the augmented dev set where both are scored


class Learner(lightning.LightningModule):
    """Loss, optimizer and logged values of a :class:`System`.

    Every epoch logs ``train_loss``, the mean loss of its training batches, and for each dev set the metrics of the task
    and ``dev_loss``, the loss over all its utterances.

    Each rank has a share of each batch and of the dev sets. The loss is that of the whole batch, and the metrics are
    those of the whole dev set, as in a single process.

    Dropout is drawn from a generator that is seeded by (seed, step, rank), so a resumed run makes the same draws.

    Attributes:
        train_batches: Training set; set before ``fit``.
        dev_batches: Dev sets; set before ``fit``.
        epochs: The logged values of each epoch so far, with those of ``Backend.figures``.
    """

    strict_loading = False  # frozen front-ends are not in the checkpoints
    train_batches: Batches
    dev_batches: list[Batches]

    def __init__(self, system: System, config: Config) -> None:
        super().__init__()
        self.system = system
        self.config = config
        # Number of the dev set -> for each of its batches here the outputs and targets of its groups.
        self._dev: dict[int, list[list[tuple[Tensor, Tensor]]]] = {}
        self._loss_sum: Tensor | float = 0.0  # of this epoch's batches on this device, and how many they are
        self._loss_count = 0.0
        self.epochs: list[dict[str, float]] = []
        self.symptoms = Symptoms()
        self._equal = False  # the scores of a dev set
        # Front-end parameters frozen during ``backend_only_epochs``.
        live = [frontend for frontend in system.frontends.values() if frontend.finetune]
        self._waiting = [p for frontend in live for p in frontend.parameters() if p.requires_grad]

    def on_train_epoch_start(self) -> None:
        if self.train_batches.epoch != self.current_epoch:  # a resumed epoch keeps its restored position
            self.train_batches.set_position(self.current_epoch)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        seed = np.random.SeedSequence([self.config.seed_everything, self.global_step, self.global_rank])
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        joined = self.current_epoch >= self.config.trainer.backend_only_epochs
        for parameter in self._waiting:
            parameter.requires_grad_(joined)

    def training_step(self, batch: list[dict[str, Any]], batch_idx: int) -> Tensor:
        (group,) = batch
        loss = self.system.loss(self.system(group), group["target"], self._whole_batch)
        self._loss_sum = self._loss_sum + loss.detach().double()
        self._loss_count += 1
        self.log("train_loss_step", loss, on_step=True, on_epoch=False, batch_size=len(group["utt"]))
        return loss

    def _whole_batch(self, share: Tensor) -> Tensor:
        """(B / W, ...) of each of W processes -> (B, ...) in the order of one process, with the gradients of all."""
        if self.trainer.world_size == 1:
            return share
        shares = self.all_gather(share, sync_grads=share.requires_grad)  # (B / W, ...) -> (W, B / W, ...)
        assert isinstance(shares, Tensor)
        return shares.transpose(0, 1).flatten(0, 1)  # -> (B / W, W, ...) -> (B, ...)

    def validation_step(self, batch: list[dict[str, Any]], batch_idx: int, dataloader_idx: int = 0) -> None:
        scored = [(self.system(group), group["target"]) for group in batch]
        self._dev.setdefault(dataloader_idx, []).append(scored)

    def on_validation_epoch_end(self) -> None:
        total, count = self._epoch_loss()
        figures = {"train_loss": total / count}
        self._loss_sum, self._loss_count = 0.0, 0.0
        for number, scored in self._dev.items():
            ending = AUGMENTED if number else ""
            figures |= {key + ending: value for key, value in self._dev_figures(self._of_all(scored, number)).items()}
        self._dev.clear()
        self.symptoms.see(self.current_epoch + 1, figures["train_loss"], self._equal, self.global_rank == 0)
        self._equal = False
        figures |= self.system.backend.figures()
        # All ranks use the values of rank 0, so their decisions agree.
        figures = self.trainer.strategy.broadcast(figures)
        self.log_dict(figures, rank_zero_only=False)
        self.epochs.append({"epoch": self.current_epoch + 1, **figures})

    def _of_all(self, scored: list[list[tuple[Tensor, Tensor]]], number: int) -> list[tuple[Tensor, Tensor]]:
        """Outputs and targets of a dev set, from the shares of all processes."""
        if self.trainer.world_size > 1:
            here = [[(outputs.cpu(), targets.cpu()) for outputs, targets in groups] for groups in scored]
            shares: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(shares, here)
            scored = self.dev_batches[number].in_order(shares)
        return [(outputs.to(self.device), targets.to(self.device)) for groups in scored for outputs, targets in groups]

    def _dev_figures(self, scored: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        outputs = torch.cat([outputs for outputs, _ in scored]).float()  # list of (B, C) -> (N, C)
        targets = torch.cat([targets for _, targets in scored])  # list of (B,) -> (N,)
        scores = self.system.task.scores(outputs)
        if not scores.isfinite().all():
            advice = "lower optimizer.init_args.lr or set trainer.gradient_clip_val"
            raise InputError(f"epoch {self.current_epoch + 1}: the dev scores are not finite numbers; {advice}")
        values = scores.cpu().numpy()
        self._equal |= all_equal(values)
        figures = dict(self.system.task.dev_metrics(values, targets.cpu().numpy()))
        return figures | {"dev_loss": float(self.system.task.loss(outputs, targets))}

    def _epoch_loss(self) -> tuple[float, float]:
        """Sum of the losses of this epoch's batches so far over all devices, and how many they are."""
        here = torch.tensor([float(self._loss_sum), self._loss_count], dtype=torch.float64, device=self.device)
        total, count = self.trainer.strategy.reduce(here, reduce_op="sum").tolist()
        return total, count

    def configure_optimizers(self) -> torch.optim.Optimizer | OptimizerLRSchedulerConfig:
        node = self.config.optimizer
        # Some back-ends have parameters with settings of their own.
        groups = self.system.backend.optimizer_groups()
        apart = {id(parameter) for group in groups for parameter in group["params"]}
        trained = [p for p in self.parameters() if p.requires_grad and id(p) not in apart]
        arguments = {**node.get("init_args", {}), "params": [{"params": trained}, *groups] if groups else trained}
        optimizer = build({"class_path": node["class_path"], "init_args": arguments})
        schedule = self.config.schedule
        if schedule.kind == "constant":
            return optimizer
        # Not Lightning's estimated_stepping_batches: asking for it sets the loader up before its state is restored.
        steps, epochs = len(self.train_batches), self.config.trainer.max_epochs

        def factor(step: int) -> float:
            return learning_rate_factor(schedule, node["init_args"]["lr"], step, steps, epochs)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        own = {f"system.{key}" for key in self.system.own_state()}
        checkpoint["state_dict"] = {key: value for key, value in checkpoint["state_dict"].items() if key in own}
        checkpoint["epoch_loss"] = list(self._epoch_loss())
        checkpoint["epochs"] = self.epochs
        checkpoint["symptoms"] = self.symptoms.epochs
        checkpoint["threads"] = torch.get_num_threads()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._check_fits(checkpoint["state_dict"])
        # Each device takes its share of what all of them had together.
        self._loss_sum, self._loss_count = (part / self.trainer.world_size for part in checkpoint["epoch_loss"])
        self.epochs = list(checkpoint["epochs"])
        self.symptoms.epochs = dict(checkpoint.get("symptoms", {}))
        # Sums round by how many threads share them, so a run goes on with as many as it began with, wherever that is.
        torch.set_num_threads(checkpoint.get("threads", torch.get_num_threads()))
        # Lightning restores the place inside an epoch, but after a whole one begins with the batches of the first.
        (place,) = checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
        if place["done"] == len(self.train_batches):
            self.train_batches.set_position(place["epoch"] + 1)

    def _check_fits(self, state: Mapping[str, Tensor]) -> None:
        """Refuse the weights of another system, of which Lightning would take what has the same name."""
        own = {f"system.{key}": value.shape for key, value in self.system.own_state().items()}
        wrong = sorted(key for key in own.keys() | state.keys() if key not in state or own.get(key) != state[key].shape)
        if wrong:
            raise InputError(
                f"{self.trainer.ckpt_path}: checkpoint of another system: {len(wrong)} weights do not fit, first "
                f"{wrong[0].removeprefix('system.')}; put the right one back, or remove it to start this training anew"
            )
