"""Read official protocols, keys and label files into the tables of a data directory.

Each corpus lists its trials in its own columns. ``rows`` and ``csv_rows`` yield the fields of each line with the line
number, ``LABELS`` maps the spellings of the two classes, and ``Trials`` collects utterances and rejects repeated ids
and unknown values, naming file and line. ``spooftrace.corpora.corpus`` adds the audio and writes a data directory.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.common.text import iterate_lines
from spooftrace.corpora.separators import (
    ANNOUNCED,
    SEPARATORS,
    header_columns,
    header_fields,
    only_separator,
    separator_note,
    separator_of_fields,
)

# Spellings in protocols and keys, in any letter case.
LABELS = {
    "bonafide": "bonafide",
    "bona-fide": "bonafide",  # In-the-Wild
    "genuine": "bonafide",  # ADD
    "real": "bonafide",  # Codecfake, ST-Codecfake
    "spoof": "spoof",
    "spoofs": "spoof",  # one line of CodecFake+'s CoRS_ALL.txt
    "fake": "spoof",  # Codecfake, ADD
    "deepfake": "spoof",  # CtrSVDD
}


def rows(path: str | Path, *columns: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each non-empty line of a protocol with white space between columns.

    The separator is white space, not a tab: most official ``.tsv`` files use blanks, and some lines end in one. A file
    that was saved with commas, semicolons or bars instead is read if only one of them gives a permitted number of
    columns in its first line; a line about this is printed.

    Args:
        path: Text file, decoded by ``spooftrace.common.text``.
        columns: Permitted numbers of columns.

    Raises:
        InputError: The file is missing or not text, or a line has another number of columns.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "protocol.txt"
    >>> _ = path.write_text("LA_0079 LA_T_1138215 - - bonafide\\n")
    >>> list(rows(path, 5))
    [(1, ['LA_0079', 'LA_T_1138215', '-', '-', 'bonafide'])]
    """
    separator: str | None = None  # None: white space
    is_first = True
    for number, line in enumerate(iterate_lines(path), 1):
        fields = header_fields(line, separator) if separator else line.split()
        if is_first and line.strip() and len(fields) not in columns:
            if ANNOUNCED.fullmatch(line):
                continue
            if separator := separator_of_fields(line, columns):
                print(f"{path}: read with {SEPARATORS[separator]} between columns; officially white space")
                fields = header_fields(line, separator)
        if len(fields) in columns and all(fields):
            is_first = False
            yield number, fields
        elif line.strip():
            expected = " or ".join(map(str, sorted(columns)))
            raise InputError(
                f"{path}:{number}: {len(fields)} columns, expected {expected}; is this the protocol of another corpus?"
            )


def csv_rows(
    path: str | Path,
    header: Collection[str],
    delimiter: str = ",",
    quoted: bool = True,
    optional_header: bool = False,
    other_separators: Counter[str] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the record (column -> field) of each line below a header.

    A table that was saved with another separator is read, too. A line about this is printed, or counted in
    ``other_separators``.

    Args:
        path: Text file, decoded by ``spooftrace.common.text``.
        header: Required columns; further columns are kept.
        delimiter: Official separator.
        quoted: Whether double quotes group in the official file; otherwise they are ordinary characters.
        optional_header: Whether the header may be missing; the file then has exactly the columns of ``header``.
        other_separators: Counts the tables by separator, for corpora of many tables; nothing is printed then.

    Raises:
        InputError: The file is missing or not text, a column is missing or repeated, or a record has another number of
            fields than the header.
    """
    lines = iterate_lines(path)
    above, first = 0, ""
    for first in lines:
        if first.strip() and not ANNOUNCED.fullmatch(first):
            break
        above, first = above + 1, ""
    layout = header_columns(first, header, delimiter)
    is_record = layout is None and optional_header
    if is_record and (separator := only_separator(first, len(header))):
        layout = separator, list(header)
    if layout is None:
        present = header_fields(first, delimiter)
        missing = next(name for name in header if present.count(name) != 1)
        problem = "two columns" if missing in present else "no column"
        raise InputError(
            f"{path}:{above + 1}: {problem} '{missing}', found {', '.join(present) or 'nothing'}; "
            "is this the protocol of another corpus?"
        )
    separator, names = layout
    changed = separator != delimiter
    if changed and other_separators is not None:
        other_separators[separator] += 1
    elif changed:
        print(separator_note(path, separator, delimiter))
    reader = csv.reader(
        chain([first], lines) if is_record else lines,
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if quoted or changed else csv.QUOTE_NONE,
        strict=changed,
        skipinitialspace=changed,
    )
    above += not is_record
    before = 0
    try:
        for fields in reader:
            number, lines_of_record, before = above + reader.line_num, reader.line_num - before, reader.line_num
            if changed and lines_of_record > 1:
                raise csv.Error("a quotation mark that the line does not close")
            if fields and len(fields) != len(names):
                raise InputError(
                    f"{path}:{number}: not the {len(names)} columns of line {above or 1}, but {len(fields)}"
                )
            if fields:
                yield number, dict(zip(names, fields, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}:{above + reader.line_num}: {error}; save the table again, without quotes") from None


class Trials:
    """The utterances of one set with the columns of the protocol, as tables of a data directory.

    Attributes:
        tables: File name, such as ``utt2label`` -> table, utterance -> value, in the order of the protocol.

    Args:
        utt_pattern: Regular expression that each utterance id of the corpus matches in full.
        known: Table -> permitted values, for the tables whose values are checked. If ``utt2attack`` is among them,
            ``-`` must be the attack of bona fide speech and of no other.

    >>> trials = Trials(known={"utt2attack": {"-", "A01"}})
    >>> trials.add(("protocol.txt", 1), "u1", speaker="s1", label="bonafide", attack="-")
    >>> trials.tables["utt2label"]
    {'u1': 'bonafide'}
    """

    def __init__(self, utt_pattern: str = r"\S+", known: Mapping[str, Collection[str]] | None = None) -> None:
        self.tables: dict[str, dict[str, str]] = {"utt2spk": {}, "utt2label": {}}
        self._is_utt = re.compile(utt_pattern).fullmatch
        self._known = dict(known or {})
        self._columns: dict[str, tuple[dict[str, str], Collection[str] | None]] = {}  # table, known values
        # One string object for each distinct value: a corpus has a million rows and a few dozen values.
        self._interned: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.tables["utt2spk"])

    def add(self, at: tuple[str | Path, int], utt: str, *, speaker: str, label: str, **columns: str) -> None:
        """Add one utterance.

        Args:
            at: File and line, for error messages.
            utt: Utterance id.
            speaker: Speaker, ``-`` if unknown.
            label: Class, in any spelling of ``LABELS``.
            columns: Values of further tables, named without ``utt2``: ``attack="A07"`` goes to ``utt2attack``. They
                must be the same tables for all utterances of a set.

        Raises:
            InputError: The id is repeated or not one of this corpus, a value is unknown, or label and attack contradict
                each other.
        """
        speakers = self.tables["utt2spk"]
        if utt in speakers:
            raise InputError(f"{at[0]}:{at[1]}: '{utt}' is listed a second time; the file is damaged, get it again")
        if not self._is_utt(utt):
            raise InputError(
                f"{at[0]}:{at[1]}: '{utt}' is not an utterance id of this corpus; is it the protocol of another one?"
            )
        known_label = LABELS.get(label) or LABELS.get(label.lower())
        if known_label is None:
            raise InputError(f"{at[0]}:{at[1]}: unknown label '{label}'; known are {', '.join(LABELS)}")
        speakers[utt] = self._interned.setdefault(speaker, speaker)
        self.tables["utt2label"][utt] = known_label
        for name, value in columns.items():
            if name not in self._columns:
                table = "utt2" + name
                self._columns[name] = self.tables.setdefault(table, {}), self._known.get(table)
            column, known = self._columns[name]
            if known is not None:
                if value not in known:
                    raise InputError(
                        f"{at[0]}:{at[1]}: unknown {name} '{value}' of '{utt}'; the file is damaged, or newer"
                    )
                if name == "attack" and (value == "-") != (known_label == "bonafide"):
                    raise InputError(
                        f"{at[0]}:{at[1]}: '{utt}' is {label}, but its attack is '{value}'; get the file again"
                    )
            column[utt] = self._interned.setdefault(value, value)

    def counts(self, table: str = "utt2label") -> Counter[str]:
        """Number of utterances with each value of a table."""
        return Counter(self.tables[table].values())
