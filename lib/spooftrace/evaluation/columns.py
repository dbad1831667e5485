"""Split the lines of a text file into columns: white space or CSV, with or without quotation marks."""

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
        delimiter: Character between the fields; "" for any amount of white space.
        quoted: Whether fields may be quoted; the quotation marks are removed.
    """

    delimiter: str = ""
    quoted: bool = False

    def rows(self, lines: Sequence[str], path: str | Path) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each line that is not blank; white space around fields is stripped.

        Raises:
            InputError: A quotation mark is not closed on its line; the message names the line.
        """
        if not self.delimiter and not self.quoted:
            yield from ((number, line.split()) for number, line in enumerate(lines, 1) if line and not line.isspace())
            return
        if self.delimiter and not self.quoted:
            for number, line in enumerate(lines, 1):
                if fields := _without_empty_end([field.strip() for field in line.split(self.delimiter)]):
                    yield number, fields
            return
        # The csv module splits at single blanks only, and skips those before a field.
        text = lines if self.delimiter else (" ".join(line.replace("\t", " ").split(" ")).strip() for line in lines)
        reader = csv.reader(text, delimiter=self.delimiter or " ", skipinitialspace=True)
        before = 0
        try:
            for record in reader:
                if reader.line_num > before + 1:
                    raise InputError(f"{path}:{before + 1}: unclosed quotation mark; close it on the same line")
                before = reader.line_num
                if fields := _without_empty_end(list(map(_bare, record))):
                    yield before, fields
        except csv.Error as error:
            raise InputError(f"{path}:{before + 1}: cannot be split into columns ({error}); correct the line") from None

    def fields(self, line: str) -> list[str]:
        """The fields of a single line; empty if the line cannot be split in this way."""
        try:
            return next((fields for _, fields in self.rows([line], "line")), [])
        except InputError:
            return []


WHITE_SPACE = Columns()


def has_quotes(lines: Iterable[str]) -> bool:
    """Whether any line contains a quotation mark."""
    return any(mark in line for mark in QUOTES for line in lines)


def possible(line: str, quoted: bool) -> Iterator[tuple[Columns, list[str]]]:
    """Candidate ways to split a line, the most likely first, each with the resulting fields.

    Ids rarely contain blanks, so a comma or semicolon is the delimiter if no field contains a blank (``u1, 0.5``).
    Otherwise white space is (``u1 0,5``). Splits whose fields contain blanks (file names) come last.

    Args:
        line: The line to split.
        quoted: Whether the file contains quotation marks.
    """
    separated = [Columns(mark, quoted) for mark in ";,\t" if mark in line]
    split = [(columns, columns.fields(line)) for columns in separated]
    without_blanks = [way for way in split if way[0].delimiter != "\t" and not any(len(f.split()) > 1 for f in way[1])]
    white_space = Columns("", quoted)
    yield from without_blanks
    yield white_space, white_space.fields(line)
    yield from (way for way in split if way not in without_blanks)


def _without_empty_end(fields: list[str]) -> list[str]:
    """The fields without the empty columns that spreadsheets append."""
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _bare(field: str) -> str:
    """The field without surrounding white space and quotation marks."""
    field = field.strip()
    return field[1:-1].strip() if len(field) > 1 and field[0] == field[-1] and field[0] in QUOTES else field
