"""Disk space that a stored stream takes."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from spooftrace.common.errors import InputError

MARGIN = 1.02  # room for the keys and headers of the archives, and for the file system


def stored_bytes(shape: Sequence[int], floating: bool, compress: bool) -> int:
    """Return the size of a stored array without its header.

    Args:
        shape: Shape of the array.
        floating: Whether its values are floating-point; codes are stored as 32-bit integers.
        compress: Whether floating-point values take 16 bits; vectors are never compressed.

    Returns:
        Bytes.
    """
    return math.prod(shape) * (2 if compress and floating and len(shape) > 1 else 4)


def check_disk_space(folder: Path, sizes: Mapping[bool, int], compress: bool, amount: str) -> None:
    """Print the size of a stream before it is stored, and check that it fits on the disk.

    Args:
        folder: Folder of the stream; the space of archives already in it counts as free.
        sizes: Bytes of the whole stream, in full (``False``) and compressed (``True``).
        compress: Whether the stream will be compressed.
        amount: Amount of audio, for the message.

    Raises:
        InputError: The disk has too little space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    reusable = sum(file.stat().st_size for file in folder.glob("feats.*.ark*"))
    full, small = (f"{_readable(sizes[kind])} {name}" for kind, name in ((False, "in full"), (True, "compressed")))
    chosen, other = (small, full) if compress else (full, small)
    print(f"{folder}: {amount}: {chosen} ({other}); {_readable(free)} free", flush=True)
    if sizes[compress] * MARGIN > free + reusable:
        advice = "free some space or choose another --dump" + ("" if compress else ", or use --compress")
        raise InputError(f"{folder}: {chosen} do not fit into {_readable(free)} of free space; {advice}")


def _readable(size: float) -> str:
    """Format a number of bytes.

    >>> _readable(1_500_000)
    '1.5 MB'
    """
    power = min(3, max(1, (len(str(int(size))) - 1) // 3))
    return f"{size / 1000**power:,.1f} {('kB', 'MB', 'GB')[power - 1]}"
