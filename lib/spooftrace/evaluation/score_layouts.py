"""Which columns a score file has, recognised from its first lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.corpora.protocol import LABELS
from spooftrace.evaluation.columns import WHITE_SPACE, Columns, has_quotes, possible

ASV_LABELS = {"target": "bonafide", "nontarget": "bonafide", "spoof": "spoof"}
NII_LABELS = {"1": "bonafide", "0": "spoof"}
# A class that the file does not give: unlabelled trials of the NII baselines, of our own tables, of others.
UNKNOWN = ("-1", "-", "unknown")
# Toolkits differ in which class is 0 and which is 1, so these count as a class that is not given.
NUMBERED = ("0", "1")
LOOKED_AT = 1000  # lines at the start of a file
LOGGED = "Output,"  # what the lines with scores begin with in a log of the NII baselines

UTTS = (
    *("filename", "file_name", "file", "fname", "utt", "utt_id", "uttid", "utterance", "utterance_id", "id", "trial"),
    *("trial_id", "audio", "audio_path", "path", "wav", "name"),
)
SCORES = ("cm-score", "cm_score", "score", "scores", "llr")
CLASSES = ("cm-label", "cm_label", "label", "labels", "class", "key")
INTEGER = re.compile(r"[+-]?\d+")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Layout:
    """Where a kind of score file has what.

    Attributes:
        name: of the columns, for messages.
        width: number of columns.
        utt, score: index of these columns.
        label, attack: index of these columns, if there are such.
        labels: the spelling of the classes in the column ``label`` -> "bonafide" or "spoof".
        has_header: whether the first line names the columns.
        by_claim: whether a trial is a pair of speaker and utterance, so that an utterance may come several times.
        logged: whether the fields follow ``Output,`` in a log, separated by commas.
        columns: how fields are separated.
    """

    name: str
    width: int
    utt: int
    score: int
    label: int | None = None
    attack: int | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)
    has_header: bool = False
    by_claim: bool = False
    logged: bool = False
    columns: Columns = WHITE_SPACE

    def rows(self, lines: Sequence[str], path: Path) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each line that should hold a score."""
        if self.logged:
            for number, line in enumerate(lines, start=1):
                if line.startswith(LOGGED):
                    yield number, [part.strip() for part in line.split(",")[1:]]
            return
        rows = self.columns.rows(lines, path)
        if self.has_header:
            next(rows)
        yield from rows

    def fits(self, fields: Sequence[str]) -> bool:
        """Whether a line may be one of this layout, which has no header."""
        if len(fields) != self.width or not _is_number(fields[self.score]):
            return False
        if self.label is None:
            return True
        word = fields[self.label].lower()
        return word in self.labels or (self.labels is LABELS and word in (*UNKNOWN, *NUMBERED))


PLAIN = Layout("utt score", 2, utt=0, score=1)
SCORE_LABEL = Layout("utt score label", 3, utt=0, score=1, label=2)
LABEL_SCORE = Layout("utt label score", 3, utt=0, score=2, label=1)
ASVSPOOF2019 = Layout("utt attack key score", 4, utt=0, score=3, label=2, attack=1)
A_DCF = Layout("spk utt score key", 4, utt=1, score=2, label=3, labels=ASV_LABELS, by_claim=True)
NII_LOG = Layout("Output, utt, label, score", 3, utt=0, score=2, label=1, labels=NII_LABELS, logged=True)
WITHOUT_HEADER = (PLAIN, SCORE_LABEL, LABEL_SCORE, ASVSPOOF2019, A_DCF)


def find_layout(lines: Sequence[str], path: Path) -> Layout:
    """The layout of a score file that has these lines.

    Raises:
        InputError: it is none of those known (naming the line).
    """
    start = lines[:LOOKED_AT]
    if any(line.startswith(LOGGED) for line in start):
        return NII_LOG
    number, line = next(((number, line) for number, line in enumerate(start, 1) if line.strip()), (0, ""))
    if not line:
        return PLAIN  # an empty file has no scores; joining it with a key reports those that are missing
    quoted = has_quotes(start)
    for columns, fields in possible(line, quoted):
        commas = columns.delimiter == ","
        if layout := _with_header(fields) or _without_header(fields, f"{path}:{number}", commas):
            return replace(layout, columns=columns)
    return _nearest(line.split(), f"{path}:{number}")


def has_decimal_comma(text: str) -> bool:
    """Whether it is a number as some languages write it: ``0,5``."""
    return DECIMAL_COMMA.fullmatch(text) is not None


def _with_header(fields: Sequence[str]) -> Layout | None:
    """The layout that a header names, or None if it is no header: it has one column of ids and one of scores."""
    names = [name.lower() for name in fields]
    if {"filename", "cm-score"} <= set(names):  # ASVspoof 5; Track 2 has other scores beside
        utts, scores, by_claim = [names.index("filename")], [names.index("cm-score")], len(fields) > 2
    else:
        utts = [index for index, name in enumerate(names) if name in UTTS]
        scores = [index for index, name in enumerate(names) if name in SCORES]
        by_claim = False
    if len(utts) != 1 or len(scores) != 1:
        return None
    classes = [index for index, name in enumerate(names) if name in CLASSES] if not by_claim else []
    label = classes[0] if len(classes) == 1 else None
    return Layout(" ".join(fields), len(fields), utts[0], scores[0], label, has_header=True, by_claim=by_claim)


def _without_header(fields: Sequence[str], at: str, commas: bool) -> Layout | None:
    """The layout of which this may be a line, or None; of several, the one whose class is a word.

    Where commas separate the columns, ``u1,0,5`` may be a score of 0.5: a number (0, 1, -1) counts as a class only
    beside a score with a point.
    """
    fitting = [layout for layout in WITHOUT_HEADER if layout.fits(fields)]
    worded = [way for way in fitting if way.label is None or fields[way.label].lower() in way.labels]
    if commas:
        fitting = [way for way in fitting if way in worded or not INTEGER.fullmatch(fields[way.score])]
    if len(fitting) > 1 and len(worded) != 1:
        names = " or ".join(f"'{layout.name}'" for layout in fitting)
        raise InputError(f"{at}: '{' '.join(fields)}' may be {names}; name the columns in a first line")
    return next(iter(worded or fitting), None)


def _nearest(fields: Sequence[str], at: str) -> Layout:
    """The layout whose reader says best what is wrong with a line that fits none."""
    if len(fields) == 2:
        return PLAIN
    if len(fields) == 4:
        fitting = [layout for layout in (ASVSPOOF2019, A_DCF) if fields[layout.label or 0].lower() in layout.labels]
        if len(fitting) == 1:
            return fitting[0]
        which = "both the third and the fourth column are" if fitting else "neither the third nor the fourth column is"
        raise InputError(
            f"{at}: 4 columns are '{ASVSPOOF2019.name}' or '{A_DCF.name}', but {which} a class; make it clear"
        )
    parts = fields[0].split(",") if len(fields) == 1 else []
    if len(parts) > 1 and not any(map(_is_number, parts)):  # a header of other names
        fields = parts
    commas = len(fields) == 1 and len(parts) > 2
    hint = " (decimal commas? among commas that separate they cannot be told: write points)" if commas else ""
    raise InputError(
        f"{at}: found {len(fields)} columns, which is no known score file{hint}; write 'utt score', or one of "
        f"'{SCORE_LABEL.name}', '{ASVSPOOF2019.name}', '{A_DCF.name}', '{NII_LOG.name}', or a header such as "
        "'utt score', or 'filename cm-score' of ASVspoof 5"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return has_decimal_comma(text)
    return True
