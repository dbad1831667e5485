"""A file put together from pieces of another one, for decoders that must not see all of it as it lies on the disk."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

# Bytes to insert, or (offset, size) of a range of the file; an offset of None stands for zeros.
Piece = bytes | tuple[int | None, int]


class Spliced(io.RawIOBase):
    """Pieces of a file, one after the other, as a file to read and seek in. Nothing is copied beforehand.

    >>> Spliced(io.BytesIO(b"0123456789"), [b"ab", (8, 2), (None, 1), (0, 3)]).read()
    b'ab89\\x00012'
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[Piece]) -> None:
        self._file = file
        self._pieces = [piece for piece in pieces if _size(piece)]
        self._starts = [0, *accumulate(map(_size, self._pieces))]
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; returns it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._starts[-1]}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as there are bytes; returns how many."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._place < self._starts[-1]:
            number = bisect_right(self._starts, self._place) - 1
            piece, skipped = self._pieces[number], self._place - self._starts[number]
            wanted = min(len(view) - filled, self._starts[number + 1] - self._place)
            part = self._part(piece, skipped, wanted)
            if not part:  # the file has become shorter meanwhile
                break
            view[filled : filled + len(part)] = part
            filled += len(part)
            self._place += len(part)
        return filled

    def _part(self, piece: Piece, skipped: int, wanted: int) -> bytes:
        if isinstance(piece, bytes):
            return piece[skipped : skipped + wanted]
        offset, _ = piece
        if offset is None:
            return bytes(wanted)
        self._file.seek(offset + skipped)
        return self._file.read(wanted)


def _size(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1]
