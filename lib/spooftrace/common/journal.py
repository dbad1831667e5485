"""Array jobs: the shard of each job, and journals of finished work.

Each job appends a line to its own journal when an item is finished. A killed job continues after its last complete
line, a later run may use another number of jobs, and the collecting run reads all journals. The first line of a journal
describes the inputs and settings of the work; a journal with another first line belongs to other work and is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.common.provenance import file_sha256

CHUNK = 500  # items that wait for the threads at a time: memory does not grow with the corpus

Item = TypeVar("Item")


def shard(items: Sequence[Item], job: int, num_jobs: int) -> Sequence[Item]:
    """The consecutive items that job ``job`` of ``num_jobs``, from 1, works on; possibly none.

    Raises:
        InputError: ``job`` is not between 1 and ``num_jobs``.

    >>> [shard("abcde", job, 3) for job in (1, 2, 3)]
    ['a', 'bc', 'de']
    """
    if not 1 <= job <= num_jobs:
        raise InputError(f"--job {job}: must be between 1 and --num-jobs {num_jobs}")
    return items[(job - 1) * len(items) // num_jobs : job * len(items) // num_jobs]


def fingerprint(folder: Path, *names: str) -> dict[str, str]:
    """File name -> SHA-256 of its content, for those of ``names`` that exist in ``folder``."""
    return {name: file_sha256(folder / name) for name in names if (folder / name).is_file()}


def read_journals(folder: Path, origin: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every ``(key, text)`` in the journals of ``folder`` with this ``origin``; a key may occur several times."""
    for path in sorted(folder.glob("*.journal")):
        lines = _whole_lines(path)
        if lines and lines[0] == _header(origin):
            for line in lines[1:]:
                key, blank, text = line.partition(" ")
                if blank:  # after a power cut, a line may hold anything
                    yield key, text


def other_journals(folder: Path, origin: Mapping[str, Any]) -> list[Path]:
    """The journals in ``folder`` with another origin, which are removed before their results are overwritten."""
    others = []
    for path in sorted(folder.glob("*.journal")):
        with open(path, encoding="utf-8", errors="replace") as file:
            if file.readline() != f"{_header(origin)}\n":
                others.append(path)
    return others


class Journal:
    """The record of one job, a context manager.

    Args:
        folder: The folder of the journals of all jobs; it is made if it is missing.
        job: The number of this job, from 1.
        num_jobs: The number of jobs.
        origin: The inputs and settings of the work, as JSON values.

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
        # Rewritten without the incomplete line that a killed job may have left at the end.
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


@dataclass(frozen=True)
class ArrayJob:
    """One job of an array job that records its results in journals.

    Attributes:
        folder: The folder of the journals.
        origin: The inputs and settings of the work, as JSON values.
        job: The number of this job, from 1.
        num_jobs: The number of jobs.

    >>> import tempfile
    >>> work = ArrayJob(Path(tempfile.mkdtemp()), {"method": "energy"})
    >>> work.run("measuring", work.shard(["utt1", "utt2"]), {"utt1"}, lambda utt: f"{utt} measured")
    {'utt2': 'utt2 measured'}
    >>> dict(work.records())
    {'utt2': 'utt2 measured'}
    """

    folder: Path
    origin: Mapping[str, Any]
    job: int = 1
    num_jobs: int = 1

    def shard(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items of this job (see :func:`shard`)."""
        return shard(items, self.job, self.num_jobs)

    def records(self) -> Iterator[tuple[str, str]]:
        """Yield ``(key, text)`` of what all jobs have recorded."""
        return read_journals(self.folder, self.origin)

    def remove_stale(self, *results: Path) -> None:
        """Remove the journals of work with another origin.

        Args:
            results: Files that are valid only together with that work. They are removed first, so a job that is killed
                here leaves no file that is taken for valid.
        """
        if stale := other_journals(self.folder, self.origin):
            for path in (*results, *stale):
                path.unlink(missing_ok=True)

    def run(
        self,
        title: str,
        keys: Sequence[str],
        done: Container[str],
        work: Callable[[str], str],
        *,
        threads: int = 1,
        keep: Callable[[str], bool] = lambda text: True,
    ) -> dict[str, str]:
        """Work on the keys that are not done, with progress on stderr, and record each result when it is finished.

        Args:
            title: What is done, for the progress: "eval durations".
            keys: The keys of this job's shard, without blanks.
            done: The keys whose results are already valid.
            work: Gives the text to record for a key.
            threads: The number of threads that call ``work``; with 1, it is called in this thread, in the order of the
                keys.
            keep: Whether a result is recorded. Otherwise a later run works on its key again.

        Returns:
            Key -> text of everything that was worked on, recorded or not.
        """
        waiting = [key for key in keys if key not in done]
        results: dict[str, str] = {}
        if not waiting:
            return results
        with (
            Journal(self.folder, self.job, self.num_jobs, self.origin) as journal,
            ThreadPoolExecutor(threads) as pool,  # starts a thread only when the first task is submitted
            Progress(f"{title}, job {self.job} of {self.num_jobs}", len(keys)) as progress,
        ):
            progress.skip(len(keys) - len(waiting))
            for start in range(0, len(waiting), CHUNK):
                chunk = waiting[start : start + CHUNK]
                texts = map(work, chunk) if threads == 1 else pool.map(work, chunk)
                for key, text in zip(chunk, texts, strict=True):
                    results[key] = text
                    if keep(text):
                        journal.add(key, text)
                    progress.advance()
        return results


def _header(origin: Mapping[str, Any]) -> str:
    return json.dumps(origin, sort_keys=True)


def _whole_lines(path: Path) -> list[str]:
    """The lines that end in a newline."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return text[: text.rfind("\n") + 1].split("\n")[:-1]
