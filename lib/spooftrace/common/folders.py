"""Folders of checkpoints that are whole or absent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spooftrace.common.atomic import fsync_folder
from spooftrace.common.errors import InputError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A work folder beside ``folder``; on leaving the block without an error it becomes ``folder``.

    Raises:
        InputError: There is a file, or a folder that is not empty; the disk is full.
    """
    from safetensors import SafetensorError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; remove it or choose another --out")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield work
        for path in (work, *work.rglob("*")):  # mkdtemp's folders and safetensors' files are for their owner alone.
            path.chmod(0o755 if path.is_dir() else 0o644)
        work.rename(folder)
        fsync_folder(folder.parent)
    except SafetensorError as error:  # Its kind of OSError.
        raise InputError(f"{folder}: cannot be written ({error}); make room and run it again") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
