"""The one exception that users are meant to see, and how it names files."""

from __future__ import annotations

import os


class InputError(ValueError):
    """Something given by the user is wrong.

    The message is one line that names the file (and line number) or the option, says what is wrong and what to do.
    The command line prints it without a traceback and exits with status 1.
    """


def display(path: object) -> str:
    """A path on one line of text: control characters and bytes that are not UTF-8 are written as escapes.

    >>> display("two\\nlines.wav")
    'two\\\\nlines.wav'
    """
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
