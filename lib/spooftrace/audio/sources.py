"""Where audio comes from: files of any name, or the output of a command where that is allowed."""

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
    """Open what holds the audio.

    Args:
        path: the file, or ``command |``.
        name: what to call it in messages.
        allow_pipes: run the command.

    Raises:
        InputError: there is no such file, or a command that is not allowed or fails.
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
    """What to give to soundfile: the name, from which libsndfile knows a few formats without header, or the content."""
    if isinstance(file, io.BytesIO):
        return file
    if str(path).lower().endswith(".raw"):  # soundfile would ask for rate and coding, even if there is a header
        return SplicedFile(file, [(0, file.seek(0, os.SEEK_END))])
    return os.fsencode(path)


def _open(path: str | Path, name: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:  # no permission
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None


@contextmanager
def mapped(file: BinaryIO) -> Iterator[memoryview]:
    """The bytes of a file without reading them all."""
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
