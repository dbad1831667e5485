"""Numbers and lists in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it needs that.

    >>> counted(1, "speaker"), counted(1234, "speaker")
    ('1 speaker', '1,234 speakers')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def first_of(names: Iterable[str], shown: int = 3) -> str:
    """The first of some names, and how many more there are.

    >>> first_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    names = list(names)
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
