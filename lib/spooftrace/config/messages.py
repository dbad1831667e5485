"""jsonargparse's messages about a configuration, made one line that begins with the key."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from spooftrace.audio.augment_options import AUGMENTATIONS
from spooftrace.common.errors import InputError
from spooftrace.config.classes import find_class

# What jsonargparse writes in front of the actual mistake, outermost first.
KEY = re.compile(r'Parser key "([^"]+)": ')
CLASS = re.compile(r"Problem with given class_path '([^']+)': ")
CALLABLE = re.compile(r"Type collections\.abc\.Callable.* expects a function or a callable class: ")
UNION = re.compile(r"Does not validate against any of the Union subtypes .*? Errors: - ")
# What follows the mistake: the other members of a union, the node once more.
TAIL = re.compile(r" - Expected a <class 'NoneType'>.*|\. Got value: Namespace\(.*")

TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list"}
MISTAKES: list[tuple[str, str]] = [  # pattern of the message -> what is said of the key
    (r"Expected a <class '(\w+)'>\. Got value: (.*)", "must be {0}, not {1}"),
    (r"Expected a typing\.Literal\[(.*)\]\. Got value: (.*)", "must be one of {0}, not {1}"),
    (r"Expected a <class '(\w+)'>", "must be {0}"),
    (r"Expected <class '(\w+)'>(?: - .*)? Given value: (.*)", "must be {0}, not {1}"),
    (r"Expected a (.*)\. Got value: (.*)", "must be {0}, not {1}"),
    (r"Not a valid subclass of (\w+)\. Got value: (.*?) Subclass types expect.*", "must name a class, not {1}"),
]
UNKNOWN = re.compile(r"(?:Option|Group '(\w+)' does not accept option) '([^']+)'(?: is not accepted)?")
MISSING = re.compile(r"the following arguments are required: (.*)")
NO_CLASS = re.compile(r"No module named|module '.*' has no attribute")


def explain(message: str, sections: Callable[[str], Iterable[str]]) -> str:
    """One line ``key: what is wrong`` for a message of jsonargparse; the message itself where its form is not known.

    Args:
        message: The text of its exception.
        sections: Gives the keys of a section of the configuration; of the whole one for "".

    >>> explain('Parser key "data.crop": Expected a <class \\'int\\'>. Got value: long', lambda section: [])
    'data.crop: must be a whole number, not long'
    """
    text = TAIL.sub("", " ".join(message.split()))
    path: list[str] = []
    known: list[str] | None = None
    while True:
        if found := KEY.match(text):
            path.append(found[1])
        elif found := CLASS.match(text):
            known, is_settings = _arguments(found[1])
            path += [] if is_settings else ["init_args"]
        elif found := CALLABLE.match(text):
            path.append("init_args")
        elif not (found := UNION.match(text)):
            break
        text = text[found.end() :]
    if NO_CLASS.match(text):
        where = "; is it installed, or the folder that it is in on PYTHONPATH?" if "No module" in text else ""
        return f"{'.'.join([*path[:-1], 'class_path'])}: {text}{where}"
    if found := UNKNOWN.fullmatch(text):
        group, name = found[1] or "", found[2]
        names = sorted(sections(group) if known is None and len(path) == 0 else known or [])
        return f"{'.'.join([*path, *filter(None, [group]), name])}: no such key{_suggest(name, names)}"
    if found := MISSING.fullmatch(text):
        return f"{'.'.join([*path, found[1]])}: is missing"
    for pattern, sentence in MISTAKES:
        if found := re.fullmatch(pattern, text):
            return f"{'.'.join(path)}: {sentence.format(*(TYPES.get(part, part) for part in found.groups()))}"
    return f"{'.'.join(path)}: {text}" if path else text


def given_by(problem: str, given: Mapping[str, Any], options: Iterable[str]) -> str | None:
    """The problem with the command-line option before it that gave its key; None if none did.

    Args:
        problem: One line that begins with a key of the configuration.
        given: What the options give, as a configuration.
        options: The options, such as ``--data.crop``.

    >>> given_by("data.crop: must be a whole number, not long", {"data": {"crop": "long"}}, ["--data.crop"])
    '--data.crop: must be a whole number, not long'
    """
    key = re.match(r"[\w-]+(\.[\w-]+)*", problem)
    node: Any = given
    for part in key[0].split(".") if key else ():
        if not isinstance(node, Mapping):
            break
        if part not in node:
            return None
        node = node[part]
    if key is None:
        return None
    for option in reversed([*options]):  # the last one counts
        name = option.removeprefix("--")
        if name == key[0]:
            return f"--{problem}"
        if f"{key[0]}.".startswith(f"{name}.") or name.startswith(f"{key[0]}."):
            return f"{option}: {problem}"
    return None


def _arguments(class_path: str) -> tuple[list[str] | None, bool]:
    """Names of the arguments of a class, None if they cannot be had; whether it is a plain group of settings."""
    for kind in AUGMENTATIONS.values():
        if class_path == f"{kind.__module__}.{kind.__name__}":
            return list(inspect.signature(kind).parameters), True
    try:  # the message may quote a value that only looks like the name of a class
        return list(inspect.signature(find_class(class_path)).parameters), False
    except (InputError, TypeError, ValueError):
        return None, False


def _suggest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(names)}" if names else ""
