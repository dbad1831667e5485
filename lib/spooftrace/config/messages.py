"""Shorten jsonargparse's messages about a configuration to one line that begins with the key."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from spooftrace.audio.augment_options import AUGMENTATIONS
from spooftrace.common.errors import InputError
from spooftrace.config.classes import find_class

# Prefixes of jsonargparse's messages, outermost first.
KEY = re.compile(r'Parser key "([^"]+)": ')
CLASS = re.compile(r"Problem with given class_path '([^']+)': ")
CALLABLE = re.compile(r"Type collections\.abc\.Callable.* expects a function or a callable class: ")
UNION = re.compile(r"Does not validate against any of the Union subtypes .*? Errors: - ")
# Suffixes: the errors of the other members of a union, the node itself.
TAIL = re.compile(r" - Expected a <class 'NoneType'>.*|\. Got value: Namespace\(.*")

TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "list": "a list"}
MISTAKES: list[tuple[str, str]] = [  # pattern of jsonargparse's message -> our message
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
    """Rewrite a message of jsonargparse as one line ``key: problem``.

    Args:
        message: Text of the exception.
        sections: Function that returns the keys of a section of the configuration, or the section names for "".

    Returns:
        The line; the original message on one line if no pattern matches.

    Examples:
        >>> explain('Parser key "data.crop": Expected a <class \\'int\\'>. Got value: long', lambda section: [])
        'data.crop: must be a whole number, not long'
    """
    text = TAIL.sub("", " ".join(message.split()))
    path: list[str] = []
    arguments: list[str] | None = None  # of the innermost class
    while True:
        if match := KEY.match(text):
            path.append(match[1])
        elif match := CLASS.match(text):
            arguments, is_settings = _arguments(match[1])
            path += [] if is_settings else ["init_args"]
        elif match := CALLABLE.match(text):
            path.append("init_args")
        elif not (match := UNION.match(text)):
            break
        text = text[match.end() :]
    if NO_CLASS.match(text):
        hint = "; install it, or add its folder to PYTHONPATH" if "No module" in text else ""
        return f"{'.'.join([*path[:-1], 'class_path'])}: {text}{hint}"
    if match := UNKNOWN.fullmatch(text):
        group, name = match[1] or "", match[2]
        names = sorted(sections(group) if arguments is None and not path else arguments or [])
        return f"{'.'.join([*path, *filter(None, [group]), name])}: no such key{_suggest(name, names)}"
    if match := MISSING.fullmatch(text):
        return f"{'.'.join([*path, match[1]])}: is missing"
    for pattern, template in MISTAKES:
        if match := re.fullmatch(pattern, text):
            return f"{'.'.join(path)}: {template.format(*(TYPES.get(part, part) for part in match.groups()))}"
    return f"{'.'.join(path)}: {text}" if path else text


def name_option(problem: str, overrides: Mapping[str, Any], options: Iterable[str]) -> str | None:
    """Attribute a problem to the command-line option that set the key.

    Args:
        problem: A line that begins with a key of the configuration.
        overrides: The values of the options, as a configuration.
        options: The options, such as ``--data.crop``.

    Returns:
        The problem with the option in front; None if no option set the key.

    Examples:
        >>> name_option("data.crop: must be a whole number, not long", {"data": {"crop": "long"}}, ["--data.crop"])
        '--data.crop: must be a whole number, not long'
    """
    key = re.match(r"[\w-]+(\.[\w-]+)*", problem)
    node: Any = overrides
    for part in key[0].split(".") if key else ():
        if not isinstance(node, Mapping):
            break
        if part not in node:
            return None
        node = node[part]
    if key is None:
        return None
    for option in reversed([*options]):  # the last option takes effect
        name = option.removeprefix("--")
        if name == key[0]:
            return f"--{problem}"
        if f"{key[0]}.".startswith(f"{name}.") or name.startswith(f"{key[0]}."):
            return f"{option}: {problem}"
    return None


def _arguments(class_path: str) -> tuple[list[str] | None, bool]:
    """Argument names of a class (None if unknown), and whether it is a group of settings without ``init_args``."""
    for kind in AUGMENTATIONS.values():
        if class_path == f"{kind.__module__}.{kind.__name__}":
            return list(inspect.signature(kind).parameters), True
    try:  # the quoted text may be a value that resembles a class name
        return list(inspect.signature(find_class(class_path)).parameters), False
    except (InputError, TypeError, ValueError):
        return None, False


def _suggest(name: str, names: list[str]) -> str:
    """A hint with the most similar of the known names, or all of them."""
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(names)}" if names else ""
