"""Unpack tar and zip archives, split or not; an interrupted run is resumed without loss.

Each member is written under a temporary name and renamed when it is complete: a file under its own name is complete,
and a second run skips it. To survive a power cut as well, call ``os.sync`` before recording that an archive is done.
Archives are read once from front to back in constant memory. They are untrusted: nothing is written outside the folder,
and no link leads out of it.
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
from spooftrace.corpora.archive_members import Member, tar_members, zip_members
from spooftrace.corpora.archive_volumes import Volumes, ZipVolumes

MEGABYTE = 1_000_000
BROKEN = (
    EOFError, OverflowError, gzip.BadGzipFile, lzma.LZMAError, struct.error, tarfile.TarError, zlib.error,
)  # fmt: skip
LARGE = 100 * MEGABYTE  # the free space is checked again before a larger file


def unpack(paths: Sequence[Path], folder: Path, check_space: bool = True) -> list[str]:
    """Unpack one archive into a folder; existing members are kept.

    Args:
        paths: Files of the archive in order: one file, the parts of a byte-split archive, or the volumes of a zip.
        folder: Target folder; it is made if necessary.
        check_space: Whether to check the free space of the disk first.

    Returns:
        Names of the files and folders at the top level of the archive.

    Raises:
        InputError: The archive is damaged or incomplete, a member leads out of the folder, or the disk is full.
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
                    return _write(zip_members(archive), root, paths[-1], lambda: archive.position, progress)
            if check_space:
                require_space(folder, total, f"to unpack {name}")
            with closing(Volumes(paths)) as volumes:
                return _write(tar_members(volumes, paths[-1]), root, paths[-1], volumes.tell, progress)
        except BROKEN as error:
            raise InputError(
                f"{paths[-1]}: damaged or incomplete ({error}); move it away and run again, or download it again"
            ) from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise InputError(
                    f"{folder}: the disk is full; free some space and run again, unpacked files are kept"
                ) from None
            raise


def require_space(folder: Path, needed: int, what: str) -> None:
    """Check the free space of a disk.

    Raises:
        InputError: Fewer than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {in_gb(needed)} are needed {what}, {in_gb(free)} are free; free some space or use another disk"
        )


def in_gb(size: float) -> str:
    """A number of bytes in GB or MB.

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
    folders: set[Path] = set()  # existing folders, known to be inside the root
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
            # Two members of one name, a file where a folder must be, circular links, a name that is too long.
            reason = error.strerror or str(error)
            raise InputError(f"{archive}: member '{_shown(member.name)}' cannot be written ({reason})") from None
        # The progress line counts whole megabytes.
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
        folders.clear()  # the link may have replaced a folder
    elif member.kind == "file" and not (path.exists() and member.same(path)):
        _write_file(member, path)


def _shown(name: str) -> str:
    """A name from an archive as one line of limited length, for a message."""
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
    if member.size > LARGE:  # a damaged header can give any size
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
    # A symbolic link is relative to its folder, a hard link to the top of the archive.
    base = path.parent if member.kind == "symlink" else root
    depth = len(Path(os.path.realpath(base)).relative_to(root).parts)
    parts = PurePosixPath(member.link).parts
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    # Leading steps up start from a fixed folder and can be counted. Steps up behind a name cannot: a later member may
    # replace that name by a link.
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
            f"{archive}: '{_shown(member.name)}' is a link to '{_shown(member.link)}', which is missing; get it again"
        )
    elif not (path.exists() and path.samefile(target)):
        path.unlink(missing_ok=True)
        os.link(os.path.realpath(target), path)
