"""JSON that other people may have written."""

from __future__ import annotations

import json
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
