"""Numbers, times and lists as text."""

from __future__ import annotations

import math
from collections.abc import Iterable


def counted(number: int, noun: str) -> str:
    """A number and its noun, which is plural unless the number is 1.

    >>> counted(1, "speaker"), counted(1234, "speaker"), counted(0, "copy")
    ('1 speaker', '1,234 speakers', '0 copies')
    """
    if number == 1:
        return f"{number:,} {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
    return f"{number:,} {plural}"


def first_of(names: Iterable[str], shown: int = 3) -> str:
    """The first ``shown`` names and the number of the others.

    >>> first_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    names = list(names)
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def percent(rate: float | None, digits: int = 2, missing: str = "n/a") -> str:
    """A fraction in per cent, without the sign; ``missing`` for None and NaN.

    >>> percent(0.1234), percent(None)
    ('12.34', 'n/a')
    """
    return missing if rate is None or math.isnan(rate) else f"{100 * rate:.{digits}f}"


def duration(seconds: float | None, missing: str = "n/a") -> str:
    """A time span in its two largest units; ``missing`` for None.

    >>> [duration(seconds) for seconds in (None, 8.42, 119.6, 725, 12600)]
    ['n/a', '8.4 s', '2 min 00 s', '12 min 05 s', '3 h 30 min']
    """
    if seconds is None:
        return missing
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
