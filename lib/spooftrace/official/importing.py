"""Convert official checkpoints of systems to experiments that can score.

Each tensor of the file becomes one of ours or is dropped with a reported reason, and each of ours must be filled.
``spooftrace.official`` has the settings that tensors lack (outputs of the front-end, dilations, order of classes).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.common.folders import new_folder
from spooftrace.common.json_files import write_json
from spooftrace.common.provenance import file_sha256, git_commit, versions
from spooftrace.config.loading import load_config, save_config
from spooftrace.config.settings import Config
from spooftrace.official import SYSTEMS, OfficialCheckpoint
from spooftrace.official.contents import CheckpointContents, split_checkpoint
from spooftrace.official.known_files import KNOWN_FILES, KnownFile
from spooftrace.official.matching import choose, renamed, why_dropped
from spooftrace.pretrained.checkpoint_file import read_checkpoint
from spooftrace.pretrained.convert import check_finite, count_tensors, describe_unread
from spooftrace.pretrained.finding import kept_configuration, weights_in
from spooftrace.system.system import StreamShape, System, count_parameters
from spooftrace.system.weights import BACKEND

DROPPED = (  # tensors of a self-supervised model that a front-end does not have, with the reason
    (r"masked_spec_embed", "masks frames in pre-training"),
    (r"encoder\.layer_norm\..+", "after the last layer that is used"),
)


@dataclass(frozen=True)
class ImportedSystem:
    """Result of an import.

    Attributes:
        checkpoint: The official checkpoint that the file is an instance of.
        known: The official file, None if its SHA-256 is not known.
        sha256: SHA-256 of the file.
        parameters: Number of parameters of the system.
        mapped: Number of tensors that were copied.
        dropped: Name of each tensor that was dropped, with the reason.
        assumed: Settings that the file does not determine.
        notes: Remarks about containers in the file, and objects that were not read.
        needs: Pretrained models that the system needs and the file does not hold, None if there are none.
    """

    checkpoint: OfficialCheckpoint
    known: KnownFile | None
    sha256: str
    parameters: int
    mapped: int
    dropped: Mapping[str, str]
    assumed: Sequence[str]
    notes: Sequence[str]
    needs: str | None

    @property
    def title(self) -> str:
        """Title of the official file, or of the checkpoint whose shapes the file has."""
        if self.known is not None:
            return f"{self.known.title} ({self.known.repository}, {self.known.path})"
        return f"shape of {self.checkpoint.title} ({self.checkpoint.repository})"

    @property
    def trained_on(self) -> str | None:
        """Training data, None if unknown."""
        return None if self.known is None else self.known.trained_on


def import_system(system: str, file: str | Path, out: str | Path, weights: str | None = None) -> ImportedSystem:
    """Convert an official checkpoint to an experiment with config.yaml, model.safetensors and run.json.

    The configuration of a self-supervised model in the file is saved in ``models/``; building the system then needs no
    pretrained model.

    Args:
        system: One of ``SYSTEMS``.
        file: The checkpoint.
        out: Folder of the new experiment, written completely or not at all.
        weights: Which of several sets of weights in the file, see
            ``spooftrace.pretrained.state_dict.select_weights``.

    Raises:
        InputError: The system is unknown; ``out`` exists; ``file`` is damaged, would run code, or has another system.
    """
    file, out = Path(file), Path(out)
    if system not in SYSTEMS:
        raise InputError(f"no system '{system}' to import; choose from {', '.join(SYSTEMS)}")
    with new_folder(out) as work:
        seen: set[str] = set()
        content = read_checkpoint(file, seen)
        sha256 = file_sha256(file)
        known = KNOWN_FILES.get(sha256)
        if known is not None and known.system is None:
            raise InputError(
                f"{file}: {known.title} ({known.repository}): not a system that import-checkpoint supports"
            )
        parts = split_checkpoint(content, file, weights)
        checkpoint = choose(system, parts, file)
        used = {name: tensor for name, tensor in parts.backend.items() if not why_dropped(checkpoint.left_out, name)}
        check_finite({**parts.ssl, **used}, file)
        config = write_config(checkpoint, parts, work)
        model, needs = skeleton(config, work)
        state, dropped = fill(model.own_state(), checkpoint, parts, file)
        # save_weights would read all weights into memory; they are mapped from the file here.
        save_file(state, work / "model.safetensors", {BACKEND: config.backend["class_path"]})
        parameters = {"backend": count_parameters(model.backend), "total": count_parameters(model)}
        classes = [] if known else [f"order of the classes: as in {checkpoint.repository}"]
        result = ImportedSystem(
            checkpoint=checkpoint,
            known=known,
            sha256=sha256,
            parameters=parameters["total"],
            mapped=len(state) - len(checkpoint.training_only),
            dropped=dropped,
            assumed=[*classes, *checkpoint.assumed, *parts.assumed],
            notes=[*parts.notes, *describe_unread(seen)],
            needs=needs,
        )
        _write_run(result, parameters, file, work)
    return result


def write_config(checkpoint: OfficialCheckpoint, parts: CheckpointContents, work: Path) -> Config:
    """Write and return the resolved configuration, and save that of the self-supervised model."""
    file = work / "config.yaml"
    content = checkpoint.config(*parts.sizes)
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")  # the order of heads matters
    config = load_config([file])
    save_config(config, file)
    if parts.network is not None:
        parts.network.config.save_pretrained(kept_configuration(work, content["streams"]["ssl"]["init_args"]["model"]))
    return config


def skeleton(config: Config, exp: Path) -> tuple[System, str | None]:
    """Build the system on the meta device, without frozen pretrained models; return it and their names."""
    arguments = {name: stream.get("init_args", {}) for name, stream in config.streams.items()}
    frozen = {name: init_args["model"] for name, init_args in arguments.items() if not init_args.get("finetune", True)}
    cached = {name: StreamShape("frames", config.backend["init_args"]["input_dim"]) for name in frozen}
    with torch.device("meta"), weights_in(exp):
        return System(config, cached), " and ".join(frozen.values()) or None


def fill(
    expected: Mapping[str, Tensor], checkpoint: OfficialCheckpoint, parts: CheckpointContents, file: Path
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Build the state of a system from the tensors of a file; return it and the dropped tensors with reasons."""
    backend, _ = renamed(checkpoint, parts.backend)
    state = {f"backend.{name}": tensor for name, tensor in backend.items()}
    left_out = {name: why for name in parts.backend if (why := why_dropped(checkpoint.left_out, name))}
    dropped = {**parts.dropped, **left_out}
    for name, tensor in parts.ssl.items():
        why = why_dropped(DROPPED, name)
        if f"frontends.ssl.{name}" in expected or why is None:
            state[f"frontends.ssl.{name}"] = tensor
        else:
            dropped[name] = why
    if wrong := sorted(expected.keys() ^ state.keys()):
        raise InputError(
            f"{file}: {count_tensors(len(wrong))} without a place in {checkpoint.system}, first {wrong[0]}"
        )
    if checkpoint.swapped:
        for kind in ("weight", "bias"):
            name = f"backend.{checkpoint.swapped}.{kind}"
            state[name] = state[name].flip(0)
    if wrong := [
        name for name, tensor in expected.items() if tensor.is_floating_point() and not state[name].is_floating_point()
    ]:
        kind = str(state[wrong[0]].dtype).removeprefix("torch.")
        raise InputError(
            f"{file}: {count_tensors(len(wrong))} of type {kind}, first {wrong[0]}: quantised weights are not read"
        )
    # Averaged checkpoints have counters that are not integers.
    return {name: state[name].to(tensor.dtype).contiguous() for name, tensor in expected.items()}, dropped


def _write_run(result: ImportedSystem, parameters: Mapping[str, int], file: Path, work: Path) -> None:
    content = {
        "system": result.checkpoint.system,
        "seed": None,
        "git_commit": git_commit(),
        "versions": versions(),
        "command": shlex.join(["spooftrace", *sys.argv[1:]]),
        "parameters": parameters,
        "imported": {
            "file": file.name,
            "sha256": result.sha256,
            "release": result.known.title if result.known else f"shape of {result.checkpoint.title}",
            "repository": result.known.repository if result.known else result.checkpoint.repository,
            "trained_on": result.trained_on,
            "score": result.checkpoint.score,
            "assumed": list(result.assumed),
            "dropped": dict(result.dropped),
            "notes": list(result.notes),
        },
    }
    write_json(work / "run.json", content)
