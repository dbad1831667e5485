"""What must hold between and inside the tables of a data directory. Each problem is one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from spooftrace.datadir.tables import spk2utt_from_utt2spk

LABELS = ("bonafide", "spoof")
Tables = Mapping[str, Mapping[str, str]]


def is_keyed_by_utterance(name: str, tables: Collection[str]) -> bool:
    """Are the keys of this file utterances, given the names of the files that are there?

    ``wav.scp`` lists recordings where there is a ``segments`` file.
    """
    if name == "wav.scp":
        return "segments" not in tables
    return name != "spk2utt"


def problems_in_tables(
    path: Path, tables: Tables, allow_pipes: bool, unreadable: Collection[str] = ()
) -> Iterator[str]:
    """Every problem between and inside the tables (already known to be sorted and unique).

    Args:
        path: The directory, for the messages.
        tables: File name -> table.
        allow_pipes: Accept ``command |`` in scp files.
        unreadable: Files that are there but not in ``tables``, because they could not be read.
    """
    if not tables.get("utt2spk"):
        missing = "no such file" if "utt2spk" not in tables else "no utterances"
        yield f"{path / 'utt2spk'}: {missing}; prepare the data directory again (stage 1)"
        return
    names = [*tables, *unreadable]
    for name, table in tables.items():
        if is_keyed_by_utterance(name, names):
            yield from _same_keys(path, name, table, tables["utt2spk"])
    for name, table in tables.items():
        if name in CONTENTS and not all(map(CONTENTS[name][0], set(table.values()))):
            good, wish = CONTENTS[name]
            for number, (key, value) in enumerate(table.items(), 1):
                if not good(value):
                    yield f"{path / name}:{number}: '{key}' has '{value}', expected {wish}; correct the line"
    if "segments" in tables and "wav.scp" in tables:
        yield from _recordings(path, tables["segments"], tables["wav.scp"])
    if "spk2utt" in tables:
        yield from _speakers(path, tables["spk2utt"], tables["utt2spk"])
    if not allow_pipes:
        for name in ("wav.scp", "feats.scp"):
            for number, value in enumerate(tables.get(name, {}).values(), 1):
                if value[-1] == "|" or value[0] == "|":
                    yield f"{path / name}:{number}: '{value}' would run a command; write files or allow pipes"


def _same_keys(path: Path, name: str, table: Mapping[str, str], utt2spk: Mapping[str, str]) -> Iterator[str]:
    if len(table) == len(utt2spk) and list(table) == list(utt2spk):
        return
    lacking = [utt for utt in utt2spk if utt not in table]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        yield f"{path / name}: lacks utterance '{lacking[0]}' of utt2spk{more}; run utils/fix_data_dir.sh {path}"
    for number, utt in enumerate(table, 1):
        if utt not in utt2spk:
            yield f"{path / name}:{number}: utterance '{utt}' is not in utt2spk; run utils/fix_data_dir.sh {path}"


def _recordings(path: Path, segments: Mapping[str, str], wav: Mapping[str, str]) -> Iterator[str]:
    used = set()
    for number, (utt, value) in enumerate(segments.items(), 1):
        recording = value.split(maxsplit=1)[0]
        used.add(recording)
        if recording not in wav:
            yield (
                f"{path / 'segments'}:{number}: utterance '{utt}' is cut from recording '{recording}', which is not in "
                f"wav.scp; run utils/fix_data_dir.sh {path}"
            )
    for number, recording in enumerate(wav, 1):
        if recording not in used:
            yield (
                f"{path / 'wav.scp'}:{number}: no utterance of segments uses recording '{recording}'; "
                f"run utils/fix_data_dir.sh {path}"
            )


def _speakers(path: Path, spk2utt: Mapping[str, str], utt2spk: Mapping[str, str]) -> Iterator[str]:
    expected = spk2utt_from_utt2spk(utt2spk)
    if spk2utt == expected:
        return
    for speaker in expected.keys() - spk2utt.keys():
        yield f"{path / 'spk2utt'}: lacks speaker '{speaker}' of utt2spk; run utils/fix_data_dir.sh {path}"
    for number, (speaker, utts) in enumerate(spk2utt.items(), 1):
        if utts != expected.get(speaker):
            yield (
                f"{path / 'spk2utt'}:{number}: the utterances of speaker '{speaker}' are not those of utt2spk; "
                f"run utils/fix_data_dir.sh {path}"
            )


def problems_in_audio(path: Path, wav: Mapping[str, str]) -> Iterator[str]:
    """Audio files of ``wav.scp`` that are missing or empty; ``command |`` entries are passed over."""
    for number, (key, value) in enumerate(wav.items(), 1):
        if value[-1] == "|":
            continue
        audio = Path(value)
        if not audio.is_file() or audio.stat().st_size == 0:
            state = "empty" if audio.is_file() else "not a file"
            yield f"{path / 'wav.scp'}:{number}: '{key}' points to {value}, which is {state}; get the corpus again"


def _one_field(value: str) -> bool:
    return len(value.split()) == 1


def _positive(value: str) -> bool:
    try:
        return 0 < float(value) < float("inf")
    except ValueError:
        return False


def _codec_parameters(value: str) -> bool:
    fields = value.split()
    return len(fields) == 3 and all(field == "-" or _positive(field) for field in fields)


def _segment(value: str) -> bool:
    fields = value.split()
    try:
        return len(fields) == 3 and 0 <= float(fields[1]) < float(fields[2]) < float("inf")
    except ValueError:
        return False


# File -> (is this value good?, what a good one is).
CONTENTS: dict[str, tuple[Callable[[str], bool], str]] = {
    "utt2label": (LABELS.__contains__, " or ".join(LABELS)),
    "utt2dur": (_positive, "a duration in seconds above 0"),
    "utt2nac": (_codec_parameters, "three fields, kHz, kbit/s and quantizers, '-' where unknown"),
    "segments": (_segment, "recording, start and end in seconds, start before end"),
    **dict.fromkeys(
        ("utt2spk", "utt2attack", "utt2vq", "utt2aux", "utt2dec", "utt2codec", "utt2subset", "utt2cond"),
        (_one_field, "one field"),
    ),
}
