"""What a training leaves behind: its figures, its model and ``run.json``."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from spooftrace import processes
from spooftrace.atomic import atomic_write
from spooftrace.config_classes import allowed_modules
from spooftrace.provenance import file_sha256, git_commit, versions
from spooftrace.resuming import LENGTH, MODEL, RUN
from spooftrace.saving import read_checkpoint
from spooftrace.system import count_parameters


def parameters(system: Any, cached: Mapping[str, Any]) -> dict[str, int | None]:
    """Numbers of parameters: of the back-end, of what is trained, of all including the front-ends of cached streams."""
    stored = [stream.parameters for stream in cached.values()]
    return {
        "backend": count_parameters(system.backend),
        "trainable": count_parameters(system, trainable=True),
        "total": None if None in stored else count_parameters(system) + sum(stored),
    }


def average(learner: Any, paths: Sequence[Path]) -> dict[str, Any]:
    """Mean of the weights in these checkpoints; counters, which have no mean, come from the first, the very best."""
    states = [read_checkpoint(path)["state_dict"] for path in paths]
    prefix = "system."
    mean = {}
    for key, value in states[0].items():
        if value.is_floating_point():
            value = torch.stack([state[key].double() for state in states]).mean(0).to(value.dtype)
        mean[key.removeprefix(prefix)] = value
    return {key: mean[key] for key in learner.system.own_state()}


def device_name(num_gpus: int) -> str:
    """What trained, e.g. ``2 x NVIDIA H200`` or ``CPU, 1 threads``."""
    name = torch.cuda.get_device_name() if num_gpus else f"CPU, {torch.get_num_threads()} threads"
    return f"{processes.world_size()} x {name}" if num_gpus or processes.started() else name


def write_epochs(trainer: Any, learner: Any, path: Path) -> None:
    """A table with a line an epoch."""
    if trainer.is_global_zero:
        with atomic_write(path) as file:
            file.write("\t".join(learner.epochs[0]) + "\n")
            file.writelines("\t".join(f"{value:.6g}" for value in epoch.values()) + "\n" for epoch in learner.epochs)


def write_run(config: Mapping[str, Any], exp: Path, facts: Mapping[str, Any]) -> None:
    """``run.json``: ``facts`` and what made the model."""
    content = {
        "system": exp.name.rpartition("_")[0] or exp.name,
        "seed": config["seed_everything"],
        "git_commit": git_commit(),
        "versions": versions(),
        "command": shlex.join(["spooftrace", *sys.argv[1:]]),
        "allowed_modules": allowed_modules(),
        "length": {key: config["trainer"][key] for key in LENGTH},
        "model_sha256": file_sha256(exp / MODEL),
        **facts,
    }
    with atomic_write(exp / RUN) as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")
