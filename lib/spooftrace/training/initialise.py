"""Initialise an untrained system with weights of other models: a codec's codebooks, another experiment's front-ends."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from spooftrace.common.errors import InputError
from spooftrace.common.records import RUN
from spooftrace.config.loading import build
from spooftrace.config.settings import Config
from spooftrace.frontends.base import FrontEnd
from spooftrace.system.experiment import load_experiment
from spooftrace.system.system import System


def start_from_others(system: System, config: Config) -> None:
    """Copy weights of other models into an untrained system, as its configuration specifies.

    Args:
        system: The untrained system, changed in place.
        config: Its configuration.

    Raises:
        InputError: The weights are missing, or do not fit the system.
    """
    _start_from_codebooks(system)
    try:
        if line := system.backend.initialise():
            print(line)
    except ValueError as error:
        raise InputError(f"{type(system.backend).__name__}: {error}") from None
    if config.trainer.start_from is not None:
        _start_from_experiment(system, config, Path(config.trainer.start_from))


def _start_from_codebooks(system: System) -> None:
    """Initialise the embedding tables of a back-end such as QAF-Static with the codebooks of its codec."""
    backend = type(system.backend).__name__
    if not system.backend.needs_codebooks:
        return
    for name, frontend in system.frontends.items():
        # ``system.frontends`` is a ModuleDict, whose values are typed as modules.
        if codebooks := cast("FrontEnd", frontend).codebooks:
            try:
                system.backend.start_from(torch.stack([codebook.embed for codebook in codebooks]))
            except ValueError as error:
                raise InputError(f"stream '{name}' does not fit {backend}: {error}") from None
            return
    raise InputError(
        f"{backend} starts from the codec's codebooks: remove its stream from data.cached, or set "
        "backend.init_args.codebooks to the file of the codebooks"
    )


def _start_from_experiment(system: System, config: Config, exp: Path) -> None:
    """Copy the fine-tuned streams of another experiment (SASTNet's "tuned" front-end)."""
    option = f"trainer.start_from {exp}"
    if not (exp / RUN).exists():
        raise InputError(f"{option}: no finished training there; train that system first")
    experiment = load_experiment(exp)
    weights = experiment.weights("frontends.")
    source_labels, labels = _label_tables(experiment.config), _label_tables(config)
    if source_labels != labels:
        raise InputError(
            f"{option}: was trained for another task ({source_labels}) than this system ({labels}); choose an "
            "experiment of the same task"
        )
    tuned = {name for name, frontend in system.frontends.items() if frontend.finetune}
    shared = sorted(name for name in tuned if any(key.startswith(f"frontends.{name}.") for key in weights))
    if not shared:
        raise InputError(
            f"{option}: has no fine-tuned stream named {' or '.join(sorted(tuned))}; its streams are "
            f"{', '.join(experiment.config.streams)}"
        )
    for name in shared:
        prefix = f"frontends.{name}."
        state = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        try:
            system.frontends[name].load_state_dict(state)
        except RuntimeError:
            raise InputError(
                f"{option}: its stream '{name}' is another model ({_model_name(experiment.config, name)}) than in this "
                f"system ({_model_name(config, name)})"
            ) from None


def _label_tables(config: Config) -> str:
    """The label tables that the task of a configuration is trained on."""
    return ", ".join(build(config.task).label_files)


def _model_name(config: Config, stream: str) -> str:
    """The pretrained model of a stream, or its class if it has none."""
    node = config.streams[stream]
    return str(node["init_args"].get("model", node["class_path"].rpartition(".")[2]))
