"""Stage 4: train a system with Lightning, resumable at any moment.

``exp/<name>/`` gets ``config.yaml`` (resolved), ``checkpoints/`` (``last.ckpt`` to resume from, the best epochs),
``tensorboard/``, ``epochs.tsv`` (the figures of every epoch so far), and at the end ``model.safetensors`` and
``run.json``, which marks a finished training. Its ``.lock`` keeps a second training out while one goes on.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spooftrace.batching.build import make_batches, open_streams
from spooftrace.common import ranks
from spooftrace.common.errors import InputError
from spooftrace.common.lock import hold
from spooftrace.common.signals import Stopped, StopSignals
from spooftrace.training import distributed

LOCK, EPOCHS = ".lock", "epochs.tsv"  # in the folder of an experiment
# All processes of a training find the same error. The first one says it, and the others are ended before they do.
OTHERS_SECONDS = 30.0


def launch(
    config: Mapping[str, Any], train_dir: Path, dev_dir: Path, dump: Path, exp: Path, num_gpus: int = 0,
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
    if config["data"]["batch_size"] % world:
        size = config["data"]["batch_size"]
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


def train(config: Mapping[str, Any], train_dir: Path, dev_dir: Path, dump: Path, exp: Path, num_gpus: int = 0) -> None:
    """Train one system; does nothing when ``exp`` holds a finished training of the same configuration.

    ``num_gpus`` are those of this node. Several GPUs are several processes, each of which calls this (``processes``).

    Raises:
        InputError: Bad data or configuration, ``exp`` holds a training of another configuration, or another process
            is training there.
        Stopped: A signal has ended it; what was done is saved.
    """
    from spooftrace.training.resuming import is_finished

    with hold(exp / LOCK, "training"), StopSignals() as signals:
        if is_finished(exp, config):
            print(f"{exp}: already trained")
        else:
            _fit(config, train_dir, dev_dir, dump, exp, num_gpus, signals)


def _fit(
    config: Mapping[str, Any], train_dir: Path, dev_dir: Path, dump: Path, exp: Path, num_gpus: int,
    signals: StopSignals,
) -> None:  # fmt: skip
    """Train, from the last checkpoint if there is one, and write the model and ``run.json``."""
    _silence_lightning()
    import lightning

    from spooftrace.backends.parts.shared_batchnorm import share_batch_norm
    from spooftrace.config.loading import save_config
    from spooftrace.system.devices import pick_device
    from spooftrace.system.files import last_checkpoint
    from spooftrace.system.system import System
    from spooftrace.training import run_record
    from spooftrace.training.initialise import start_from_others
    from spooftrace.training.learner import KeepLast, Learner
    from spooftrace.training.selection import KeepBest

    started = time.monotonic()
    options, world = config["trainer"], ranks.world_size()
    device = pick_device(num_gpus)
    lightning.seed_everything(config["seed_everything"], verbose=False)
    cached = open_streams(config, dump, train_dir)
    system = System(config, {name: stream.shape for name, stream in cached.items()})
    _check_monitor(system.task, options["monitor"])
    resume = last_checkpoint(exp) if last_checkpoint(exp).exists() else None
    if resume is None:
        start_from_others(system, config)
    if world > 1 and device.type == "cpu":
        share_batch_norm(system)
    learner = Learner(system, config)
    train_set, dev_sets = _data_sets(config, system, train_dir, dev_dir, dump, cached)
    learner.train_batches, learner.dev_batches = train_set, dev_sets

    best = KeepBest(last_checkpoint(exp).parent, options["monitor"], options["average_best"])
    last = KeepLast(last_checkpoint(exp), options["checkpoint_minutes"], signals, best)
    trainer = _lightning_trainer(config, exp, learner, [best, last], device.type)
    if trainer.is_global_zero:
        parameters = run_record.parameters(system, cached)
        _describe(parameters, train_set, dev_sets[0])
        _remove_leftovers(exp)
    save_config(config, exp / "config.yaml")
    try:
        trainer.fit(learner, train_set, dev_sets, ckpt_path=resume, weights_only=True)
    except SystemExit:
        # Lightning turns Ctrl-C into an exit without a word.
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    except Stopped:
        distributed.leave_group()
        raise
    distributed.leave_group()
    if trainer.is_global_zero:
        run_record.save_model(config, exp, learner, best.paths(learner.epochs))
        facts = {
            "parameters": parameters,
            "train_seconds": round(last.seconds_before + time.monotonic() - started, 1),
            "device": run_record.device_name(num_gpus),
        }
        run_record.write_run(config, exp, learner, facts | run_record.gaps(train=train_dir, dev=dev_dir))


def _silence_lightning() -> None:
    """Leave out Lightning's advertisements and warnings that concern no training here."""
    # They are of deprecations in its own dependencies, of a Slurm that it is not used with, of a folder that a resumed
    # run finds, of frozen front-ends, and of figures that are not averaged over devices; ours are the same on all.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    harmless = ("LeafSpec", "srun", "exists and is not empty", "in eval mode at the start", "sync_dist=True")
    for message in (*harmless, "torch.*all_gather is deprecated"):
        warnings.filterwarnings("ignore", message=f".*{message}")
    import lightning  # noqa: F401  # it sets the levels of its loggers

    for part in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(part).setLevel(logging.WARNING)


def _data_sets(
    config: Mapping[str, Any], system: Any, train_dir: Path, dev_dir: Path, dump: Path, cached: Mapping[str, Any]
) -> tuple[Any, list[Any]]:
    """This process's share of the training set, and of the dev set: one, or the clean and the augmented one."""
    train_set = make_batches("train", config, system, train_dir, dump, cached)
    dev_cached = open_streams(config, dump, dev_dir)
    dev_sets = [
        make_batches("dev", config, system, dev_dir, dump, dev_cached, augment_dev=augment)
        for augment in {False: [False], True: [True], "both": [False, True]}[config["data"]["augment_dev"]]
    ]
    for directory, batches in ((train_dir, train_set), (dev_dir, dev_sets[0])):
        system.task.check(batches.utterances.targets, directory)
    system.task.fit(train_set.utterances.targets)
    for batches in (train_set, *dev_sets):
        batches.share(ranks.rank(), ranks.world_size())
    return train_set, dev_sets


def _lightning_trainer(config: Mapping[str, Any], exp: Path, learner: Any, keepers: list[Any], device: str) -> Any:
    """The ``lightning.Trainer`` of a configuration; ``keepers`` save checkpoints, ``device`` is ``cpu`` or ``cuda``."""
    import lightning
    from lightning.pytorch.callbacks import LambdaCallback
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.plugins.environments import LightningEnvironment, TorchElasticEnvironment

    from spooftrace.training import run_record
    from spooftrace.training.learner import Progress
    from spooftrace.training.saving import WholeCheckpoints
    from spooftrace.training.selection import StopEarly

    options, world = config["trainer"], ranks.world_size()
    stop = [] if options["patience"] is None else [StopEarly(options["monitor"], options["patience"])]
    table = LambdaCallback(
        on_train_epoch_end=lambda trainer, _: run_record.write_epochs(trainer, learner, exp / EPOCHS)
    )
    # A front-end that joins in later has no gradients before, which DDP has to expect.
    ddp = "ddp_find_unused_parameters_true" if options["backend_only_epochs"] else "ddp"
    return lightning.Trainer(
        accelerator="cpu" if device == "cpu" else "gpu",
        devices=ranks.processes_per_node(),
        num_nodes=world // ranks.processes_per_node(),
        strategy=ddp if world > 1 else "auto",
        sync_batchnorm=world > 1 and device != "cpu",  # so a batch is that of all processes
        # Not Slurm's variables, which Lightning would take: torchrun's count.
        plugins=[TorchElasticEnvironment() if ranks.started() else LightningEnvironment(), WholeCheckpoints()],
        precision=options["precision"],
        max_epochs=options["max_epochs"],
        min_epochs=options["min_epochs"],
        gradient_clip_val=options["gradient_clip_val"],
        callbacks=[*stop, Progress(), table, *keepers],
        logger=TensorBoardLogger(str(exp), name="", version="tensorboard"),
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=min(50, len(learner.train_batches)),
    )


def _check_monitor(task: Any, monitor: str) -> None:
    """Refuse to select epochs by the figure of another task."""
    known = (*task.selects_by, "dev_loss", "train_loss", "last_epoch")
    if monitor.removesuffix("_augmented") not in known:
        raise InputError(f"trainer.monitor {monitor}: the task {type(task).__name__} has {', '.join(known)}")


def _remove_leftovers(exp: Path) -> None:
    """Remove what killed trainings have half written; the lock of ``exp`` is held."""
    from spooftrace.common.atomic import remove_leftovers
    from spooftrace.common.records import RUN
    from spooftrace.system.files import CONFIG, MODEL, last_checkpoint

    remove_leftovers(exp, CONFIG, MODEL, RUN, EPOCHS)
    remove_leftovers(last_checkpoint(exp).parent)


def _describe(parameters: Mapping[str, int | None], train_set: Any, dev_set: Any) -> None:
    total = "an unknown number of" if parameters["total"] is None else f"{parameters['total']:,}"
    print(
        f"training {parameters['trainable']:,} of {total} parameters on "
        f"{len(train_set.utterances):,} utterances, {len(dev_set.utterances):,} in dev, "
        f"{len(train_set):,} batches an epoch",
        flush=True,
    )
