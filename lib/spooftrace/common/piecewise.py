"""A read-only file that is the concatenation of pieces."""

from __future__ import annotations

import io
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate


class PiecewiseFile(io.RawIOBase):
    """A read-only, seekable file over consecutive pieces, which are not copied beforehand.

    Args:
        sizes: Bytes of each piece. A piece may be empty.

    Attributes:
        starts: Offset of each piece.
        size: Bytes of all pieces.
    """

    def __init__(self, sizes: Iterable[int]) -> None:
        self.starts = [0, *accumulate(sizes)]
        self.size = self.starts.pop()
        self._position = 0

    @abstractmethod
    def _read_piece(self, index: int, offset: int, view: memoryview) -> int:
        """Read from ``offset`` of piece ``index`` into ``view``, which ends with the piece or before.

        Returns:
            The number of bytes read; 0 if the piece is shorter than its declared size.
        """

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset, at least 0, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` up to the end of the file and return the number of bytes read."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._position < self.size:
            index = bisect_right(self.starts, self._position) - 1  # the last of the pieces that start here
            end = self.starts[index + 1] if index + 1 < len(self.starts) else self.size
            wanted = view[filled : filled + end - self._position]
            count = self._read_piece(index, self._position - self.starts[index], wanted)
            if not count:  # the underlying file has become shorter
                break
            filled += count
            self._position += count
        return filled
