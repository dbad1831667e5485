"""Configuration of a system: YAML files merged in order, command-line overrides last, everything checked.

A configuration names classes by ``class_path`` and gives their ``init_args``; jsonargparse checks both against the
classes' own signatures, so a misspelt key or a wrong type is an error that names the key. A ``class_path`` without a
dot is looked up in the package of its section: ``backend: {class_path: AASIST}`` is ``spooftrace.backends.AASIST``.

A configuration is data: :mod:`spooftrace.config.classes` says which classes it may name,
:mod:`spooftrace.config.yaml_text` how large it may be.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.config.classes import find_class, resolve_classes, restricted_imports, shorten
from spooftrace.config.messages import explain, name_option
from spooftrace.config.settings import Config, Data, Schedule, Training, check_settings
from spooftrace.config.yaml_text import parse_yaml, read_yaml

__all__ = ["Config", "Data", "Schedule", "Training", "build", "load_config", "merge", "save_config"]

REQUIRED = ("streams", "backend", "task", "optimizer")


def load_config(files: Sequence[str | Path], overrides: Sequence[str] = ()) -> Config:
    """Read, merge and check a configuration.

    Args:
        files: YAML files; a later one overrides an earlier one key by key.
        overrides: Command-line words ``--key.subkey value``, values in YAML syntax.

    Returns:
        The resolved configuration, with every default filled in.

    Raises:
        InputError: A file is missing or is not YAML; a key is unknown; a value has the wrong type; a class may not be
            named by configurations.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merged = merge(merged, _read_yaml(Path(file)))
    given = _parse_overrides(overrides)
    merged = merge(merged, given)
    where = ", ".join(str(file) for file in files)
    missing = [section for section in REQUIRED if not merged.get(section)]
    if missing:
        raise InputError(
            f"{where}: {', '.join(missing)}: {'is' if len(missing) == 1 else 'are'} missing; a recipe's own conf holds "
            "only what differs from conf/systems: give the file from there first, then this one"
        )
    try:
        return _check(resolve_classes(merged, where), where)
    except InputError as error:
        message, before = str(error), f"{where}: "
        problem = message.removeprefix(before) if message.startswith(before) else ""
        if option_problem := name_option(problem, given, overrides[::2]):
            raise InputError(option_problem) from None
        raise


def save_config(config: Config, path: str | Path) -> None:
    """Write a resolved configuration so that :func:`load_config` reads the same one back."""
    with atomic_write(path) as file:
        yaml.safe_dump(config.as_dict(), file, sort_keys=False)


def build(node: Mapping[str, Any]) -> Any:
    """Construct the object of a checked ``{class_path, init_args}`` node, and first those that it holds.

    Raises:
        InputError: Configurations may not name the class, or it refuses a value, e.g. a layer that a model does not
            have.
    """
    name = node["class_path"].rpartition(".")[2]
    kind = find_class(node["class_path"])
    arguments = {key: _built(value) for key, value in (node.get("init_args") or {}).items()}
    try:
        return kind(**arguments)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AssertionError, MemoryError) as error:
        raise InputError(f"{name}: {_one_line(error) or type(error).__name__}") from error


def _built(value: Any) -> Any:
    """A value of a node with the objects of the nodes in it."""
    if isinstance(value, Mapping):
        if "class_path" in value:
            return build(value)
        return {key: _built(inner) for key, inner in value.items()}
    return [_built(inner) for inner in value] if isinstance(value, list) else value


def merge(base: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``update`` laid over it, key by key.

    A node whose ``class_path`` changes loses the ``init_args`` of the class it replaces.

    >>> merge({"data": {"crop": 64600, "pad": "repeat"}}, {"data": {"crop": 48000}})
    {'data': {'crop': 48000, 'pad': 'repeat'}}
    """
    result = dict(copy.deepcopy(base))
    if "class_path" in update and update["class_path"] != result.get("class_path"):
        result.pop("init_args", None)
    for key, value in update.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else copy.deepcopy(value)
    return result


def _read_yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: a configuration is a mapping such as 'data: {{crop: 64600}}'")
    return content


def _parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    rest = list(words)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--") or option == "--" or "=" in option:
            raise InputError(f"'{option}': an override is written --key.subkey value, e.g. --data.batch_size 8")
        if not rest:
            raise InputError(f"'{option}': the value is missing")
        value = _parse_value(rest.pop(0), option)
        for key in reversed(option[2:].split(".")):
            value = {key: value}
        result = merge(result, value)
    return result


def _parse_value(text: str, option: str) -> Any:
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        raise InputError(f"'{option} {text}': the value is not valid YAML") from None
    if isinstance(value, str):
        # YAML 1.1 takes 1e-5 (no dot) for a string; a learning rate is never meant as one.
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _check(config: dict[str, Any], where: str) -> Config:
    # jsonargparse, torch and our models are slow to import; reading a YAML file does not need them.
    from jsonargparse import ArgumentError, ArgumentParser
    from torch.nn import Module
    from torch.optim import Optimizer

    from spooftrace.frontends import FrontEnd
    from spooftrace.tasks import Task

    sections: dict[str, dict[str, Any]] = {
        "streams": {"type": dict[str, FrontEnd], "required": True},
        "backend": {"type": Module, "required": True},
        "task": {"type": Task, "required": True},
        "data": {"type": Data, "default": Data()},
        "optimizer": {"type": Callable[[Iterable], Optimizer], "required": True},
        "schedule": {"type": Schedule, "default": Schedule()},
        "trainer": {"type": Training, "default": Training()},
    }
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=int, default=1234)
    for name, argument in sections.items():
        parser.add_argument(f"--{name}", **argument)
        if name in config and not isinstance(config[name], Mapping):
            raise InputError(f"{where}: {name}: must be a mapping of keys to values, not {shorten(config[name])}")

    def names(section: str) -> list[str]:
        return (
            [field.name for field in fields(sections[section]["type"])] if section else [*sections, "seed_everything"]
        )

    def parse(content: Mapping[str, Any]) -> Any:
        with contextlib.redirect_stderr(io.StringIO()), restricted_imports():
            return parser.parse_object(content, defaults=True)

    try:
        resolved = parse(config)
    except (ArgumentError, TypeError, ValueError) as error:
        problem = explain(str(error), names)
        if problem.startswith("streams"):  # jsonargparse does not say which of them
            problem = _find_stream(parse, config, ArgumentError) + problem.removeprefix("streams")
        raise InputError(f"{where}: {problem}") from None
    checked = Config.from_dict(yaml.safe_load(parser.dump(resolved, skip_unset=False)))
    check_settings(checked, where)
    return checked


def _find_stream(parse: Callable[[Mapping[str, Any]], Any], config: Mapping[str, Any], refusal: type[Exception]) -> str:
    """``streams.NAME`` of the first stream that ``parse`` refuses without the others."""
    for name, node in config["streams"].items():
        try:
            parse({**config, "streams": {name: node}})
        except (refusal, TypeError, ValueError):
            return f"streams.{name}"
    return "streams"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
