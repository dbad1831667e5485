"""YAML text as plain data, within bounds, so that no file can exhaust the memory or the stack of the reader.

A YAML alias stands for a copy of its anchor, so a kilobyte of aliases can stand for gigabytes. The bounds are checked
on the parser's events, before anything is built. They are far above what a configuration needs.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from spooftrace.common.errors import InputError
from spooftrace.common.text import decode

MOST_BYTES = 1 << 20
MOST_DEPTH = 30  # mappings and lists inside each other
MOST_VALUES = 50_000  # values, each alias counted as all that it stands for
LONGEST_VALUE = 10_000  # characters of one value
LARGEST_NUMBER = 1 << 63

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """The safe loader, which constructs plain data only, but a key that is given twice is an error."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in seen:
                        raise yaml.MarkedYAMLError(problem=f"'{key.value}' is given twice", problem_mark=key.start_mark)
                    seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_small_int(self, node: yaml.ScalarNode) -> int:
        """A whole number of 64 bits; one of thousands of digits can neither be printed nor used."""
        value = self.construct_yaml_int(node)
        if abs(value) > LARGEST_NUMBER:
            raise yaml.MarkedYAMLError(problem="a number that is too large", problem_mark=node.start_mark)
        return value

    def refuse(self, node: yaml.Node) -> None:
        """Of tags such as ``!!binary`` and ``!!set``."""
        raise yaml.MarkedYAMLError(problem=f"{node.tag}: no value of a configuration", problem_mark=node.start_mark)


_TAG = "tag:yaml.org,2002:"
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_small_int)
_Loader.add_constructor(f"{_TAG}timestamp", _Loader.construct_yaml_str)
for _kind in ("binary", "omap", "pairs", "set"):
    _Loader.add_constructor(f"{_TAG}{_kind}", _Loader.refuse)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file as dictionaries, lists and values.

    Raises:
        InputError: There is no such file, it is not YAML, or it is beyond the bounds; names the line.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    if len(data) > MOST_BYTES:
        raise InputError(f"{path}: has more than {MOST_BYTES:,} bytes, which no configuration needs")
    try:
        return parse_yaml(decode(data, path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f"{mark.line + 1}:"
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{path}:{line} not valid YAML: {' '.join(str(problem).split())[:200]}") from None


def parse_yaml(text: str) -> Any:
    """A YAML document as dictionaries, lists and values; a number such as 1e-5 is a number.

    Raises:
        yaml.YAMLError: It is not YAML, asks for more than plain data, or is beyond the bounds.
    """
    _check_bounds(text)
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, TypeError, OverflowError) as error:  # of a number such as 0b2
        raise yaml.YAMLError(f"a value that cannot be read: {error}") from None


@dataclass
class _Open:
    """A mapping or list whose end is not reached: its anchor, the number of values before it, the depth below it."""

    anchor: str | None
    start: int
    below: int = 0


def _check_bounds(text: str) -> None:
    count = 0
    opened: list[_Open] = []
    known: dict[str, tuple[int, int]] = {}  # anchor -> number of values that it stands for, their depth
    for event in yaml.parse(text, Loader=_Loader):
        depth = 0
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in known:
                raise _error_at(event, f"the alias *{event.anchor} has no anchor before it, or contains itself")
            size, depth = known[event.anchor]
            count += size
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if len(event.value) > LONGEST_VALUE:
                raise _error_at(event, f"a value has more than {LONGEST_VALUE:,} characters")
            if event.anchor:
                known[event.anchor] = (1, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            if event.anchor:
                known.pop(event.anchor, None)
            opened.append(_Open(event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = opened.pop()
            depth = closed.below + 1
            if closed.anchor:
                known[closed.anchor] = (count - closed.start, depth)
        if opened:
            opened[-1].below = max(opened[-1].below, depth)
        if len(opened) + depth > MOST_DEPTH:
            raise _error_at(event, f"nested more than {MOST_DEPTH} deep")
        if count > MOST_VALUES:
            raise _error_at(event, f"stands for more than {MOST_VALUES:,} values")


def _error_at(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    # libyaml's marks have the same attributes as PyYAML's, but they are of another class.
    return yaml.MarkedYAMLError(problem=problem, problem_mark=cast("yaml.Mark | None", event.start_mark))
