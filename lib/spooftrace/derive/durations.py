"""Stage 1: look at every audio file of a data directory, and write ``utt2dur``.

An array job: job ``J`` of ``N`` looks at its part of ``wav.scp`` and records it in ``<data>/.durations``; ``--collect``
then checks that every file was looked at and writes the table; a single job does both. Audio that cannot be used comes
to light here, in minutes, and not after hours of extraction or training.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spooftrace.audio.reading import MAX_OVERSHOOT, check_audio
from spooftrace.common.errors import InputError
from spooftrace.common.journal import Journal, add_job_options, fingerprint, other_journals, read_journals, shard
from spooftrace.common.progress import Progress
from spooftrace.common.text import read_lines
from spooftrace.datadir import DataDir, write_table
from spooftrace.datadir.edit import restrict
from spooftrace.datadir.incomplete import UNUSABLE, Gap, replace_gaps
from spooftrace.datadir.tables import write_text

# On a local disk one thread is as fast (Python's lock is the limit); on a network disk each file is a wait.
THREADS = 8
CHUNK = 1000  # files waiting for the threads at a time, so that memory does not grow with the corpus
SHOWN = 10
BAD = "bad"  # the record of a file that cannot be used: "bad <reason>"; otherwise "<samples> <rate> <channels>"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace durations``."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data directories")
    add_job_options(parser)
    parser.add_argument(
        "--on-bad-audio", choices=("fail", "skip"), default="fail",
        help="fail (default): name the files and stop; skip: list them in DIR/bad_audio.txt and, with --collect, take "
        "their utterances out of the data directory",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """``spooftrace durations``."""
    skip = args.on_bad_audio == "skip"
    bad: dict[str, str] = {}
    for folder in args.data:
        data = DataDir.read(folder)
        if "utt2dur" in data.tables:
            print(f"{folder}/utt2dur: already complete, {len(data.utts):,} utterances")
        elif args.collect:
            collect(data, skip)
        else:
            failed = probe_part(data, args.job, args.num_jobs, skip)
            bad |= {f"{folder}: {key}": reason for key, reason in failed.items()}
            if args.num_jobs == 1 and (skip or not failed):
                collect(data, skip)
    if bad and not skip:
        for line in list(bad.values())[:SHOWN]:
            print(line, file=sys.stderr)
        raise InputError(f"{len(bad):,} audio files cannot be used; get them again or give --on-bad-audio skip")


def probe(path: str) -> tuple[int, int, int]:
    """``(samples per channel, rate in Hz, channels)`` of a file, which is decoded to the end.

    A header says nothing about whether the rest is there, and nothing about levels.

    Raises:
        InputError: the file is missing, empty, cut short, damaged or not audio.
    """
    return check_audio(path)


def probe_part(data: DataDir, job: int = 1, num_jobs: int = 1, skip: bool = False) -> dict[str, str]:
    """Look at the audio files of one part of a data directory and record what they are; goes on after a killed run.

    Args:
        data: the directory.
        job: this part, from 1.
        num_jobs: number of parts.
        skip: record files that cannot be used, too; otherwise a repeated run looks at them again.

    Returns:
        Key of ``wav.scp`` -> what is wrong, for the files that cannot be used.

    Raises:
        InputError: there is no ``wav.scp`` or no such part.
    """
    wav = data.table("wav.scp")
    part = shard(list(wav), job, num_jobs)
    folder, origin = _records(data)
    for old in other_journals(folder, origin):
        old.unlink(missing_ok=True)
    known, _ = _read_records(data)
    waiting = [key for key in part if key not in known]
    bad: dict[str, str] = {}
    if not waiting:
        print(f"{data.path}: part {job} of {num_jobs} is done already")
        return bad
    with (
        Journal(folder, job, num_jobs, origin) as journal,
        ThreadPoolExecutor(THREADS) as pool,
        Progress(f"{data.path} durations, part {job} of {num_jobs}", len(part)) as progress,
    ):
        progress.advance(len(part) - len(waiting))
        for start in range(0, len(waiting), CHUNK):
            keys = waiting[start : start + CHUNK]
            for key, text in zip(keys, pool.map(_describe, map(wav.__getitem__, keys)), strict=True):
                if text.startswith(BAD):
                    bad[key] = text[len(BAD) + 1 :]
                if skip or key not in bad:
                    journal.add(key, text)
            progress.advance(len(keys))
    return bad


def collect(data: DataDir, skip: bool = False) -> DataDir:
    """Write ``utt2dur`` from the records of all parts and print what was found.

    With ``skip`` utterances whose audio cannot be used are listed in ``bad_audio.txt`` and leave the data directory.

    Raises:
        InputError: files have not been looked at yet, or (without ``skip``) cannot be used; nothing is changed.
    """
    good, bad_files = _read_records(data)
    missing = [key for key in data.table("wav.scp") if key not in good and not (skip and key in bad_files)]
    if missing:
        hint = "run the jobs of 'spooftrace durations' first (again, if one failed)"
        raise InputError(f"{data.path}: {len(missing):,} audio files have no duration, first '{missing[0]}'; {hint}")
    seconds, bad = _durations(data, good, bad_files)
    if bad and not skip:
        utt, reason = next(iter(bad.items()))
        more = "correct segments or give --on-bad-audio skip"
        raise InputError(f"{data.path}: {len(bad):,} utterances cannot be used, first '{utt}' ({reason}); {more}")
    if not seconds:
        raise InputError(f"{data.path}: none of {len(bad):,} utterances can be used; check the paths in wav.scp")
    out = _list_bad(data.path / "bad_audio.txt", bad, seconds)
    name = data.path.resolve().name
    # First of all: a killed run must not leave a smaller set that passes for the whole.
    replace_gaps(data.path, [UNUSABLE], [Gap(name, UNUSABLE, out, out + len(seconds))] if out else [])
    if bad:
        tables = restrict(data.tables, seconds)
        data = DataDir.write(data.path, {**tables, "utt2dur": seconds})
        print(f"{data.path}: took out {len(bad):,} utterances with unusable audio, see {data.path / 'bad_audio.txt'}")
        # The records stay: stage 1 prepares the set with these utterances again, and the others are known then.
    else:
        write_table(data.path / "utt2dur", seconds)
        shutil.rmtree(data.path / ".durations")
    _summarise(data, seconds, good)
    return data


def seconds_text(samples: int, rate: int) -> str:
    """A duration as it stands in ``utt2dur``: exact to the sample for every usual rate.

    >>> seconds_text(36800, 16000), seconds_text(1, 48000)
    ('2.3', '0.000021')
    """
    return f"{samples / rate:.6f}".rstrip("0").rstrip(".")


def _records(data: DataDir) -> tuple[Path, dict[str, str]]:
    """Where the parts are recorded (no file of the data directory, so nothing else reads it), and from what."""
    return data.path / ".durations", fingerprint(data.path, "wav.scp")


def _read_records(data: DataDir) -> tuple[dict[str, str], dict[str, str]]:
    """Key of ``wav.scp`` -> samples, rate, channels of the usable files; key -> reason of the others."""
    good: dict[str, str] = {}
    bad: dict[str, str] = {}
    for key, text in read_journals(*_records(data)):
        if text.startswith(BAD):
            bad[key] = text[len(BAD) + 1 :]
        else:
            good[key] = text
    return good, {key: reason for key, reason in bad.items() if key not in good}  # some may have been repaired


def _describe(path: str) -> str:
    try:
        return " ".join(map(str, probe(path)))
    except (InputError, OSError) as error:
        return f"{BAD} {error}"


def _durations(
    data: DataDir, good: Mapping[str, str], bad_files: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Utterance -> seconds; utterance -> reason where there is no usable audio."""
    seconds: dict[str, str] = {}
    bad: dict[str, str] = {}
    segments = data.tables.get("segments")
    for utt in data.utts:
        key, *span = segments[utt].split() if segments else [utt]
        if key not in good:
            bad[utt] = bad_files[key]
            continue
        samples, rate, _ = map(int, good[key].split())
        if span:  # the same rounding and tolerance as read_audio
            first, last = (round(float(time) * rate) for time in span)
            if not first < min(last, samples) or (last - samples) / rate > MAX_OVERSHOOT:
                path = data.tables["wav.scp"][key]
                bad[utt] = f"{path}: has {samples / rate:.3f} s, the segment is from {span[0]} to {span[1]}"
                continue
            samples = min(last, samples) - first
        seconds[utt] = seconds_text(samples, rate)
    return seconds, bad


def _list_bad(path: Path, bad: Mapping[str, str], good: Collection[str]) -> int:
    """Add utterances and reasons to those that an earlier run took out, but for those that are ``good`` by now.

    Returns how many utterances are listed then.
    """
    earlier = read_lines(path) if path.exists() else []
    out = [line for line in earlier if line.partition(" ")[0] not in good]
    lines = list(dict.fromkeys([*out, *(f"{utt} {reason}" for utt, reason in bad.items())]))
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len({line.partition(" ")[0] for line in lines})


def _summarise(data: DataDir, seconds: Mapping[str, str], good: Mapping[str, str]) -> None:
    """One line about the audio, which shows a mixture of rates or channels."""
    files = [tuple(map(int, good[key].split())) for key in data.table("wav.scp")]
    rates = Counter(rate for _, rate, _ in files).most_common()
    rate_text = " and ".join(f"{rate} Hz ({count:,} files)" for rate, count in rates)
    above_one = sorted({channels for _, _, channels in files if channels > 1})
    number = sum(channels > 1 for _, _, channels in files)
    channel_text = f"{number:,} files with more than 1 channel ({', '.join(map(str, above_one))})" if number else "mono"
    values = [float(text) for text in seconds.values()]
    print(
        f"{data.path}: {len(values):,} utterances, {sum(values) / 3600:,.2f} h, "
        f"{min(values):.2f} to {max(values):.2f} s, {rate_text}, {channel_text}"
    )
