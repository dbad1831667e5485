"""JSON files: read with errors that can be reported, and written atomically in one form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from spooftrace.common.atomic import atomic_write

SURROGATES = re.compile("[\ud800-\udfff]")  # stand for bytes of paths that are not UTF-8


def parse_json(text: str) -> Any:
    """The value of a JSON text, as ``json.loads``; text that is nested too deeply is a ``ValueError``, too.

    >>> parse_json('{"epochs": 3}')
    {'epochs': 3}
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not UTF-8 text, not JSON, nested too deeply, or holds another type than an object.
    """
    content = parse_json(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"a JSON object is expected, not {type(content).__name__}")
    return content


def write_json(path: str | Path, content: Any, *, sort_keys: bool = True) -> None:
    """Write a JSON file atomically: UTF-8, two spaces of indent, a line end after the last line.

    Args:
        path: The file.
        content: What ``json.dumps`` takes.
        sort_keys: Whether to sort the keys of objects; otherwise they keep their order.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    with atomic_write(path) as file:
        file.write(json_text(content, sort_keys=sort_keys) + "\n")


def json_text(content: Any, *, sort_keys: bool = True) -> str:
    r"""Indented JSON text. Letters of all scripts stay readable; lone surrogates, which UTF-8 lacks, are escaped.

    >>> print(json_text({"b": "\udcff", "a": "é"}))
    {
      "a": "é",
      "b": "\udcff"
    }
    """
    text = json.dumps(content, indent=2, sort_keys=sort_keys, ensure_ascii=False)
    return SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
