"""Reading arks: by key through an scp, or one entry after the other."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import crc32

import numpy as np

from spooftrace.archive.format import Entry, Index, parse_entry
from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.text import is_readable, iterate_lines

AGAIN = "run stage 3 again"
# Pages that were read count as memory of the process, although the system can take them back. Larger files
# are mapped anew after so many bytes, so that a job's memory does not seem to grow with the corpus.
SEEN_BYTES = 1 << 30
LARGEST_OFFSET = (1 << 63) - 1


class ArchiveReader(Mapping[str, np.ndarray]):
    """Mapping from key to array, for the arks that an scp file points to.

    Arrays are read-only views of the mapped file (no copy, no system call once a page is in memory); compressed ones
    are decompressed into a new array. A view keeps its file mapped for as long as it lives, also after ``close``. Its
    address has no particular alignment, which NumPy and torch accept; ``numpy.array(view)`` makes an aligned copy.

    Every ark is opened once, when first needed, in every process that uses the reader: a pickled or forked reader
    (DataLoader workers) opens its own. Paths in the scp are relative to the current directory.

    Args:
        scp: A file of ``key path:offset`` lines, in any order.
        beside: The arks lie in the folder of the scp, whatever folder its lines name: that of our own archives may have
            been moved, and another one may be at its old place.

    Raises:
        InputError: The scp is missing, malformed or has a key twice; on reading: the ark is missing, cut short,
            corrupt, or holds something else at that place, or NaN or infinite values. A key that is not in the scp is
            a ``KeyError``.
    """

    def __init__(self, scp: str | Path, beside: bool = False) -> None:
        self.scp = Path(scp)
        self._row: dict[str, int] = {}
        self._arks: list[str] = []
        # Two small arrays instead of a million tuples keep large stores light and quick to send to workers.
        arks: list[int] = []
        offsets: list[int] = []
        ark_number: dict[str, int] = {}
        for number, (key, ark, offset) in enumerate(read_scp(scp), 1):
            if self._row.setdefault(key, len(offsets)) != len(offsets):
                raise InputError(f"{scp}:{number}: key '{key}' is already on line {self._row[key] + 1}; {AGAIN}")
            arks.append(ark_number.setdefault(ark, len(ark_number)))
            offsets.append(offset)
        self._arks = [_place(self.scp, ark, beside) for ark in ark_number]
        self._ark = np.array(arks, np.int32)
        self._offset = np.array(offsets, np.int64)
        self._maps: dict[int, mmap.mmap] = {}
        self._seen = 0  # bytes of the arrays that the present maps were asked for

    def __getitem__(self, key: str) -> np.ndarray:
        return self.stored(key)[...]

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of an array, from its header alone."""
        return self._entry(key)[0].shape

    def stored(self, key: str) -> StoredArray:
        """An array of which only the header has been read, to take parts of."""
        entry, buffer = self._entry(key)
        return StoredArray(entry, buffer, self.place(key))

    def checksum(self, key: str) -> int:
        """CRC-32 of the bytes of an entry, its header included."""
        entry, buffer = self._entry(key)
        offset = int(self._offset[self._row[key]])
        with memoryview(buffer) as view:
            return crc32(view[offset : entry.end])

    def place(self, key: str) -> str:
        """Where an entry is, for messages."""
        row = self._row[key]
        return f"{self._arks[self._ark[row]]}: key '{key}' at offset {self._offset[row]}"

    def _entry(self, key: str) -> tuple[Entry, mmap.mmap]:
        row = self._row.get(key)
        if row is None:
            raise KeyError(f"{self.scp}: no key '{key}'; {AGAIN}")
        ark, offset = int(self._ark[row]), int(self._offset[row])
        if self._seen > SEEN_BYTES:
            self._seen = 0
            if sum(map(len, self._maps.values())) > SEEN_BYTES:
                self.close()
        buffer = self._maps.get(ark)
        if buffer is None:
            buffer = self._maps[ark] = map_file(self._arks[ark])
        try:
            # The key stands before the data: an scp and an ark of different runs are noticed here.
            name = key.encode() + b" "
            if offset < len(name) or buffer[offset - len(name) : offset] != name:
                raise ValueError("the ark has something else there, it is not the one this scp was written with")
            entry = parse_entry(buffer, offset)
        except ValueError as error:
            raise InputError(f"{self.place(key)}: {error}; {AGAIN}") from None
        self._seen += entry.end - entry.data
        return entry, buffer

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, key: object) -> bool:
        return key in self._row

    def close(self) -> None:
        """Unmap the arks (those with living views as soon as the last view goes). Reading again reopens them."""
        self._maps, self._seen = {}, 0

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_seen": 0}


class StoredArray:
    """An array in an ark: its shape, and ``stored[10:20]`` or ``stored[:, 10:20]`` as ``ArchiveReader`` gives arrays.

    Pages of the file that the part does not lie on are not touched, and of a compressed array only the part is
    decompressed.

    Raises:
        InputError: On reading, a number of the part is NaN or infinite.
    """

    def __init__(self, entry: Entry, buffer: mmap.mmap, where: str) -> None:
        self.shape = entry.shape
        self._entry, self._buffer, self._where = entry, buffer, where

    def __getitem__(self, index: Index) -> np.ndarray:
        try:
            return self._entry.load(self._buffer, index)
        except ValueError as error:
            raise InputError(f"{self._where}: {error}; {AGAIN}") from None


def read_sequential(ark: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every ``(key, array)`` of an ark in the order of the file, without an scp; arrays as from ``ArchiveReader``.

    Raises:
        InputError: The file is missing, or corrupt or cut short (after the entries before that place were given).
    """
    buffer = map_file(ark)
    if hasattr(mmap, "MADV_SEQUENTIAL"):
        buffer.madvise(mmap.MADV_SEQUENTIAL)
    position = 0
    while position < len(buffer):
        blank = buffer.find(b" ", position)
        try:
            if blank < 0:
                raise ValueError("the file ends inside a key")
            key = buffer[position:blank].decode()
            entry = parse_entry(buffer, blank + 1)
            array = entry.load(buffer)
        except ValueError as error:
            raise InputError(f"{ark}: entry at offset {position}: {error}; {AGAIN}") from None
        yield key, array
        position = entry.end


def merge_scp(scp: str | Path, parts: Sequence[str | Path]) -> int:
    """Join the scp files of an array job into one, sorted by key; returns the number of keys.

    Raises:
        InputError: A part is missing or malformed, or two lines have the same key.
    """
    where: dict[str, str] = {}
    for part in parts:
        for number, (key, ark, offset) in enumerate(read_scp(part), 1):
            if where.setdefault(key, f"{ark}:{offset}") != f"{ark}:{offset}":
                raise InputError(f"{part}:{number}: key '{key}' is already stored at {where[key]}; {AGAIN}")
    with atomic_write(scp) as file:
        file.writelines(f"{key} {where[key]}\n" for key in sorted(where))
    return len(where)


def read_scp(scp: str | Path) -> Iterator[tuple[str, str, int]]:
    """``(key, ark, offset)`` line by line.

    Raises:
        InputError: The file is missing, or a line is not ``key path:offset``.
    """
    if not is_readable(scp):
        raise InputError(f"{scp}: no such file; run stage 3 first")
    for number, line in enumerate(iterate_lines(scp), 1):
        try:
            key, place = line.split(maxsplit=1)
            ark, text = place.rsplit(":", 1)
            offset = int(text)
            if not 0 <= offset <= LARGEST_OFFSET or "\0" in ark:
                raise ValueError
            yield key, ark, offset
        except ValueError:
            raise InputError(
                f"{scp}:{number}: '{line.strip()}' is not 'key path:offset' (ranges and pipes are not "
                f"supported); {AGAIN}"
            ) from None


def is_whole(scp: str | Path, beside: bool = False) -> bool:
    """Whether an scp can be read and each ark that it points to is there and ends where its last array ends.

    Reads no data. ``beside`` is as for ``ArchiveReader``.
    """
    last: dict[str, int] = {}
    try:
        for _, ark, offset in read_scp(scp):
            ark = _place(scp, ark, beside)
            last[ark] = max(offset, last.get(ark, 0))
        buffers = {ark: map_file(ark) for ark in last}
        return all(parse_entry(buffer, last[ark]).end == len(buffer) for ark, buffer in buffers.items())
    except (InputError, ValueError):
        return False


def _place(scp: str | Path, ark: str, beside: bool) -> str:
    """Where an ark that an scp names is."""
    return str(Path(scp).with_name(Path(ark).name)) if beside else ark


def map_file(path: str | Path) -> mmap.mmap:
    """The whole file as read-only memory.

    Raises:
        InputError: The file is missing or empty.
    """
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise InputError(f"{path}: no such ark (paths are relative to the current directory); {AGAIN}") from None
    except ValueError:
        raise InputError(f"{path}: the ark is empty; {AGAIN}") from None
