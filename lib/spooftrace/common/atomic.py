"""Files that are either whole or absent: write beside the target, fsync, rename.

The temporary file of ``NAME`` is ``.NAME.MACHINE.tmp``, where MACHINE stands for this boot of this machine, and its
writer holds a lock on it (``flock``). A process that is killed leaves the file without the lock, and the next write of
``NAME`` on the machine takes the file over, so at most one is ever left and no folder is searched for it. Where the
file is locked, or cannot be locked, the temporary file has a random name instead. No other machine uses the name, so
the lock has to work on one machine only. What another machine has left is for :func:`remove_leftovers`.
"""

from __future__ import annotations

import fcntl
import os
import platform
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

LONGEST_NAME = 200  # bytes of a target's name that go into the name of its temporary file, of which 255 are allowed


def fsync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; on leaving the block without an error it becomes ``path``.

    ``mode`` is ``"w"`` (UTF-8 text, newline ``\\n``) or ``"wb"``. After an error, or when the process is killed inside
    the block, ``path`` is what it was before. A link stays one, and what it leads to is written. A device or pipe
    cannot be replaced: it is written to at once. Errors of writing, such as a full disk, name ``path``.

    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "scores.txt"
    >>> with atomic_write(target) as file:
    ...     _ = file.write("utt1 0.5\\n")
    >>> target.read_text()
    'utt1 0.5\\n'
    """
    given, path = path, Path(path).resolve()
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    if path.exists() and not (path.is_file() or path.is_dir()):
        with open(path, mode, encoding=encoding, newline=newline) as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = _open_temporary(path)
    try:
        with open(descriptor, mode, encoding=encoding, newline=newline) as file:
            # Renamed or removed before it is closed, which gives up the lock.
            try:
                yield file
                file.flush()
                os.fsync(descriptor)
                os.fchmod(descriptor, 0o666 & ~_umask())
                os.replace(temporary, path)
            except BaseException:
                if _is_file(descriptor, temporary):
                    os.unlink(temporary)
                raise
        fsync_folder(path.parent)
    except OSError as error:
        if error.filename is None:
            error.filename = str(given)
        raise


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove temporary files that dead processes, on any machine, have left in ``folder``.

    The caller must hold the folder's lock, so that no process on another machine writes there: not every network disk
    shows the locks of other machines.

    Args:
        folder: The folder; it may be missing.
        names: The files whose temporary files are removed; without any, those of all files.
    """
    for path in folder.glob(".*.tmp"):
        if names and not any(path.name.startswith(f".{_stem(name)}.") for name in names):
            continue
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # gone, or of another user
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:  # its writer lives
            pass
        finally:
            os.close(descriptor)


def _open_temporary(path: Path) -> tuple[int, str]:
    """An empty file beside ``path`` that no other process writes to: its descriptor and its path."""
    fixed = str(path.with_name(f".{_stem(path.name)}.{_machine()}.tmp"))
    try:
        descriptor = os.open(fixed, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:  # another user's, or no file at all; anything else, such as a full disk, happens again below
        return _open_random(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between the two calls its writer may have ended, which has moved the file to its place or removed it.
        if _is_file(descriptor, fixed):
            os.ftruncate(descriptor, 0)
            return descriptor, fixed
    except OSError:  # locked by a living writer, or a file system without locks
        pass
    os.close(descriptor)
    return _open_random(path)


def _open_random(path: Path) -> tuple[int, str]:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{_stem(path.name)}.", suffix=".tmp", dir=path.parent)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # for remove_leftovers
    return descriptor, temporary


def _is_file(descriptor: int, path: str) -> bool:
    """Whether this open file is the regular file ``path``."""
    status = os.fstat(descriptor)
    try:
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.lstat(path))
    except FileNotFoundError:
        return False


def _stem(name: str) -> str:
    """``name``, or the hash of one that would be too long with a suffix."""
    content = os.fsencode(name)
    return name if len(content) <= LONGEST_NAME else sha256(content).hexdigest()[:32]


@cache
def _machine() -> str:
    """The same for all processes that one running kernel has, containers included, and for no others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        boot = platform.node()
    return sha256(boot.encode()).hexdigest()[:12]


def _umask() -> int:
    # There is no call that reads the umask without setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
