"""Score files of detection systems, ours and those of others: utterance id -> score.

How a file is laid out is seen from its first line that is not empty (:mod:`spooftrace.evaluation.score_layouts`):

1. a line that begins with ``Output,`` is among the first 1000: log of the NII baselines. Lines ``Output, UTT, LABEL,
   SCORE``, label 1 for bona fide, 0 for spoof, -1 for unknown; other lines are passed over.
2. the line has the fields ``filename`` and ``cm-score``: ASVspoof 5 (Track 1, WeDefense, and Track 2, where there are
   more columns and a file occurs once for each claimed speaker). The header says where the columns are.
3. the line names one column of ids (``utt``, ``filename``, ``path`` ...) and one of scores (``score``, ``cm_score``,
   ``llr``): CtrSVDD's own CSV, tables of spreadsheets and pandas. A column ``label`` is read too, others are not.
4. it has 2 columns: ``UTT SCORE``. Ours, ASVspoof 2021, CtrSVDD, ADD, In-the-Wild.
5. it has 3 columns: ``UTT SCORE LABEL`` of Codecfake, or ``UTT LABEL SCORE``.
6. it has 4 columns, the third being a class (``bonafide``, ``spoof`` ...): ``UTT ATTACK KEY SCORE`` of ASVspoof 2019.
7. it has 4 columns, the fourth being ``target``, ``nontarget`` or ``spoof``: ``SPK UTT SCORE KEY`` of a-DCF.

Columns are separated by white space, commas, semicolons or tabs, and may be quoted. Every line must have the columns of
the first. A class -1, ``-`` or ``unknown`` is not given; 0 and 1 stand for either class, depending on who wrote them,
so they count as not given outside the NII logs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spooftrace.common.contents import check_scores
from spooftrace.common.errors import InputError
from spooftrace.common.text import is_readable, read_lines
from spooftrace.evaluation.columns import WHITE_SPACE
from spooftrace.evaluation.score_layouts import (
    A_DCF,
    ASVSPOOF2019,
    NUMBERED,
    PLAIN,
    UNKNOWN,
    Layout,
    find_layout,
    has_decimal_comma,
)


@dataclass(frozen=True)
class ScoreFile:
    """A score file as it was read.

    Attributes:
        path: where it lies.
        scores: utterance -> score, in the order of the file; all finite.
        tables: what else the file says, "utt2label" and "utt2attack"; empty where it holds scores only. Utterances
            whose class is unknown are not in "utt2label".
        of_sasv: whether the scores judge the speaker too (a-DCF), and so say little of bona fide against spoof alone.
        layout, lines: how the lines are to be read, for :meth:`line_of`.
    """

    path: Path
    scores: dict[str, float]
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    of_sasv: bool = False
    layout: Layout = field(default=PLAIN, repr=False)
    lines: Sequence[str] = field(default=(), repr=False)

    def line_of(self, utt: str) -> int:
        """The line that scores ``utt``, for messages."""
        rows = self.layout.rows(self.lines, self.path)
        return next((number for number, fields in rows if fields[self.layout.utt] == utt), 1)


def read_scores(path: str | Path) -> dict[str, float]:
    """Utterance -> score of a score file in any layout of this module. Raises as :func:`read_score_file`."""
    return read_score_file(path).scores


def read_score_file(path: str | Path) -> ScoreFile:
    """Read a score file in any layout of this module; a pipe will do.

    Raises:
        InputError: the file is not there, not text, or of no known layout; a line has other columns than the first, a
            score that is not a finite number, an unknown class, or an utterance that was scored before. Naming file
            and line.
    """
    path = Path(path)
    if not is_readable(path):
        what = "is a folder, not a score file" if path.is_dir() else "no such score file; run the scoring stage first"
        raise InputError(f"{path}: {what}")
    check_scores(path)
    lines = read_lines(path)
    layout = find_layout(lines, path)
    scores = _quickly(lines, layout, path)
    if scores is None:
        return _line_by_line(path, lines, layout)
    return ScoreFile(path, scores, layout=layout, lines=lines)


def _quickly(lines: Sequence[str], layout: Layout, path: Path) -> dict[str, float] | None:
    """The scores of a two-column file without any mistake, three times as fast as line by line; else None."""
    if layout.width != 2:
        return None
    # Generators: each two-item list dies at once, so that the garbage collector never walks a million of them.
    if layout.columns == WHITE_SPACE:
        fields = (line.split() for line in lines if line and not line.isspace())
        if layout.has_header:
            next(fields)
    else:
        fields = (row for _, row in layout.rows(lines, path))
    pairs = fields if layout.utt == 0 else (row[::-1] for row in fields)
    rows = 0

    def counted() -> Iterator[tuple[str, float]]:
        nonlocal rows
        for utt, value in pairs:
            rows += 1
            yield utt, finite(value)

    try:
        scores = dict(counted())
    except ValueError:
        return None
    return scores if len(scores) == rows else None


def _line_by_line(path: Path, lines: Sequence[str], layout: Layout) -> ScoreFile:
    """Read any layout; says which line is wrong."""
    scores: dict[str, float] = {}
    line_of: dict[str, int] = {}
    tables: dict[str, dict[str, str]] = {}
    one: dict[str, str] = {}  # one string object for each distinct attack
    if layout.label is not None:
        tables["utt2label"] = {}
    for number, fields in layout.rows(lines, path):
        at = f"{path}:{number}"
        if len(fields) != layout.width:
            raise InputError(f"{at}: expected {layout.width} columns '{layout.name}', found {len(fields)}")
        utt, value = fields[layout.utt], fields[layout.score]
        try:
            score = finite(value)
        except ValueError:
            hint = _hint(layout, value, is_first=not scores)
            raise InputError(f"{at}: score '{value}' of {utt} is not a finite number; {hint}") from None
        if utt in line_of and not (layout.by_claim and scores[utt] == score):
            odd = "another score" if layout.by_claim else "a score"
            what = "for SASV scores give --task sasv" if layout.by_claim else "keep one"
            raise InputError(f"{at}: {utt} has {odd} on line {line_of[utt]} already; {what}")
        scores[utt] = score
        line_of.setdefault(utt, number)
        label = None if layout.label is None else _label(layout, fields[layout.label], utt, at)
        if label and tables["utt2label"].setdefault(utt, label) != label:
            raise InputError(f"{at}: {utt} is {label}, but not on line {line_of[utt]}; correct one")
        if layout.attack is not None:
            attack = fields[layout.attack]
            tables.setdefault("utt2attack", {})[utt] = one.setdefault(attack, attack)
    return ScoreFile(path, scores, tables, layout.labels is A_DCF.labels, layout, lines)


def _label(layout: Layout, word: str, utt: str, at: str) -> str | None:
    """The class that a line gives, None where it gives none."""
    if label := layout.labels.get(word.lower()):
        return label
    if word.lower() in UNKNOWN or (word in NUMBERED and layout.labels is ASVSPOOF2019.labels):
        return None
    raise InputError(f"{at}: unknown class '{word}' of {utt}; known are {', '.join(layout.labels)}, and -1 for none")


def _hint(layout: Layout, value: str, is_first: bool) -> str:
    """What to do about a score that is no finite number."""
    if layout.by_claim and value == "-":
        return "a file of SASV scores only is for --task sasv"
    if has_decimal_comma(value):
        return "it has a decimal comma, write a decimal point"
    try:
        float(value)
    except ValueError:
        return f"expected '{layout.name}'{' and no header' if is_first and not layout.has_header else ''}"
    return "score this utterance again"


def finite(value: str) -> float:
    """A score as a number; ValueError if it is not a finite one."""
    number = float(value)
    # An underscore is a digit separator to Python, but no program writes scores that way.
    if not math.isfinite(number) or "_" in value:
        raise ValueError(value)
    return number
