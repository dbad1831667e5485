"""What differs between two configurations, key by key and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def differences(saved: Any, given: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every key whose value differs, with both values; None for what is not there."""
    if isinstance(saved, Mapping) and isinstance(given, Mapping):
        for name in sorted(saved.keys() | given.keys()):
            yield from differences(saved.get(name), given.get(name), f"{key}.{name}" if key else name)
    elif saved != given:
        yield key, saved, given


def difference_text(key: str, saved: Any, given: Any) -> str:
    """A difference in words.

    >>> difference_text("trainer.patience", 5, None)
    'trainer.patience 5 (now null)'
    """
    return f"{key} {_short(saved)} (now {_short(given)})"


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:17]}...{text[-40:]}"  # paths differ at their ends
