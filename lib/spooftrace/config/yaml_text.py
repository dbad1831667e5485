"""Read YAML as plain data, with limits that protect memory and stack from hostile files.

A YAML alias repeats its anchor, so a kilobyte of aliases can expand to gigabytes. The limits are checked on the
parser's events, before any object is built. Real configurations stay far below them.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from spooftrace.common.errors import InputError
from spooftrace.common.text import decode

MAX_BYTES = 1 << 20
MAX_DEPTH = 30  # nested mappings and lists
MAX_VALUES = 50_000  # after the expansion of aliases
MAX_CHARACTERS = 10_000  # characters of one value
MAX_INTEGER = 1 << 63

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """PyYAML's safe loader, which constructs plain data only, with an error for duplicate keys."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        """A dictionary; a duplicate key raises an error."""
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if key.value in seen:
                        raise yaml.MarkedYAMLError(problem=f"'{key.value}' is given twice", problem_mark=key.start_mark)
                    seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_small_int(self, node: yaml.ScalarNode) -> int:
        """An integer of at most 64 bits; Python refuses to print integers of thousands of digits."""
        value = self.construct_yaml_int(node)
        if abs(value) > MAX_INTEGER:
            raise yaml.MarkedYAMLError(problem="the number is too large", problem_mark=node.start_mark)
        return value

    def refuse(self, node: yaml.Node) -> None:
        """Raise an error for a tag such as ``!!binary`` or ``!!set``."""
        raise yaml.MarkedYAMLError(
            problem=f"{node.tag} is not allowed in a configuration", problem_mark=node.start_mark
        )


_TAG = "tag:yaml.org,2002:"
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_small_int)
_Loader.add_constructor(f"{_TAG}timestamp", _Loader.construct_yaml_str)
for _kind in ("binary", "omap", "pairs", "set"):
    _Loader.add_constructor(f"{_TAG}{_kind}", _Loader.refuse)


def read_yaml(path: Path) -> Any:
    """Read a YAML file as dictionaries, lists and values.

    Args:
        path: The file.

    Raises:
        InputError: The file does not exist, is not valid YAML, or exceeds a limit; the message has the line.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: has more than {MAX_BYTES:,} bytes, the limit for configurations")
    try:
        return parse_yaml(decode(data, path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f"{mark.line + 1}:"
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{path}:{line} not valid YAML: {' '.join(str(problem).split())[:200]}") from None


def parse_yaml(text: str) -> Any:
    """Parse a YAML document into dictionaries, lists and values.

    Args:
        text: The document.

    Raises:
        yaml.YAMLError: The text is not valid YAML, has tags other than plain data, or exceeds a limit.
    """
    _check_limits(text)
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, TypeError, OverflowError) as error:  # e.g. the malformed number 0b2
        raise yaml.YAMLError(f"unreadable value: {error}") from None


@dataclass
class _OpenCollection:
    """An unfinished mapping or list: its anchor, the number of values before it, the depth of nesting inside it."""

    anchor: str | None
    start: int
    below: int = 0


def _check_limits(text: str) -> None:
    """Raise an error if the document, with aliases expanded, exceeds a limit."""
    count = 0
    opened: list[_OpenCollection] = []
    anchors: dict[str, tuple[int, int]] = {}  # anchor -> number and depth of its values
    for event in yaml.parse(text, Loader=_Loader):
        depth = 0
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise _error_at(event, f"the alias *{event.anchor} has no anchor before it, or contains itself")
            size, depth = anchors[event.anchor]
            count += size
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if len(event.value) > MAX_CHARACTERS:
                raise _error_at(event, f"a value has more than {MAX_CHARACTERS:,} characters")
            if event.anchor:
                anchors[event.anchor] = (1, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            if event.anchor:
                anchors.pop(event.anchor, None)
            opened.append(_OpenCollection(event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = opened.pop()
            depth = closed.below + 1
            if closed.anchor:
                anchors[closed.anchor] = (count - closed.start, depth)
        if opened:
            opened[-1].below = max(opened[-1].below, depth)
        if len(opened) + depth > MAX_DEPTH:
            raise _error_at(event, f"nested more than {MAX_DEPTH} levels deep")
        if count > MAX_VALUES:
            raise _error_at(event, f"expands to more than {MAX_VALUES:,} values")


def _error_at(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    # libyaml's marks have the same attributes as PyYAML's, but they are of another class.
    return yaml.MarkedYAMLError(problem=problem, problem_mark=cast("yaml.Mark | None", event.start_mark))
