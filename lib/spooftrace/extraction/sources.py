"""Which audio each stored utterance was made from, and whether a data directory still has that audio.

``feats.sums`` beside ``feats.scp`` has a line an utterance: the checksum of its entry in the ark, the digest of its
samples (:mod:`spooftrace.audio.digest`), and what can be compared without opening a file: its size in bytes, the time
of its last change, the segment, the path as in ``wav.scp``.

Comparing costs one ``stat`` an utterance. Where path, size, time or segment is another one, the audio is decoded and
the digest decides: a corpus that was copied or moved is the same corpus. Its new places are then noted in
``feats.sums``, so that this happens once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from spooftrace.archive import merge_sums, read_sums
from spooftrace.archive.reader import AGAIN
from spooftrace.audio.digest import read_with_digest
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.datadir.sources import MISSING, Source, states

DECODERS = min(8, os.cpu_count() or 1)


@dataclass
class Comparison:
    """How the audio of a data directory differs from the audio that features were made from.

    Attributes:
        changed: What is wrong with the first utterance that has other audio, or with the record; None if nothing is.
        damaged: Whether the record of the audio is damaged or gone, so that nothing is known of the audio.
        lacking: Utterances of the data directory that there are no features of.
        unseen: Utterances whose file is not there; path and segment are the recorded ones.
        moved: Utterance -> its note, where the same audio is at another place or has another time.
    """

    changed: str | None = None
    damaged: bool = False
    lacking: int = 0
    unseen: int = 0
    moved: dict[str, str] = field(default_factory=dict)


def read_noted(path: str, start: float | None, end: float | None) -> tuple[np.ndarray, str]:
    """The wave (N,) of an utterance at 16 kHz, and the note for ``feats.sums``."""
    source = Source(path, start, end)
    state = source.state()  # before it is read: a change from here on is noticed
    wave, digest = read_with_digest(path, start, end)
    return wave, f"{digest} {state}"


def compare(sums: Path, sources: Mapping[str, Source]) -> Comparison:
    """Compare audio files with those that features were made from; ends with the first that is another.

    Args:
        sums: ``feats.sums``.
        sources: The audio of the utterances in question.

    A damaged table says nothing of the audio, so ``changed`` then names what is wrong with it.
    """
    try:
        notes = {utt: note for utt, _, note in read_sums(sums, missing_ok=True) if utt in sources}
    except InputError as error:
        return Comparison(changed=str(error).removesuffix(f"; {AGAIN}"), damaged=True)
    result = Comparison(lacking=len(sources) - len(notes))
    doubtful = []
    for utt, state in states({utt: sources[utt] for utt in notes}):
        recorded = notes[utt].partition(" ")[2]
        if state == recorded:
            continue
        if state.startswith(MISSING):
            if recorded.split(" ", 2)[2:] != [sources[utt].place]:
                result.changed = f"'{utt}' is {sources[utt].path}, which is not there"
                return result
            result.unseen += 1
        else:
            doubtful.append(utt)
    _decode(doubtful, sources, notes, result)
    return result


def _decode(utts: Sequence[str], sources: Mapping[str, Source], notes: Mapping[str, str], result: Comparison) -> None:
    """Let the samples decide about utterances whose file seems to be another one."""
    with Progress("comparing audio with what features were made from", len(utts)) as progress:
        for utt, note in decode(utts, sources):
            if isinstance(note, InputError):
                result.changed = f"'{utt}': {note}"
                return
            if note.partition(" ")[0] != notes[utt].partition(" ")[0]:
                # digest, size, time, start, end, path
                recorded = notes[utt].split(" ", 5)[-1]
                was = "" if recorded == sources[utt].path else f" (they were made from {recorded})"
                result.changed = f"the audio of '{utt}', {sources[utt].path}, is not what they were made from{was}"
                return
            result.moved[utt] = note
            progress.advance()


def decode(utts: Sequence[str], sources: Mapping[str, Source]) -> Iterator[tuple[str, str | InputError]]:
    """``(utterance, note)`` of audio as it is now, or the error of reading it; decoded in several threads."""

    def note(utt: str) -> str | InputError:
        try:
            return read_noted(*sources[utt])[1]
        except InputError as error:
            return error

    with ThreadPoolExecutor(DECODERS) as pool:
        for start in range(0, len(utts), 4 * DECODERS):  # few at a time: the first that differs may be the last
            some = utts[start : start + 4 * DECODERS]
            yield from zip(some, pool.map(note, some), strict=True)


def remember(sums: Path, moved: Mapping[str, str]) -> None:
    """Note where the audio is now; what cannot be written is compared again next time."""
    if moved:
        with suppress(OSError):
            merge_sums(sums, [sums], moved)


def contents(sums: Path, wanted: Callable[[str], bool]) -> tuple[str, str]:
    """What the features of some utterances were made from and what they are, as two hashes.

    One is of the digests of the audio, one of the checksums of the features; neither depends on where the files are.
    """
    samples, values = sha256(), sha256()
    for utt, checksum, note in read_sums(sums):
        if wanted(utt):
            samples.update(f"{utt} {note.partition(' ')[0]}\n".encode())
            values.update(f"{utt} {checksum:08x}\n".encode())
    return samples.hexdigest(), values.hexdigest()
