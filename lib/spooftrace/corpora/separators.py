"""Detect the column separator of a table that was saved by another program.

Spreadsheet programs write ``;`` in countries with a decimal comma; other programs write tabs; MLAAD's tables have
``|``. The right separator is the one that gives the required columns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
ANNOUNCED = re.compile(r"\ufeff?\"?sep=.\"?\s*")  # the line that Excel writes above a header


def header_columns(line: str, needed: Collection[str], official: str) -> tuple[str, list[str]] | None:
    """Separator and columns of a header; None if no separator gives the required columns.

    Args:
        line: The header.
        needed: Required columns; letter case and surrounding blanks in the header are ignored.
        official: Official separator, which is tried first.

    >>> header_columns("File; Speaker; label", ["file", "speaker", "label"], ",")
    (';', ['file', 'speaker', 'label'])
    """
    spelt = {name.casefold(): name for name in needed}
    for separator in dict.fromkeys((official, *SEPARATORS)):
        names = [spelt.get(name.casefold(), name) for name in header_fields(line, separator)]
        if all(names.count(name) == 1 for name in needed):
            return separator, names
    return None


def only_separator(line: str, count: int) -> str | None:
    """The only separator that splits a line into ``count`` columns; None if there is none, or several."""
    fits = [separator for separator in SEPARATORS if len(header_fields(line, separator)) == count]
    return fits[0] if len(fits) == 1 else None


def separator_of_fields(line: str, counts: Collection[int]) -> str | None:
    """The only separator that splits a line into a permitted number of fields without white space; None otherwise.

    >>> separator_of_fields("LA_0098,LA_T_9839348,-,A06,spoof", [5])
    ','
    """
    fits = []
    for separator in SEPARATORS:
        fields = header_fields(line, separator)
        if len(fields) > 1 and len(fields) in counts and all(field.split() == [field] for field in fields):
            fits.append(separator)
    return fits[0] if len(fits) == 1 else None


def separator_note(what: object, separator: str, official: str) -> str:
    """The line that reports a separator other than the official one."""
    return f"{what}: read with {SEPARATORS[separator]} between columns; officially {SEPARATORS[official]}"


def header_fields(line: str, separator: str) -> list[str]:
    """The fields of one line without surrounding quotes and blanks."""
    fields = next(csv.reader([line.strip("\r\n")], delimiter=separator, skipinitialspace=True), [])
    return [field.strip() for field in fields]


def with_commas(line: str) -> str:
    """A line with commas as separators and without quotes, to recognise label files by a pattern.

    >>> with_commas('"file"; "speaker"; "label"')
    'file,speaker,label'
    """
    return re.sub(r" *[,;\t|] *", ",", line.replace('"', ""))
