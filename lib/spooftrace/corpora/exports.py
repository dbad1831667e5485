"""Hugging Face exports of a corpus: what their columns are, for the message that says how to unpack them.

A Parquet file ends in a footer, its length (4 bytes, little endian) and ``PAR1``. The footer holds, as plain JSON below
the key ``huggingface``, the features that the ``datasets`` library stores. Reading the audio needs a Parquet library.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

MAGIC = b"PAR1"
LARGEST = 1 << 24  # bytes of a footer
SHOWN = 12  # columns


def advice(path: Path) -> str:
    """What a data set file is and what to do, to follow its path in a message."""
    columns = columns_of(path)
    audio = next((name for name, kind in columns.items() if kind == "Audio"), "audio")
    names = [f"{name} ({kind})" if kind == "Audio" else name for name, kind in columns.items()]
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return (
        "is a Hugging Face data set, which is not read"
        + (f" (columns {listed})" if listed else "")
        + f": get the release (spooftrace download), or write the 'bytes' of column '{audio}' of every row to a file "
        "named by its 'path', put the label files of the release beside them, and prepare from there"
    )


def columns_of(path: Path) -> dict[str, str]:
    """Column -> kind of a Parquet file that ``datasets`` wrote, e.g. ``Audio``; empty where that cannot be read."""
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
