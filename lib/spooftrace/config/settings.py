"""A configuration, and those of its settings that are not classes: data, learning rate, training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

from spooftrace.audio.augment_options import AUGMENTATIONS, Codecs, Noise, Reverb, SpecAugment, check_augmentation
from spooftrace.common.errors import InputError

# kind -> the settings that it requires
NEEDED: dict[str, tuple[str, ...]] = {
    "constant": (),
    "cosine": (),
    "cosine_waves": ("epochs",),
    "warmup_decay": ("epochs", "factor"),
    "staircase": ("epochs", "factor"),
}


@dataclass
class Data:
    """How utterances become batches.

    Args:
        crop: Samples (at 16 kHz) of a training utterance; longer ones are cut, shorter ones are padded. Cached frames
            are cut at the same place.
        pad: How a short utterance is filled up: ``repeat`` tiles it, ``zero`` appends zeros.
        train_crop: Which part of a longer training utterance is taken: ``random``, another one in every epoch, or
            always the ``first``.
        eval_crop: ``first`` scores the first ``crop`` samples, as most published systems do; ``full`` scores the
            whole utterance; ``windows`` averages the scores of windows of ``crop`` samples. The dev set that selects
            epochs is scored the same way, but by its first samples instead of ``windows``, which would cost several
            times as much.
        eval_hop: Samples between the starts of ``windows``; ``null``: half of ``crop``.
        batch_size: Utterances of a training step, over all devices, which take equal shares.
        eval_batch_size: Utterances scored at a time; changes a score by rounding at most.
        cached: Streams that stage 3 stores and that training reads back; all others are computed in the model.
        num_workers: Loader processes of a device.
        rawboost: RawBoost algorithm (:mod:`spooftrace.audio.rawboost`), applied to whole training utterances; 0: none.
        noise: Added to training utterances.
        reverb: Training utterances are put into rooms.
        codec: Training utterances are sent through codecs.
        spec_augment: Cached frames are masked in training. The other augmentations change the waveform and need all
            streams to be live.
        augment_dev: The dev set that selects epochs is augmented like the training set, the same way in every epoch.
            ``both`` scores it twice, as it is (``dev_eer``, ``dev_loss``) and augmented (``dev_eer_augmented``,
            ``dev_loss_augmented``).
    """

    crop: int = 64600
    pad: Literal["repeat", "zero"] = "repeat"
    train_crop: Literal["random", "first"] = "random"
    eval_crop: Literal["first", "full", "windows"] = "first"
    eval_hop: int | None = None
    batch_size: int = 24
    eval_batch_size: int = 32
    cached: list[str] = field(default_factory=list)
    num_workers: int = 1
    rawboost: Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] = 0
    noise: Noise | None = None
    reverb: Reverb | None = None
    codec: Codecs | None = None
    spec_augment: SpecAugment | None = None
    augment_dev: Literal[False, True, "both"] = False

    def __post_init__(self) -> None:
        # A checked configuration is plain dictionaries all the way down.
        for name, kind in AUGMENTATIONS.items():
            value = getattr(self, name)
            if isinstance(value, Mapping):
                setattr(self, name, kind(**value))

    @property
    def augments(self) -> bool:
        """Whether any augmentation is turned on."""
        return bool(self.rawboost) or any(getattr(self, name) for name in AUGMENTATIONS)


@dataclass
class Schedule:
    """How the learning rate changes from the optimizer's ``lr`` on.

    Args:
        kind:
            ``constant``: not at all.
            ``cosine``: falls to ``final_lr`` along half a cosine, a little with every step of the whole run.
            ``cosine_waves``: falls to ``final_lr`` in ``epochs`` epochs, rises again in as many, and so on, once an
            epoch.
            ``warmup_decay``: rises in equal parts to ``lr`` over ``epochs`` epochs, then is multiplied by ``factor``
            with each epoch.
            ``staircase``: is multiplied by ``factor`` after every ``epochs`` epochs.
        final_lr: See ``kind``; the others do not look at it.
        epochs: See ``kind``.
        factor: See ``kind``.
    """

    kind: Literal["constant", "cosine", "cosine_waves", "warmup_decay", "staircase"] = "constant"
    final_lr: float = 0.0
    epochs: int | None = None
    factor: float | None = None


@dataclass
class Training:
    """The training run.

    Args:
        max_epochs: Epochs at most.
        min_epochs: ``patience`` does not stop the run before that many.
        patience: Stop after this many epochs without a better ``monitor``; ``null`` never stops early.
        monitor: The figure that is lower in a better epoch. Of the dev set: ``dev_loss``, ``dev_eer`` (detection),
            ``dev_error`` (attribution: 1 - macro F1) or ``dev_rmse`` (parsing). Or ``train_loss``, the mean loss of
            the epoch's training batches. ``last_epoch`` looks at none: the model is that of the last epoch.
        average_best: The final model is the mean of this many best epochs' weights; 1 is the best epoch itself.
        backend_only_epochs: In so many epochs at the start only the back-end is trained; the streams with
            ``finetune: true`` join in after them.
        precision: A precision of Lightning's Trainer.
        gradient_clip_val: Largest gradient norm; ``null`` does not clip.
        checkpoint_minutes: A resumable checkpoint is also written inside an epoch, this often.
        start_from: Folder of a trained experiment of the same task: the streams with ``finetune: true`` start from the
            weights that its streams of the same names have ended with.
    """

    max_epochs: int = 100
    min_epochs: int = 0
    patience: int | None = None
    monitor: Literal[
        "dev_eer", "dev_error", "dev_rmse", "dev_loss", "train_loss", "last_epoch",
        "dev_eer_augmented", "dev_error_augmented", "dev_rmse_augmented", "dev_loss_augmented",
    ] = "dev_eer"  # fmt: skip
    average_best: int = 1
    backend_only_epochs: int = 0
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true"
    gradient_clip_val: float | None = None
    checkpoint_minutes: float = 15.0
    start_from: str | None = None


class _ClassPath(TypedDict):
    class_path: str


class Node(_ClassPath, total=False):
    """A class of a configuration, and the arguments that it is built with."""

    init_args: dict[str, Any]


@dataclass
class Config:
    """A checked configuration, every default filled in.

    Attributes:
        seed_everything: Seed of every random draw.
        streams: Front-end of each stream.
        backend: The back-end.
        task: The task.
        data: How utterances become batches.
        optimizer: The optimizer; its ``init_args`` lack the parameters.
        schedule: The learning rate.
        trainer: The training run.
    """

    seed_everything: int
    streams: dict[str, Node]
    backend: Node
    task: Node
    data: Data
    optimizer: Node
    schedule: Schedule
    trainer: Training

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Config:
        """The configuration of checked plain dictionaries."""
        sections = {"data": Data, "schedule": Schedule, "trainer": Training}
        return cls(**{key: sections[key](**value) if key in sections else value for key, value in content.items()})

    def as_dict(self) -> dict[str, Any]:
        """The configuration as plain dictionaries, in the order of ``config.yaml``."""
        return asdict(self)


MOST = {  # above these no machine has room
    "data": {"crop": 16000 * 3600, "batch_size": 1 << 16, "eval_batch_size": 1 << 16, "num_workers": 256},
}
# Optimizers of PyTorch that no system here can be trained with.
UNUSABLE = {
    "SparseAdam": "takes sparse gradients only, which no system has; use Adam",
    "Muon": "takes matrices only, but every system has biases; use AdamW",
}
UNUSABLE_ARGUMENTS = {
    "capturable": "is for steps that are captured in a CUDA graph",
    "differentiable": "is for steps that are differentiated",
}
LEAST = {  # where a number of the right type can still make no sense
    "data": {"crop": 1, "eval_hop": 1, "batch_size": 1, "eval_batch_size": 1, "num_workers": 0},
    "schedule": {"epochs": 1},
    "trainer": {
        "max_epochs": 1, "min_epochs": 0, "patience": 1, "average_best": 1, "backend_only_epochs": 0,
        "gradient_clip_val": 0, "checkpoint_minutes": 0,
    },
}  # fmt: skip
LARGEST_SEED = (1 << 32) - 1  # that NumPy takes


def check_optimizer(node: Node, trainer: Training, where: str) -> None:
    """Refuse optimizers of PyTorch, and arguments of them, that cannot train any system here.

    Raises:
        InputError: The first such setting.
    """
    if not node["class_path"].startswith("torch.optim."):
        return
    name = node["class_path"].rpartition(".")[2]
    if name in UNUSABLE:
        raise InputError(f"{where}: optimizer.class_path: {name} {UNUSABLE[name]}")
    arguments = node.get("init_args", {})
    for key, why in UNUSABLE_ARGUMENTS.items():
        if arguments.get(key):
            raise InputError(f"{where}: optimizer.init_args.{key}: {why}, which a training does not; leave it out")
    if name == "LBFGS" and trainer.precision == "16-mixed":
        raise InputError(
            f"{where}: optimizer.class_path: LBFGS does not go with trainer.precision 16-mixed; use 32-true or "
            "bf16-mixed"
        )
    if arguments.get("fused") and trainer.precision == "16-mixed" and trainer.gradient_clip_val is not None:
        raise InputError(
            f"{where}: optimizer.init_args.fused: does not go with trainer.precision 16-mixed and gradient_clip_val; "
            "leave it out"
        )


def check_settings(config: Config, where: str) -> None:
    """Refuse settings that have the right type but make no sense, alone or together.

    Args:
        config: The configuration.
        where: Its files, for the message.

    Raises:
        InputError: The first such setting.
    """
    if not 0 <= (seed := config.seed_everything) <= LARGEST_SEED:
        raise InputError(f"{where}: seed_everything is {seed}; it must be from 0 to {LARGEST_SEED}")
    for section, bounds in LEAST.items():
        for key, least in bounds.items():
            value = getattr(getattr(config, section), key)
            if value is not None and not value >= least:  # also true of NaN
                raise InputError(f"{where}: {section}.{key} is {value}; it must be {least} or more")
    for section, bounds in MOST.items():
        for key, most in bounds.items():
            if (value := getattr(getattr(config, section), key)) > most:
                raise InputError(f"{where}: {section}.{key} is {value}; it must be {most} or less")
    data, schedule, trainer = config.data, config.schedule, config.trainer
    kind, monitor = schedule.kind, trainer.monitor
    unset = [key for key in NEEDED[kind] if getattr(schedule, key) is None]
    unknown = sorted(set(data.cached) - set(config.streams))
    finetuned = any(node.get("init_args", {}).get("finetune") for node in config.streams.values())
    problems = {
        f"data.cached names no stream: {', '.join(unknown)}": unknown,
        f"data.eval_hop belongs to data.eval_crop: windows, not {data.eval_crop}": (
            data.eval_hop is not None and data.eval_crop != "windows"
        ),
        f"schedule.kind {kind} needs schedule.{' and schedule.'.join(unset)}": unset,
        f"trainer.monitor {monitor} needs data.augment_dev: both": (
            monitor.endswith("_augmented") and data.augment_dev != "both"
        ),
        "trainer.monitor last_epoch selects no epoch: it goes with patience: null and average_best: 1": (
            monitor == "last_epoch" and (trainer.patience is not None or trainer.average_best > 1)
        ),
        "trainer.start_from: no stream has finetune: true, so nothing starts from another experiment": (
            trainer.start_from is not None and not finetuned
        ),
        "trainer.backend_only_epochs: no stream has finetune: true, so the back-end is all that is ever trained": (
            trainer.backend_only_epochs > 0 and not finetuned
        ),
    }
    for problem, present in problems.items():
        if present:
            raise InputError(f"{where}: {problem}")
    check_augmentation(asdict(data), where)
    check_optimizer(config.optimizer, trainer, where)
