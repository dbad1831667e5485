"""Read an archive that is split into several files as one stream; read zip archives, spanned or not, by member.

There are two ways of splitting. *Byte-split* archives (``X.part0``, ``X.part1``, ...) are one file cut at arbitrary
offsets. *Spanned* zips (``X.z01``, ``X.z02``, ..., ``X.zip``) count each offset from the start of its volume.
``zipfile`` does not read them, and ``zip -s 0`` of older Info-ZIP joins them into a truncated archive without a
warning. This reader converts volume and offset into an offset in the joined stream. It reads the directory entry by
entry: memory use does not depend on the number of members.

Source: PKWARE, .ZIP File Format Specification 6.3.10, sections 4.3, 4.4, 4.5.3 and 8.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from spooftrace.common.errors import InputError
from spooftrace.common.piecewise import PiecewiseFile

BLOCK = 1 << 20

# Directory records without their signatures, sections 4.3.12, 4.3.14, 4.3.15 and 4.3.16; a local header, 4.3.7.
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s22x2H")
END = struct.Struct("<4s4H2LH")
LOCATOR64 = struct.Struct("<4sLQL")
END64 = struct.Struct("<4s12x2L4Q")
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF  # marks a value that is stored in the zip64 field
STORED, DEFLATED = 0, 8


class Volumes(PiecewiseFile):
    """Several files as one read-only, seekable stream, without joining them on disk.

    Args:
        paths: The files in order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        super().__init__(path.stat().st_size for path in self.paths)
        self._open_index, self._file = -1, cast(io.FileIO, io.BytesIO())  # the volume that is open

    def _read_piece(self, index: int, offset: int, view: memoryview) -> int:
        if self._open_index != index:
            self._file.close()
            self._open_index, self._file = index, io.FileIO(self.paths[index])
        self._file.seek(offset)
        return self._file.readinto(view) or 0

    def close(self) -> None:
        """Close the volume that is open."""
        self._file.close()
        super().close()


@dataclass(frozen=True)
class ZipEntry:
    """The entry of one member in the directory of a zip archive.

    Attributes:
        name: Path within the archive.
        mode: Unix file mode, 0 if the archive was not made on Unix.
        encrypted: Whether the member is encrypted.
        method: Compression method.
        crc: CRC-32 of the contents.
        packed: Compressed size in bytes.
        size: Size in bytes.
        at: Offset of the local header in the joined stream.
    """

    name: str
    mode: int
    encrypted: bool
    method: int
    crc: int
    packed: int
    size: int
    at: int


class ZipVolumes:
    """A zip archive in one or several volumes.

    Args:
        paths: The volumes in order, the one that ends in ``.zip`` last.

    Raises:
        InputError: The archive is incomplete, or volumes are missing.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.path = paths[-1]
        self._volumes = Volumes(paths)
        self._file = io.BufferedReader(self._volumes, BLOCK)
        try:
            self._directory, self.entries_total = self._find_directory(len(paths))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self._file.close()

    @property
    def position(self) -> int:
        """Current offset in the joined stream."""
        return self._file.tell()

    def _find_directory(self, given: int) -> tuple[int, int]:
        """Offset of the central directory in the joined stream, and its number of entries."""
        size = self._volumes.size
        tail_at = max(0, size - END.size - FULL_16)
        tail = self._at(tail_at, size - tail_at)
        end = tail.rfind(b"PK\5\6")
        if end < 0 or len(tail) - end < END.size:
            raise InputError(
                f"{self.path}: incomplete zip archive, the directory at its end is missing; "
                "move it away and run again, or download it again"
            )
        _, disk, directory_disk, _, entries, _, offset, _ = END.unpack_from(tail, end)
        locator_at = tail_at + end - LOCATOR64.size
        locator = self._at(locator_at, LOCATOR64.size) if locator_at >= 0 else b""
        if locator[:4] == b"PK\6\7":
            _, end_disk, end_offset, disks = LOCATOR64.unpack(locator)
            self._check_count(disks, given)
            record = self._at(self._volumes.starts[self._checked_disk(end_disk)] + end_offset, END64.size)
            if record[:4] != b"PK\6\6":
                raise self._damaged("its zip64 end record is not at the recorded offset")
            _, disk, directory_disk, _, entries, _, offset = END64.unpack(record)
        self._check_count(disk + 1, given)
        return self._volumes.starts[self._checked_disk(directory_disk)] + offset, entries

    def _check_count(self, needed: int, given: int) -> None:
        if needed != given:
            stem = self.path.with_suffix("").name
            raise InputError(
                f"{self.path}: the archive has {needed} volumes ({stem}.z01 ... {self.path.name}), {given} are here; "
                "put all of them into one folder"
            )

    def _checked_disk(self, disk: int) -> int:
        if disk >= len(self._volumes.starts):
            raise self._damaged(f"its directory names volume {disk + 1} of {len(self._volumes.starts)}")
        return disk

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.path}: damaged zip archive: {what}; download it again")

    def _at(self, place: int, count: int) -> bytes:
        self._file.seek(place)
        return self._file.read(count)

    def entries(self) -> Iterator[ZipEntry]:
        """Yield the entries in the order of the directory."""
        # A separate reader: the caller reads members between two entries.
        with io.BufferedReader(Volumes(self._volumes.paths), BLOCK) as directory:
            directory.seek(self._directory)
            for number in range(self.entries_total):
                fixed = directory.read(ENTRY.size)
                if len(fixed) < ENTRY.size or fixed[:4] != b"PK\1\2":
                    raise self._damaged(f"entry {number + 1} of {self.entries_total} of its directory is invalid")
                fields = ENTRY.unpack(fixed)
                _, maker, _, flags, method, _, _, crc, packed, size, names, extras, comments, disk, _, mode, at = fields
                raw_name, extra = directory.read(names), directory.read(extras)
                directory.read(comments)
                size, packed, at, disk = _zip64(extra, size, packed, at, disk)
                yield ZipEntry(
                    # Bit 11: the name is UTF-8.
                    name=raw_name.decode("utf-8" if flags & 0x800 else "cp437", errors="replace"),
                    mode=mode >> 16 if maker >> 8 == 3 else 0,
                    encrypted=bool(flags & 1),
                    method=method,
                    crc=crc,
                    packed=packed,
                    size=size,
                    at=self._volumes.starts[self._checked_disk(disk)] + at,
                )

    def read(self, entry: ZipEntry) -> Iterator[bytes]:
        """Yield the contents of a member in blocks; check its length and CRC at the end.

        Raises:
            InputError: The member is encrypted, compressed with an unsupported method, or damaged.
        """
        if entry.encrypted:
            raise InputError(f"{self.path}: '{entry.name}' is encrypted; unpack the archive with its password, by hand")
        if entry.method not in (STORED, DEFLATED):
            raise InputError(
                f"{self.path}: '{entry.name}' has the unsupported compression method {entry.method}; "
                "unpack the archive with 7z"
            )
        header = self._at(entry.at, LOCAL.size)
        if len(header) < LOCAL.size or header[:4] != b"PK\3\4":
            raise self._damaged(f"'{entry.name}' is not at the offset that its directory gives")
        _, names, extras = LOCAL.unpack(header)
        self._file.read(names + extras)
        crc = size = 0
        for block in self._unpacked(entry):
            crc, size = zlib.crc32(block, crc), size + len(block)
            if size > entry.size:  # a forged member must not fill the disk
                break
            yield block
        if (crc, size) != (entry.crc, entry.size):
            raise self._damaged(f"'{entry.name}' does not have the CRC and length that its directory gives")

    def _unpacked(self, entry: ZipEntry) -> Iterator[bytes]:
        left = entry.packed
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None
        while left:
            block = self._file.read(min(BLOCK, left))
            if not block:
                raise self._damaged(f"it ends within '{entry.name}'")
            left -= len(block)
            if inflate is None:
                yield block
                continue
            try:
                while block:  # at most BLOCK at a time, whatever the compression ratio
                    yield inflate.decompress(block, BLOCK)
                    block = inflate.unconsumed_tail
            except zlib.error:
                raise self._damaged(f"'{entry.name}' cannot be unpacked") from None
        if inflate is not None:
            yield inflate.flush()


def _zip64(extra: bytes, size: int, packed: int, at: int, disk: int) -> tuple[int, int, int, int]:
    """Replace marked values by those of the zip64 extra field, which holds only these (section 4.5.3)."""
    while len(extra) >= 4:
        tag, length = struct.unpack_from("<2H", extra)
        if tag == 1:
            wide = io.BytesIO(extra[4 : 4 + length].ljust(28, b"\0"))
            size, packed, at = (
                struct.unpack("<Q", wide.read(8))[0] if value == FULL_32 else value for value in (size, packed, at)
            )
            disk = struct.unpack("<L", wide.read(4))[0] if disk == FULL_16 else disk
            break
        extra = extra[4 + length :]
    return size, packed, at, disk


def group_volumes(names: Sequence[str]) -> dict[str, list[str]]:
    """Group files by archive: name of the archive -> its files in order.

    >>> group_volumes(["a.z02", "a.zip", "a.z01", "b.part1", "b.part0", "c.tar"])
    {'a.zip': ['a.z01', 'a.z02', 'a.zip'], 'b': ['b.part0', 'b.part1'], 'c.tar': ['c.tar']}
    """
    groups: dict[str, list[tuple[float, str]]] = {}
    for name in names:
        if match := re.fullmatch(r"(.+)\.z(\d+)", name):
            groups.setdefault(match[1] + ".zip", []).append((int(match[2]), name))
        elif match := re.fullmatch(r"(.+)\.part(\d+)", name):
            groups.setdefault(match[1], []).append((int(match[2]), name))
        else:
            groups.setdefault(name, []).append((float("inf"), name))  # the .zip is the last volume
    return {archive: [name for _, name in sorted(files)] for archive, files in groups.items()}
