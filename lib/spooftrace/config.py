"""Configuration of a system: YAML files merged in order, command-line overrides last, everything checked.

A configuration names classes by ``class_path`` and gives their ``init_args``; jsonargparse checks both against the
classes' own signatures, so a misspelt key or a wrong type is an error that names the key. Nothing in a YAML file is
executed. A ``class_path`` without a dot is looked up in the room it belongs to: ``backend: {class_path: AASIST}`` is
``spooftrace.backends.AASIST``.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from spooftrace.atomic import atomic_write
from spooftrace.audio.options import AUGMENTATIONS, Codecs, Noise, Reverb, SpecAugment, check_augmentation
from spooftrace.errors import InputError

ROOMS = {"streams": "spooftrace.frontends", "backend": "spooftrace.backends", "task": "spooftrace.tasks"}


@dataclass
class Data:
    """How utterances become batches.

    Args:
        crop: Samples (at 16 kHz) of a training utterance; longer ones are cut at random, shorter ones are padded.
            Cached frames are cut at the same place.
        pad: How a short utterance is filled up: ``repeat`` tiles it, ``zero`` appends zeros.
        eval_crop: ``first`` scores the first ``crop`` samples, as most published systems do; ``full`` scores the
            whole utterance.
        batch_size: Utterances of a training step, over all devices.
        eval_batch_size: Utterances scored at a time. Never changes a score.
        cached: Streams that stage 3 stores and that training reads back; all others are computed in the model.
        num_workers: Loader processes of a device.
        rawboost: RawBoost algorithm (:mod:`spooftrace.audio.rawboost`), applied to whole training utterances; 0: none.
        noise: Added to training utterances.
        reverb: Training utterances are put into rooms.
        codec: Training utterances are sent through codecs.
        spec_augment: Cached frames are masked in training. The other augmentations change the waveform and need all
            streams to be live.
        augment_dev: The dev set that selects epochs is augmented like the training set, the same way in every epoch.
    """

    crop: int = 64600
    pad: Literal["repeat", "zero"] = "repeat"
    eval_crop: Literal["first", "full"] = "first"
    batch_size: int = 24
    eval_batch_size: int = 32
    cached: list[str] = field(default_factory=list)
    num_workers: int = 1
    rawboost: Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] = 0
    noise: Noise | None = None
    reverb: Reverb | None = None
    codec: Codecs | None = None
    spec_augment: SpecAugment | None = None
    augment_dev: bool = False

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
    """Learning rate: ``constant``, or ``cosine`` from the optimizer's rate to ``final_lr`` over all steps."""

    kind: Literal["constant", "cosine"] = "constant"
    final_lr: float = 0.0


@dataclass
class Training:
    """The training run.

    Args:
        max_epochs: Epochs at most.
        patience: Stop after this many epochs without a better ``monitor``; ``null`` never stops early.
        monitor: What "better" means on the dev set.
        average_best: The final model is the mean of this many best epochs' weights; 1 is the best epoch itself.
        precision: A precision of Lightning's Trainer.
        gradient_clip_val: Largest gradient norm; ``null`` does not clip.
        checkpoint_minutes: A resumable checkpoint is also written inside an epoch, this often.
    """

    max_epochs: int = 100
    patience: int | None = None
    monitor: Literal["dev_eer", "dev_loss"] = "dev_eer"
    average_best: int = 1
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true"
    gradient_clip_val: float | None = None
    checkpoint_minutes: float = 15.0


def load_config(files: Sequence[str | Path], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read, merge and check a configuration.

    Args:
        files: YAML files; a later one overrides an earlier one key by key.
        overrides: Command-line words ``--key.subkey value``, values in YAML syntax.

    Returns:
        The resolved configuration as plain dictionaries, with every default filled in.

    Raises:
        InputError: A file is missing or is not YAML; a key is unknown; a value has the wrong type.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged = merge(merged, _read_yaml(Path(file)))
    merged = merge(merged, _parse_overrides(overrides))
    where = ", ".join(str(file) for file in files)
    return _check(_expand_class_paths(merged, where), where)


def save_config(config: Mapping[str, Any], path: str | Path) -> None:
    """Write a resolved configuration so that :func:`load_config` reads the same one back."""
    with atomic_write(path) as file:
        yaml.safe_dump(dict(config), file, sort_keys=False)


def build(node: Mapping[str, Any]) -> Any:
    """Construct the object of a checked ``{class_path, init_args}`` node, and first those that it holds.

    Raises:
        InputError: The class refuses a value, e.g. a layer that a model does not have.
    """
    module, _, name = node["class_path"].rpartition(".")
    arguments = {
        key: build(value) if isinstance(value, Mapping) and "class_path" in value else value
        for key, value in node.get("init_args", {}).items()
    }
    try:
        return getattr(importlib.import_module(module), name)(**arguments)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {_one_line(error)}") from error


def merge(base: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``update`` laid over it, key by key.

    A node whose ``class_path`` changes loses the ``init_args`` of the class it replaces.

    >>> merge({"data": {"crop": 64600, "pad": "repeat"}}, {"data": {"crop": 48000}})
    {'data': {'crop': 48000, 'pad': 'repeat'}}
    """
    result = dict(copy.deepcopy(base))
    if "class_path" in update and update["class_path"] != result.get("class_path"):
        result.pop("init_args", None)
    for key, value in update.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else copy.deepcopy(value)
    return result


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {_one_line(error)}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: a configuration is a mapping such as 'data: {{crop: 64600}}'")
    return content


def _parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    rest = list(words)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--") or option == "--" or "=" in option:
            raise InputError(f"'{option}': an override is written --key.subkey value, e.g. --data.batch_size 8")
        if not rest:
            raise InputError(f"'{option}': the value is missing")
        value = _parse_value(rest.pop(0), option)
        for key in reversed(option[2:].split(".")):
            value = {key: value}
        result = merge(result, value)
    return result


def _parse_value(text: str, option: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"'{option} {text}': the value is not valid YAML") from None
    if isinstance(value, str):
        # YAML 1.1 takes 1e-5 (no dot) for a string; nobody who types a learning rate means that.
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _expand_class_paths(config: dict[str, Any], where: str) -> dict[str, Any]:
    config = copy.deepcopy(config)
    nodes = [(key, key, config.get(key)) for key in ("backend", "task")]
    streams = config.get("streams")
    if isinstance(streams, dict):
        nodes += [("streams", f"streams.{name}", node) for name, node in streams.items()]
    for room, key, node in nodes:
        if isinstance(node, dict) and isinstance(node.get("class_path"), str) and "." not in node["class_path"]:
            module = importlib.import_module(ROOMS[room])
            if node["class_path"] not in module.__all__:
                known = ", ".join(sorted(module.__all__))
                raise InputError(f"{where}: {key}.class_path: no class '{node['class_path']}'; there are {known}")
            node["class_path"] = f"{ROOMS[room]}.{node['class_path']}"
    return config


def _check(config: dict[str, Any], where: str) -> dict[str, Any]:
    # jsonargparse, torch and the rooms are heavy; reading a YAML file alone should not load them.
    from jsonargparse import ArgumentError, ArgumentParser
    from torch.nn import Module
    from torch.optim import Optimizer

    from spooftrace.frontends import FrontEnd
    from spooftrace.tasks import Task

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=int, default=1234)
    parser.add_argument("--streams", type=dict[str, FrontEnd], required=True)
    parser.add_argument("--backend", type=Module, required=True)
    parser.add_argument("--task", type=Task, required=True)
    parser.add_argument("--data", type=Data, default=Data())
    parser.add_argument("--optimizer", type=Callable[[Iterable], Optimizer], required=True)
    parser.add_argument("--schedule", type=Schedule, default=Schedule())
    parser.add_argument("--trainer", type=Training, default=Training())
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            resolved = parser.parse_object(config, defaults=True)
    except (ArgumentError, TypeError, ValueError) as error:
        raise InputError(f"{where}: {_one_line(error)}") from None
    checked = yaml.safe_load(parser.dump(resolved, skip_unset=False))
    unknown = sorted(set(checked["data"]["cached"]) - set(checked["streams"]))
    if unknown:
        raise InputError(f"{where}: data.cached names no stream: {', '.join(unknown)}")
    check_augmentation(checked["data"], where)
    return checked


def _one_line(error: Exception) -> str:
    # jsonargparse repeats the whole node behind its message.
    return " ".join(str(error).split()).partition(". Got value: Namespace(")[0]
