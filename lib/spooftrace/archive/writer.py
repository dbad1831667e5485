"""Writing arks so that a killed job loses nothing finished and leaves nothing half-finished under the final name."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike

from spooftrace.archive.format import pack, parse_entry
from spooftrace.archive.reader import map_file, read_scp
from spooftrace.archive.sums import line_of, read_sums
from spooftrace.common.atomic import atomic_write, fsync_folder
from spooftrace.common.errors import InputError

SYNC_SECONDS = 5.0  # at most this much work is lost with the machine's power; one fsync per entry would be slow


class _Table:
    """A text file beside the ark with a line an entry, in ``<path>.part`` until the ark is finished."""

    def __init__(self, path: str | Path) -> None:
        self.path, self.part = Path(path), Path(f"{path}.part")
        self.pending: list[str] = []  # lines of entries that may not be on the disk yet
        self._file: IO[str] | None = None

    def open(self, lines: Iterable[str]) -> None:
        """Write these lines, and get ready for more."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.part) as file:
            file.writelines(lines)
        self._file = open(self.part, "a", encoding="utf-8", newline="\n")  # noqa: SIM115 (until ``close``)

    def sync(self) -> None:
        """Bring the pending lines to the disk."""
        assert self._file is not None
        self._file.writelines(self.pending)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.pending = []

    def publish(self) -> None:
        """Give the file its final name."""
        os.replace(self.part, self.path)
        fsync_folder(self.path.parent)

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # closing writes what a full disk refused before
                self._file.close()


class ArchiveWriter:
    """Write arrays to an ark and its scp; both get their names only when everything is written.

    While the block runs, the data are in ``<ark>.part`` and ``<scp>.part``. They stay there when the block is left by
    an exception or the process is killed, and ``resume=True`` continues them: a half-written entry is cut off, and
    ``keys`` holds what is stored already. Resuming an archive that is finished is allowed: it has all its keys and
    takes no more.

    Args:
        ark: The data file; the scp's lines give this path as it is written here.
        scp: The index file.
        compress: Store float32 in two bytes a value: matrices with an error of at most (maximum - minimum) / 131070,
            arrays of more axes as float16 with a relative error of at most 1 / 2048.
        resume: Continue what an earlier writer left, instead of starting anew.
        sums: Also write a checksum of every entry, and a note of the caller's, to this file
            (``spooftrace.archive.sums``).

    Raises:
        InputError: A key is repeated or has white space, an array is empty or not finite, another process is writing
            the same archive, or the disk is full (what is written is kept for resuming).
    """

    def __init__(
        self,
        ark: str | Path,
        scp: str | Path,
        compress: bool = False,
        resume: bool = False,
        sums: str | Path | None = None,
    ) -> None:
        self._ark, self._ark_part = Path(ark), Path(f"{ark}.part")
        self._scp = _Table(scp)
        self._sums = None if sums is None else _Table(sums)
        # The scp comes last, on the disk and under its final name: what it lists is there whole.
        self._tables = [table for table in (self._sums, self._scp) if table is not None]
        self._compress = compress
        self._resume = resume
        self._finished = False
        self.keys: set[str] = set()

    def __enter__(self) -> ArchiveWriter:
        self._ark.parent.mkdir(parents=True, exist_ok=True)
        if self._resume and self._scp.path.exists() and not self._scp.part.exists():
            self.keys = {key for key, _, _ in read_scp(self._scp.path)}
            self._finished = True
            return self
        if self._resume and self._scp.part.exists():
            # Killed between the last renames: some files have their final names already.
            if not self._ark_part.exists() and self._ark.exists():
                os.replace(self._ark, self._ark_part)
            if self._sums and not self._sums.part.exists() and self._sums.path.exists():
                os.replace(self._sums.path, self._sums.part)
        self._data: BinaryIO = open(self._ark_part, "ab", buffering=1 << 20)
        try:
            self._lock()
            self._position, kept, sums = self._recover() if self._resume else (0, [], {})
            self._data.truncate(self._position)
            if self._sums:
                self._sums.open(line_of(key, *sums[key]) for key, _ in kept)
            self._scp.open(f"{key} {self._ark}:{offset}\n" for key, offset in kept)
        except BaseException:
            self._data.close()
            raise
        self.keys = {key for key, _ in kept}
        self._last_sync = time.monotonic()
        return self

    def write(self, key: str, array: ArrayLike, note: str = "") -> None:
        """Store one array of numbers under ``key``; ``note``, one line, goes beside its checksum."""
        array = np.asarray(array)
        if self._finished:
            scp = self._scp.path
            raise InputError(f"{scp}: is finished; to store '{key}' as well remove it and run the stage again")
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
                f"{self._ark}: key '{key}': the array has NaN or infinite values; check its audio "
                "and the model's weights, or compute it in fp32"
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
        self._scp.pending.append(f"{key} {self._ark}:{self._position + len(name)}\n")
        if self._sums:
            checksum = 0
            for piece in pieces[1:]:
                checksum = crc32(piece, checksum)
            self._sums.pending.append(line_of(key, checksum, note))
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
                self._scp.path.unlink(missing_ok=True)
                os.replace(self._ark_part, self._ark)
                fsync_folder(self._ark.parent)
                for table in self._tables:
                    table.publish()
            else:
                with suppress(ValueError):  # the first error is the one to report
                    self._sync()
        finally:
            with suppress(OSError):  # closing writes what a full disk refused before
                self._data.close()
            for table in self._tables:
                table.close()

    def _sync(self) -> None:
        """Bring the data, then the lines that point to them, to the disk."""
        try:
            self._data.flush()
            os.fsync(self._data.fileno())
            for table in self._tables:
                table.sync()
        except OSError as error:
            raise self._failure(error) from error
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

    def _recover(self) -> tuple[int, list[tuple[str, int]], dict[str, tuple[int, str]]]:
        """What the ``.part`` files hold: where the last whole entry ends, and all entries up to it.

        Returns:
            The end in bytes, ``(key, offset)`` of each entry, and key -> checksum and note.
        """
        lines = self._scp.part.read_bytes().split(b"\n")[:-1] if self._scp.part.exists() else []
        kept = []
        for line in lines:
            key, place = line.decode().split(" ", 1)
            kept.append((key, int(place.rsplit(":", 1)[1])))
        sums = {}
        if self._sums:
            sums = {key: (checksum, note) for key, checksum, note in read_sums(self._sums.part, missing_ok=True)}
            known = next((number for number, (key, _) in enumerate(kept) if key not in sums), len(kept))
            kept = kept[:known]
        if not kept or self._ark_part.stat().st_size == 0:
            return 0, [], {}
        buffer = map_file(self._ark_part)
        while kept:
            key, offset = kept[-1]
            with suppress(ValueError):
                end = parse_entry(buffer, offset).end
                if not self._sums or crc32(buffer[offset:end]) == sums[key][0]:
                    return end, kept, sums
            kept.pop()
        return 0, [], {}
