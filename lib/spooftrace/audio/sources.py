"""Opening of audio sources: files, or the output of a command where that is allowed."""

from __future__ import annotations

import io
import mmap
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from spooftrace.audio.spliced import SplicedFile
from spooftrace.common.errors import InputError

FETCH = "get the file again"


@contextmanager
def source(path: str | Path, name: str, allow_pipes: bool) -> Iterator[BinaryIO]:
    """Open a file or run a command.

    Args:
        path: The file, or ``command |``.
        name: Name of the file in messages.
        allow_pipes: Run commands instead of refusing them.

    Yields:
        The open file, or the output of the command in memory.

    Raises:
        InputError: The file does not exist, or the command is refused or fails.
    """
    text = str(path)
    if isinstance(path, str) and text.rstrip().endswith("|"):
        if not allow_pipes:
            raise InputError(f"'{name}' would run a command; write the audio to files or allow pipes")
        yield _command_output(text.rstrip()[:-1])
        return
    if not Path(path).is_file():
        missing = "not a file, but a folder, pipe or device" if Path(path).exists() else "no such file"
        raise InputError(f"{name}: {missing}; check the path or {FETCH}")
    with _open(path, name) as file:
        yield file


def original(path: str | Path, file: BinaryIO) -> io.RawIOBase | BinaryIO | bytes:
    """Return what soundfile opens: the name, as libsndfile infers some headerless formats from it, or the content."""
    if isinstance(file, io.BytesIO):
        return file
    if str(path).lower().endswith(".raw"):  # for this name soundfile requires rate and coding despite a header
        return SplicedFile(file, [(0, file.seek(0, os.SEEK_END))])
    return os.fsencode(path)


def _open(path: str | Path, name: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:  # no permission
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None


@contextmanager
def mapped(file: BinaryIO) -> Iterator[memoryview]:
    """Map a file into memory."""
    if isinstance(file, io.BytesIO):
        yield memoryview(file.getvalue())
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
        yield view


def _command_output(command: str) -> io.BytesIO:
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False)
    if result.returncode or not result.stdout:
        words = result.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise InputError(f"'{command.strip()} |' failed with status {result.returncode}: {words[-1]}; correct the scp")
    return io.BytesIO(result.stdout)
