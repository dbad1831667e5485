"""A data directory through codecs or channels: ``data/x`` -> ``data/x_NAME``, any rates, segments included.

An array job as in ``spooftrace.derive.trim``: job ``J`` of ``N`` writes its part of ``OUT/audio/NAME`` and records it
in ``OUT/.recoding``; collecting checks that every copy is there and writes the tables. Copies are ``UTT-NAME``, of the
original's speaker, rate and length.

Through a codec everything becomes spoofed speech of that codec (``utt2label``, ``utt2attack``, ``utt2vq``, ``utt2aux``,
``utt2dec``, ``utt2codec``, ``utt2nac``), at the level of the original, which would give it away otherwise. Through a
channel genuine speech stays genuine and spoofed speech what it was: only ``utt2cond`` tells.

A copy that cannot be made or is not what it should be (no audio, shorter than a frame, silent, not finite, of another
length) is in no table. It is listed in ``OUT/rejected.txt`` with the reason, and tried again by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.audio import audio_info, read_audio, write_flac
from spooftrace.codecs.coder import Coder, resample
from spooftrace.codecs.providers import load_coder, own_weights
from spooftrace.codecs.table import CodecSetting
from spooftrace.common.errors import InputError
from spooftrace.common.journal import Journal, fingerprint, other_journals, read_journals, shard
from spooftrace.common.progress import Progress
from spooftrace.datadir import DataDir
from spooftrace.datadir.directory import known_files
from spooftrace.datadir.edit import carry_notes
from spooftrace.datadir.incomplete import REJECTED as REJECTED_COPIES
from spooftrace.datadir.incomplete import Gap, replace_gaps
from spooftrace.datadir.sources import current_records, stamp
from spooftrace.datadir.tables import write_text
from spooftrace.derive.durations import seconds_text
from spooftrace.derive.listed_copies import align
from spooftrace.derive.trim import NOT_CARRIED_OVER, file_name

RECORD = ".recoding"
REJECTED = "rejected"  # the record of a copy that was not made: "rejected <reason>"; otherwise "<samples> <rate>"
SILENT = 0.01  # of the original's RMS: a copy below it, -40 dB, is no copy
SLACK = 0.2  # seconds that a channel may add: its delay and the filling of its last frame
MAX_DELAY = 0.1  # seconds


class Rejected(ValueError):
    """Why there is no copy of an utterance."""


@dataclass(frozen=True)
class Route:
    """One way for the speech: its name, how to load it, what the labels become, whether copies get the original's
    level, and which weights it has."""

    name: str
    load: Callable[[], Coder]
    labels: dict[str, str]
    match_level: bool
    weights: str = ""


def codec_route(setting: CodecSetting, model: str | Path | None = None) -> Route:
    """Through a codec of the table, with the weights ``model`` or those that the table names."""
    file = Path(model) if model else own_weights(setting.codec)
    # By content, where it is a file: copies of a codec that has been trained anew are made anew.
    weights = fingerprint(file.parent, file.name).get(file.name, str(model or setting.codec.model))
    return Route(setting.name, lambda: load_coder(setting, model), setting.labels, True, weights)


def channel_route(name: str) -> Route:
    """Through a channel of ``spooftrace.derive.channels``."""

    def load() -> Coder:
        from spooftrace.derive.channels import load_channel

        return load_channel(name)

    return Route(name, load, {"utt2cond": name}, False)


def recode(wave: np.ndarray, rate: int, coder: Coder, match_level: bool = True) -> np.ndarray:
    """The copy of a recording, at its rate and of its length.

    Args:
        wave: (N,) float32, full scale = 1.
        rate: Its sampling rate in Hz; it is converted for the coder and back (soxr HQ).
        coder: What it goes through.
        match_level: Give the copy the RMS of ``wave``.

    Returns:
        (N,) float32, clipped to full scale.

    Raises:
        Rejected: The recording is silent or shorter than one frame, or what comes back is silent, has NaN or infinite
            samples, or another length (by more than a frame).
    """
    sent = resample(wave, rate, coder.rate)
    if len(sent) < coder.frame:
        have, need = len(wave) / rate, coder.frame / coder.rate
        raise Rejected(f"{have:.4f} s of audio, less than one frame ({need:.4f} s)")
    if not sent.any():
        raise Rejected("the original is silent")
    made = np.asarray(coder.copy(np.ascontiguousarray(sent, np.float32)), np.float32)
    longest = len(sent) + (round(SLACK * coder.rate) if coder.delays else coder.frame)
    if not len(sent) - coder.frame <= len(made) <= longest:
        raise Rejected(f"the copy has {len(made)} samples instead of {len(sent)}")
    if not np.isfinite(made).all():
        raise Rejected("the copy has NaN or infinite samples")
    copy = resample(made, coder.rate, rate)
    if coder.delays:
        copy = align(copy, wave, round(MAX_DELAY * rate))
    copy = np.pad(copy[: len(wave)], (0, max(len(wave) - len(copy), 0)))  # (about N,) -> (N,)
    if _rms(copy) < SILENT * _rms(wave):
        raise Rejected("the copy is silent")
    if match_level:
        copy = copy * (_rms(wave) / _rms(copy))
    return np.clip(copy, -1, 1 - 2**-15).astype(np.float32)


def recode_part(directory: Path, out: Path, routes: Sequence[Route], job: int = 1, num_jobs: int = 1) -> None:
    """Make one part of the copies; goes on where a killed run stopped.

    Args:
        directory: The data directory.
        out: The new one; only ``audio`` and the record are written here.
        routes: What its speech is sent through, one copy each.
        job: This part, from 1.
        num_jobs: Number of parts.

    Raises:
        InputError: A codec cannot be loaded, ``out`` is something else than such a copy, there is no such part.
    """
    data = DataDir.read(directory)
    data.table("wav.scp")
    if known_files(out) and not (out / RECORD).is_dir():
        raise InputError(f"{out}: is there and no copy of a data directory; choose another --out")
    origin = _origin(directory, routes)
    made, _ = _recorded(out, origin, data)
    # Ordered by route, so that a job loads one or two codecs and not all of them.
    part = shard([(route, utt) for route in routes for utt in data.utts], job, num_jobs)
    waiting = [(route, utt) for route, utt in part if f"{utt}-{route.name}" not in made]
    # A codec that cannot be loaded is refused before anything is made or taken away.
    loaded: tuple[str, Coder] | None = (waiting[0][0].name, waiting[0][0].load()) if waiting else None
    stale = other_journals(out / RECORD, origin)
    if stale:  # files of other audio or codecs: until they are replaced, the directory must not read as whole
        (out / "utt2spk").unlink(missing_ok=True)
        for journal in stale:
            journal.unlink(missing_ok=True)
    if any(audio_path(out, route.name, f"{utt}-{route.name}").exists() for route, utt in waiting):
        (out / "utt2spk").unlink(missing_ok=True)  # a copy of audio that was replaced
    failed = 0
    if waiting:
        with (
            Journal(out / RECORD, job, num_jobs, origin) as journal,
            Progress(f"{out} part {job} of {num_jobs}", len(part)) as progress,
        ):
            progress.advance(len(part) - len(waiting))
            for route, utt in waiting:
                if loaded is None or loaded[0] != route.name:
                    loaded = (route.name, route.load())
                copy = f"{utt}-{route.name}"
                source = stamp(data.audio(utt)[0])
                try:
                    rate, wave = _original(data, utt)
                    result = recode(wave, rate, loaded[1], route.match_level)
                except (ValueError, RuntimeError) as error:  # of reading, Rejected, or a coder that gives up
                    journal.add(copy, f"{REJECTED} {error} {source}")
                    failed += 1
                else:
                    write_flac(audio_path(out, route.name, copy), result, rate)
                    journal.add(copy, f"{len(result)} {rate} {source}")
                progress.advance()
    there = len(part) - len(waiting)
    print(f"{out}: part {job} of {num_jobs}, {len(waiting) - failed:,} made, {there:,} were there, {failed:,} rejected")


def collect(directory: Path, out: Path, routes: Sequence[Route]) -> DataDir:
    """Make ``out`` a data directory of the copies; lists those that were rejected in ``rejected.txt``.

    Raises:
        InputError: Copies have not been tried yet, or all were rejected.
    """
    data = DataDir.read(directory)
    made, rejected = _recorded(out, _origin(directory, routes), data)
    origin = {f"{utt}-{route.name}": (utt, route) for route in routes for utt in data.utts}
    missing = [copy for copy in origin if copy not in made and copy not in rejected]
    if missing:
        raise InputError(f"{out}: {len(missing):,} copies are not made, first '{missing[0]}'; run the jobs first")
    _list_rejected(out / "rejected.txt", {copy: rejected[copy] for copy in origin if copy in rejected})
    if not made:
        (out / "utt2spk").unlink(missing_ok=True)
        raise InputError(f"{out}: no copy could be made; the reasons are in {out / 'rejected.txt'}")
    names = [name for name in data.tables if name not in (*NOT_CARRIED_OVER, "spk2utt")]
    copies = {copy: origin[copy] for copy in sorted(origin) if copy in made}
    tables = {name: {copy: data.tables[name][utt] for copy, (utt, _) in copies.items()} for name in names}
    tables["wav.scp"] = {copy: str(audio_path(out, route.name, copy)) for copy, (_, route) in copies.items()}
    tables["utt2source"] = {copy: data.audio(utt)[0] for copy, (utt, _) in copies.items()}
    tables["utt2dur"] = {copy: seconds_text(*made[copy]) for copy in copies}
    for name in routes[0].labels:
        tables[name] = {copy: route.labels[name] for copy, (_, route) in copies.items()}
    result = DataDir.write(out, tables)
    carry_notes([directory], out)
    if rejected:
        replace_gaps(out, [REJECTED_COPIES], [Gap(out.resolve().name, REJECTED_COPIES, len(rejected), len(origin))])
    lost = f"; {len(rejected):,} rejected, see {out / 'rejected.txt'}" if rejected else ""
    print(f"{out}: {len(copies):,} copies of {len(data.utts):,} utterances{lost}")
    return result


def audio_path(out: Path, route: str, copy: str) -> Path:
    """The file of a copy."""
    return out / "audio" / route / file_name(copy)


def _original(data: DataDir, utt: str) -> tuple[int, np.ndarray]:
    path, start, end = data.audio(utt)
    _, rate, _ = audio_info(path)
    return rate, read_audio(path, rate, start, end)


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def _origin(directory: Path, routes: Sequence[Route]) -> dict[str, Any]:
    names = {"routes": [route.name for route in routes], "weights": [route.weights for route in routes]}
    return names | fingerprint(directory, "wav.scp", "segments")


def _recorded(out: Path, origin: dict[str, Any], data: DataDir) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Copy -> samples and rate of those recorded whose file is there; copy -> reason of those that were rejected.

    Of the utterances of ``data`` whose audio is still the same file.
    """
    there = {path.name for path in (out / "audio").glob("*/*.flac")}
    made: dict[str, tuple[int, int]] = {}
    rejected: dict[str, str] = {}
    sources = {f"{utt}-{route}": data.audio(utt)[0] for route in origin["routes"] for utt in data.utts}
    for copy, (word, *rest) in current_records(read_journals(out / RECORD, origin), sources).items():
        if word == REJECTED:
            rejected[copy] = " ".join(rest)
        elif file_name(copy) in there:
            made[copy] = (int(word), int(rest[0]))
    return made, rejected


def _list_rejected(path: Path, reasons: dict[str, str]) -> None:
    write_text(path, "".join(f"{copy} {reason}\n" for copy, reason in sorted(reasons.items())))
