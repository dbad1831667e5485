"""Which classes a configuration may name: classes of spooftrace, optimizers of PyTorch, and what the user allows.

A configuration is data: experiments are copied and downloaded, so what stands in one must not decide what code runs.
``class_path`` may name

* an exported class of ``spooftrace.frontends``, ``spooftrace.backends`` or ``spooftrace.tasks``,
* a detection loss of ``spooftrace.tasks.losses``,
* an optimizer or a learning-rate schedule of ``torch.optim``,
* a class of a module that the user has named on the command line (``--allow-module my_package``), which is recorded in
  ``run.json`` and never read from a file.

Names are checked before anything is imported. A class that an allowed module only imports from elsewhere does not
count.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from spooftrace.common.errors import InputError

ROOMS = {  # section of a configuration -> where its classes are
    "streams": "spooftrace.frontends",
    "backend": "spooftrace.backends",
    "task": "spooftrace.tasks",
    "optimizer": "torch.optim",
}
LOSSES = "spooftrace.tasks.losses"
SCHEDULES = "torch.optim.lr_scheduler"
BASES = {  # room -> what all of its classes are kinds of
    "spooftrace.frontends": "spooftrace.frontends.FrontEnd",
    "spooftrace.backends": "spooftrace.backends.Backend",
    "spooftrace.tasks": "spooftrace.tasks.Task",
    "torch.optim": "torch.optim.Optimizer",
    LOSSES: f"{LOSSES}.DetectionLoss",
    SCHEDULES: f"{SCHEDULES}.LRScheduler",
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # the name of a folder below dump/ and of a part of the model
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NODE = {"class_path", "init_args"}

_allowed: list[str] = []  # modules that the user has named on the command line, for this process


def allow_modules(modules: Iterable[str]) -> None:
    """Let configurations name classes of these modules and of their submodules, in this process.

    Raises:
        InputError: It is not the name of a module.
    """
    for module in modules:
        if not NAME.fullmatch(module) or module.partition(".")[0] == "jsonargparse":
            raise InputError(
                f"--allow-module {module}: not the name of a module, such as my_package or my_package.nets"
            )
        if module not in _allowed:
            _allowed.append(module)


def allowed_modules() -> list[str]:
    """The modules that the user has named, in that order."""
    return list(_allowed)


def resolve_classes(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A configuration with the full name in every ``class_path``, at any depth.

    Args:
        config: The merged configuration, unchecked.
        where: The files that it comes from, for messages.

    Raises:
        InputError: A class that may not be named, a node with other keys, or a class where none belongs.
    """
    from spooftrace.audio.augment_options import AUGMENTATIONS  # which loads numpy

    resolved = {}
    for key, value in config.items():
        _check_key(key, "", where)
        if key == "streams" and isinstance(value, Mapping):
            resolved[key] = {name: _stream(name, node, where) for name, node in value.items()}
        elif key in ROOMS and key != "streams" and isinstance(value, Mapping):
            resolved[key] = _node(value, key, ROOMS[key], where)
        else:
            resolved[key] = _value(value, key, where)
    for name, value in resolved["data"].items() if isinstance(resolved.get("data"), Mapping) else ():
        if name in AUGMENTATIONS and value is not None and not isinstance(value, Mapping):
            raise InputError(f"{where}: data.{name}: must be a mapping of keys to values, not {shown(value)}")
    return resolved


def find_class(path: str) -> type:
    """The class of a full name.

    Raises:
        InputError: Configurations may not name it, or it does not exist.
    """
    if not (_is_ours(path) or _is_users(path)):
        raise InputError(_refusal(path))
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: {error}; is it installed, or its folder on PYTHONPATH?") from None
    if not inspect.isclass(kind):
        raise InputError(f"{module}: has no class '{name}'")
    defined = f"{kind.__module__}.{name}"
    if not (_is_ours(path) or _is_ours(defined) or _is_users(defined)):
        raise InputError(f"{path}: is a class of {kind.__module__}, which --allow-module does not name")
    return kind


@contextmanager
def only_these_imports() -> Iterator[None]:
    """Inside the block jsonargparse imports nothing for a text value but what configurations may name.

    It takes text for the name of a class or function wherever a signature asks for one, also where
    :func:`resolve_classes` cannot know that, in the arguments of a user's class.
    """
    # jsonargparse has such a policy, but for the whole process, which may have parsers of its own.
    from jsonargparse import _common, set_parsing_settings

    from spooftrace.audio.augment_options import AUGMENTATIONS

    before = {key: _common.parsing_settings[key] for key in ("import_path_verdicts", "import_paths_enforced")}
    allowed = sorted({name for room in (*ROOMS.values(), LOSSES, SCHEDULES) for name in _paths(room)})
    try:
        # The groups of settings are classes, too, but none that a node can name.
        settings = [f"{kind.__module__}.{kind.__name__}" for kind in AUGMENTATIONS.values()]
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*allowed, *settings, *_allowed])
        yield
    finally:
        _common.parsing_settings.update(before)


def shown(value: Any) -> str:
    """A value of a configuration for a message: on one line, at most 80 characters."""
    return " ".join(str(value).split())[:80]


def _stream(name: Any, node: Any, where: str) -> Any:
    from torch.nn import ModuleDict

    if not isinstance(name, str) or not STREAM.fullmatch(name) or hasattr(ModuleDict, name):
        raise InputError(
            f"{where}: streams: '{shown(name)}' cannot be the name of a stream; use letters, digits, '-' and '_'"
        )
    if not isinstance(node, Mapping):
        raise InputError(f"{where}: streams.{name}: must be a mapping with class_path, not {shown(node)}")
    return _node(node, f"streams.{name}", ROOMS["streams"], where)


def _node(node: Mapping[str, Any], key: str, room: str | None, where: str) -> dict[str, Any]:
    """A node ``{class_path, init_args}`` with the full name; ``room`` is where short names are looked up."""
    path = node.get("class_path")
    if not isinstance(path, str):
        raise InputError(f"{where}: {key}.class_path: " + ("is missing" if path is None else "must name a class"))
    if wrong := sorted(str(name) for name in node if name not in NODE):
        raise InputError(f"{where}: {key}.{shown(wrong[0])}: no such key; there are class_path, init_args")
    full = _full_name(path, f"{where}: {key}.class_path", room)
    arguments = node.get("init_args")
    if arguments is None:
        return {"class_path": full}
    if not isinstance(arguments, Mapping):
        raise InputError(f"{where}: {key}.init_args: must be a mapping of arguments to values, not {shown(arguments)}")
    resolved = {}
    for name, value in arguments.items():
        _check_key(name, f"{key}.init_args.", where)
        inner = f"{key}.init_args.{name}"
        if name == "loss" and (room == ROOMS["task"] or _is_users(full)) and value is not None:
            value = {"class_path": value} if isinstance(value, str) else value
            resolved[name] = _node(value, inner, LOSSES, where) if isinstance(value, Mapping) else value
        elif _is_users(full):
            resolved[name] = _value(value, inner, where, may_hold_nodes=True)
        else:
            if full.startswith(f"{ROOMS['optimizer']}."):
                _check_number(value, inner, where)
            resolved[name] = _value(value, inner, where)
    return {"class_path": full, "init_args": resolved}


def _value(value: Any, key: str, where: str, may_hold_nodes: bool = False) -> Any:
    """A value other than a node; arguments of a user's class may hold nodes of any allowed class, others none."""
    if isinstance(value, Mapping):
        if "class_path" in value and may_hold_nodes:
            return _node(value, key, None, where)
        if "class_path" in value:
            raise InputError(f"{where}: {key}: takes a value, but a class is given ({shown(value['class_path'])})")
        for name in value:
            _check_key(name, f"{key}.", where)
        return {name: _value(inner, f"{key}.{name}", where, may_hold_nodes) for name, inner in value.items()}
    if isinstance(value, list):
        return [_value(inner, f"{key}[{number}]", where, may_hold_nodes) for number, inner in enumerate(value)]
    return value


def _check_number(value: Any, key: str, where: str) -> None:
    """Refuse text that is neither a number nor a word: an optimizer's arguments may be typed as tensors."""
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str) and not WORD.fullmatch(part):
            try:
                float(part)
            except ValueError:
                raise InputError(f"{where}: {key}: must be a number, not {shown(part)}") from None


def _check_key(name: Any, key: str, where: str) -> None:
    """Refuse keys that are not text, and those that jsonargparse takes for its own, such as ``__path__``."""
    if not isinstance(name, str) or name.startswith(("__", "$")):
        raise InputError(f"{where}: {key}{shown(name)}: no such key")


def _full_name(path: str, key: str, room: str | None) -> str:
    if not NAME.fullmatch(path):
        raise InputError(f"{key}: '{shown(path)}' is not the name of a class")
    full = f"{room}.{path}" if "." not in path and room else path
    if "." in path and _is_users(path):
        return full
    if _is_ours(full):
        if room is None or full in _paths(room):
            return full
        hint = "; the learning rate is scheduled by the section schedule" if full in _paths(SCHEDULES) else ""
        raise InputError(f"{key}: '{path}' is not a class of {room}{hint}; there are {', '.join(sorted(_names(room)))}")
    if room and full.rpartition(".")[0] == room:
        names = sorted(_names(room))
        near = get_close_matches(full.rpartition(".")[2], names, n=1, cutoff=0.75)
        hint = f"did you mean {near[0]}?" if near and room == ROOMS["optimizer"] else f"there are {', '.join(names)}"
        raise InputError(f"{key}: no class '{path}'; {hint}")
    raise InputError(f"{key}: {_refusal(path)}")


def _refusal(path: str) -> str:
    if "." not in path:
        return f"'{path}' must be the full name of a class, such as spooftrace.backends.AASIST"
    package = path.partition(".")[0]
    if package in ("spooftrace", "torch"):
        return f"'{path}' is not a class that a configuration may name"
    return (
        f"'{path}' is not a class of spooftrace, and a configuration runs no other code; if {package} is yours, give "
        f"--allow-module {package}"
    )


def _is_users(path: str) -> bool:
    return any(path.startswith(f"{module}.") for module in _allowed)


def _is_ours(path: str) -> bool:
    """Whether a full name is that of a class of ours or of ``torch.optim``, where it is exported or where it is."""
    for room in (SCHEDULES, LOSSES, *ROOMS.values()):
        if path.startswith(f"{room}."):
            return path in _paths(room)
    return False


def _paths(room: str) -> set[str]:
    """The full names that the classes of a room have: where they are exported, and where they are defined."""
    classes = _names(room)
    return {f"{room}.{name}" for name in classes} | {f"{kind.__module__}.{name}" for name, kind in classes.items()}


@functools.cache
def _names(room: str) -> dict[str, type]:
    """The classes of a room that can be built; our own code and PyTorch are all that this imports."""
    module = importlib.import_module(room)
    base_module, _, base_name = BASES[room].rpartition(".")
    base = getattr(importlib.import_module(base_module), base_name)
    exported = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    values = {name: getattr(module, name, None) for name in exported}
    return {
        name: value
        for name, value in values.items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base and not inspect.isabstract(value)
    }
