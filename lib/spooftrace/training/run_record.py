"""What a training leaves behind: its figures, its model and ``run.json``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from spooftrace.common import ranks
from spooftrace.common.json_files import write_json
from spooftrace.common.provenance import file_sha256, git_commit, versions
from spooftrace.common.records import RUN
from spooftrace.config.classes import allowed_modules
from spooftrace.config.settings import Config
from spooftrace.datadir.incomplete import as_json, read_gaps
from spooftrace.pretrained.finding import keep_configuration
from spooftrace.system.files import MODEL
from spooftrace.system.system import count_parameters
from spooftrace.system.weights import save_weights
from spooftrace.training.resuming import length_of
from spooftrace.training.saving import read_checkpoint
from spooftrace.training.selection import LAST_EPOCH, best_epochs


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
    return f"{ranks.world_size()} x {name}" if num_gpus or ranks.started() else name


def save_model(config: Config, exp: Path, learner: Any, checkpoints: Sequence[Path]) -> None:
    """Write ``model.safetensors``, and what scoring needs of fine-tuned models instead of their pretrained weights."""
    save_weights(average(learner, checkpoints), exp / MODEL, config.backend["class_path"])
    for node in config.streams.values():
        if node["class_path"].endswith(".HuggingFace") and node["init_args"]["finetune"]:
            keep_configuration(exp, node["init_args"]["model"])


def gaps(**folders: Path) -> dict[str, Any]:
    """``incomplete`` for ``run.json``: what the data directories of each role lack; nothing where none lacks any."""
    lacking = {role: as_json(read_gaps(folder)) for role, folder in folders.items()}
    lacking = {role: missing for role, missing in lacking.items() if missing}
    return {"incomplete": lacking} if lacking else {}


def write_run(config: Config, exp: Path, learner: Any, facts: Mapping[str, Any]) -> None:
    """Write ``run.json``, which marks a finished training, and print the result.

    Args:
        config: The configuration.
        exp: Folder of the experiment, which holds the model.
        learner: The trained :class:`spooftrace.training.learner.Learner`.
        facts: What else is recorded.
    """
    monitor, epochs = config.trainer.monitor, learner.epochs
    best_epoch = best_epochs(epochs, monitor, 1)[0]
    best = {} if monitor == LAST_EPOCH else {monitor: epochs[best_epoch - 1][monitor]}
    frontends = learner.system.frontends.items()
    content = {
        "system": exp.name.rpartition("_")[0] or exp.name,
        "seed": config.seed_everything,
        "git_commit": git_commit(),
        "versions": versions(),
        "command": shlex.join(["spooftrace", *sys.argv[1:]]),
        "allowed_modules": allowed_modules(),
        "length": length_of(config),
        "model_sha256": file_sha256(exp / MODEL),
        "symptoms": learner.symptoms.epochs,
        "epochs": len(epochs),
        "best_epoch": best_epoch,
        "best": best,
        "frontends": {name: frontend.fingerprint() for name, frontend in frontends if frontend.frozen},
        **facts,
    }
    write_json(exp / RUN, content)
    result = f"best {monitor} {best[monitor]:.4f}" if best else "the model is that of the last one"
    print(f"{exp}: trained {len(epochs)} epochs, {result}")
