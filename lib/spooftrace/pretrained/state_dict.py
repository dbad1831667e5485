"""Where in a checkpoint the weights are: inside of which containers, and under which prefixes.

Training scripts save a state dict alone, or beside an optimizer and a counter of epochs; wrappers (DataParallel,
torch.compile, Lightning, a moving average) put a prefix before each name. Both are recognised and named here.
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
# Keys whose tensors are not the weights of a model.
OTHERS = re.compile(
    r"(?i).*(?:optim|sched|scaler|rng|random|criterion|loss|callback|loops|hyper|hparams|config|args).*"
)
MAX_LEVELS = 6
# Put into names by torch.compile, DeepSpeed and sharding, wherever in the model the wrapper is.
WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Two of these as first part of all names are two copies of the weights.
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
BOOKKEEPING = (  # names that are not weights of the system, and what they are
    (r"(?:.+\.)?total_(?:ops|params)", "counted by thop"),
    (r"(?:.+\.)?n_averaged", "number of averaged models"),
    (r"(?:.+\.)?(?:criterion|loss|loss_fn|loss_func|loss_function)\..+", "of the loss"),
)


@dataclass(frozen=True)
class Weights:
    """The weights of one model out of a checkpoint's content.

    Attributes:
        tensors: Under the names that they have without containers, wrappers and prefixes.
        notes: What was recognised, a line each.
        dropped: Name of each tensor that is not a weight, and what it is.
        assumed: What is not in the file.
    """

    tensors: Mapping[str, Tensor]
    notes: Sequence[str] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    assumed: Sequence[str] = ()


def select_weights(content: Any, file: Path, choice: str | None = None, any_prefix: bool = False) -> Weights:
    """The weights in what ``read_checkpoint`` gives; none where there are no tensors.

    Args:
        content: Of the checkpoint.
        file: Its name, for messages.
        choice: Which of several sets of weights: the containers joined by dots, or the first part of the names.
        any_prefix: Take any first part that all names have for a prefix, instead of those in ``PREFIXES``.

    Raises:
        InputError: There are several sets of weights and no choice, or none of that name.
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
    """Every dictionary that holds tensors with at least one dimension, and the keys that lead to it."""
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
        raise InputError(f"{file}: several sets of weights, and nothing says which is the system: {held}; {_ask(left)}")
    if choice is not None and not (left and any(name.startswith(f"{choice}.") for name in sets[left[0]])):
        raise InputError(f"{file}: no weights under '{choice}'; there are {', '.join(filter(None, sets)) or 'others'}")
    return left[0] if left else None


def _same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two sets are the same tensors, saved under two keys."""
    return first.keys() == second.keys() and all(
        tensor.data_ptr() == second[name].data_ptr() and tensor.shape == second[name].shape
        for name, tensor in first.items()
    )


def _unwrapped(
    tensors: dict[str, Tensor], notes: list[str], file: Path, choice: str | None, any_prefix: bool
) -> dict[str, Tensor]:
    """``tensors`` under names without wrappers and common prefixes, each of which is noted."""
    wrappers = dict.fromkeys(match for name in tensors for match in WRAPPERS.findall(name))
    if wrappers:
        notes.append(f"taken out of the names: {', '.join(wrappers)}")
        tensors = _renamed(tensors, {name: WRAPPERS.sub("", name) for name in tensors}, file)
    removed = ""
    while tensors:
        heads = Counter(name.partition(".")[0] if "." in name else "" for name in tensors)
        if len(heads) > 1 and heads.keys() <= COPIES:
            if choice not in heads:
                held = ", ".join(f"{head}." for head in heads)
                raise InputError(
                    f"{file}: holds {len(heads)} such models, under {held}: which one? {_ask(list(heads))}"
                )
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
        raise InputError(f"{file}: the same names with and without the prefix of a wrapper: which are the weights?")
    return result


def _why_bookkeeping(name: str) -> str | None:
    return next((why for pattern, why in BOOKKEEPING if re.fullmatch(pattern, name)), None)


def _beside(content: Any, name: str) -> list[str]:
    """Keys beside those that lead to the weights; what they hold is not read."""
    first = name.partition(".")[0]
    if not isinstance(content, dict) or not name:
        return []
    return [str(key) for key in content if key != first]


def _ask(names: Sequence[str]) -> str:
    return f"say it with --weights {' or --weights '.join(names)}"


def _count(tensors: Mapping[str, Tensor]) -> str:
    return "1 tensor" if len(tensors) == 1 else f"{len(tensors)} tensors"
