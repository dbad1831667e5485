"""A file made of pieces of another file, for decoders that must not read its header or its end unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from spooftrace.common.piecewise import PiecewiseFile

# Bytes to insert, or the (offset, size) of a range of the file; an offset of None stands for zeros.
Piece = bytes | tuple[int | None, int]


class SplicedFile(PiecewiseFile):
    """Pieces of a file, read in the given order.

    Args:
        file: The open file. It stays open when this object is closed.
        pieces: The pieces in their new order.

    >>> import io
    >>> SplicedFile(io.BytesIO(b"0123456789"), [b"ab", (8, 2), (None, 1), (0, 3)]).read()
    b'ab89\\x00012'
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[Piece]) -> None:
        super().__init__(len(piece) if isinstance(piece, bytes) else piece[1] for piece in pieces)
        self._file = file
        self._pieces = pieces

    def _read_piece(self, index: int, offset: int, view: memoryview) -> int:
        piece = self._pieces[index]
        if isinstance(piece, bytes):
            view[:] = piece[offset : offset + len(view)]
            return len(view)
        start, _ = piece
        if start is None:
            view[:] = bytes(len(view))
            return len(view)
        self._file.seek(start + offset)
        content = self._file.read(len(view))
        view[: len(content)] = content
        return len(content)
