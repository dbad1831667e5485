"""How the columns of a text file are separated: by white space or as in CSV, with or without quotation marks."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spooftrace.common.errors import InputError

QUOTES = "\"'"


@dataclass(frozen=True)
class Columns:
    """One way to split lines into fields.

    Attributes:
        delimiter: what separates the fields; "" for any amount of white space.
        quoted: whether fields may stand in quotation marks, which are taken off.
    """

    delimiter: str = ""
    quoted: bool = False

    def rows(self, lines: Sequence[str], path: str | Path) -> Iterator[tuple[int, list[str]]]:
        """The number and the fields of each line that is not blank; white space around fields is taken off.

        Raises:
            InputError: quotation marks that are not closed on their line (naming it).
        """
        if not self.delimiter and not self.quoted:
            yield from ((number, line.split()) for number, line in enumerate(lines, 1) if line and not line.isspace())
            return
        if self.delimiter and not self.quoted:
            for number, line in enumerate(lines, 1):
                if fields := _without_empty_end([field.strip() for field in line.split(self.delimiter)]):
                    yield number, fields
            return
        # To the csv module, white space is blanks, of which it skips those before a field.
        text = lines if self.delimiter else (" ".join(line.replace("\t", " ").split(" ")).strip() for line in lines)
        reader = csv.reader(text, delimiter=self.delimiter or " ", skipinitialspace=True)
        before = 0
        try:
            for record in reader:
                if reader.line_num > before + 1:
                    raise InputError(f"{path}:{before + 1}: a quotation mark is not closed on this line; close it")
                before = reader.line_num
                if fields := _without_empty_end(list(map(_bare, record))):
                    yield before, fields
        except csv.Error as error:
            raise InputError(f"{path}:{before + 1}: not a line of a table ({error}); correct it") from None

    def fields(self, line: str) -> list[str]:
        """The fields of one line; empty where it cannot be split in this way."""
        try:
            return next((fields for _, fields in self.rows([line], "line")), [])
        except InputError:
            return []


WHITE_SPACE = Columns()


def has_quotes(lines: Iterable[str]) -> bool:
    """Whether any of some lines has a quotation mark."""
    return any(mark in line for mark in QUOTES for line in lines)


def possible(line: str, quoted: bool) -> Iterator[tuple[Columns, list[str]]]:
    """The ways in which a line may be split, the likely ones first, each with the fields that it gives.

    Ids have no blanks, so a comma or semicolon separates columns where what stands before it has none: ``u1, 0.5``.
    Elsewhere white space does, as in ``u1 0,5``. Only where that makes no sense, ids (file names) may have blanks.

    Args:
        line: the line.
        quoted: whether the file has quotation marks.
    """
    separated = [Columns(mark, quoted) for mark in ";,\t" if mark in line]
    split = [(columns, columns.fields(line)) for columns in separated]
    without_blanks = [way for way in split if way[0].delimiter != "\t" and not any(len(f.split()) > 1 for f in way[1])]
    white_space = Columns("", quoted)
    yield from without_blanks
    yield white_space, white_space.fields(line)
    yield from (way for way in split if way not in without_blanks)


def _without_empty_end(fields: list[str]) -> list[str]:
    """The fields without empty columns at the end, as spreadsheets write them."""
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _bare(field: str) -> str:
    """A field without white space and without a pair of quotation marks around it."""
    field = field.strip()
    return field[1:-1].strip() if len(field) > 1 and field[0] == field[-1] and field[0] in QUOTES else field
