"""Match the tensors of a file with the official checkpoints of a system."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import spooftrace.backends
from spooftrace.common.errors import InputError
from spooftrace.official import OFFICIAL_CHECKPOINTS, OfficialCheckpoint
from spooftrace.official.contents import CheckpointContents
from spooftrace.pretrained.convert import count_tensors

DEFAULT_SIZES = (1024, 24)  # width and layers of XLS-R 300M and WavLM Large
MIN_LIKENESS = 0.5  # fraction of common names from which a back-end is reported as similar


def choose(system: str, parts: CheckpointContents, file: Path) -> OfficialCheckpoint:
    """Choose the official checkpoint of ``system`` that a file is an instance of.

    Raises:
        InputError: The file is of another system; the message names similar systems.
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
    difference = f"{count_tensors(len(names))} missing, unknown or of another shape, first {names[0]}"
    raise InputError(f"{file}: not {system}: {difference}{hint or '; changed, damaged, or another variant of it'}")


def misfits(checkpoint: OfficialCheckpoint, parts: CheckpointContents) -> list[str]:
    """List the back-end tensors that are missing, unknown or of another shape."""
    ours, unknown = renamed(checkpoint, parts.backend)
    expected = backend_shapes(checkpoint, *parts.sizes)
    wrong = [name for name in expected if name not in ours or ours[name].shape != expected[name]]
    return wrong + unknown + [name for name in ours if name not in expected]


def why_dropped(rules: Sequence[tuple[str, str]], name: str) -> str | None:
    """Return the reason for dropping a tensor of this name, None without one."""
    return next((why for pattern, why in rules if re.fullmatch(pattern, name)), None)


def renamed(checkpoint: OfficialCheckpoint, backend: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Rename back-end tensors to our names; return them and the unknown official names."""
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
    """Return names and shapes of the back-end for a self-supervised model of ``depth`` layers of ``width``.

    Empty if the back-end cannot be built for these sizes.
    """
    node = checkpoint.config(width, depth)["backend"]
    try:
        with torch.device("meta"):
            backend = getattr(spooftrace.backends, node["class_path"])(**node["init_args"])
    except ValueError:
        return {}
    return {name: tensor.shape for name, tensor in backend.state_dict().items()}


def looks_like(backend: Mapping[str, Tensor], sizes: tuple[int, int] = DEFAULT_SIZES) -> list[str]:
    """List the systems that a back-end shares most names, and then most shapes, with; [] if it shares few.

    Args:
        backend: Tensors under official names.
        sizes: Width and number of layers of the self-supervised model, 0 if unknown.
    """
    likeness: dict[tuple[float, float], list[str]] = {}
    for checkpoint in OFFICIAL_CHECKPOINTS:
        ours, unknown = renamed(checkpoint, backend)
        expected = backend_shapes(checkpoint, *(sizes if all(sizes) else DEFAULT_SIZES))
        common = expected.keys() & ours.keys()
        overlap = len(common) / max(1, len(expected) + len(ours) + len(unknown) - len(common))
        equal = sum(ours[name].shape == expected[name] for name in common)
        if overlap >= MIN_LIKENESS:
            likeness.setdefault((overlap, equal), []).append(checkpoint.system)
    return list(dict.fromkeys(likeness[max(likeness)])) if likeness else []
