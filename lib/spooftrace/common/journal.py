"""What the array jobs of stages 1, 2, 3 and 5 share: options, a fair share of the work, and a record of what is done.

Each job appends a line to its own journal when something is finished. A killed job goes on after its last whole line,
a later run may use another number of jobs, and the collecting run reads all journals. A journal begins with what the
work was made from and how; one that began differently belongs to other work and counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.provenance import file_sha256

Item = TypeVar("Item")


def shard(items: Sequence[Item], job: int, num_jobs: int) -> Sequence[Item]:
    """The consecutive part of ``items`` that is job ``job`` of ``num_jobs``, from 1; may be empty.

    Raises:
        InputError: there is no such job.

    >>> [shard("abcde", job, 3) for job in (1, 2, 3)]
    ['a', 'bc', 'de']
    """
    if not 1 <= job <= num_jobs:
        raise InputError(f"--job {job}: must be between 1 and --num-jobs {num_jobs}")
    return items[(job - 1) * len(items) // num_jobs : job * len(items) // num_jobs]


def fingerprint(folder: Path, *names: str) -> dict[str, str]:
    """File name -> SHA-256 of its content, for those of ``names`` that are in ``folder``."""
    return {name: file_sha256(folder / name) for name in names if (folder / name).is_file()}


def read_journals(folder: Path, origin: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every ``(key, text)`` that the journals in ``folder`` with this ``origin`` record; a key may come repeatedly."""
    for path in sorted(folder.glob("*.journal")):
        lines = _whole_lines(path)
        if lines and lines[0] == _header(origin):
            for line in lines[1:]:
                key, blank, text = line.partition(" ")
                if blank:  # a power cut may leave anything
                    yield key, text


def other_journals(folder: Path, origin: Mapping[str, Any]) -> list[Path]:
    """The journals in ``folder`` of work with another origin, to be removed before that work is overwritten."""
    found = []
    for path in sorted(folder.glob("*.journal")):
        with open(path, encoding="utf-8", errors="replace") as file:
            if file.readline() != f"{_header(origin)}\n":
                found.append(path)
    return found


class Journal:
    """The record of one job, a context manager.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with Journal(folder, job=1, num_jobs=4, origin={"method": "energy"}) as journal:
    ...     journal.add("utt1", "all well")
    >>> dict(read_journals(folder, {"method": "energy"}))
    {'utt1': 'all well'}
    >>> dict(read_journals(folder, {"method": "webrtc"}))
    {}
    """

    def __init__(self, folder: Path, job: int, num_jobs: int, origin: Mapping[str, Any]) -> None:
        self.path, self.header = folder / f"{job}-of-{num_jobs}.journal", _header(origin)
        self._file: IO[str] | None = None

    def __enter__(self) -> Journal:
        lines = _whole_lines(self.path)
        if lines[:1] != [self.header]:
            lines = [self.header]
        # Written anew without the half line that a killed job may have left at the end.
        with atomic_write(self.path) as file:
            file.write("".join(f"{line}\n" for line in lines))
        self._file = open(self.path, "a", encoding="utf-8", newline="\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, key: str, text: str) -> None:
        """Record that ``key`` (no blanks) is done; ``text`` is the rest of the line."""
        assert self._file is not None
        self._file.write(f"{key} {' '.join(text.split())}\n")
        self._file.flush()


def _header(origin: Mapping[str, Any]) -> str:
    return json.dumps(origin, sort_keys=True)


def _whole_lines(path: Path) -> list[str]:
    """The lines that end in a newline."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return text[: text.rfind("\n") + 1].split("\n")[:-1]
