"""Record the audio of each stored utterance, and compare it with the audio of a data directory.

``feats.sums`` beside ``feats.scp`` has one line per utterance: the checksum of its entry in the ark, then a note with
the digest of its samples (:mod:`spooftrace.audio.digest`), the size of the audio file in bytes, its modification time,
the segment, and the path as in ``wav.scp``.

A comparison costs one ``stat`` per utterance. If the path, size, time or segment differs, the audio is decoded and its
digest compared, because a corpus may have been copied or moved. The new location is then recorded in ``feats.sums``,
which saves decoding it again next time.
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
    """Differences between the audio of a data directory and the audio that features were computed from.

    Attributes:
        changed: Description of the first utterance with other audio, or of a damaged record; ``None`` without a
            difference.
        damaged: Whether the record of the audio is damaged or missing.
        lacking: Number of utterances of the data directory without features.
        unseen: Number of utterances whose file is missing, but whose path and segment match the record.
        moved: Utterance -> new note, for the same audio with another path or modification time.
    """

    changed: str | None = None
    damaged: bool = False
    lacking: int = 0
    unseen: int = 0
    moved: dict[str, str] = field(default_factory=dict)


def read_noted(path: str, start: float | None, end: float | None) -> tuple[np.ndarray, str]:
    """Read an utterance together with the note for ``feats.sums``.

    Args:
        path: The audio file.
        start: Start of the segment in seconds, or ``None``.
        end: End of the segment in seconds, or ``None``.

    Returns:
        The wave (N,) at 16 kHz, and the note.
    """
    source = Source(path, start, end)
    state = source.state()  # taken before the file is read, to detect a change during reading
    wave, digest = read_with_digest(path, start, end)
    return wave, f"{digest} {state}"


def compare(sums: Path, sources: Mapping[str, Source]) -> Comparison:
    """Compare audio files with those that features were computed from, up to the first difference.

    Args:
        sums: ``feats.sums``.
        sources: Utterance -> its audio.

    Returns:
        The differences. If ``feats.sums`` is damaged, ``changed`` describes the damage.
    """
    try:
        notes = {utt: note for utt, _, note in read_sums(sums, missing_ok=True) if utt in sources}
    except InputError as error:
        return Comparison(changed=str(error).removesuffix(f"; {AGAIN}"), damaged=True)
    result = Comparison(lacking=len(sources) - len(notes))
    differing = []
    for utt, state in states({utt: sources[utt] for utt in notes}):
        recorded = notes[utt].partition(" ")[2]
        if state == recorded:
            continue
        if state.startswith(MISSING):
            if recorded.split(" ", 2)[2:] != [sources[utt].place]:
                result.changed = f"'{utt}' is {sources[utt].path}, which does not exist"
                return result
            result.unseen += 1
        else:
            differing.append(utt)
    _compare_samples(differing, sources, notes, result)
    return result


def _compare_samples(
    utts: Sequence[str], sources: Mapping[str, Source], notes: Mapping[str, str], result: Comparison
) -> None:
    """Compare the samples of utterances whose file looks different."""
    with Progress("comparing the audio with that of the features", len(utts)) as progress:
        for utt, note in decode(utts, sources):
            if isinstance(note, InputError):
                result.changed = f"'{utt}': {note}"
                return
            if note.partition(" ")[0] != notes[utt].partition(" ")[0]:
                # digest, size, time, start, end, path
                recorded = notes[utt].split(" ", 5)[-1]
                previous = "" if recorded == sources[utt].path else f" (they were computed from {recorded})"
                result.changed = (
                    f"the audio of '{utt}', {sources[utt].path}, is not that of the stored features{previous}"
                )
                return
            result.moved[utt] = note
            progress.advance()


def decode(utts: Sequence[str], sources: Mapping[str, Source]) -> Iterator[tuple[str, str | InputError]]:
    """Decode audio in several threads.

    Args:
        utts: The utterances to decode.
        sources: Utterance -> its audio.

    Yields:
        Each utterance with its note, or with the error if its audio cannot be read.
    """

    def note(utt: str) -> str | InputError:
        try:
            return read_noted(*sources[utt])[1]
        except InputError as error:
            return error

    with ThreadPoolExecutor(DECODERS) as pool:
        for start in range(0, len(utts), 4 * DECODERS):  # small blocks: the caller may stop at the first difference
            block = utts[start : start + 4 * DECODERS]
            yield from zip(block, pool.map(note, block), strict=True)


def record_moved(sums: Path, moved: Mapping[str, str]) -> None:
    """Record the current location of audio that has moved; without write access it is compared again next time.

    Args:
        sums: ``feats.sums``.
        moved: Utterance -> its new note.
    """
    if moved:
        with suppress(OSError):
            merge_sums(sums, [sums], moved)


def contents(sums: Path, selected: Callable[[str], bool]) -> tuple[str, str]:
    """Hash the audio and the features of the selected utterances, independently of the location of the files.

    Args:
        sums: ``feats.sums``.
        selected: Returns whether an utterance counts.

    Returns:
        The SHA-256 of the digests of the audio, and that of the checksums of the features.
    """
    samples, values = sha256(), sha256()
    for utt, checksum, note in read_sums(sums):
        if selected(utt):
            samples.update(f"{utt} {note.partition(' ')[0]}\n".encode())
            values.update(f"{utt} {checksum:08x}\n".encode())
    return samples.hexdigest(), values.hexdigest()
