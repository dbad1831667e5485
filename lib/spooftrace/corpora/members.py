"""The members of tar and zip archives, one after the other, whatever the format."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from spooftrace.common.errors import InputError
from spooftrace.corpora.volumes import BLOCK, Volumes, ZipEntry, ZipVolumes

# First bytes of a file -> what opens the stream in it.
PACKERS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file)),
    b"BZh": lambda file: cast(IO[bytes], bz2.BZ2File(file)),
    b"\xfd7zXZ\0": lambda file: cast(IO[bytes], lzma.LZMAFile(file)),  # noqa: SIM115
}
LONGEST_LINK = 4096  # bytes of the place that a link leads to, as much as Linux takes
LATEST = 1 << 40  # seconds since 1970; a time beyond is none


@dataclass(frozen=True)
class Member:
    """One entry of an archive, whatever its format. ``blocks`` gives the contents of a file."""

    name: str
    kind: str  # file, folder, symlink, hardlink
    same: Callable[[Path], bool]  # whether this file is the member, unpacked before
    blocks: Callable[[], Iterator[bytes]]
    link: str = ""
    time: float | None = None
    size: int = 0


def tar_members(volumes: Volumes, path: Path) -> Iterator[Member]:
    """The members of a tar archive, compressed or not, in their order; ``path`` is for messages.

    Raises:
        InputError: a member is a device or a pipe.
        Exception: one of ``unpack.BROKEN`` if the archive is damaged.
    """
    raw = io.BufferedReader(volumes, BLOCK)
    head = raw.peek(8)
    plain = next((pack(raw) for magic, pack in PACKERS.items() if head.startswith(magic)), raw)
    watched = _Watched(plain)
    # Stream mode never seeks back, which in a compressed archive means to unpack it again from its start.
    with tarfile.open(fileobj=cast(IO[bytes], watched), mode="r|") as tar:
        kinds = {tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}
        for info in tar:
            tar.members = []  # tarfile would keep all of them
            kind = "file" if info.isfile() else "folder" if info.isdir() else kinds.get(info.type, "")
            if not kind:
                raise InputError(f"{path}: '{info.name}' is a device or pipe; this is no corpus archive")
            time = info.mtime if 0 <= info.mtime < LATEST else None
            yield Member(
                info.name,
                kind,
                lambda file, size=info.size, time=time: _has_time(file, size, time),
                lambda info=info: _blocks(cast(IO[bytes], tar.extractfile(info))),
                info.linkname,
                time,
                info.size,
            )
        # tarfile takes a damaged header and a file cut between two members for the end.
        if watched.block(tar.offset) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends without the mark of a tar archive's end")
        for _ in _blocks(cast(IO[bytes], watched)):  # up to the checksum at the end of a compressed file
            pass


def _has_time(file: Path, size: int, time: float | None) -> bool:
    there = file.lstat()
    if time is None or not stat.S_ISREG(there.st_mode):
        return False
    return there.st_size == size and int(there.st_mtime) == int(time)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


class _Watched:
    """A stream that remembers the last of what was read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._tail, self._end = stream, b"", 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._tail = self._tail[-tarfile.RECORDSIZE :] + data
        self._end += len(data)
        return data

    def block(self, at: int) -> bytes:
        """The tar block that begins at a place near the end of what was read."""
        start = at - (self._end - len(self._tail))
        return self._tail[start : start + tarfile.BLOCKSIZE]


def zip_members(archive: ZipVolumes) -> Iterator[Member]:
    """The members of a zip archive, in their order, but for what macOS adds.

    Raises:
        InputError: a link is too long.
    """
    for entry in archive.entries():
        if entry.name.startswith("__MACOSX/"):  # Finder's notes, some named like audio files
            continue
        is_link = stat.S_ISLNK(entry.mode)
        kind = "folder" if entry.name.endswith("/") else "symlink" if is_link else "file"
        if is_link and entry.size > LONGEST_LINK:
            raise InputError(f"{archive.path}: '{entry.name}' is a link of {entry.size:,} bytes; get the archive again")
        link = b"".join(archive.read(entry)).decode("utf-8", "surrogateescape") if is_link else ""
        yield Member(
            entry.name,
            kind,
            lambda file, entry=entry: _has_crc(file, entry),
            lambda entry=entry: archive.read(entry),
            link,
            size=entry.size,
        )


def _has_crc(file: Path, entry: ZipEntry) -> bool:
    there = file.lstat()
    if not stat.S_ISREG(there.st_mode) or there.st_size != entry.size:
        return False
    crc = 0
    with open(file, "rb") as opened:
        for block in _blocks(opened):
            crc = zlib.crc32(block, crc)
    return crc == entry.crc
