"""The classes that a configuration may name: those of spooftrace, PyTorch's optimizers, and modules the user allows.

Experiments are copied and downloaded, so a configuration must not be able to run arbitrary code. ``class_path`` may
name

* an exported class of ``spooftrace.frontends``, ``spooftrace.backends`` or ``spooftrace.tasks``,
* a detection loss of ``spooftrace.tasks.losses``,
* an optimizer or a learning-rate schedule of ``torch.optim``,
* a class of a module that the command line allows (``--allow-module my_package``); ``run.json`` records these modules,
  but they are never read from a file.

Names are checked before anything is imported. Classes that an allowed module imports from other modules are refused.
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

PACKAGES = {  # section of a configuration -> package of its classes
    "streams": "spooftrace.frontends",
    "backend": "spooftrace.backends",
    "task": "spooftrace.tasks",
    "optimizer": "torch.optim",
}
LOSSES = "spooftrace.tasks.losses"
SCHEDULES = "torch.optim.lr_scheduler"
BASES = {  # package -> base class of its classes
    "spooftrace.frontends": "spooftrace.frontends.FrontEnd",
    "spooftrace.backends": "spooftrace.backends.Backend",
    "spooftrace.tasks": "spooftrace.tasks.Task",
    "torch.optim": "torch.optim.Optimizer",
    LOSSES: f"{LOSSES}.DetectionLoss",
    SCHEDULES: f"{SCHEDULES}.LRScheduler",
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # also a folder below dump/ and a submodule's name
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NODE = {"class_path", "init_args"}

_allowed: list[str] = []  # modules of --allow-module, for this process


def allow_modules(modules: Iterable[str]) -> None:
    """Allow configurations to name classes of these modules and of their submodules, in this process.

    Raises:
        InputError: A value is not the name of a module.
    """
    for module in modules:
        if not NAME.fullmatch(module) or module.partition(".")[0] == "jsonargparse":
            raise InputError(
                f"--allow-module {module}: not the name of a module, such as my_package or my_package.nets"
            )
        if module not in _allowed:
            _allowed.append(module)


def allowed_modules() -> list[str]:
    """The modules of ``--allow-module``, in their order on the command line."""
    return list(_allowed)


def resolve_classes(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Replace short class names by full names in every ``class_path``, at any depth.

    Args:
        config: The merged configuration, unchecked.
        where: The files of the configuration, for messages.

    Returns:
        The configuration with full names.

    Raises:
        InputError: A class is not allowed, a node has other keys than ``class_path`` and ``init_args``, or a class is
            given in place of a value.
    """
    from spooftrace.audio.augment_options import AUGMENTATIONS  # imports numpy

    resolved = {}
    for key, value in config.items():
        _check_key(key, "", where)
        if key == "streams" and isinstance(value, Mapping):
            resolved[key] = {name: _stream(name, node, where) for name, node in value.items()}
        elif key in PACKAGES and key != "streams" and isinstance(value, Mapping):
            resolved[key] = _node(value, key, PACKAGES[key], where)
        else:
            resolved[key] = _value(value, key, where)
    for name, value in resolved["data"].items() if isinstance(resolved.get("data"), Mapping) else ():
        if name in AUGMENTATIONS and value is not None and not isinstance(value, Mapping):
            raise InputError(f"{where}: data.{name}: must be a mapping of keys to values, not {shorten(value)}")
    return resolved


def find_class(path: str) -> type:
    """Import a class by its full name.

    Args:
        path: The full name.

    Raises:
        InputError: Configurations may not name the class, or it does not exist.
    """
    if not (_is_builtin(path) or _is_allowed(path)):
        raise InputError(_refusal(path))
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: {error}; install it, or add its folder to PYTHONPATH") from None
    if not inspect.isclass(kind):
        raise InputError(f"{module}: has no class '{name}'")
    defined = f"{kind.__module__}.{name}"
    if not (_is_builtin(path) or _is_builtin(defined) or _is_allowed(defined)):
        raise InputError(f"{path}: is a class of {kind.__module__}, which --allow-module does not include")
    return kind


@contextmanager
def restricted_imports() -> Iterator[None]:
    """Restrict jsonargparse's imports inside the block to classes that configurations may name.

    jsonargparse imports the class or function that a text value names wherever a signature has such a type, including
    arguments of a user's class, which :func:`resolve_classes` cannot check.
    """
    # jsonargparse's policy is global; it is restored because the calling process may use other parsers.
    from jsonargparse import _common, set_parsing_settings

    from spooftrace.audio.augment_options import AUGMENTATIONS

    before = {key: _common.parsing_settings[key] for key in ("import_path_verdicts", "import_paths_enforced")}
    allowed = sorted({name for package in (*PACKAGES.values(), LOSSES, SCHEDULES) for name in _paths(package)})
    try:
        # Groups of settings are classes that jsonargparse imports, but no node can name them.
        settings = [f"{kind.__module__}.{kind.__name__}" for kind in AUGMENTATIONS.values()]
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*allowed, *settings, *_allowed])
        yield
    finally:
        _common.parsing_settings.update(before)


def shorten(value: Any) -> str:
    """Shorten a value of a configuration for a message, to one line of at most 80 characters."""
    return " ".join(str(value).split())[:80]


def _stream(name: Any, node: Any, where: str) -> Any:
    """The node of a stream with full class names."""
    from torch.nn import ModuleDict

    if not isinstance(name, str) or not STREAM.fullmatch(name) or hasattr(ModuleDict, name):
        raise InputError(
            f"{where}: streams: '{shorten(name)}' cannot be the name of a stream; use letters, digits, '-' and '_'"
        )
    if not isinstance(node, Mapping):
        raise InputError(f"{where}: streams.{name}: must be a mapping with class_path, not {shorten(node)}")
    return _node(node, f"streams.{name}", PACKAGES["streams"], where)


def _node(node: Mapping[str, Any], key: str, package: str | None, where: str) -> dict[str, Any]:
    """A node ``{class_path, init_args}`` with full names; short names are looked up in ``package``."""
    path = node.get("class_path")
    if not isinstance(path, str):
        raise InputError(f"{where}: {key}.class_path: " + ("is missing" if path is None else "must name a class"))
    if wrong := sorted(str(name) for name in node if name not in NODE):
        raise InputError(f"{where}: {key}.{shorten(wrong[0])}: no such key; there are class_path, init_args")
    full = _full_name(path, f"{where}: {key}.class_path", package)
    arguments = node.get("init_args")
    if arguments is None:
        return {"class_path": full}
    if not isinstance(arguments, Mapping):
        raise InputError(f"{where}: {key}.init_args: must be a mapping of names to values, not {shorten(arguments)}")
    resolved = {}
    for name, value in arguments.items():
        _check_key(name, f"{key}.init_args.", where)
        inner = f"{key}.init_args.{name}"
        if name == "loss" and (package == PACKAGES["task"] or _is_allowed(full)) and value is not None:
            value = {"class_path": value} if isinstance(value, str) else value
            resolved[name] = _node(value, inner, LOSSES, where) if isinstance(value, Mapping) else value
        elif _is_allowed(full):
            resolved[name] = _value(value, inner, where, may_hold_nodes=True)
        else:
            if full.startswith(f"{PACKAGES['optimizer']}."):
                _check_number(value, inner, where)
            resolved[name] = _value(value, inner, where)
    return {"class_path": full, "init_args": resolved}


def _value(value: Any, key: str, where: str, may_hold_nodes: bool = False) -> Any:
    """A value that is not a node; only arguments of a user's class may contain nodes, of any allowed class."""
    if isinstance(value, Mapping):
        if "class_path" in value and may_hold_nodes:
            return _node(value, key, None, where)
        if "class_path" in value:
            raise InputError(f"{where}: {key}: must be a value, not a class ({shorten(value['class_path'])})")
        for name in value:
            _check_key(name, f"{key}.", where)
        return {name: _value(inner, f"{key}.{name}", where, may_hold_nodes) for name, inner in value.items()}
    if isinstance(value, list):
        return [_value(inner, f"{key}[{number}]", where, may_hold_nodes) for number, inner in enumerate(value)]
    return value


def _check_number(value: Any, key: str, where: str) -> None:
    """Refuse text that is neither a number nor a word; PyTorch's types of optimizer arguments would accept it."""
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str) and not WORD.fullmatch(part):
            try:
                float(part)
            except ValueError:
                raise InputError(f"{where}: {key}: must be a number, not {shorten(part)}") from None


def _check_key(name: Any, key: str, where: str) -> None:
    """Refuse keys that are not text or that jsonargparse reserves, such as ``__path__``."""
    if not isinstance(name, str) or name.startswith(("__", "$")):
        raise InputError(f"{where}: {key}{shorten(name)}: no such key")


def _full_name(path: str, key: str, package: str | None) -> str:
    """The full name of a class that configurations may name; ``key`` begins the messages."""
    if not NAME.fullmatch(path):
        raise InputError(f"{key}: '{shorten(path)}' is not the name of a class")
    full = f"{package}.{path}" if "." not in path and package else path
    if "." in path and _is_allowed(path):
        return full
    if _is_builtin(full):
        if package is None or full in _paths(package):
            return full
        hint = "; the learning rate is scheduled by the section schedule" if full in _paths(SCHEDULES) else ""
        exported = ", ".join(sorted(_names(package)))
        raise InputError(f"{key}: '{path}' is not a class of {package}{hint}; there are {exported}")
    if package and full.rpartition(".")[0] == package:
        names = sorted(_names(package))
        near = get_close_matches(full.rpartition(".")[2], names, n=1, cutoff=0.75)
        has_hint = bool(near) and package == PACKAGES["optimizer"]  # PyTorch has too many optimizers to list
        hint = f"did you mean {near[0]}?" if has_hint else f"there are {', '.join(names)}"
        raise InputError(f"{key}: no class '{path}'; {hint}")
    raise InputError(f"{key}: {_refusal(path)}")


def _refusal(path: str) -> str:
    """Why configurations may not name a class, for messages."""
    if "." not in path:
        return f"'{path}' must be the full name of a class, such as spooftrace.backends.AASIST"
    top = path.partition(".")[0]
    if top in ("spooftrace", "torch"):
        return f"'{path}' is not a class that a configuration may name"
    return (
        f"'{path}' is not a class of spooftrace, and a configuration runs no other code; if {top} is yours, give "
        f"--allow-module {top}"
    )


def _is_allowed(path: str) -> bool:
    """Whether a full name is below a module of ``--allow-module``."""
    return any(path.startswith(f"{module}.") for module in _allowed)


def _is_builtin(path: str) -> bool:
    """Whether a full name is that of a class of spooftrace or ``torch.optim``, as exported or as defined."""
    for package in (SCHEDULES, LOSSES, *PACKAGES.values()):
        if path.startswith(f"{package}."):
            return path in _paths(package)
    return False


def _paths(package: str) -> set[str]:
    """Full names of the classes of a package, as exported and as defined."""
    classes = _names(package)
    return {f"{package}.{name}" for name in classes} | {f"{kind.__module__}.{name}" for name, kind in classes.items()}


@functools.cache
def _names(package: str) -> dict[str, type]:
    """The concrete classes of a package by name; imports only spooftrace and PyTorch."""
    module = importlib.import_module(package)
    base_module, _, base_name = BASES[package].rpartition(".")
    base = getattr(importlib.import_module(base_module), base_name)
    exported = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    values = {name: getattr(module, name, None) for name in exported}
    return {
        name: value
        for name, value in values.items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base and not inspect.isabstract(value)
    }
