"""Stage 2: copies of data directories without silence, ``data/<set>`` -> ``data/<set>_trim``.

An array job: job ``J`` of ``N`` writes its shard of ``data/<set>_trim/audio`` (16 kHz, mono, 16-bit FLAC) and records
it in ``data/<set>_trim/.trim``; ``--collect`` checks that every utterance exists and writes the tables. A single job
does both. ``spooftrace.audio.silence`` describes the detectors and what the SASTNet paper does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spooftrace.audio import read_audio, write_flac
from spooftrace.audio.silence import DETECTORS, remove_silence
from spooftrace.audio.writing import to_int16
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.journal import ArrayJob, fingerprint
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir import DataDir
from spooftrace.datadir.directory import known_files
from spooftrace.datadir.edit import carry_notes
from spooftrace.datadir.sources import current_records, stamp
from spooftrace.datadir.tables import write_text
from spooftrace.derive.durations import seconds_text

MAX_NAME_BYTES = 240  # file systems allow 255, and the temporary name of a file is longer
# Tables about the location or length of the audio, or computed from it: they are wrong for a copy.
NOT_CARRIED_OVER = ("wav.scp", "segments", "feats.scp", "utt2dur")


def trim(
    folders: Sequence[Path], suffix: str, settings: Mapping[str, str], job: int = 1, num_jobs: int = 1,
    collect_only: bool = False,
) -> None:  # fmt: skip
    """Write copies of data directories without silence, or one shard of them.

    Args:
        folders: The data directories.
        suffix: The copy of ``data/eval`` is ``data/eval_<suffix>``.
        settings: As for ``trim_shard``.
        job: Number of this job, from 1.
        num_jobs: Jobs that share the work; a single one also collects.
        collect_only: Only write the tables, after all jobs have run.

    Raises:
        InputError: As ``trim_shard`` and ``collect``, or for a suffix or a folder that gives no usable name.
    """
    if not re.fullmatch(r"[\w.+-]+", suffix):
        raise InputError(f"--out-suffix '{suffix}': use letters, digits, and . + - _ only")
    for folder in folders:
        if not folder.name or folder.name == "..":
            raise InputError(f"--data {folder}: give the directory by its name, for its copy is named after it")
        out = folder.with_name(f"{folder.name}_{suffix}")
        if not collect_only:
            trim_shard(folder, out, settings, job, num_jobs)
        if collect_only or num_jobs == 1:
            collect(folder, out, settings)


def trim_shard(
    directory: Path, out: Path, settings: Mapping[str, str], job: int = 1, num_jobs: int = 1
) -> tuple[int, int]:
    """Write the audio of one shard without silence. A killed run is continued.

    An utterance without detected speech keeps all its audio: an empty file is useless, and leaving the utterance out
    would change the set of trials. Such utterances are recorded.

    Args:
        directory: The data directory.
        out: Its copy. Only ``audio`` and ``.trim`` are written here.
        settings: ``method``, a key of ``DETECTORS``, and ``remove``, ``all`` or ``ends``.
        job: Number of this shard, from 1.
        num_jobs: Number of shards.

    Returns:
        The number of files written, and the number of files of this shard that existed before.

    Raises:
        InputError: An audio file is missing or damaged, ``out`` is not such a copy, the detector is not installed, or
            the shard does not exist.
    """
    data = DataDir.read(directory)
    work = _array_job(directory, out, settings, job, num_jobs)
    utts = work.shard(data.utts)
    if known_files(out) and not (out / ".trim").is_dir():
        raise InputError(f"{out}: exists and is not a trimmed copy; choose another --out-suffix")
    work.remove_stale(out / "utt2spk")  # marks the directory as incomplete until its files are replaced
    done = _done(out, work, {utt: data.audio(utt)[0] for utt in utts})
    waiting = [utt for utt in utts if utt not in done]
    if any((out / "audio" / file_name(utt)).exists() for utt in waiting):
        (out / "utt2spk").unlink(missing_ok=True)  # its audio was replaced
    detect, ends_only = DETECTORS[settings["method"]], settings["remove"] == "ends"

    def trim_one(utt: str) -> str:
        path, start, end = data.audio(utt)
        source = stamp(path)
        wave = read_audio(path, SAMPLE_RATE, start, end)  # (N,)
        speech = detect(wave, SAMPLE_RATE)
        kept = remove_silence(wave, speech, ends_only)  # (N,) -> (M,)
        write_flac(out / "audio" / file_name(utt), to_int16(kept), SAMPLE_RATE)
        return f"{len(wave)} {len(kept)} {'speech' if speech.any() else 'none'} {source}"

    work.run(str(out), utts, done, trim_one)
    print(
        f"{out}: shard {job} of {num_jobs}: trimmed {counted(len(waiting), 'utterance')}, "
        f"{len(utts) - len(waiting):,} existed"
    )
    return len(waiting), len(utts) - len(waiting)


def collect(directory: Path, out: Path, settings: Mapping[str, str]) -> DataDir:
    """Make ``out`` a data directory with the new audio and durations, and the other tables of ``directory``.

    Utterances without detected speech are listed in ``no_speech.txt``.

    Returns:
        The new data directory.

    Raises:
        InputError: Utterances are still to be trimmed.
    """
    data = DataDir.read(directory)
    done = _done(out, _array_job(directory, out, settings), {utt: data.audio(utt)[0] for utt in data.utts})
    missing = [utt for utt in data.utts if utt not in done]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InputError(
            f"{out}: {counted(len(missing), 'utterance')} {verb} not trimmed, first '{missing[0]}'; run the jobs first"
        )
    tables = {name: table for name, table in data.tables.items() if name not in NOT_CARRIED_OVER}
    tables["wav.scp"] = {utt: f"{out}/audio/{file_name(utt)}" for utt in data.utts}
    tables["utt2dur"] = {utt: seconds_text(done[utt][1], SAMPLE_RATE) for utt in data.utts}
    _list_without_speech(out / "no_speech.txt", [utt for utt in data.utts if done[utt][2] == 0])
    result = DataDir.write(out, tables)
    carry_notes([directory], out)
    before, after, with_speech = np.array([done[utt] for utt in data.utts]).sum(axis=0)
    whole = len(data.utts) - with_speech
    print(
        f"{out}: {counted(len(data.utts), 'utterance')}, "
        f"{before / SAMPLE_RATE:,.1f} s -> {after / SAMPLE_RATE:,.1f} s, "
        f"{1 - after / before:.1%} removed; {whole:,} without detected speech kept whole"
        + (f", see {out / 'no_speech.txt'}" if whole else "")
    )
    return result


def file_name(utt: str) -> str:
    """Return the file name of an utterance. Ids with ``/`` do not name other folders, and no two ids share a name.

    >>> file_name("../VALLE/p225_001")
    '..%2FVALLE%2Fp225_001.flac'

    Raises:
        InputError: The id is too long for a file name.
    """
    name = utt.replace("%", "%25").replace("/", "%2F") + ".flac"
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InputError(
            f"utterance '{utt[:60]}...' has {len(utt)} characters, too many for the name of its file "
            f"({MAX_NAME_BYTES} bytes with .flac); rename it"
        )
    return name


def _array_job(directory: Path, out: Path, settings: Mapping[str, str], job: int = 1, num_jobs: int = 1) -> ArrayJob:
    origin = dict(settings) | fingerprint(directory, "wav.scp", "segments")
    return ArrayJob(out / ".trim", origin, job, num_jobs)


def _done(out: Path, work: ArrayJob, sources: Mapping[str, str]) -> dict[str, tuple[int, int, int]]:
    """Return utterance -> (samples before, samples after, 1 with speech) of the current trimmed files.

    Args:
        out: The trimmed copy.
        work: The array job whose records are read.
        sources: Utterance -> path of its audio. Utterances whose audio was replaced are left out.
    """
    audio = out / "audio"
    existing = {entry.name for entry in os.scandir(audio)} if audio.is_dir() else set()
    done = {}
    for utt, (before, after, speech) in current_records(work.records(), sources).items():
        if file_name(utt) in existing:
            done[utt] = (int(before), int(after), int(speech == "speech"))
    return done


def _list_without_speech(path: Path, utts: list[str]) -> None:
    write_text(path, "".join(f"{utt}\n" for utt in utts))
