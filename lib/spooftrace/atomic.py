"""Files that are either whole or absent: write beside the target, fsync, rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


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
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    if path.exists() and not (path.is_file() or path.is_dir()):
        with open(path, mode, **text) as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(given)
        raise


def _umask() -> int:
    # There is no call that reads the umask without setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
