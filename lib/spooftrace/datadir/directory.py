"""The data directory as one object: read it, write it, check it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.datadir.checks import is_keyed_by_utterance, problems_in_audio, problems_in_tables
from spooftrace.datadir.tables import (
    EARLIER_NAMES,
    by_key,
    check_table,
    current_name,
    has_content,
    read_aligned_table,
    read_table,
    spk2utt_from_utt2spk,
    table_path,
    text_of,
)

FILES = (
    "utt2spk",
    "spk2utt",
    "wav.scp",
    "segments",
    "feats.scp",
    "utt2label",
    "utt2attack",
    "utt2dur",
    "utt2vq",
    "utt2aux",
    "utt2dec",
    "utt2codec",
    "utt2nac",
    "utt2subset",
    "utt2cond",
)


@dataclass(frozen=True)
class DataDir:
    """The tables of one data directory, consistent with each other.

    ``tables`` maps a file name to its table, key -> rest of the line, for the files that are there. ``utts`` is sorted
    by bytes, and every table keyed by utterance has exactly these keys in this order.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> data = DataDir.write(folder, {"utt2spk": {"u1": "amy", "u2": "bob"}, "wav.scp": {"u1": "a.wav", "u2": "b.wav"}})
    >>> DataDir.read(folder).table("spk2utt")
    {'amy': 'u1', 'bob': 'u2'}
    """

    path: Path
    tables: dict[str, dict[str, str]]

    @classmethod
    def read(cls, path: str | Path, allow_pipes: bool = False) -> DataDir:
        """Read and check every known file of a data directory.

        Args:
            path: The directory.
            allow_pipes: Accept ``command |`` entries in scp files, which run the command when they are read.

        Raises:
            InputError: The first problem that ``validate`` would report.
        """
        data, problems = _load(Path(path), allow_pipes)
        for problem in problems:
            raise InputError(problem)
        return data

    @classmethod
    def write(cls, path: str | Path, tables: Mapping[str, Mapping[str, str]], allow_pipes: bool = False) -> DataDir:
        """Make ``path`` a data directory of exactly these tables; ``spk2utt`` is derived from ``utt2spk``.

        Known files that are not among ``tables`` are removed: they would describe other utterances. Files that already
        have the right content stay untouched. ``utt2spk``, without which no directory can be read, goes first and
        comes back last, so a killed run never leaves a mixture of two versions that reads as whole. (To add one file
        to a directory use ``write_table``.)

        Raises:
            InputError: The tables contradict each other, or a key or value cannot be written.
        """
        path = Path(path)
        order = by_key(tables.get("utt2spk", {}))
        ordered = {name: by_key(table, like=order) for name, table in tables.items()}
        if "utt2spk" in ordered:
            ordered["spk2utt"] = spk2utt_from_utt2spk(ordered["utt2spk"])
        for problem in problems_in_tables(path, ordered, allow_pipes):
            raise InputError(problem)
        for name, table in ordered.items():
            check_table(table, path / name)
        utt2spk = path / "utt2spk"
        for file in (path / name for name in [*known_files(path), *EARLIER_NAMES.values()] if name not in ordered):
            if file.exists():
                utt2spk.unlink(missing_ok=True)
                file.unlink()
        for name in [*(name for name in ordered if name != "utt2spk"), "utt2spk"]:
            text = text_of(ordered[name])  # one at a time, to hold less in memory
            if not has_content(path / name, text):
                utt2spk.unlink(missing_ok=True)
                with atomic_write(path / name) as stream:
                    stream.write(text)
        return cls(path, ordered)

    @cached_property
    def utts(self) -> list[str]:
        """All utterances, sorted by bytes."""
        return list(self.tables["utt2spk"])

    def table(self, name: str) -> dict[str, str]:
        """One table by file name; names of earlier versions work too.

        Raises:
            InputError: The directory does not have this file.
        """
        name = current_name(name)
        if name not in self.tables:
            raise InputError(f"{self.path / name}: no such file, and this step needs it; prepare the directory with it")
        return self.tables[name]

    def audio(self, utt: str) -> tuple[str, float | None, float | None]:
        """Where the sound of an utterance is: ``(path, start, end)``, in seconds, ``None`` for a whole file.

        Raises:
            InputError: There is no ``wav.scp``.
        """
        wav = self.table("wav.scp")
        if "segments" not in self.tables:
            return wav[utt], None, None
        recording, start, end = self.tables["segments"][utt].split()
        return wav[recording], float(start), float(end)


def validate(path: str | Path, allow_pipes: bool = False, check_audio: bool = False, limit: int = 10) -> list[str]:
    """All problems of a data directory, at most ``limit``, one line each; an empty list means that it is sound.

    Beyond what ``DataDir.read`` asks for, ``spk2utt`` and one of ``wav.scp`` and ``feats.scp`` must be there. Unlike
    in Kaldi the speaker need not be the beginning of the utterance id: Kaldi's statistics per speaker join two sorted
    streams and need utterances sorted by speaker too, nothing here does, and the ids of most corpora do not comply.

    Args:
        path: The directory.
        allow_pipes: Accept ``command |`` entries in scp files.
        check_audio: Also check that the audio files of ``wav.scp`` exist and are not empty.
        limit: Stop after so many problems.
    """

    def everything() -> Iterator[str]:
        data, problems = _load(Path(path), allow_pipes)
        yield from problems
        if "utt2spk" in data.tables:
            if not (data.path / "spk2utt").exists():
                yield f"{data.path / 'spk2utt'}: no such file; run utils/fix_data_dir.sh {data.path}"
            if not any((data.path / name).exists() for name in ("wav.scp", "feats.scp")):
                yield f"{data.path}: has neither wav.scp nor feats.scp; prepare the data directory again"
        if check_audio:
            yield from problems_in_audio(data.path, data.tables.get("wav.scp", {}))

    return list(islice(everything(), limit))


def known_files(path: Path) -> list[str]:
    """Current names of the tables in a folder: those of ``FILES``, then any other ``utt2...``."""
    if not path.is_dir():
        return []
    files = (entry.name for entry in path.iterdir() if entry.is_file())
    names = {current_name(name) for name in files if name in FILES or re.fullmatch(r"utt2\w+", name)}
    return [name for name in FILES if name in names] + sorted(names - set(FILES))


def _load(path: Path, allow_pipes: bool) -> tuple[DataDir, Iterator[str]]:
    """Every known file that can be read, and all problems, found one at a time.

    Raises:
        InputError: There is no such directory.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such data directory; prepare it first (stage 1)")
    names = known_files(path)
    tables: dict[str, dict[str, str]] = {}
    unreadable: dict[str, str] = {}
    utts: list[str] = []
    prefixes: list[str] = []
    for name in names:
        try:
            aligned = utts and is_keyed_by_utterance(name, names)
            file = table_path(path, name)
            table = read_aligned_table(file, utts, prefixes) if aligned else None
            tables[name] = read_table(file) if table is None else table
        except InputError as error:
            unreadable[name] = str(error)
        if name == "utt2spk" and name in tables:
            utts = list(tables[name])
            prefixes = [f"{utt} " for utt in utts]

    def problems() -> Iterator[str]:
        yield from unreadable.values()
        if "utt2spk" not in unreadable:  # without utterances nothing else can be compared
            yield from problems_in_tables(path, tables, allow_pipes, unreadable)

    return DataDir(path, tables), problems()
