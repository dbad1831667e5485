"""Stage 1: decode every audio file of a data directory, and write ``utt2dur``.

An array job: job ``J`` of ``N`` decodes its shard of ``wav.scp`` and records the results in ``<data>/.durations``;
``--collect`` checks that every file was decoded and writes the table. A single job does both. Unusable audio is
reported here, in minutes, and not after hours of extraction or training.

The records keep the size and the time of the last change of each file. A later run measures replaced files again.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from spooftrace.audio.reading import MAX_OVERSHOOT, check_audio
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.journal import ArrayJob, fingerprint
from spooftrace.common.text import read_lines
from spooftrace.datadir import DataDir, write_table
from spooftrace.datadir.edit import restrict
from spooftrace.datadir.incomplete import UNUSABLE, Gap, replace_gaps
from spooftrace.datadir.sources import Source, current_records, stamp, states
from spooftrace.datadir.tables import write_text

# Network disks have a delay for each file. On a local disk one thread is as fast: the interpreter lock is the limit.
THREADS = 8
SHOWN = 10
BAD = "bad"  # the record of an unusable file is "bad <reason>", that of a usable file "<samples> <rate> <channels>"


def measure(
    folders: Sequence[Path], job: int = 1, num_jobs: int = 1, collect_only: bool = False, skip: bool = False
) -> None:
    """Write ``utt2dur`` of data directories, or do one job's share of the work.

    Args:
        folders: The data directories.
        job: Number of this job, from 1.
        num_jobs: Jobs that share the work; a single one also collects.
        collect_only: Only write the tables, after all jobs have run.
        skip: Take utterances with unusable audio out of the data directories.

    Raises:
        InputError: Audio files cannot be used and ``skip`` is false, or files have not been measured yet.
    """
    bad: dict[str, str] = {}
    for folder in folders:
        data = DataDir.read(folder)
        if is_complete(data, *((1, 1) if collect_only else (job, num_jobs))):
            print(f"{folder}/utt2dur: already complete, {counted(len(data.utts), 'utterance')}")
        elif collect_only:
            collect(data, skip)
        else:
            failed = probe_shard(data, job, num_jobs, skip)
            bad |= {f"{folder}: {key}": reason for key, reason in failed.items()}
            if num_jobs == 1 and (skip or not failed):
                collect(data, skip)
    if bad and not skip:
        for line in list(bad.values())[:SHOWN]:
            print(line, file=sys.stderr)
        raise InputError(
            f"{counted(len(bad), 'audio file')} cannot be used; get the audio again or give --on-bad-audio skip"
        )


def is_complete(data: DataDir, job: int = 1, num_jobs: int = 1) -> bool:
    """Return whether ``utt2dur`` exists and still describes the audio of one shard of a data directory.

    A file counts as replaced if its size or the time of its last change differs from the record of an earlier run. A
    table without such records, which came with the corpus, is trusted if no audio file is newer.

    Args:
        data: The data directory.
        job: Number of the shard, from 1.
        num_jobs: Number of shards.

    Raises:
        InputError: The shard does not exist.
    """
    if "utt2dur" not in data.tables:
        return False
    wav = data.table("wav.scp")
    work = _array_job(data, job, num_jobs)
    audio = {key: wav[key] for key in work.shard(list(wav))}
    written = (data.path / "utt2dur").stat().st_mtime_ns
    rows = dict(work.records())
    if not rows:
        changes = (state.split(" ", 2)[1] for _, state in states({key: Source(path) for key, path in audio.items()}))
        return not any(change.isdigit() and int(change) > written for change in changes)
    if any(path.stat().st_mtime_ns > written for path in work.folder.glob("*.journal")):
        return False  # measured again, and not yet collected
    current = current_records(work.records(), audio)
    return all(key in current for key in audio if key in rows)


def probe(path: str) -> tuple[int, int, int]:
    """Decode a whole file and return its samples per channel, rate in Hz and number of channels.

    The header does not show whether the samples are complete, nor their levels.

    Raises:
        InputError: The file is missing, empty, cut short, damaged or not audio.
    """
    return check_audio(path)


def probe_shard(data: DataDir, job: int = 1, num_jobs: int = 1, skip: bool = False) -> dict[str, str]:
    """Decode the audio files of one shard and record their lengths. A killed run is continued.

    Args:
        data: The data directory.
        job: Number of this shard, from 1.
        num_jobs: Number of shards.
        skip: Record unusable files, too. Otherwise a later run decodes them again.

    Returns:
        Key of ``wav.scp`` -> reason, for the files that cannot be used.

    Raises:
        InputError: ``wav.scp`` is missing, or the shard does not exist.
    """
    wav = data.table("wav.scp")
    work = _array_job(data, job, num_jobs)
    keys = work.shard(list(wav))
    work.remove_stale()
    known, _ = _read_records(data)
    if all(key in known for key in keys):
        print(f"{data.path}: shard {job} of {num_jobs} is already complete")
        return {}
    records = work.run(
        f"{data.path} durations", keys, known, lambda key: _describe(wav[key]), threads=THREADS,
        keep=lambda text: skip or not _reason(text),
    )  # fmt: skip
    return {key: reason for key, text in records.items() if (reason := _reason(text))}


def collect(data: DataDir, skip: bool = False) -> DataDir:
    """Write ``utt2dur`` from the records of all shards and print a summary.

    With ``skip``, utterances with unusable audio are listed in ``bad_audio.txt`` and removed from the data directory.

    Returns:
        The data directory with ``utt2dur``.

    Raises:
        InputError: Files have not been decoded yet, or (without ``skip``) cannot be used. Nothing is changed then.
    """
    good, bad_files = _read_records(data)
    missing = [key for key in data.table("wav.scp") if key not in good and not (skip and key in bad_files)]
    if missing:
        have = "has no current duration" if len(missing) == 1 else "have no current duration"
        hint = "run the jobs of 'spooftrace durations' first (again, if one failed)"
        raise InputError(f"{data.path}: {counted(len(missing), 'audio file')} {have}, first '{missing[0]}'; {hint}")
    seconds, bad = _durations(data, good, bad_files)
    if bad and not skip:
        utt, reason = next(iter(bad.items()))
        count = counted(len(bad), "utterance")
        hint = "correct segments or give --on-bad-audio skip"
        raise InputError(f"{data.path}: {count} cannot be used, first '{utt}' ({reason}); {hint}")
    if not seconds:
        count = counted(len(bad), "utterance")
        raise InputError(f"{data.path}: none of {count} can be used; check the paths in wav.scp")
    num_removed = _list_bad(data.path / "bad_audio.txt", bad, seconds)
    name = data.path.resolve().name
    # Record the gap first: a killed run must not leave a smaller set that passes for the whole.
    gaps = [Gap(name, UNUSABLE, num_removed, num_removed + len(seconds))] if num_removed else []
    replace_gaps(data.path, [UNUSABLE], gaps)
    if bad:
        tables = restrict(data.tables, seconds)
        data = DataDir.write(data.path, {**tables, "utt2dur": seconds})
        count = counted(len(bad), "utterance")
        print(f"{data.path}: removed {count} with unusable audio, see {data.path / 'bad_audio.txt'}")
    else:
        write_table(data.path / "utt2dur", seconds)
    _summarise(data, seconds, good)
    return data


def seconds_text(samples: int, rate: int) -> str:
    """Return a duration as ``utt2dur`` has it: exact to the sample for every usual rate.

    >>> seconds_text(36800, 16000), seconds_text(1, 48000)
    ('2.3', '0.000021')
    """
    return f"{samples / rate:.6f}".rstrip("0").rstrip(".")


def _array_job(data: DataDir, job: int = 1, num_jobs: int = 1) -> ArrayJob:
    """Return the work on a data directory. The folder of its journals is not part of the data directory."""
    return ArrayJob(data.path / ".durations", fingerprint(data.path, "wav.scp"), job, num_jobs)


def _read_records(data: DataDir) -> tuple[dict[str, str], dict[str, str]]:
    """Return the current records: key -> "samples rate channels" of usable files, and key -> reason of the others."""
    records = current_records(_array_job(data).records(), data.table("wav.scp"))
    good = {key: " ".join(fields) for key, fields in records.items() if fields[0] != BAD}
    return good, {key: " ".join(fields[1:]) for key, fields in records.items() if fields[0] == BAD}


def _describe(path: str) -> str:
    """Return the record of a file: its lengths or the reason, then the state of the file before it was read."""
    source = stamp(path)
    try:
        return f"{' '.join(map(str, probe(path)))} {source}"
    except (InputError, OSError) as error:
        return f"{BAD} {error} {source}"


def _reason(record: str) -> str:
    """Return why the file of a record cannot be used; empty if it can."""
    return " ".join(record.split()[1:-1]) if record.startswith(f"{BAD} ") else ""


def _durations(
    data: DataDir, good: Mapping[str, str], bad_files: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return utterance -> seconds, and utterance -> reason for those without usable audio."""
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
    """Add utterances to the list of those removed earlier, drop those that are ``good`` now; returns their number."""
    earlier = read_lines(path) if path.exists() else []
    still_bad = [line for line in earlier if line.partition(" ")[0] not in good]
    lines = list(dict.fromkeys([*still_bad, *(f"{utt} {reason}" for utt, reason in bad.items())]))
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len({line.partition(" ")[0] for line in lines})


def _summarise(data: DataDir, seconds: Mapping[str, str], good: Mapping[str, str]) -> None:
    """Print a line about the audio, which shows a mixture of rates or channels."""
    files = [tuple(map(int, good[key].split())) for key in data.table("wav.scp")]
    rates = Counter(rate for _, rate, _ in files).most_common()
    rate_text = " and ".join(f"{rate} Hz ({counted(count, 'file')})" for rate, count in rates)
    multichannel = [channels for _, _, channels in files if channels > 1]
    channel_text = "mono"
    if multichannel:
        numbers = ", ".join(map(str, sorted(set(multichannel))))
        channel_text = f"{counted(len(multichannel), 'file')} with more than 1 channel ({numbers})"
    values = [float(text) for text in seconds.values()]
    print(
        f"{data.path}: {counted(len(values), 'utterance')}, {sum(values) / 3600:,.2f} h, "
        f"{min(values):.2f} to {max(values):.2f} s, {rate_text}, {channel_text}"
    )
