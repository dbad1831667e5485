"""Released checkpoints of detection systems -> experiment folders that score at once.

Every tensor of the file is accounted for: it is one of ours under another name, or it is dropped for a reason that is
told; and each of ours is filled. What the tensors do not tell (what the front-end gives, dilations, which output is
bona fide) is in ``spooftrace.official``.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

import spooftrace.backends
from spooftrace.common.errors import InputError
from spooftrace.common.folders import new_folder
from spooftrace.common.json_files import write_json
from spooftrace.common.provenance import file_sha256, git_commit, versions
from spooftrace.config.loading import load_config, save_config
from spooftrace.official import OFFICIAL_CHECKPOINTS, SYSTEMS, OfficialCheckpoint
from spooftrace.official.contents import CheckpointContents, split_checkpoint
from spooftrace.official.known_files import KNOWN_FILES, KnownFile
from spooftrace.pretrained.checkpoint_file import read_checkpoint
from spooftrace.pretrained.convert import check_finite, tensors, unread
from spooftrace.pretrained.finding import kept_configuration, weights_in
from spooftrace.system.system import StreamShape, System, count_parameters
from spooftrace.system.weights import BACKEND

DEFAULT_SIZES = (1024, 24)  # width and layers of XLS-R 300M and WavLM Large
MIN_LIKENESS = 0.5  # share of common names from which on one back-end looks like another
DROPPED = (  # tensors of a self-supervised model that a front-end does not have, and why
    (r"masked_spec_embed", "hides frames in pre-training"),
    (r"encoder\.layer_norm\..+", "after the last layer that is used"),
)


@dataclass(frozen=True)
class ImportedSystem:
    """What was made of a checkpoint.

    Attributes:
        known: The official file that it is, None where its sha256 is not known.
        mapped: Number of tensors that were taken over.
        dropped: Name of each tensor that was not, and why.
        needs: The pretrained models that the system needs and the checkpoint does not hold, if there are any.
        notes: What was recognised in the file around the weights, and what in it was not read.
        assumed, sha256, parameters: As in ``spooftrace.pretrained.convert.Imported``.
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
        """What the file is, as far as is known: an official file, or the shape of one system's tensors."""
        if self.known is not None:
            return f"{self.known.title} ({self.known.repository}, {self.known.path})"
        return f"shape of {self.checkpoint.title} ({self.checkpoint.repository})"

    @property
    def trained_on(self) -> str | None:
        """The training data, None where neither the file nor its sha256 tells."""
        return None if self.known is None else self.known.trained_on


def import_system(system: str, file: str | Path, out: str | Path, weights: str | None = None) -> ImportedSystem:
    """Writes a released checkpoint as an experiment, as training does: config.yaml, model.safetensors, run.json.

    The configuration of a self-supervised model that the file holds goes to ``models/``, so that no pretrained model
    is needed to build the system.

    Args:
        system: One of ``SYSTEMS``.
        file: The checkpoint.
        out: The new experiment, written whole or not at all.
        weights: Which of several sets of weights in the file, see
            ``spooftrace.pretrained.state_dict.select_weights``.

    Raises:
        InputError: No such system; ``out`` exists; ``file`` is damaged, asks for code, or is of another system.
    """
    file, out = Path(file), Path(out)
    if system not in SYSTEMS:
        raise InputError(f"no system '{system}' to import; there are {', '.join(SYSTEMS)}")
    with new_folder(out) as work:
        seen: set[str] = set()
        content = read_checkpoint(file, seen)
        sha256 = file_sha256(file)
        known = KNOWN_FILES.get(sha256)
        if known is not None and known.system is None:
            raise InputError(f"{file}: {known.title} ({known.repository}): no system that import-checkpoint reads")
        parts = split_checkpoint(content, file, weights)
        checkpoint = choose(system, parts, file)
        used = {name: tensor for name, tensor in parts.backend.items() if not why_dropped(checkpoint.left_out, name)}
        check_finite({**parts.ssl, **used}, file)
        config = write_config(checkpoint, parts, work)
        model, needs = skeleton(config, work)
        state, dropped = fill(model.own_state(), checkpoint, parts, file)
        # Not save_weights, which would read all weights into memory: they are still in the file.
        save_file(state, work / "model.safetensors", {BACKEND: config["backend"]["class_path"]})
        parameters = {"backend": count_parameters(model.backend), "total": count_parameters(model)}
        classes = [] if known else [f"order of the classes: as in {checkpoint.repository}"]
        made = ImportedSystem(
            checkpoint=checkpoint,
            known=known,
            sha256=sha256,
            parameters=parameters["total"],
            mapped=len(state) - len(checkpoint.training_only),
            dropped=dropped,
            assumed=[*classes, *checkpoint.assumed, *parts.assumed],
            notes=[*parts.notes, *unread(seen)],
            needs=needs,
        )
        _write_run(made, parameters, file, work)
    return made


def choose(system: str, parts: CheckpointContents, file: Path) -> OfficialCheckpoint:
    """The checkpoint of ``system`` that a checkpoint is one of.

    Raises:
        InputError: None; the message names the system that it looks like.
    """
    if not parts.backend:
        raise InputError(f"{file}: a self-supervised model alone, no {system}; import it without naming a system")
    checkpoints = [checkpoint for checkpoint in OFFICIAL_CHECKPOINTS if checkpoint.system == system]
    wrong = {checkpoint: misfits(checkpoint, parts) for checkpoint in checkpoints if checkpoint.ssl == parts.family}
    fitting = [checkpoint for checkpoint, names in wrong.items() if not names]
    if fitting:
        return fitting[0]
    like = looks_like(parts.backend, parts.sizes)
    hint = f"; it looks like {' or '.join(like)}" if like and system not in like else ""
    if not wrong:
        held = f"a self-supervised model of {parts.family}" if parts.family else "no self-supervised model"
        wanted = " or ".join(sorted(checkpoint.ssl or "without one" for checkpoint in checkpoints))
        raise InputError(f"{file}: not {system}: it holds {held}, {system} is of {wanted}{hint}")
    names = min(wrong.values(), key=len)
    difference = f"{tensors(len(names))} missing, unknown or of another shape, first {names[0]}"
    raise InputError(f"{file}: not {system}: {difference}{hint or '; changed, damaged, or another variant of it'}")


def misfits(checkpoint: OfficialCheckpoint, parts: CheckpointContents) -> list[str]:
    """Names of the back-end's tensors that are missing, unknown or of another shape in this checkpoint."""
    ours, unknown = renamed(checkpoint, parts.backend)
    expected = backend_shapes(checkpoint, *parts.sizes)
    wrong = [name for name in expected if name not in ours or ours[name].shape != expected[name]]
    return wrong + unknown + [name for name in ours if name not in expected]


def why_dropped(rules: Sequence[tuple[str, str]], name: str) -> str | None:
    """Why a tensor of this name is dropped, None where no rule says so."""
    return next((why for pattern, why in rules if re.fullmatch(pattern, name)), None)


def renamed(checkpoint: OfficialCheckpoint, backend: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A back-end's tensors under our names, and the official names that the checkpoint does not know."""
    ours = {name: torch.tensor(values) for name, values in checkpoint.training_only}
    unknown = []
    for official, tensor in backend.items():
        if why_dropped(checkpoint.left_out, official):
            continue
        rule = next((rule for rule in checkpoint.names if re.fullmatch(rule[0], official)), None)
        name = re.sub(*rule, official) if rule else None
        if name is None or name in ours:
            unknown.append(official)
        else:
            ours[name] = tensor
    return ours, unknown


@cache
def backend_shapes(checkpoint: OfficialCheckpoint, width: int, depth: int) -> Mapping[str, torch.Size]:
    """Names and shapes of a checkpoint's back-end, for a self-supervised model of ``depth`` layers of ``width``.

    Empty where it cannot be built for these sizes.
    """
    node = checkpoint.config(width, depth)["backend"]
    try:
        with torch.device("meta"):
            backend = getattr(spooftrace.backends, node["class_path"])(**node["init_args"])
    except ValueError:
        return {}
    return {name: tensor.shape for name, tensor in backend.state_dict().items()}


def looks_like(
    backend: Mapping[str, Tensor], sizes: tuple[int, int] = DEFAULT_SIZES, official: bool = True
) -> list[str]:
    """The systems of which a back-end has most names, and then most shapes; none where it has few of any.

    Args:
        backend: Tensors by official names, or by ours (without ``backend.``) if not ``official``.
        sizes: Width and number of layers of its self-supervised model, where known.
    """
    likeness: dict[tuple[float, float], list[str]] = {}
    for checkpoint in OFFICIAL_CHECKPOINTS:
        ours, unknown = renamed(checkpoint, backend) if official else (backend, [])
        expected = backend_shapes(checkpoint, *(sizes if all(sizes) else DEFAULT_SIZES))
        common = expected.keys() & ours.keys()
        share = len(common) / max(1, len(expected) + len(ours) + len(unknown) - len(common))
        equal = sum(ours[name].shape == expected[name] for name in common)
        if share >= MIN_LIKENESS:
            likeness.setdefault((share, equal), []).append(checkpoint.system)
    return list(dict.fromkeys(likeness[max(likeness)])) if likeness else []


def write_config(checkpoint: OfficialCheckpoint, parts: CheckpointContents, work: Path) -> dict[str, Any]:
    """Writes and returns the resolved configuration; keeps that of the self-supervised model beside it."""
    file = work / "config.yaml"
    content = checkpoint.config(*parts.sizes)
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")  # Heads have an order.
    config = load_config([file])
    save_config(config, file)
    if parts.network is not None:
        parts.network.config.save_pretrained(kept_configuration(work, content["streams"]["ssl"]["init_args"]["model"]))
    return config


def skeleton(config: Mapping[str, Any], exp: Path) -> tuple[System, str | None]:
    """The system without memory for its weights, and the frozen pretrained models that it needs, which are left out."""
    arguments = {name: stream.get("init_args", {}) for name, stream in config["streams"].items()}
    frozen = {name: told["model"] for name, told in arguments.items() if not told.get("finetune", True)}
    cached = {name: StreamShape("frames", config["backend"]["init_args"]["input_dim"]) for name in frozen}
    with torch.device("meta"), weights_in(exp):
        return System(config, cached), " and ".join(frozen.values()) or None


def fill(
    expected: Mapping[str, Tensor], checkpoint: OfficialCheckpoint, parts: CheckpointContents, file: Path
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a system from those of a checkpoint that is of ``checkpoint``, and what is dropped and why."""
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
        raise InputError(f"{file}: {tensors(len(wrong))} without a place in {checkpoint.system}, first {wrong[0]}")
    if checkpoint.swapped:
        for kind in ("weight", "bias"):
            name = f"backend.{checkpoint.swapped}.{kind}"
            state[name] = state[name].flip(0)
    if wrong := [
        name for name, tensor in expected.items() if tensor.is_floating_point() and not state[name].is_floating_point()
    ]:
        kind = str(state[wrong[0]].dtype).removeprefix("torch.")
        raise InputError(
            f"{file}: {tensors(len(wrong))} of type {kind}, first {wrong[0]}: quantised weights are not read"
        )
    # Averaged checkpoints have counters that are no longer whole numbers.
    return {name: state[name].to(tensor.dtype).contiguous() for name, tensor in expected.items()}, dropped


def _write_run(made: ImportedSystem, parameters: Mapping[str, int], file: Path, work: Path) -> None:
    content = {
        "system": made.checkpoint.system,
        "seed": None,
        "git_commit": git_commit(),
        "versions": versions(),
        "command": shlex.join(["spooftrace", *sys.argv[1:]]),
        "parameters": parameters,
        "imported": {
            "file": file.name,
            "sha256": made.sha256,
            "release": made.known.title if made.known else f"shape of {made.checkpoint.title}",
            "repository": made.known.repository if made.known else made.checkpoint.repository,
            "trained_on": made.trained_on,
            "score": made.checkpoint.score,
            "assumed": list(made.assumed),
            "dropped": dict(made.dropped),
            "notes": list(made.notes),
        },
    }
    write_json(work / "run.json", content)
