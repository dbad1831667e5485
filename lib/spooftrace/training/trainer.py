"""The ``lightning.Trainer`` of a training."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from spooftrace.common import ranks
from spooftrace.config.settings import Config

if TYPE_CHECKING:
    import lightning
    from lightning.pytorch.callbacks import Callback

EPOCHS = "epochs.tsv"  # in the folder of an experiment


def silence_lightning() -> None:
    """Suppress Lightning's advertisements and its warnings that do not apply here. Call this before it is imported."""
    # Deprecations in its own dependencies; Slurm, which it is not used with; the folder of a resumed run, which exists;
    # frozen front-ends; logged values that are not averaged over devices, because ours are the same on all.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    harmless = ("LeafSpec", "srun", "exists and is not empty", "in eval mode at the start", "sync_dist=True")
    for message in (*harmless, "torch.*all_gather is deprecated"):
        warnings.filterwarnings("ignore", message=f".*{message}")
    import lightning  # noqa: F401  # sets the levels of its loggers, so it comes first

    for part in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(part).setLevel(logging.WARNING)


def lightning_trainer(config: Config, exp: Path, steps: int, keepers: list[Callback], device: str) -> lightning.Trainer:
    """The ``lightning.Trainer`` of a configuration.

    Args:
        config: The configuration.
        exp: Folder of the experiment.
        steps: Training steps of an epoch.
        keepers: Callbacks that save checkpoints.
        device: ``cpu`` or ``cuda``.
    """
    import lightning
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.plugins.environments import LightningEnvironment, TorchElasticEnvironment

    from spooftrace.training.callbacks import Progress, StopEarly, WriteEpochs
    from spooftrace.training.saving import WholeCheckpoints

    options, world = config.trainer, ranks.world_size()
    stop = [] if options.patience is None else [StopEarly(options.monitor, options.patience)]
    # A front-end that is trained only in later epochs has no gradients before; DDP must expect that.
    ddp = "ddp_find_unused_parameters_true" if options.backend_only_epochs else "ddp"
    return lightning.Trainer(
        accelerator="cpu" if device == "cpu" else "gpu",
        devices=ranks.processes_per_node(),
        num_nodes=world // ranks.processes_per_node(),
        strategy=ddp if world > 1 else "auto",
        sync_batchnorm=world > 1 and device != "cpu",  # statistics of the batch of all ranks
        # Lightning would prefer Slurm's variables; torchrun's are the right ones.
        plugins=[TorchElasticEnvironment() if ranks.started() else LightningEnvironment(), WholeCheckpoints()],
        precision=options.precision,
        max_epochs=options.max_epochs,
        min_epochs=options.min_epochs,
        gradient_clip_val=options.gradient_clip_val,
        callbacks=[*stop, Progress(), WriteEpochs(exp / EPOCHS), *keepers],
        logger=TensorBoardLogger(str(exp), name="", version="tensorboard"),
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=min(50, steps),
    )
