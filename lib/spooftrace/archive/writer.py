"""Writing arks so that a killed job loses nothing finished and leaves nothing half-finished under the final name."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from spooftrace.archive.format import pack, parse_entry
from spooftrace.archive.reader import map_file, read_scp
from spooftrace.atomic import atomic_write, fsync_folder
from spooftrace.errors import InputError

SYNC_SECONDS = 5.0  # at most this much work is lost with the machine's power; one fsync per entry would be slow


class ArchiveWriter:
    """Write arrays to an ark and its scp; both get their names only when everything is written.

    While the block runs, the data are in ``<ark>.part`` and ``<scp>.part``. They stay there when the block is left by
    an exception or the process is killed, and ``resume=True`` continues them: a half-written entry is cut off, and
    ``keys`` holds what is stored already. Resuming an archive that is finished is allowed: it has all its keys and
    takes no more.

    Args:
        ark: the data file; the scp's lines give this path as it is written here.
        scp: the index file.
        compress: store float32 in two bytes a value: matrices with an error of at most (maximum - minimum) / 131070,
            arrays of more axes as float16 with a relative error of at most 1 / 2048.
        resume: continue what an earlier writer left, instead of starting anew.

    Raises:
        InputError: a key is repeated or has white space, an array is empty or not finite, another process is writing
            the same archive, or the disk is full (what is written is kept for resuming).
    """

    def __init__(self, ark: str | Path, scp: str | Path, compress: bool = False, resume: bool = False) -> None:
        self._ark, self._scp = Path(ark), Path(scp)
        self._ark_part, self._scp_part = Path(f"{ark}.part"), Path(f"{scp}.part")
        self._compress = compress
        self._resume = resume
        self._finished = False
        self._pending: list[str] = []  # scp lines of entries that may not be on the disk yet
        self.keys: set[str] = set()

    def __enter__(self) -> ArchiveWriter:
        self._ark.parent.mkdir(parents=True, exist_ok=True)
        self._scp.parent.mkdir(parents=True, exist_ok=True)
        if self._resume and self._scp.exists() and not self._scp_part.exists():
            self.keys = {key for key, _, _ in read_scp(self._scp)}
            self._finished = True
            return self
        if self._resume and self._scp_part.exists() and not self._ark_part.exists() and self._ark.exists():
            # Killed between the last two renames: the ark has its final name already.
            os.replace(self._ark, self._ark_part)
        self._data: BinaryIO = open(self._ark_part, "ab", buffering=1 << 20)
        try:
            self._lock()
            self._position, kept = self._recover() if self._resume else (0, [])
            self._data.truncate(self._position)
            with atomic_write(self._scp_part) as file:
                file.writelines(f"{key} {self._ark}:{offset}\n" for key, offset in kept)
            self._index = open(self._scp_part, "a", encoding="utf-8", newline="\n")
        except BaseException:
            self._data.close()
            raise
        self.keys = {key for key, _ in kept}
        self._last_sync = time.monotonic()
        return self

    def write(self, key: str, array: ArrayLike) -> None:
        """Store one array of numbers under ``key``."""
        array = np.asarray(array)
        if self._finished:
            raise InputError(f"{self._scp}: is finished; to store '{key}' as well remove it and run the stage again")
        if key.split() != [key]:
            raise InputError(f"{self._ark}: key '{key}' is empty or contains white space; rename the utterance")
        if key in self.keys:
            raise InputError(f"{self._ark}: key '{key}' is already stored; give every utterance its own id")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"key '{key}': an array of {array.dtype} is not an array of numbers")
        if array.size == 0:
            raise InputError(
                f"{self._ark}: key '{key}': the array of shape {array.shape} is empty; is the audio too short?"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                f"{self._ark}: key '{key}': the array has NaN or infinite values; check its audio, "
                "or compute it in fp32"
            )
        name = key.encode() + b" "
        try:
            pieces = [name, *pack(array, self._compress)]
        except ValueError as error:
            raise InputError(f"{self._ark}: key '{key}': {error}; store it without --compress") from None
        try:
            for piece in pieces:
                self._data.write(piece)
        except OSError as error:
            raise self._failure(error) from error
        self._pending.append(f"{key} {self._ark}:{self._position + len(name)}\n")
        self._position += sum(len(piece) for piece in pieces)
        self.keys.add(key)
        if time.monotonic() - self._last_sync > SYNC_SECONDS:
            self._sync()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._finished:
            return
        try:
            if kind is None:
                self._sync()
                # Without the old scp at every moment no scp points into an ark of another run.
                self._scp.unlink(missing_ok=True)
                os.replace(self._ark_part, self._ark)
                fsync_folder(self._ark.parent)
                os.replace(self._scp_part, self._scp)
                fsync_folder(self._scp.parent)
            else:
                with suppress(ValueError):  # the first error is the one to report
                    self._sync()
        finally:
            for file in (self._data, self._index):
                with suppress(OSError):  # closing writes what a full disk refused before
                    file.close()

    def _sync(self) -> None:
        """Bring the data, then the lines that point to them, to the disk."""
        try:
            self._data.flush()
            os.fsync(self._data.fileno())
            self._index.writelines(self._pending)
            self._index.flush()
            os.fsync(self._index.fileno())
        except OSError as error:
            raise self._failure(error) from error
        self._pending = []
        self._last_sync = time.monotonic()

    def _failure(self, error: OSError) -> InputError:
        with suppress(OSError):  # what the file holds is now unknown: closed, it takes nothing more
            self._data.close()
        return InputError(
            f"{self._ark_part}: cannot write ({error.strerror}); make room and run the stage again, "
            f"what is written so far is kept"
        )

    def _lock(self) -> None:
        busy = InputError(f"{self._ark_part}: another process is writing it; wait for it or stop it")
        try:
            fcntl.flock(self._data, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        except OSError:
            pass  # some network file systems cannot lock; then the user has to take care
        # Between opening and locking the other process may have finished: then this is the finished ark, not a part.
        if not (self._ark_part.exists() and os.path.samestat(os.fstat(self._data.fileno()), self._ark_part.stat())):
            raise busy

    def _recover(self) -> tuple[int, list[tuple[str, int]]]:
        """The end of the last whole entry of the ``.part`` files, and ``(key, offset)`` of all entries up to it."""
        lines = self._scp_part.read_bytes().split(b"\n")[:-1] if self._scp_part.exists() else []
        kept = []
        for line in lines:
            key, place = line.decode().split(" ", 1)
            kept.append((key, int(place.rsplit(":", 1)[1])))
        if not kept or self._ark_part.stat().st_size == 0:
            return 0, []
        buffer = map_file(self._ark_part)
        while kept:
            with suppress(ValueError):
                return parse_entry(buffer, kept[-1][1]).end, kept
            kept.pop()
        return 0, []
