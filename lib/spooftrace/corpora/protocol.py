"""Official protocols, keys and label files -> the tables of a data directory.

Every corpus has a file that lists its trials, each in columns of its own. The modules of this package read them with
what is here: ``rows`` (and ``csv_rows``) gives the fields of each line with its number, ``LABELS`` knows how corpora
spell the two classes, and ``Trials`` collects utterances, refusing the same id twice and unknown values by file and
line. The result is a key as it is; with audio it becomes a data directory (``spooftrace.corpora.release``).
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
from spooftrace.corpora.separators import ANNOUNCED, SEPARATORS, header_columns, header_fields, only_separator

# As spelt in protocols and keys; upper and lower case are the same.
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
    """The fields of each line, split at white space, with the line's number; empty lines are passed over.

    White space, not tabs: most ``.tsv`` files of this field are separated by blanks, and some lines end in one.

    Args:
        path: the text file, as ``spooftrace.common.text`` decodes it.
        columns: the numbers of columns a line may have.

    Raises:
        InputError: no such file, not text, or a line with another number of columns.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "protocol.txt"
    >>> _ = path.write_text("LA_0079 LA_T_1138215 - - bonafide\\n")
    >>> list(rows(path, 5))
    [(1, ['LA_0079', 'LA_T_1138215', '-', '-', 'bonafide'])]
    """
    for number, line in enumerate(iterate_lines(path), 1):
        fields = line.split()
        if len(fields) in columns:
            yield number, fields
        elif fields:
            expected = " or ".join(map(str, sorted(columns)))
            raise InputError(
                f"{path}:{number}: {len(fields)} columns, expected {expected}; is this the protocol of another corpus?"
            )


def csv_rows(
    path: str | Path, header: Collection[str], delimiter: str = ",", quoted: bool = True, optional_header: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """The records of a table with a header line, as dictionaries with the line number; other columns are kept too.

    A table that was saved again with another separator is read too, and a line is printed about it.

    Args:
        path: the text file, likewise.
        header: columns that must be there.
        delimiter: what separates the columns in the release.
        quoted: whether double quotes group in the release; with False they are characters like any other.
        optional_header: whether the first line may be a record, of the columns of ``header`` and no others.

    Raises:
        InputError: no such file, not text, a column that is not in the header or is there twice, or a record of
            another length.
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
    if changed:
        print(
            f"{path}: read with {SEPARATORS[separator]} between columns, where the release has {SEPARATORS[delimiter]}"
        )
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
    """The utterances of one set and what the protocol says about them, as tables of a data directory.

    ``tables`` maps a file name such as ``utt2label`` to its table, utterance -> value, in the order of the protocol.

    Args:
        utt_pattern: regular expression that every utterance id of this corpus matches in full.
        known: table name -> the values that occur in this corpus, for tables whose values are checked. Where those of
            ``utt2attack`` are, ``-`` must be the attack of bona fide speech and of nothing else.

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
        self._one: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.tables["utt2spk"])

    def add(self, at: tuple[str | Path, int], utt: str, *, speaker: str, label: str, **columns: str) -> None:
        """Add one utterance.

        Args:
            at: file and line that it comes from, for error messages.
            utt: its id.
            speaker: its speaker, ``-`` if unknown.
            label: its class, in any of the spellings of ``LABELS``.
            columns: further tables without their ``utt2``: ``attack="A07"`` goes to ``utt2attack``. Every utterance of
                a set must give the same ones.

        Raises:
            InputError: the id is there already or does not look like one of this corpus, a value is unknown, or label
                and attack contradict each other.
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
        speakers[utt] = self._one.setdefault(speaker, speaker)
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
            column[utt] = self._one.setdefault(value, value)

    def counts(self, table: str = "utt2label") -> Counter[str]:
        """How many utterances have each value of a table."""
        return Counter(self.tables[table].values())
