"""Stage 4: train a system with Lightning, resumable at any moment.

``exp/<name>/`` gets ``config.yaml`` (resolved), ``checkpoints/`` (``last.ckpt`` to resume from, the best epochs),
``tensorboard/``, ``epochs.tsv`` (the figures of every epoch so far), and at the end ``model.safetensors`` and
``run.json``, which marks a finished training. Its ``.lock`` keeps a second training out while one goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spooftrace.batching.build import make_batches, open_streams
from spooftrace.common import ranks
from spooftrace.common.errors import InputError
from spooftrace.common.lock import hold
from spooftrace.common.signals import Stopped, StopSignals
from spooftrace.config.settings import Config
from spooftrace.training import distributed

if TYPE_CHECKING:
    import lightning

    from spooftrace.batching.batches import Batches
    from spooftrace.batching.utterances import CachedStream
    from spooftrace.system.system import System
    from spooftrace.tasks import Task
    from spooftrace.training.learner import Learner

LOCK = ".lock"  # in the folder of an experiment
# Seconds that ranks above 0 wait after an error: all ranks meet the same one, and rank 0 prints it and ends the others.
OTHERS_SECONDS = 30.0


def launch(
    config: Config, train_dir: Path, dev_dir: Path, dump: Path, exp: Path, num_gpus: int = 0,
    num_nodes: int = 1,
) -> int:  # fmt: skip
    """Train one system on one or several devices, each with a process of its own; returns the exit status.

    Args:
        config: The resolved configuration.
        train_dir: Training data directory.
        dev_dir: Data directory that selects the epoch.
        dump: Where stage 3 stored cached streams.
        exp: Folder of the experiment.
        num_gpus: GPUs of each node; 0 for the CPU.
        num_nodes: Nodes, those of a SLURM job.

    Raises:
        InputError: As ``train``, or the batch size is no multiple of the number of processes.
    """
    world = ranks.world_size() if ranks.started() else max(1, num_gpus) * num_nodes
    if config.data.batch_size % world:
        size = config.data.batch_size
        raise InputError(f"data.batch_size {size} cannot be shared out evenly over {world} processes: take a multiple")
    if world > 1 and not ranks.started():
        from spooftrace.system.devices import pick_device

        pick_device(num_gpus)
        return distributed.start(num_gpus, num_nodes)
    try:
        train(config, train_dir, dev_dir, dump, exp, num_gpus)
    except InputError:
        if ranks.rank():
            time.sleep(OTHERS_SECONDS)
        raise
    except Stopped as stopped:
        if ranks.rank() == 0:
            print(f"spooftrace train: {stopped}; run it again to go on", file=sys.stderr)
        return stopped.status
    return 0


def train(config: Config, train_dir: Path, dev_dir: Path, dump: Path, exp: Path, num_gpus: int = 0) -> None:
    """Train one system; do nothing if ``exp`` holds a finished training of the same configuration.

    With several GPUs, each rank calls this in a process of its own (:mod:`spooftrace.training.distributed`).

    Args:
        config: The configuration.
        train_dir: Data directory to train on.
        dev_dir: Data directory that selects the epoch.
        dump: Folder of the stored streams.
        exp: Folder of the experiment.
        num_gpus: GPUs of this node; 0 trains on the CPU.

    Raises:
        InputError: Bad data or configuration; ``exp`` holds a training of another configuration, or another process is
            training there.
        Stopped: A signal has ended the training; its state is saved.
    """
    from spooftrace.training.resuming import is_finished

    with hold(exp / LOCK, "training"), StopSignals() as signals:
        if is_finished(exp, config):
            print(f"{exp}: already trained")
        else:
            _fit(config, train_dir, dev_dir, dump, exp, num_gpus, signals)


def _fit(
    config: Config, train_dir: Path, dev_dir: Path, dump: Path, exp: Path, num_gpus: int,
    signals: StopSignals,
) -> None:  # fmt: skip
    """Train, from the last checkpoint if there is one, and write the model and ``run.json``."""
    from spooftrace.training.trainer import lightning_trainer, silence_lightning

    silence_lightning()
    import lightning

    from spooftrace.config.loading import save_config
    from spooftrace.system.devices import pick_device
    from spooftrace.system.files import CONFIG, last_checkpoint
    from spooftrace.training import run_record
    from spooftrace.training.callbacks import KeepBest, KeepLast

    started, options, device = time.monotonic(), config.trainer, pick_device(num_gpus)
    checkpoint = last_checkpoint(exp)
    resume = checkpoint if checkpoint.exists() else None
    lightning.seed_everything(config.seed_everything, verbose=False)
    cached = open_streams(config, dump, train_dir)
    learner = _make_learner(config, cached, device.type, from_scratch=resume is None)
    train_set, dev_sets = _data_sets(config, learner.system, train_dir, dev_dir, dump, cached)
    learner.train_batches, learner.dev_batches = train_set, dev_sets

    best = KeepBest(checkpoint.parent, options.monitor, options.average_best)
    last = KeepLast(checkpoint, options.checkpoint_minutes, signals, best)
    trainer = lightning_trainer(config, exp, len(train_set), [best, last], device.type)
    parameters = run_record.parameters(learner.system, cached)
    if trainer.is_global_zero:
        _describe(parameters, train_set, dev_sets[0])
        _remove_leftovers(exp)
    save_config(config, exp / CONFIG)
    _run(trainer, learner, resume)
    if trainer.is_global_zero:
        run_record.save_model(config, exp, learner, best.paths(learner.epochs))
        facts = {
            "parameters": parameters,
            "train_seconds": round(last.seconds_before + time.monotonic() - started, 1),
            "device": run_record.device_name(num_gpus),
        }
        run_record.write_run(config, exp, learner, facts | run_record.gaps(train=train_dir, dev=dev_dir))


def _make_learner(config: Config, cached: Mapping[str, CachedStream], device: str, from_scratch: bool) -> Learner:
    """The system to train, with the weights that an unresumed training (``from_scratch``) starts from."""
    from spooftrace.backends.parts.shared_batchnorm import share_batch_norm
    from spooftrace.system.system import System
    from spooftrace.training.initialise import start_from_others
    from spooftrace.training.learner import Learner

    system = System(config, {name: stream.shape for name, stream in cached.items()})
    _check_monitor(system.task, config.trainer.monitor)
    if from_scratch:
        start_from_others(system, config)
    if ranks.world_size() > 1 and device == "cpu":
        share_batch_norm(system)
    return Learner(system, config)


def _run(trainer: lightning.Trainer, learner: Learner, resume: Path | None) -> None:
    """Run all epochs, from the checkpoint ``resume`` if there is one."""
    try:
        trainer.fit(learner, learner.train_batches, learner.dev_batches, ckpt_path=resume, weights_only=True)
    except SystemExit:
        # Lightning turns Ctrl-C into an exit without a message.
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    except Stopped:
        distributed.leave_group()
        raise
    distributed.leave_group()


def _data_sets(
    config: Config, system: System, train_dir: Path, dev_dir: Path, dump: Path,
    cached: Mapping[str, CachedStream],
) -> tuple[Batches, list[Batches]]:  # fmt: skip
    """This rank's share of the training set and of the dev sets: one, or the clean and the augmented one."""
    train_set = make_batches("train", config, system, train_dir, dump, cached)
    dev_cached = open_streams(config, dump, dev_dir)
    dev_sets = [
        make_batches("dev", config, system, dev_dir, dump, dev_cached, augment_dev=augment)
        for augment in {False: [False], True: [True], "both": [False, True]}[config.data.augment_dev]
    ]
    for directory, batches in ((train_dir, train_set), (dev_dir, dev_sets[0])):
        system.task.check(batches.utterances.targets or [], directory)
    system.task.fit(train_set.utterances.targets or [])
    for batches in (train_set, *dev_sets):
        batches.share(ranks.rank(), ranks.world_size())
    return train_set, dev_sets


def _check_monitor(task: Task, monitor: str) -> None:
    """Refuse to select epochs by the figure of another task."""
    known = (*task.selects_by, "dev_loss", "train_loss", "last_epoch")
    if monitor.removesuffix("_augmented") not in known:
        raise InputError(f"trainer.monitor {monitor}: the task {type(task).__name__} has {', '.join(known)}")


def _remove_leftovers(exp: Path) -> None:
    """Remove what killed trainings have half written; the lock of ``exp`` is held."""
    from spooftrace.common.atomic import remove_leftovers
    from spooftrace.common.records import RUN
    from spooftrace.system.files import CONFIG, MODEL, last_checkpoint
    from spooftrace.training.trainer import EPOCHS

    remove_leftovers(exp, CONFIG, MODEL, RUN, EPOCHS)
    remove_leftovers(last_checkpoint(exp).parent)


def _describe(parameters: Mapping[str, int | None], train_set: Batches, dev_set: Batches) -> None:
    total = "an unknown number of" if parameters["total"] is None else f"{parameters['total']:,}"
    print(
        f"training {parameters['trainable']:,} of {total} parameters on "
        f"{len(train_set.utterances):,} utterances, {len(dev_set.utterances):,} in dev, "
        f"{len(train_set):,} batches an epoch",
        flush=True,
    )
