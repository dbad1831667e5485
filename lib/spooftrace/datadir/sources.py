"""The audio files behind the utterances of a data directory, and whether they are still the same files.

A file is compared by its size and the time of its last change, which takes one ``stat`` and opens nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from spooftrace.common.errors import InputError
from spooftrace.common.journal import fingerprint
from spooftrace.datadir.tables import read_table

MISSING = "missing"
THREADS = 16  # that ask for the state of files: on a network disk each answer is a wait
CHUNK = 1000
STAMP = "@"


class Source(NamedTuple):
    """Where the audio of an utterance is: path, and start and end in seconds, None for a whole file."""

    path: str
    start: float | None = None
    end: float | None = None

    @property
    def place(self) -> str:
        """Segment and path in one field of a line; the path comes last, as it may have blanks."""
        return f"{_text(self.start)} {_text(self.end)} {self.path}"

    def state(self) -> str:
        """What is compared without decoding: size and time of the last change, segment, path."""
        try:
            stat = Path(self.path).stat()
        except OSError:
            return f"{MISSING} - {self.place}"
        return f"{stat.st_size} {stat.st_mtime_ns} {self.place}"


def sources_of(directory: Path) -> dict[str, Source]:
    """The audio of every utterance of a data directory, from ``wav.scp`` and ``segments`` alone.

    Raises:
        InputError: There is no ``wav.scp``, or one of the two cannot be used.
    """
    if not (directory / "wav.scp").is_file():
        raise InputError(f"{directory}/wav.scp: not there; run stage 1 (data preparation) first")
    wav = read_table(directory / "wav.scp")
    if not (directory / "segments").is_file():
        return {utt: Source(path) for utt, path in wav.items()}
    sources = {}
    for utt, text in read_table(directory / "segments").items():
        try:
            recording, start, end = text.split()
            sources[utt] = Source(wav[recording], float(start), float(end))
        except (KeyError, ValueError):
            raise InputError(f"{directory}/segments: '{utt} {text}' names no part of a recording; correct it") from None
    return sources


def states(sources: Mapping[str, Source]) -> Iterator[tuple[str, str]]:
    """``(utterance, state)`` of the files as they are now."""

    def look(utts: Sequence[str]) -> list[str]:
        return [sources[utt].state() for utt in utts]

    rest = iter(sources)
    chunks = list(iter(lambda: list(islice(rest, CHUNK)), []))
    with ThreadPoolExecutor(THREADS) as pool:
        for utts, found in zip(chunks, pool.map(look, chunks), strict=True):
            yield from zip(utts, found, strict=True)


def states_hash(sources: Mapping[str, Source]) -> str:
    """One hash of the states of all files."""
    digest = sha256()
    for utt, state in states(sources):
        digest.update(f"{utt} {state}\n".encode())
    return digest.hexdigest()


def origin_of_audio(directory: Path) -> dict[str, str]:
    """Identify the audio of a data directory by its list and the state of every file, for records of derived data."""
    return fingerprint(directory, "wav.scp", "segments") | {"files": states_hash(sources_of(directory))}


def stamp(path: str) -> str:
    """A field for the record of what is made from an audio file: its state and the time now.

    To be taken before the file is read, so that a change from here on is noticed.
    """
    size, changed, _ = Source(path).state().split(" ", 2)
    return f"{STAMP}{size},{changed},{time.time_ns()}"


def current_records(rows: Iterable[tuple[str, str]], sources: Mapping[str, str]) -> dict[str, list[str]]:
    """The latest record of each key, without those whose audio file was replaced after the record was written.

    Args:
        rows: Key and text of each record; the last field is a :func:`stamp`. Records without one, of earlier versions,
            are taken for current.
        sources: Key -> path of its audio file; other keys are left out.

    Returns:
        Key -> the fields of its record before the stamp.
    """
    latest: dict[str, tuple[int, str, list[str]]] = {}
    for key, text in rows:
        fields = text.split()
        state, written = "", 0
        if fields and fields[-1].startswith(STAMP):
            size, changed, now = fields.pop()[len(STAMP) :].split(",")
            state, written = f"{size} {changed}", int(now)
        if key in sources and (key not in latest or written >= latest[key][0]):
            latest[key] = (written, state, fields)
    files = {path: Source(path) for path in {sources[key] for key in latest}}
    now_is = {path: " ".join(state.split(" ", 2)[:2]) for path, state in states(files)}
    return {key: fields for key, (_, state, fields) in latest.items() if not state or state == now_is[sources[key]]}


def _text(seconds: float | None) -> str:
    return "-" if seconds is None else repr(seconds)
