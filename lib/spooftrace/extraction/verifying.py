"""``spooftrace extract --verify``: check that stored features and their audio are unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spooftrace.archive import damaged_entries, read_sums
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.journal import shard
from spooftrace.common.progress import Progress
from spooftrace.config.settings import Config
from spooftrace.datadir.sources import sources_of
from spooftrace.extraction.sources import decode
from spooftrace.extraction.store import read_description


def verify(config: Config, dump: Path, directories: Sequence[Path], job: int = 1, num_jobs: int = 1) -> None:
    """Read every entry of the cached streams, decode all audio, and print a line for each fault.

    Args:
        config: The configuration; ``data.cached`` names the streams.
        dump: The folder of stored streams.
        directories: The data directories.
        job: Number of this job of an array job, counted from 1.
        num_jobs: Number of jobs.

    Raises:
        InputError: There are faults.
    """
    faults = 0
    for directory in directories:
        for stream in config.data.cached:
            folder, count = dump / stream / directory.name, 0
            for problem in _problems(config.streams[stream], directory, folder, job, num_jobs):
                count += 1
                print(f"{folder}: {problem}")
            faults += count
            if not count:
                print(f"{folder}: features and audio are unchanged")
    if faults:
        raise InputError(f"{counted(faults, 'fault')} listed above; remove the folders and run stage 3 again")


def _problems(node: Mapping[str, Any], directory: Path, folder: Path, job: int, num_jobs: int) -> Iterator[str]:
    scp, sums = folder / "feats.scp", folder / "feats.sums"
    description = read_description(folder / "stream.json")
    if not description or not scp.exists():
        yield "not extracted"
        return
    if description.get("config") != dict(node):
        yield "extracted with another configuration of this stream"
    if not sums.exists():
        yield "extracted by an earlier version, which recorded neither checksums nor audio"
        return
    sources = sources_of(directory)
    utts = shard(list(sources), job, num_jobs)
    for utt, problem in damaged_entries(scp, sums, set(utts)):
        yield f"'{utt}': {problem}"
    notes = {utt: note for utt, _, note in read_sums(sums) if utt in sources}
    for utt in utts:
        if utt not in notes:
            yield f"'{utt}': has no features"
    stored = [utt for utt in utts if utt in notes]
    with Progress(f"decoding the audio of {directory}", len(stored)) as progress:
        for utt, note in decode(stored, sources):
            if isinstance(note, InputError):
                yield f"'{utt}': {note}"
            elif note.partition(" ")[0] != notes[utt].partition(" ")[0]:
                yield f"'{utt}': {sources[utt].path} differs from the audio that the features were computed from"
            progress.advance()
