"""The members of tar and zip archives in order, with one interface for both formats."""

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
from functools import partial
from pathlib import Path
from typing import IO, cast

from spooftrace.common.errors import InputError
from spooftrace.corpora.archive_volumes import BLOCK, Volumes, ZipEntry, ZipVolumes

# First bytes of a compressed file -> constructor of its decompressing stream.
PACKERS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file)),
    b"BZh": lambda file: cast(IO[bytes], bz2.BZ2File(file)),
    b"\xfd7zXZ\0": lambda file: cast(IO[bytes], lzma.LZMAFile(file)),  # noqa: SIM115
}
LONGEST_LINK = 4096  # bytes of a link target (PATH_MAX of Linux)
LATEST = 1 << 40  # seconds since 1970; later times are ignored


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    Attributes:
        name: Path within the archive.
        kind: ``file``, ``folder``, ``symlink`` or ``hardlink``.
        same: Whether a file on disk is this member, unpacked earlier.
        blocks: Reads the contents of a file, block by block.
        link: Target of a link.
        time: Modification time in seconds since 1970, None if unknown.
        size: Size of a file in bytes.
    """

    name: str
    kind: str
    same: Callable[[Path], bool]
    blocks: Callable[[], Iterator[bytes]]
    link: str = ""
    time: float | None = None
    size: int = 0


def tar_members(volumes: Volumes, path: Path) -> Iterator[Member]:
    """Yield the members of a tar archive, compressed or not, in order.

    Args:
        volumes: The archive.
        path: Its name in messages.

    Raises:
        InputError: A member is a device or a pipe.
        Exception: One of ``unpack.BROKEN`` if the archive is damaged.
    """
    raw = io.BufferedReader(volumes, BLOCK)
    head = raw.peek(8)
    plain = next((pack(raw) for magic, pack in PACKERS.items() if head.startswith(magic)), raw)
    watched = _Watched(plain)
    # Stream mode never seeks back; in a compressed archive that would decompress it again from the start.
    with tarfile.open(fileobj=cast(IO[bytes], watched), mode="r|") as tar:
        kinds = {tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}
        for info in tar:
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all members in memory otherwise
            kind = "file" if info.isfile() else "folder" if info.isdir() else kinds.get(info.type, "")
            if not kind:
                raise InputError(
                    f"{path}: '{info.name}' is a device or a pipe, which no corpus archive holds; download it again"
                )
            time = info.mtime if 0 <= info.mtime < LATEST else None
            yield Member(
                info.name,
                kind,
                partial(_has_time, size=info.size, time=time),
                partial(_tar_blocks, tar, info),
                info.linkname,
                time,
                info.size,
            )
        # tarfile treats a damaged header, and a file cut between two members, as the end of the archive.
        if watched.block(tar.offset) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("the end-of-archive mark is missing")
        for _ in _blocks(cast(IO[bytes], watched)):  # read on to the checksum at the end of a compressed file
            pass


def _has_time(file: Path, size: int, time: float | None) -> bool:
    """Whether a regular file has this size and modification time."""
    status = file.lstat()
    if time is None or not stat.S_ISREG(status.st_mode):
        return False
    return status.st_size == size and int(status.st_mtime) == int(time)


def _tar_blocks(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    return _blocks(cast(IO[bytes], tar.extractfile(info)))


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


class _Watched:
    """A stream that keeps the bytes it read last."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._tail, self._end = stream, b"", 0

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes."""
        data = self._stream.read(size)
        self._tail = self._tail[-tarfile.RECORDSIZE :] + data
        self._end += len(data)
        return data

    def block(self, at: int) -> bytes:
        """The tar block at offset ``at``, which must be among the bytes read last."""
        start = at - (self._end - len(self._tail))
        return self._tail[start : start + tarfile.BLOCKSIZE]


def zip_members(archive: ZipVolumes) -> Iterator[Member]:
    """Yield the members of a zip archive in order, without the ones that macOS adds.

    Raises:
        InputError: The target of a link is too long.
    """
    for entry in archive.entries():
        if entry.name.startswith("__MACOSX/"):  # metadata of macOS, some named like audio files
            continue
        is_link = stat.S_ISLNK(entry.mode)
        kind = "folder" if entry.name.endswith("/") else "symlink" if is_link else "file"
        if is_link and entry.size > LONGEST_LINK:
            raise InputError(f"{archive.path}: '{entry.name}' is a link of {entry.size:,} bytes; get the archive again")
        link = b"".join(archive.read(entry)).decode("utf-8", "surrogateescape") if is_link else ""
        yield Member(
            entry.name,
            kind,
            partial(_has_crc, entry=entry),
            partial(archive.read, entry),
            link,
            size=entry.size,
        )


def _has_crc(file: Path, entry: ZipEntry) -> bool:
    """Whether a regular file has the size and CRC of an entry."""
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
        return False
    crc = 0
    with open(file, "rb") as opened:
        for block in _blocks(opened):
            crc = zlib.crc32(block, crc)
    return crc == entry.crc
