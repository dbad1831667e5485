"""Which character separates the columns of a table that has been saved again by another program.

Spreadsheets of countries with a decimal comma write ``;``, other programs tabs, and MLAAD's own tables have ``|``. The
header tells: with the right separator it has the columns that are needed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
ANNOUNCED = re.compile(r"\ufeff?\"?sep=.\"?\s*")  # the line that Excel writes above the header


def header_columns(line: str, needed: Collection[str], official: str) -> tuple[str, list[str]] | None:
    """The separator and the columns of a header; None where no separator gives the columns that are needed.

    Args:
        line: the header.
        needed: names of columns; letter case and blanks around them make no difference in the header.
        official: the separator of the release, which is tried first.

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
    """The separator by which a line has ``count`` columns; None where that is none or several."""
    fits = [separator for separator in SEPARATORS if len(header_fields(line, separator)) == count]
    return fits[0] if len(fits) == 1 else None


def header_fields(line: str, separator: str) -> list[str]:
    """The fields of one line, without quotes and blanks around them."""
    fields = next(csv.reader([line.strip("\r\n")], delimiter=separator, skipinitialspace=True), [])
    return [field.strip() for field in fields]


def with_commas(line: str) -> str:
    """A line with commas in place of separators, and without quotes, by which label files are recognised.

    >>> with_commas('"file"; "speaker"; "label"')
    'file,speaker,label'
    """
    return re.sub(r" *[,;\t|] *", ",", line.replace('"', ""))
