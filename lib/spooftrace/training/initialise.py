"""What a training starts from besides pretrained front-ends: a codec's codebooks, another experiment's front-ends."""

from __future__ import annotations

from pathlib import Path

import torch

from spooftrace.common.errors import InputError
from spooftrace.config.loading import build, load_config
from spooftrace.config.settings import Config
from spooftrace.system.system import System
from spooftrace.system.weights import load_weights


def start_from_others(system: System, config: Config) -> None:
    """Put weights of other models into an untrained system, where its configuration says so.

    Raises:
        InputError: They are not to be had, or do not fit.
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
    """Let a back-end that looks codes up (QAF-Static) start from the vectors of the codec that gives the codes."""
    backend = type(system.backend).__name__
    if not system.backend.needs_codebooks:
        return
    for name, frontend in system.frontends.items():
        if frontend.codebooks:
            try:
                system.backend.start_from(torch.stack([codebook.embed for codebook in frontend.codebooks]))
            except ValueError as error:
                raise InputError(f"stream '{name}' does not fit {backend}: {error}") from None
            return
    raise InputError(
        f"{backend} starts from the codec's codebooks: take its stream out of data.cached, or give their file as "
        "backend.init_args.codebooks"
    )


def _start_from_experiment(system: System, config: Config, exp: Path) -> None:
    """Let fine-tuned streams start from the weights of another experiment's (SASTNet's "tuned" front-end)."""
    if not (exp / "run.json").exists():
        raise InputError(f"trainer.start_from {exp}: no finished training there; train that system first")
    other, weights = load_config([exp / "config.yaml"]), load_weights(exp / "model.safetensors")
    tasks = [_task_of(one) for one in (other, config)]
    if tasks[0] != tasks[1]:
        raise InputError(
            f"trainer.start_from {exp}: was trained for another task ({tasks[0]}) than this system ({tasks[1]}); "
            "choose one of the same task"
        )
    tuned = {name for name, frontend in system.frontends.items() if frontend.finetune}
    shared = sorted(name for name in tuned if any(key.startswith(f"frontends.{name}.") for key in weights))
    if not shared:
        raise InputError(
            f"trainer.start_from {exp}: no fine-tuned stream of the name {' or '.join(sorted(tuned))} there; it has "
            f"{', '.join(other.streams)}"
        )
    for name in shared:
        prefix = f"frontends.{name}."
        state = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        try:
            system.frontends[name].load_state_dict(state)
        except RuntimeError:
            raise InputError(
                f"trainer.start_from {exp}: stream '{name}' is another model there "
                f"({_model_of(other, name)}) than here ({_model_of(config, name)})"
            ) from None


def _task_of(config: Config) -> str:
    """What a system predicts, by the tables of labels that it learns from."""
    task = build(config.task)
    return ", ".join(task.label_files)


def _model_of(config: Config, stream: str) -> str:
    node = config.streams[stream]
    return str(node["init_args"].get("model", node["class_path"].rpartition(".")[2]))
