"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it needs that.

    >>> counted(1, "speaker"), counted(1234, "speaker")
    ('1 speaker', '1,234 speakers')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
