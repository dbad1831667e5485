"""Stage 2: copies of data directories without silence, ``data/<set>`` -> ``data/<set>_trim``.

An array job: job ``J`` of ``N`` writes its part of ``data/<set>_trim/audio`` (16 kHz, mono, 16-bit FLAC) and records it
in ``data/<set>_trim/.trim``; ``--collect`` then checks that every utterance is there and writes the tables; a single
job does both. What is silence and what the SASTNet paper does: ``spooftrace.audio.silence``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.audio import read_audio, write_flac
from spooftrace.audio.silence import DETECTORS, remove_silence
from spooftrace.common.errors import InputError
from spooftrace.common.journal import Journal, fingerprint, other_journals, read_journals, shard
from spooftrace.common.progress import Progress
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir import DataDir
from spooftrace.datadir.directory import known_files
from spooftrace.datadir.edit import carry_notes
from spooftrace.datadir.sources import current_records, stamp
from spooftrace.datadir.tables import write_text
from spooftrace.derive.durations import seconds_text

LONGEST_NAME = 240  # bytes; file systems take 255, and a file has a longer name while it is written
# Tables that say where the sound is, how long it is, or were computed from it: they do not hold for the copy.
NOT_CARRIED_OVER = ("wav.scp", "segments", "feats.scp", "utt2dur")


def trim(
    folders: Sequence[Path], suffix: str, settings: Mapping[str, str], job: int = 1, num_jobs: int = 1,
    collect_only: bool = False,
) -> None:  # fmt: skip
    """Write copies of data directories without silence, or do one job's share of the work.

    Args:
        folders: The data directories.
        suffix: The copy of ``data/eval`` is ``data/eval_<suffix>``.
        settings: As for ``trim_part``.
        job: Number of this job, from 1.
        num_jobs: Jobs that share the work; a single one also collects.
        collect_only: Only write the tables, after all jobs have run.

    Raises:
        InputError: As ``trim_part`` and ``collect``, or for a suffix or a folder that gives no usable name.
    """
    if not re.fullmatch(r"[\w.+-]+", suffix):
        raise InputError(f"--out-suffix '{suffix}': use letters, digits, and . + - _ only")
    for folder in folders:
        if not folder.name or folder.name == "..":
            raise InputError(f"--data {folder}: give the directory by its name, for its copy is named after it")
        out = folder.with_name(f"{folder.name}_{suffix}")
        if not collect_only:
            trim_part(folder, out, settings, job, num_jobs)
        if collect_only or num_jobs == 1:
            collect(folder, out, settings)


def trim_part(
    directory: Path, out: Path, settings: Mapping[str, str], job: int = 1, num_jobs: int = 1
) -> tuple[int, int]:
    """Write the audio without silence of one part of a data directory; goes on where a killed run stopped.

    An utterance in which the detector finds no speech keeps all its audio, since an empty file is of no use and
    leaving it out would change the set of trials; such utterances are recorded.

    Args:
        directory: The data directory.
        out: Its copy; only ``audio`` and ``.trim`` are written here.
        settings: ``method``, a key of ``DETECTORS``, and ``remove``, ``all`` or ``ends``.
        job: This part, from 1.
        num_jobs: Number of parts.

    Returns:
        How many files were written, and how many of this part were there already.

    Raises:
        InputError: An audio file is missing or damaged, ``out`` is something else than such a copy, the detector is
            not installed, there is no such part.
    """
    data = DataDir.read(directory)
    part = shard(data.utts, job, num_jobs)
    if known_files(out) and not (out / ".trim").is_dir():
        raise InputError(f"{out}: is there and not a trimmed copy; choose another --out-suffix")
    origin = _origin(directory, settings)
    stale = other_journals(out / ".trim", origin)
    if stale:  # files of other audio or settings: until they are replaced, the directory must not read as whole
        (out / "utt2spk").unlink(missing_ok=True)
        for journal in stale:
            journal.unlink(missing_ok=True)
    done = _done(out, origin, {utt: data.audio(utt)[0] for utt in part})
    waiting = [utt for utt in part if utt not in done]
    if any((out / "audio" / file_name(utt)).exists() for utt in waiting):
        (out / "utt2spk").unlink(missing_ok=True)  # its audio was replaced
    detect, ends_only = DETECTORS[settings["method"]], settings["remove"] == "ends"
    if waiting:
        with (
            Journal(out / ".trim", job, num_jobs, origin) as journal,
            Progress(f"{out} part {job} of {num_jobs}", len(part)) as progress,
        ):
            progress.advance(len(part) - len(waiting))
            for utt in waiting:
                path, start, end = data.audio(utt)
                source = stamp(path)
                wave = read_audio(path, SAMPLE_RATE, start, end)  # (N,)
                speech = detect(wave, SAMPLE_RATE)
                kept = remove_silence(wave, speech, ends_only)  # (N,) -> (M,)
                write_flac(out / "audio" / file_name(utt), _to_int16(kept), SAMPLE_RATE)
                journal.add(utt, f"{len(wave)} {len(kept)} {'speech' if speech.any() else 'none'} {source}")
                progress.advance()
    print(
        f"{out}: part {job} of {num_jobs}, trimmed {len(waiting):,} utterances, {len(part) - len(waiting):,} were there"
    )
    return len(waiting), len(part) - len(waiting)


def collect(directory: Path, out: Path, settings: Mapping[str, str]) -> DataDir:
    """Make ``out`` a data directory: the new audio and durations, all other tables as in ``directory``.

    Utterances without detected speech are listed in ``no_speech.txt``.

    Raises:
        InputError: Utterances have not been trimmed yet.
    """
    data = DataDir.read(directory)
    done = _done(out, _origin(directory, settings), {utt: data.audio(utt)[0] for utt in data.utts})
    missing = [utt for utt in data.utts if utt not in done]
    if missing:
        raise InputError(
            f"{out}: {len(missing):,} utterances are not trimmed, first '{missing[0]}'; run the jobs first"
        )
    tables = {name: table for name, table in data.tables.items() if name not in NOT_CARRIED_OVER}
    tables["wav.scp"] = {utt: f"{out}/audio/{file_name(utt)}" for utt in data.utts}
    tables["utt2dur"] = {utt: seconds_text(done[utt][1], SAMPLE_RATE) for utt in data.utts}
    _list_without_speech(out / "no_speech.txt", [utt for utt in data.utts if done[utt][2] == 0])
    result = DataDir.write(out, tables)
    carry_notes([directory], out)
    before, after, found = np.array([done[utt] for utt in data.utts]).sum(axis=0)
    whole = len(data.utts) - found
    print(
        f"{out}: {len(data.utts):,} utterances, {before / SAMPLE_RATE:,.1f} s -> {after / SAMPLE_RATE:,.1f} s, "
        f"{1 - after / before:.1%} removed; {whole:,} without detected speech kept whole"
        + (f", see {out / 'no_speech.txt'}" if whole else "")
    )
    return result


def file_name(utt: str) -> str:
    """The file of an utterance: ids such as ``system/utt`` must not name other folders, nor two ids the same file.

    >>> file_name("../VALLE/p225_001")
    '..%2FVALLE%2Fp225_001.flac'

    Raises:
        InputError: The id is too long for a file name.
    """
    name = utt.replace("%", "%25").replace("/", "%2F") + ".flac"
    if len(name.encode()) > LONGEST_NAME:
        raise InputError(
            f"utterance '{utt[:60]}...' has {len(utt)} characters, too many for the name of its file "
            f"({LONGEST_NAME} bytes with .flac); rename it"
        )
    return name


def _origin(directory: Path, settings: Mapping[str, str]) -> dict[str, Any]:
    return dict(settings) | fingerprint(directory, "wav.scp", "segments")


def _done(out: Path, origin: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, tuple[int, int, int]]:
    """Utterance -> samples before, samples after, 1 if speech was found.

    Of the utterances in ``sources`` (with the path of their audio) those that are recorded, whose trimmed file is there
    and whose audio is still the same file.
    """
    audio = out / "audio"
    there = {entry.name for entry in os.scandir(audio)} if audio.is_dir() else set()
    done = {}
    for utt, (before, after, found) in current_records(read_journals(out / ".trim", origin), sources).items():
        if file_name(utt) in there:
            done[utt] = (int(before), int(after), int(found == "speech"))
    return done


def _to_int16(wave: np.ndarray) -> np.ndarray:
    """float32 with full scale 1 -> int16; samples that were 16-bit come back exactly."""
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)


def _list_without_speech(path: Path, utts: list[str]) -> None:
    write_text(path, "".join(f"{utt}\n" for utt in utts))
