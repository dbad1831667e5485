"""What the trials of a test set are: official key files and data directories."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.common.text import is_readable, iterate_lines, read_lines, read_text
from spooftrace.corpora.protocol import LABELS, Trials, rows
from spooftrace.datadir.tables import read_aligned_table, read_table, table_path
from spooftrace.evaluation.columns import Columns, has_quotes, possible
from spooftrace.evaluation.conventions import CONVENTIONS
from spooftrace.evaluation.score_files import ScoreFile, read_score_file
from spooftrace.evaluation.score_layouts import CLASSES, LOOKED_AT, UTTS
from spooftrace.evaluation.tables import is_total
from spooftrace.evaluation.trials import Column, Key, first

Tables = Mapping[str, Mapping[str, str]]

# The properties of trials that something is computed by: the file utt2NAME of a data directory.
PROPERTIES = (*dict.fromkeys(name for rules in CONVENTIONS.values() for name in rules.by), "spk")


def read_key(path: str | Path, form: str) -> Key:
    """The trials of an official key file, or of any file of lines ``utt label``.

    Args:
        path: the file.
        form: what it is, a name in FORMATS.

    Raises:
        InputError: the file is not there or not of this form (naming the line), or lacks one of the classes.
    """
    path = Path(path)
    if not is_readable(path):
        raise InputError(f"{path}: no such key file")
    return _key(path.stem, path, FORMATS[form](path))


def read_data_key(data: str | Path) -> Key:
    """The trials of a data directory: ``utt2label``, and ``utt2attack`` and so on as far as they are there.

    Raises:
        InputError: no such table, one that is damaged, an unknown label, a set without one of the classes, or a trial
            that has no entry in a table.
    """
    data = Path(data)
    if not (data / "utt2label").is_file():
        raise InputError(f"{data / 'utt2label'}: no such file; run the data preparation stage first")
    tables = {"utt2label": read_table(data / "utt2label")}
    for line, (utt, label) in enumerate(tables["utt2label"].items(), start=1):
        if label not in ("bonafide", "spoof"):
            raise InputError(f"{data / 'utt2label'}:{line}: label '{label}' of {utt} is neither bonafide nor spoof")
    utts = list(tables["utt2label"])
    prefixes = [f"{utt} " for utt in utts]
    for name in (f"utt2{name}" for name in PROPERTIES):
        path = table_path(data, name)
        if path.exists():
            tables[name] = read_aligned_table(path, utts, prefixes) or read_table(path)
    return _key(data.resolve().name, data, tables)


def key_of_scores(file: ScoreFile) -> Key:
    """The key that an ASVspoof 2019, a-DCF or NII score file carries along.

    Raises:
        InputError: the file has no classes, or only one of them.
    """
    if "utt2label" not in file.tables:
        raise InputError(f"{file.path}: holds no classes; give the key of the test set with --data or --key")
    unknown = [utt for utt in file.scores if utt not in file.tables["utt2label"]]
    if unknown:
        raise InputError(
            f"{file.path}:{file.line_of(unknown[0])}: no class is given for {len(unknown)} of {len(file.scores)} "
            f"trials ({first(unknown)}); give the key of the test set with --data or --key"
        )
    return _key(file.path.stem, file.path, file.tables)


def convention_of(data: str | Path) -> str:
    """The convention that a data directory is evaluated by: the word in its file ``convention``, or "plain".

    Raises:
        InputError: the word is not in FORMATS.
    """
    path = Path(data) / "convention"
    word = read_text(path).strip() if path.is_file() else "plain"
    if word not in FORMATS:
        raise InputError(f"{path}: unknown convention '{word}'; known are {', '.join(FORMATS)}")
    return word


def _key(name: str, path: Path, tables: Tables) -> Key:
    labels = tables["utt2label"]
    utts = list(labels)
    if not utts:
        raise InputError(f"{_part(path, 'utt2label')}: lists no trial; get the file again")
    is_bonafide = np.fromiter((label == "bonafide" for label in labels.values()), dtype=bool, count=len(utts))
    for kind, there in (("bona fide", is_bonafide.any()), ("spoof", not is_bonafide.all())):
        if not there:
            raise InputError(f"{_part(path, 'utt2label')}: no {kind} trial; an EER needs both classes")
    columns = {}
    for name_of_column in PROPERTIES:
        table = tables.get(f"utt2{name_of_column}")
        if table:
            columns[name_of_column] = _column(path, name_of_column, table, utts, is_bonafide)
    return Key(name, path, utts, is_bonafide, columns)


def _column(path: Path, name: str, table: Mapping[str, str], utts: list[str], is_bonafide: np.ndarray) -> Column:
    values = list(table.values()) if list(table) == utts else list(map(table.get, utts))
    if None in values:
        # Only spoof trials have an attack, and a vocoder, which is part of the attack.
        needless = is_bonafide if name in ("attack", "vocoder") else np.zeros_like(is_bonafide)
        without = [utts[index] for index in np.flatnonzero(~needless) if values[index] is None]
        if without:
            kind = "spoof trials" if needless.any() else "trials"
            raise InputError(
                f"{_part(path, f'utt2{name}')}: no {name} for {len(without)} {kind} ({first(without)}); "
                "prepare the data directory again"
            )
    column = Column.of("-" if value is None else value for value in values)
    if reserved := [value for value in column.values if is_total(value)]:
        raise InputError(f"{_part(path, f'utt2{name}')}: '{reserved[0]}' is what tables call their totals; rename it")
    return column


def _part(path: Path, table: str) -> Path:
    return path / table if path.is_dir() else path


def _corpus(name: str) -> Callable[[Path], Tables]:
    """The reader of a corpus' own protocol."""

    def read(path: Path) -> Tables:
        return importlib.import_module(f"spooftrace.corpora.{name}").read_protocol(path).tables

    return read


def _asvspoof2019(path: Path) -> Tables:
    """The protocol of 5 columns, or a score file of 4 columns, which has the key in it."""
    return read_score_file(path).tables if len(_first_line(path)) == 4 else _corpus("asvspoof2019")(path)


def _asvspoof5(path: Path) -> Tables:
    """The protocol of 10 columns, or one of the two keys of the evaluation package, which have a header."""
    header = _first_line(path)
    for utt, attack, cond, speaker in (
        ("filename", "", "", ""),
        ("trial_anon", "attack_anon", "codec", "tar_spk_anon"),
    ):
        if {utt, "cm-label"} <= set(header):
            return _with_header(path, header, utt, {"attack": attack, "cond": cond}, speaker)
    return _corpus("asvspoof5")(path)


def _with_header(path: Path, header: list[str], utt: str, columns: Mapping[str, str], speaker: str) -> Tables:
    at = {name: header.index(column) for name, column in columns.items() if column in header}
    trials = Trials()
    lines = rows(path, len(header))
    next(lines)
    for number, fields in lines:
        label = fields[header.index("cm-label")]
        properties = {name: fields[index] for name, index in at.items()}
        if LABELS.get(label) == "bonafide" and "attack" in properties:
            properties["attack"] = "-"
        who = fields[header.index(speaker)] if speaker in header else "-"
        trials.add((path, number), fields[header.index(utt)], speaker=who, label=label, **properties)
    return trials.tables


def _plain(path: Path) -> Tables:
    """Lines ``utt label``, separated as score files are, or columns of these names in a table with a header."""
    lines = read_lines(path)
    at, line = next(((at, line) for at, line in enumerate(lines) if line.strip()), (0, ""))
    quoted = has_quotes(lines[:LOOKED_AT])
    columns, width, utt, label, start = Columns("", quoted), 2, 0, 1, at
    for way, fields in possible(line, quoted):
        names = [name.lower() for name in fields]
        utts = [index for index, name in enumerate(names) if name in UTTS]
        classes = [index for index, name in enumerate(names) if name in CLASSES]
        if len(utts) == len(classes) == 1:
            columns, width, utt, label, start = way, len(fields), utts[0], classes[0], at + 1
            break
        if len(fields) == 2 and names[1] in LABELS:
            columns = way
            break
    trials = Trials()
    for number, fields in columns.rows(lines, path):
        if number > start:
            if len(fields) != width:
                raise InputError(
                    f"{path}:{number}: {len(fields)} columns, expected {width}; is this the protocol of another corpus?"
                )
            trials.add((path, number), fields[utt], speaker="-", label=fields[label])
    return trials.tables


def _first_line(path: Path) -> list[str]:
    return next((line.split() for line in iterate_lines(path) if line.strip()), [])


FORMATS: dict[str, Callable[[Path], Tables]] = {
    "plain": _plain,
    "asvspoof2019": _asvspoof2019,
    "asvspoof2021": _corpus("asvspoof2021"),
    "asvspoof5": _asvspoof5,
    "ctrsvdd": _corpus("ctrsvdd"),
}
