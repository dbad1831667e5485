"""The one exception that users are meant to see, and how it names files."""

from __future__ import annotations

import os

LONGEST_MESSAGE = 5000  # characters


class InputError(ValueError):
    """Something given by the user is wrong.

    The message is one line that names the file (and line number) or the option, says what is wrong and what to do.
    The command line prints it without a traceback and exits with status 1. What is quoted from a file may be a line of
    any length: the middle of a message that is longer than anybody reads is left out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, LONGEST_MESSAGE))


def shorten(text: str, longest: int = 200) -> str:
    """A text for a message, without its middle if it has more than ``longest`` characters.

    >>> shorten("a" * 9, 6)
    'aaa...aaa'
    """
    return text if len(text) <= longest else f"{text[: longest // 2]}...{text[-longest // 2 :]}"


def display(path: object) -> str:
    """A path on one line of text: control characters and bytes that are not UTF-8 are written as escapes.

    >>> display("two\\nlines.wav")
    'two\\\\nlines.wav'
    """
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
