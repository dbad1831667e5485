"""JSON that other people may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def parse_json(text: str) -> Any:
    """As ``json.loads``, but text that is nested too deep is a ``ValueError`` as any other that cannot be read.

    >>> parse_json('{"epochs": 3}')
    {'epochs': 3}
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not UTF-8 text, not JSON, nested too deep, or holds something other than an object.
    """
    content = parse_json(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"a JSON object is expected, not {type(content).__name__}")
    return content
