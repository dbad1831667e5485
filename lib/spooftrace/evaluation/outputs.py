"""Output files of attribution and parsing: a header line ``utt NAME ...``, then one line for each utterance.

Columns are separated by tabs, as we write them, by blanks, or as in CSV. The truth is a table of the data directory, in
which ``-`` marks an utterance that there is nothing to predict of (no codec made it): such an utterance may be in the
output file or not, and is not judged. Every other one must be there, once; an utterance that is not in the table is an
error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from spooftrace.common.contents import check_scores
from spooftrace.common.errors import InputError
from spooftrace.common.text import read_lines
from spooftrace.datadir import read_table, table_path
from spooftrace.evaluation.columns import WHITE_SPACE, possible
from spooftrace.evaluation.trials import first, unlike

Array = np.ndarray
NO_VALUE = "-"


@dataclass(frozen=True)
class Outputs:
    """What an output file says: the names of its columns after ``utt``, and the rest of the line of each utterance."""

    path: Path
    columns: tuple[str, ...]
    text_of: Mapping[str, str]

    def words(self, utts: Sequence[str]) -> list[str]:
        """What a file with a single column says of these utterances."""
        return [self.text_of[utt] for utt in utts]

    def numbers(self, utts: Sequence[str]) -> Array:
        """The numbers of these N utterances in all C columns, float64 (N, C).

        Raises:
            InputError: a field is not a finite number (the message names file and line).
        """
        fields = [self.text_of[utt].split() for utt in utts]
        try:
            numbers = np.array(fields, dtype=np.float64).reshape(len(utts), len(self.columns))
        except ValueError:
            self._raise_for_bad_number(utts)
        if not np.isfinite(numbers).all():
            self._raise_for_bad_number(utts)
        return numbers

    def line_of(self, utt: str) -> int:
        """The number of the line of an utterance."""
        lines = enumerate(read_lines(self.path), start=1)
        return next(
            (number for number, line in lines if any(fields[:1] == [utt] for _, fields in possible(line, True))), 1
        )

    def _raise_for_bad_number(self, utts: Sequence[str]) -> NoReturn:
        for utt in utts:
            for column, field in zip(self.columns, self.text_of[utt].split(), strict=True):
                try:
                    finite = bool(np.isfinite(float(field)))
                except ValueError:
                    finite = False
                if not finite:
                    raise InputError(
                        f"{self.path}:{self.line_of(utt)}: '{field}' in column '{column}' is not a finite number; "
                        "write the outputs again"
                    )
        raise AssertionError(f"{self.path} has only finite numbers")


def read_outputs(path: str | Path) -> Outputs:
    """Read an output file.

    Raises:
        InputError: no such file, a header that does not begin with ``utt`` or repeats a name, a line with another
            number of columns, or an utterance that comes twice (the message names file and line).
    """
    path = Path(path)
    check_scores(path)
    lines = read_lines(path)
    ways = possible(lines[0], '"' in lines[0]) if lines else []
    columns, header = next(((way, fields) for way, fields in ways if fields[:1] == ["utt"]), (WHITE_SPACE, []))
    if len(header) < 2 or header[0] != "utt":
        raise InputError(
            f"{path}:1: expected a header 'utt' and the names of the columns; put it before the first line"
        )
    if len(set(header)) < len(header):
        twice = next(name for index, name in enumerate(header) if name in header[:index])
        raise InputError(f"{path}:1: column '{twice}' is named twice; rename one")
    text_of: dict[str, str] = {}
    rows = columns.rows(lines, path)
    next(rows)
    for number, fields in rows:
        if len(fields) != len(header):
            raise InputError(
                f"{path}:{number}: {len(fields)} columns, the header has {len(header)}; write the line anew"
            )
        if fields[0] in text_of:
            raise InputError(f"{path}:{number}: {fields[0]} is there a second time; keep one line")
        text_of[fields[0]] = " ".join(fields[1:])
    return Outputs(path, tuple(header[1:]), text_of)


def judged(outputs: Outputs, truth: Mapping[str, str], table: Path) -> list[str]:
    """The utterances to judge, in the order of the table; ``truth`` is what it says.

    Raises:
        InputError: one of them is not in the outputs, the outputs have an utterance that is not in the table, or there
            is none to judge.
    """
    utts = [utt for utt, value in truth.items() if set(value.split()) != {NO_VALUE}]
    if not utts:
        raise InputError(
            f"{table}: '{NO_VALUE}' for every utterance, so there is nothing to predict; is it another table?"
        )
    missing = [utt for utt in utts if utt not in outputs.text_of]
    if missing:
        raise InputError(
            f"{outputs.path}: nothing for {len(missing)} of the {len(utts)} utterances of {table} "
            f"({first(missing)}); {unlike(missing[0], outputs.text_of, truth)}run the model on the whole set"
        )
    extra = [utt for utt in outputs.text_of if utt not in truth]
    if extra:
        raise InputError(
            f"{outputs.path}:{outputs.line_of(extra[0])}: {len(extra)} utterances are not in {table} "
            f"({first(extra)}); were the outputs made on another set?"
        )
    return utts


def truth_table(data: Path, name: str) -> dict[str, str]:
    """A table of a data directory.

    Raises:
        InputError: it is not there or malformed.
    """
    path = table_path(data, name)
    if not path.is_file():
        raise InputError(f"{path}: no such file; prepare the data with this table, or name another one")
    return read_table(path)
