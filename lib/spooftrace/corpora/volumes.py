"""Archives cut into several files, read as one; and zip archives, whole or spanned, read member by member.

Two ways of cutting are in use. *Byte-split* archives (``X.part0``, ``X.part1``, ...) are one file cut anywhere.
*Spanned* zips (``X.z01``, ``X.z02``, ..., ``X.zip``) count every offset from the start of the volume it is on, which
``zipfile`` does not read and which ``zip -s 0`` of older Info-ZIP joins into a truncated archive without a word. The
reader here turns volume and offset into a place in the joined stream, and goes through the directory entry by entry, so
that an archive of a million members takes no more memory than one of ten.

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
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF  # "the value is in the zip64 field"
STORED, DEFLATED = 0, 8


class Volumes(PiecewiseFile):
    """Several files as one, read only and seekable, without joining them on disk.

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
    """What the directory of a zip archive says about one member; ``at`` is its place in the joined stream."""

    name: str
    mode: int  # Unix file mode, 0 if the archive was not made on Unix
    encrypted: bool
    method: int
    crc: int
    packed: int
    size: int
    at: int


class ZipVolumes:
    """A zip archive in one or several volumes.

    Args:
        paths: the volumes in order, the one that ends in ``.zip`` last.

    Raises:
        InputError: not a whole archive, or not all of its volumes.
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
    def place(self) -> int:
        """How far in the joined stream reading is."""
        return self._file.tell()

    def _find_directory(self, given: int) -> tuple[int, int]:
        """Where the central directory starts in the joined stream, and how many entries it has."""
        size = self._volumes.size
        tail_at = max(0, size - END.size - FULL_16)
        tail = self._at(tail_at, size - tail_at)
        found = tail.rfind(b"PK\5\6")
        if found < 0 or len(tail) - found < END.size:
            raise InputError(
                f"{self.path}: not a whole zip archive, the directory at its end is missing; "
                "move it away and run again, or get it again"
            )
        _, disk, directory_disk, _, entries, _, offset, _ = END.unpack_from(tail, found)
        locator_at = tail_at + found - LOCATOR64.size
        locator = self._at(locator_at, LOCATOR64.size) if locator_at >= 0 else b""
        if locator[:4] == b"PK\6\7":
            _, end_disk, end_offset, disks = LOCATOR64.unpack(locator)
            self._complete(disks, given)
            record = self._at(self._volumes.starts[self._known(end_disk)] + end_offset, END64.size)
            if record[:4] != b"PK\6\6":
                raise self._damaged("its zip64 end record is not where it should be")
            _, disk, directory_disk, _, entries, _, offset = END64.unpack(record)
        self._complete(disk + 1, given)
        return self._volumes.starts[self._known(directory_disk)] + offset, entries

    def _complete(self, needed: int, given: int) -> None:
        if needed != given:
            stem = self.path.with_suffix("").name
            raise InputError(
                f"{self.path}: the archive has {needed} volumes ({stem}.z01 ... {self.path.name}), {given} are here; "
                "put them all into one folder"
            )

    def _known(self, disk: int) -> int:
        if disk >= len(self._volumes.starts):
            raise self._damaged(f"its directory names volume {disk + 1} of {len(self._volumes.starts)}")
        return disk

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.path}: damaged zip archive: {what}; get it again")

    def _at(self, place: int, count: int) -> bytes:
        self._file.seek(place)
        return self._file.read(count)

    def entries(self) -> Iterator[ZipEntry]:
        """The members, in the order of the directory."""
        # A second reader, because the caller reads the members in between.
        with io.BufferedReader(Volumes(self._volumes.paths), BLOCK) as directory:
            directory.seek(self._directory)
            for number in range(self.entries_total):
                fixed = directory.read(ENTRY.size)
                if len(fixed) < ENTRY.size or fixed[:4] != b"PK\1\2":
                    raise self._damaged(f"entry {number + 1} of its directory of {self.entries_total} is no entry")
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
                    at=self._volumes.starts[self._known(disk)] + at,
                )

    def read(self, entry: ZipEntry) -> Iterator[bytes]:
        """The contents of a member, in blocks; its length and CRC are compared with the directory's at the end.

        Raises:
            InputError: encrypted, packed in a way that is not read here, or damaged.
        """
        if entry.encrypted:
            raise InputError(f"{self.path}: '{entry.name}' is encrypted; unpack the archive by hand with its password")
        if entry.method not in (STORED, DEFLATED):
            raise InputError(
                f"{self.path}: '{entry.name}' is packed with method {entry.method}, which is not read here; "
                "unpack the archive with 7z"
            )
        header = self._at(entry.at, LOCAL.size)
        if len(header) < LOCAL.size or header[:4] != b"PK\3\4":
            raise self._damaged(f"'{entry.name}' is not where its directory says")
        _, names, extras = LOCAL.unpack(header)
        self._file.read(names + extras)
        crc = size = 0
        for block in self._unpacked(entry):
            crc, size = zlib.crc32(block, crc), size + len(block)
            if size > entry.size:  # stop before a forged member fills the disk
                break
            yield block
        if (crc, size) != (entry.crc, entry.size):
            raise self._damaged(f"'{entry.name}' does not have the CRC and length of its directory")

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
                while block:  # BLOCK at a time, however well it is packed
                    yield inflate.decompress(block, BLOCK)
                    block = inflate.unconsumed_tail
            except zlib.error:
                raise self._damaged(f"'{entry.name}' cannot be unpacked") from None
        if inflate is not None:
            yield inflate.flush()


def _zip64(extra: bytes, size: int, packed: int, at: int, disk: int) -> tuple[int, int, int, int]:
    """Replace the values that did not fit by those of the zip64 extra field (section 4.5.3), which has only these."""
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


def together(names: Sequence[str]) -> dict[str, list[str]]:
    """Which files are one archive: the archive's name -> its files in order; a file that is not cut stands alone.

    >>> together(["a.z02", "a.zip", "a.z01", "b.part1", "b.part0", "c.tar"])
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
