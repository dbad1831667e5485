"""Unpack tar and zip archives, cut into several files or not, such that a kill at any moment loses nothing.

Every member is written under a temporary name and renamed when it is whole, so whatever lies under its own name is
complete, and unpacking again skips it. Against power cuts too, call ``os.sync`` before noting that an archive is done.
Archives are read front to back once, and memory does not grow with them. They come from the network: nothing is
written outside the folder, and no link is made that leads out of it.
"""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import re
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath

from spooftrace.common.errors import InputError, display, shorten
from spooftrace.common.progress import Progress
from spooftrace.corpora.members import Member, tar_members, zip_members
from spooftrace.corpora.volumes import Volumes, ZipVolumes

MEGABYTE = 1_000_000
BROKEN = (
    EOFError, OverflowError, gzip.BadGzipFile, lzma.LZMAError, struct.error, tarfile.TarError, zlib.error,
)  # fmt: skip
LARGE = 100 * MEGABYTE


def unpack(paths: Sequence[Path], folder: Path, check_space: bool = True) -> list[str]:
    """Unpack one archive into a folder; members that are there already are left as they are.

    Args:
        paths: its files in order: one, or the parts of a byte-split archive, or the volumes of a spanned zip.
        folder: where the members go; made if need be.
        check_space: refuse to begin when the disk has not room enough.

    Returns:
        The names at the top of the archive.

    Raises:
        InputError: the archive is damaged or not whole, a member leads out of the folder, or the disk is full.
    """
    paths = list(paths)
    name = paths[0].name if len(paths) == 1 else f"{paths[0].name} ... {paths[-1].name}"
    _no_gap(paths)
    total = sum(path.stat().st_size for path in paths)
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(os.path.realpath(folder))
    is_zip = paths[-1].suffix.lower() == ".zip"
    with Progress(f"unpacking {name}, MB", total // MEGABYTE) as progress:
        try:
            if is_zip:
                with closing(ZipVolumes(paths)) as archive:
                    if check_space:
                        require_space(folder, sum(e.size for e in archive.entries()), f"to unpack {name}")
                    return _write(zip_members(archive), root, paths[-1], lambda: archive.place, progress)
            if check_space:
                require_space(folder, total, f"to unpack {name}")
            with closing(Volumes(paths)) as volumes:
                return _write(tar_members(volumes, paths[-1]), root, paths[-1], volumes.tell, progress)
        except BROKEN as error:
            raise InputError(
                f"{paths[-1]}: damaged or not whole ({error}); move it away and run again, or get it again"
            ) from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise InputError(
                    f"{folder}: the disk is full; make room and run again, what is unpacked is kept"
                ) from None
            raise


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what will fill the disk.

    Raises:
        InputError: fewer than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {in_gb(needed)} are needed {what}, {in_gb(free)} are free; make room or go elsewhere"
        )


def in_gb(size: float) -> str:
    """Bytes in words.

    >>> in_gb(7_640_952_520), in_gb(74_650)
    ('7.6 GB', '0.07 MB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.2f} MB"


def _no_gap(paths: Sequence[Path]) -> None:
    numbers = [int(match[1]) for path in paths if (match := re.search(r"\.part(\d+)$", path.name))]
    if numbers and (numbers[0] > 1 or numbers != list(range(numbers[0], numbers[0] + len(paths)))):
        raise InputError(f"{paths[0].parent}: parts of {paths[0].stem} are missing, only {numbers} are here")


def _write(
    members: Iterator[Member], root: Path, archive: Path, place: Callable[[], int], progress: Progress
) -> list[str]:
    tops: dict[str, None] = {}
    folders: set[Path] = set()  # made, and known to be inside
    for member in members:
        path = _inside(member.name, root, archive)
        if path == root:
            continue
        tops[path.relative_to(root).parts[0]] = None
        try:
            _write_member(member, path, root, archive, folders)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            # Two members of one name, a file as a folder, links in a circle, a name that is too long.
            reason = error.strerror or str(error)
            raise InputError(f"{archive}: member '{_shown(member.name)}' cannot be written ({reason})") from None
        # In whole megabytes, as the progress line counts.
        progress.advance(max(0, place() // MEGABYTE - progress.done))
    return list(tops)


def _write_member(member: Member, path: Path, root: Path, archive: Path, folders: set[Path]) -> None:
    parent = path if member.kind == "folder" else path.parent
    if parent not in folders:
        _leads_inside(parent, root, member.name, archive)
        parent.mkdir(parents=True, exist_ok=True)
        folders.add(parent)
    if member.kind in ("symlink", "hardlink"):
        _link(member, path, root, archive)
        folders.clear()  # a folder may lead elsewhere now
    elif member.kind == "file" and not (path.exists() and member.same(path)):
        _write_file(member, path)


def _shown(name: str) -> str:
    """A name from an archive for a message: one line of bounded length."""
    return shorten(display(name))


def _inside(name: str, root: Path, archive: Path) -> Path:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise InputError(f"{archive}: member '{_shown(name)}' leads out of the folder; do not trust this archive")
    return root.joinpath(*parts)


def _leads_inside(path: Path, root: Path, name: str, archive: Path) -> None:
    real = Path(os.path.realpath(path))
    if real != root and root not in real.parents:
        raise InputError(
            f"{archive}: member '{_shown(name)}' leads out of the folder by a link; do not trust this archive"
        )


def _write_file(member: Member, path: Path) -> None:
    if member.size > LARGE:  # a damaged header may give any size
        require_space(path.parent, member.size, f"for '{_shown(member.name)}'")
    temporary = path.with_name(f".{path.name[:200]}.unpacking")
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "xb") as file:
            for block in member.blocks():
                file.write(block)
        if member.time is not None:
            os.utime(temporary, (member.time, member.time))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _link(member: Member, path: Path, root: Path, archive: Path) -> None:
    # A symbolic link is read from where it lies, a hard link from the top of the archive.
    base = path.parent if member.kind == "symlink" else root
    depth = len(Path(os.path.realpath(base)).relative_to(root).parts)
    parts = PurePosixPath(member.link).parts
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    # Steps up are taken from a folder that stays where it is, so they can be counted. Behind a name, which can become
    # a link later, they cannot.
    if not parts or member.link.startswith("/") or up > depth or ".." in parts[up:] or "\0" in member.link:
        raise InputError(
            f"{archive}: member '{_shown(member.name)}' is a link that leads out of the folder, or may later "
            f"({_shown(member.link)}); do not trust this archive"
        )
    target = base / member.link
    _leads_inside(target, root, f"{member.name} -> {member.link}", archive)
    if member.kind == "symlink":
        path.unlink(missing_ok=True)
        path.symlink_to(member.link)
    elif not target.is_file():
        raise InputError(
            f"{archive}: '{_shown(member.name)}' is a link to '{_shown(member.link)}', which is not there; get it again"
        )
    elif not (path.exists() and path.samefile(target)):
        path.unlink(missing_ok=True)
        os.link(os.path.realpath(target), path)
