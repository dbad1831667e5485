"""Find the state dict of a model in a checkpoint: its containers and the prefixes of its names.

Training scripts save a state dict alone, or with an optimizer and a counter of epochs. Wrappers (DataParallel,
torch.compile, Lightning, a moving average) add a prefix to each name. Both are detected, removed and reported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spooftrace.common.errors import InputError

# Keys under which projects keep the weights of a model.
CONTAINERS = {
    *("ema", "ema_model", "ema_state_dict", "generator", "model", "model_dict", "model_ema", "model_state"),
    *("model_state_dict", "model_weight", "model_weights", "module", "net", "net_state_dict", "network", "params"),
    *("params_ema", "state", "state_dict", "student", "swa", "system", "teacher", "weights"),
}
# Keys of containers without weights of a model.
OTHERS = re.compile(
    r"(?i).*(?:optim|sched|scaler|rng|random|criterion|loss|callback|loops|hyper|hparams|config|args).*"
)
MAX_LEVELS = 6
# Inserted into names by torch.compile, DeepSpeed and sharding, at any level of the model.
WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# First parts of names; two of them in one file are two copies of the weights.
COPIES = {
    "averaged_model",
    "ema",
    "ema_model",
    "model",
    "model_ema",
    "module",
    "net",
    "student",
    "swa_model",
    "teacher",
}
# First parts of names that wrappers and training scripts add to those of a model.
PREFIXES = COPIES | {"backbone", "cm", "detector", "generator", "network", "system", "wrapped_model", "wrapper"}
BOOKKEEPING = (  # tensors that are not weights of the system, with a description
    (r"(?:.+\.)?total_(?:ops|params)", "counted by thop"),
    (r"(?:.+\.)?n_averaged", "number of averaged models"),
    (r"(?:.+\.)?(?:criterion|loss|loss_fn|loss_func|loss_function)\..+", "of the loss"),
)


@dataclass(frozen=True)
class Weights:
    """Weights of one model in a checkpoint.

    Attributes:
        tensors: Tensors under names without containers, wrappers and prefixes.
        notes: Remarks about containers, wrappers and prefixes.
        dropped: Name and description of each tensor that is not a weight.
        assumed: Assumptions about data that is not in the file.
    """

    tensors: Mapping[str, Tensor]
    notes: Sequence[str] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    assumed: Sequence[str] = ()


def select_weights(content: Any, file: Path, choice: str | None = None, any_prefix: bool = False) -> Weights:
    """Select the weights of one model from the result of ``read_checkpoint``; no tensors if it has none.

    Args:
        content: Content of the checkpoint.
        file: File of the checkpoint, for messages.
        choice: Choice among several sets of weights: containers joined by dots, or the first part of the names.
        any_prefix: Remove any first part that all names share, instead of those in ``PREFIXES`` only.

    Raises:
        InputError: The file has several sets of weights and no choice is given, or none of that name.
    """
    sets = {".".join(path): tensors for path, tensors in _sets(content)}
    name = _choose(sets, file, choice)
    if name is None:
        return Weights({})
    tensors, notes = sets[name], []
    if name:
        notes.append(f"weights under {name}")
    if others := [f"{other or 'the top level'} ({_count(held)})" for other, held in sets.items() if other != name]:
        notes.append(f"not taken: {', '.join(others)}")
    if beside := _beside(content, name):
        notes.append(f"beside the weights, not read: {', '.join(beside)}")
    dropped = {tensor: why for tensor in tensors if (why := _why_bookkeeping(tensor))}
    tensors = {tensor: value for tensor, value in tensors.items() if tensor not in dropped}
    tensors = _unwrapped(tensors, notes, file, choice if choice != name else None, any_prefix)
    types = Counter(str(value.dtype).removeprefix("torch.") for value in tensors.values() if value.is_floating_point())
    notes += [f"{count} of type {kind}, taken over as float32" for kind, count in types.items() if kind != "float32"]
    counters = {
        f"{norm}num_batches_tracked": torch.tensor(0)
        for norm in (tensor.removesuffix("running_mean") for tensor in tensors if tensor.endswith("running_mean"))
        if f"{norm}num_batches_tracked" not in tensors
    }
    assumed = [f"num_batches_tracked: 0 in {len(counters)} norms (only training reads it)"] if counters else []
    return Weights({**tensors, **counters}, notes, dropped, assumed)


def _sets(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yield every dictionary that holds tensors with at least one dimension, with the path of its keys."""
    if not isinstance(content, dict) or len(path) > MAX_LEVELS:
        return
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if any(value.ndim for value in tensors.values()):
        yield path, tensors
    for name, value in content.items():
        if isinstance(value, dict) and not OTHERS.fullmatch(name):
            yield from _sets(value, (*path, name))


def _choose(sets: Mapping[str, Mapping[str, Tensor]], file: Path, choice: str | None) -> str | None:
    if choice in sets:
        return choice
    known = [name for name in sets if name and all(part.lower() in CONTAINERS for part in name.split("."))]
    left = known or [name for name in sets if not name] or list(sets)
    left = [name for i, name in enumerate(left) if not any(_same(sets[name], sets[other]) for other in left[:i])]
    if len(left) > 1:
        held = ", ".join(f"{name} ({_count(sets[name])})" for name in left)
        raise InputError(f"{file}: several sets of weights: {held}; {_ask(left)}")
    if choice is not None and not (left and any(name.startswith(f"{choice}.") for name in sets[left[0]])):
        raise InputError(f"{file}: no weights under '{choice}'; there are {', '.join(filter(None, sets)) or 'others'}")
    return left[0] if left else None


def _same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two sets are the same tensors under two keys."""
    return first.keys() == second.keys() and all(
        tensor.data_ptr() == second[name].data_ptr() and tensor.shape == second[name].shape
        for name, tensor in first.items()
    )


def _unwrapped(
    tensors: dict[str, Tensor], notes: list[str], file: Path, choice: str | None, any_prefix: bool
) -> dict[str, Tensor]:
    """Remove wrappers and common prefixes from the names, and add a note about each."""
    wrappers = dict.fromkeys(match for name in tensors for match in WRAPPERS.findall(name))
    if wrappers:
        notes.append(f"taken out of the names: {', '.join(wrappers)}")
        tensors = _renamed(tensors, {name: WRAPPERS.sub("", name) for name in tensors}, file)
    removed = ""
    while tensors:
        heads = Counter(name.partition(".")[0] if "." in name else "" for name in tensors)
        if len(heads) > 1 and heads.keys() <= COPIES:
            if choice is None or choice not in heads:
                held = ", ".join(f"{head}." for head in heads)
                raise InputError(f"{file}: holds {len(heads)} models, under {held}; {_ask(list(heads))}")
            rest = sum(heads.values()) - heads[choice]
            notes.append(f"not taken: {rest} tensors under other prefixes than {choice}.")
            tensors = {name: value for name, value in tensors.items() if name.startswith(f"{choice}.")}
            continue
        (head, _), *others = heads.most_common()
        if others or not head or head.isdigit() or not (any_prefix or head in PREFIXES):
            break
        tensors = {name.removeprefix(f"{head}."): value for name, value in tensors.items()}
        removed += f"{head}."
    if removed:
        notes.append(f"prefix of every name, removed: {removed}")
    return tensors


def _renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str], file: Path) -> dict[str, Tensor]:
    result = {names[name]: value for name, value in tensors.items()}
    if len(result) < len(tensors):
        raise InputError(f"{file}: has the same names with and without a wrapper's prefix; save one set of weights")
    return result


def _why_bookkeeping(name: str) -> str | None:
    return next((why for pattern, why in BOOKKEEPING if re.fullmatch(pattern, name)), None)


def _beside(content: Any, name: str) -> list[str]:
    """Return the keys beside the path to the weights, whose contents are not read."""
    first = name.partition(".")[0]
    if not isinstance(content, dict) or not name:
        return []
    return [str(key) for key in content if key != first]


def _ask(names: Sequence[str]) -> str:
    return f"choose by --weights {' or --weights '.join(names)}"


def _count(tensors: Mapping[str, Tensor]) -> str:
    return "1 tensor" if len(tensors) == 1 else f"{len(tensors)} tensors"
