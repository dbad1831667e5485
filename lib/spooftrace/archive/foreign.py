"""Kinds of arrays that Kaldi and kaldiio write and that are only read here: text, and the one-byte matrix CM.

The formats are described in Kaldi's ``matrix/kaldi-matrix.cc`` (``Read``, text mode) and
``matrix/compressed-matrix.h``. Nothing here unpickles or runs anything, whatever the file holds.
"""

from __future__ import annotations

import io
import mmap

import numpy as np

# How an entry of another kind begins -> what it is.
OTHER_KINDS = {
    b"PKL": "a pickled Python object starts there",
    b"AUDIO": "audio starts there",
    b"RIFF": "audio (WAV) starts there",
    b"fLaC": "audio (FLAC) starts there",
    b"\0B\4": "a vector of integers, such as an alignment, starts there",
    b"\0BSM": "a sparse matrix starts there",
    b"\0B": "a binary Kaldi object of another kind starts there",
}


def looks_like_text(head: bytes) -> bool:
    """Whether a vector or matrix in Kaldi's text form starts with these bytes."""
    return head.lstrip(b" \t\r\n").startswith(b"[")


def name_of(head: bytes) -> str:
    """What an entry that is not an array of a supported kind seems to be, for messages."""
    for start, name in OTHER_KINDS.items():
        if head.startswith(start):
            return name
    words = head.split(b"\n")[0].split()
    if words and all(word.lstrip(b"-").isdigit() for word in words[:-1] or words):
        return "a line of integers without brackets, such as an alignment, starts there"
    return "no array of a known kind starts there"


def parse_text(buffer: mmap.mmap, offset: int) -> tuple[np.ndarray, int]:
    """A vector ``[ 1 2 ]`` or a matrix ``[`` and a line a row and ``]``; numbers are read as float32.

    Args:
        buffer: The ark.
        offset: Where the entry begins, blanks included.

    Returns:
        The array, and one past the end of the entry: past the line that its bracket closes.

    Raises:
        ValueError: The bracket is not closed, rows differ in length, or something is not a number.
    """
    start = buffer.find(b"[", offset) + 1
    close = buffer.find(b"]", start)
    if close < 0:
        raise ValueError("the file ends before the bracket of the text array is closed")
    line_end = buffer.find(b"\n", close)
    end = len(buffer) if line_end < 0 else line_end + 1
    if buffer[close + 1 : end].strip():
        raise ValueError("something stands behind the closing bracket of the text array")
    body = buffer[start:close]
    rows = [row for row in map(bytes.split, body.split(b"\n")) if row]
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ValueError("the rows of the text matrix differ in length")
    try:
        with np.errstate(over="ignore"):
            values = np.array(rows, np.float64).astype(np.float32)  # (T, D)
    except ValueError:
        raise ValueError("the text array holds something that is not a number") from None
    if not rows:
        values = np.zeros((0, 0), np.float32)
    return (values if b"\n" in body else values.reshape(-1)), end


def expand_columns(
    data: bytes, headers: bytes, shape: tuple[int, ...], minimum: float, value_range: float
) -> np.ndarray:
    """The matrix that Kaldi compressed to a byte a number, each column between its own percentiles.

    Args:
        data: (T * D,) bytes, column by column.
        headers: (D, 4) uint16, the percentiles 0, 25, 75, 100 of each column.
        shape: (T, D).
        minimum: Of the whole matrix.
        value_range: Of the whole matrix.

    Returns:
        float32 (T, D).
    """
    from kaldiio.compression_header import GlobalHeader, PerColHeader

    rows, columns = shape
    percentiles = PerColHeader.read(io.BytesIO(headers), GlobalHeader("CM", minimum, value_range, rows, columns))
    steps = np.frombuffer(data, np.uint8).reshape(columns, rows)
    return np.asarray(percentiles.char_to_float(steps), np.float32).T  # (D, T) -> (T, D)
