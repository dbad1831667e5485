"""Text files as people save them: one way to decode them for every reader of tables, keys, scores and lists.

* UTF-8, with or without a byte order mark; UTF-16 and UTF-32 with one. Anything else is refused by file and line: the
  8-bit encodings cannot be told apart, and a wrong guess would change ids unnoticed.
* A byte order mark at the start of a later line goes too: ``cat`` of two files leaves it there.
* Lines end in LF, CR LF or CR. Nothing else ends one: ``str.splitlines`` also splits at form feeds, NEL and U+2028,
  which may stand inside a path or a text.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spooftrace.common.errors import InputError, shorten
from spooftrace.common.file_kinds import not_text, seems_binary

MARK = "\ufeff"
# The marks of UTF-32 first: that of its little-endian form begins like that of UTF-16.
ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BLOCK = 1 << 16
_kept: dict[str, bytes] | None = None  # what came out of pipes, inside a block of keep_pipes()


@contextmanager
def keep_pipes() -> Iterator[None]:
    """Let a pipe, such as ``<(cat scores.txt)``, be read several times inside the block, as a file can be.

    A pipe gives its content only once, but some commands open a file to find its layout and then again to read it.
    """
    global _kept
    outer, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = outer


def is_readable(path: str | Path) -> bool:
    """Whether there is a file or a pipe of this name, which a reader can open."""
    path = Path(path)
    return path.is_file() or path.is_fifo() or path.is_char_device()


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file (``-``: standard input; a pipe will do), without their line ends.

    Raises:
        InputError: No such file, or not text; naming the line where there is one.
    """
    return split_lines(decode(read_bytes(path), path))


def iterate_lines(path: str | Path) -> Iterator[str]:
    r"""The lines of a text file one at a time, each with ``\n`` at its end, so that large files need little memory.

    Raises:
        InputError: As :func:`read_lines`.
    """
    with _open(path) as file:
        start = file.peek(BLOCK)
        _refuse_others(start, path)
        try:
            for line in io.TextIOWrapper(file, encoding=_encoding(start)):
                yield line.lstrip(MARK) if line[0] == MARK else line
        except UnicodeError:
            # Blocks are decoded, not lines: only a file that can be read again tells which line it is.
            if Path(path).is_file():
                decode(Path(path).read_bytes(), path)
            raise InputError(f"{path}: not UTF-8 text; convert the file to UTF-8") from None


def read_text(path: str | Path) -> str:
    r"""The text of a file, its line ends as ``\n``. Raises as :func:`read_lines`."""
    return decode(read_bytes(path), path)


def read_bytes(path: str | Path) -> bytes:
    """The content of a file (``-``: standard input).

    Raises:
        InputError: No such file, a folder, or a file that may not be read.
    """
    if str(path) == "-":
        return sys.stdin.buffer.read()
    with _open(path) as file:
        return file.read()


def decode(data: bytes, path: str | Path) -> str:
    r"""The text of a file that has these bytes, its line ends as ``\n``, without byte order marks.

    Args:
        data: The bytes.
        path: The file, for messages.

    Raises:
        InputError: It is not text in a known encoding; naming the line.

    >>> decode(b"\xff\xfeu\x001\x00\r\x00\n\x00", "x")
    'u1\n'
    """
    _refuse_others(data, path)
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8" and seems_binary(data):
            raise InputError(
                f"{path}: not text but a binary file of unknown kind; give the text file instead"
            ) from None
        before = data[: error.start].decode(encoding, errors="ignore")
        number = len(re.findall(r"\r\n|\r|\n", before)) + 1
        raise InputError(_undecodable(path, number, encoding, data[error.start])) from None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}:{number}: holds NUL characters, so it is no text, or UTF-16; save it as UTF-8")
    if MARK in text:
        text = re.sub(f"^{MARK}+", "", text, flags=re.MULTILINE)
        if MARK in text:
            number = text.count("\n", 0, text.index(MARK)) + 1
            raise InputError(
                f"{path}:{number}: a byte order mark inside the line, so two files were joined without a line end "
                "between them; break the line there"
            )
    return text


def split_lines(text: str) -> list[str]:
    """The lines of a decoded text; the last one need not have a line end."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def is_plain(data: bytes) -> bool:
    """Whether these bytes of a text file are what Kaldi's own tools read: no byte order mark, LF as line end."""
    return _encoding(data) == "utf-8" and b"\r" not in data and MARK.encode() not in data


def _open(path: str | Path) -> io.BufferedReader:
    try:
        if Path(path).is_char_device() and not _ends(path):
            raise InputError(f"{path}: is a device, not a file")
        if _kept is None or Path(path).is_file():
            return io.BufferedReader(io.FileIO(path), BLOCK)
        if str(path) not in _kept:
            with open(path, "rb") as file:
                _kept[str(path)] = file.read()
        return io.BufferedReader(io.BytesIO(_kept[str(path)]))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not a file") from None
    except OSError as error:
        # The reason may be a name of thousands of characters.
        raise InputError(f"{shorten(str(path))}: cannot be read: {error.strerror}") from None


def _ends(path: str | Path) -> bool:
    """Whether a character device comes to an end, as a terminal does; /dev/zero would fill the memory."""
    with open(path, "rb") as file:
        return file.isatty() or Path(path).samefile(os.devnull)


def _encoding(start: bytes) -> str:
    return next((name for mark, name in ENCODINGS if start.startswith(mark)), "utf-8")


def _refuse_others(start: bytes, path: str | Path) -> None:
    """Refuse what is no text by its beginning; marks of an encoding count first."""
    if _encoding(start) in ("utf-8", "utf-8-sig") and (found := not_text(start)):
        kind, advice = found
        raise InputError(f"{path}: not text but {kind}; {advice}")


def _undecodable(path: str | Path, number: int, encoding: str, byte: int) -> str:
    if encoding in ("utf-8", "utf-8-sig"):
        return (
            f"{path}:{number}: not UTF-8 text (byte 0x{byte:02x}); convert the file, for example with "
            "'iconv -f WINDOWS-1252 -t UTF-8'"
        )
    return f"{path}:{number}: begins as {encoding.upper()} text but is none here; save it as UTF-8"
