"""Columns of a Hugging Face export of a corpus, for the message that explains how to unpack it.

A Parquet file ends with a footer, the length of the footer (4 bytes, little endian) and ``PAR1``. Below the key
``huggingface`` the footer holds the features of the ``datasets`` library as plain JSON. Reading the audio would need a
Parquet library.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

MAGIC = b"PAR1"
LARGEST = 1 << 24  # bytes; longer footers are not read
SHOWN = 12  # columns listed in a message


def advice(path: Path) -> str:
    """The part of a message after the path of an export: what it is, and how to unpack it."""
    columns = columns_of(path)
    audio = next((name for name, kind in columns.items() if kind == "Audio"), "audio")
    names = [f"{name} ({kind})" if kind == "Audio" else name for name, kind in columns.items()]
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return (
        "is a Hugging Face data set, which is not read"
        + (f" (columns {listed})" if listed else "")
        + f": download the official files (spooftrace download), or write the 'bytes' of column '{audio}' of each "
        "row to a file with the name in its 'path', put the official label files beside them, and prepare from there"
    )


def columns_of(path: Path) -> dict[str, str]:
    """Column -> kind, such as ``Audio``, of a Parquet file of ``datasets``; empty if they cannot be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            end = file.read(8)
            length = int.from_bytes(end[:4], "little")
            if end[4:] != MAGIC or not 0 < length <= min(LARGEST, size - 8):
                return {}
            file.seek(size - 8 - length)
            footer = file.read(length)
    except OSError:
        return {}
    start = footer.find(b'{"info"', max(0, footer.find(b"huggingface")))
    try:
        record, _ = json.JSONDecoder().raw_decode(footer[start:].decode("utf-8", "replace") if start >= 0 else "")
        features = record["info"]["features"]
        return {str(name)[:80]: str(kind.get("_type", "")) for name, kind in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
