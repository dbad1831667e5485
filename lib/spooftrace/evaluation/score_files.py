"""Score files of detection systems, ours and those of others: utterance id -> score.

How a file is laid out is seen from its first line that is not empty, by the first of these rules that fits:

1. a line that begins with ``Output,`` is among the first 1000: log of the NII baselines. Lines ``Output, UTT, LABEL,
   SCORE``, label 1 for bona fide; other lines are passed over.
2. the line has the fields ``filename`` and ``cm-score``: ASVspoof 5 (Track 1, WeDefense, and Track 2, where there are
   more columns and a file occurs once for each claimed speaker). The header says where the columns are.
3. it has 2 columns: ``UTT SCORE``. Ours, ASVspoof 2021, CtrSVDD, ADD, In-the-Wild.
4. it has 4 columns, the third being a class (``bonafide``, ``spoof`` ...): ``UTT ATTACK KEY SCORE`` of ASVspoof 2019.
5. it has 4 columns, the fourth being ``target``, ``nontarget`` or ``spoof``: ``SPK UTT SCORE KEY`` of a-DCF.

Columns are separated by white space. Every line must have the columns of the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from spooftrace.corpora.protocol import LABELS
from spooftrace.errors import InputError

ASV_LABELS = {"target": "bonafide", "nontarget": "bonafide", "spoof": "spoof"}
NII_LABELS = {"1": "bonafide", "0": "spoof"}
LOOKED_AT = 1000  # lines at the start of a file


@dataclass(frozen=True)
class Layout:
    """Where a kind of score file has what.

    Attributes:
        name: of the columns, for messages.
        width: number of columns.
        utt, score: index of these columns.
        label, system: index of these columns, if there are such.
        labels: the spelling of the classes in the column ``label`` -> "bonafide" or "spoof".
        has_header: whether the first line names the columns.
        by_claim: whether a trial is a pair of speaker and utterance, so that an utterance may come several times.
        logged: whether the fields stand behind ``Output,`` in a log, separated by commas.
    """

    name: str
    width: int
    utt: int
    score: int
    label: int | None = None
    system: int | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)
    has_header: bool = False
    by_claim: bool = False
    logged: bool = False

    def rows(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        """Line number and fields of each line that should hold a score."""
        awaits_header = self.has_header
        for number, line in enumerate(file, start=1):
            if self.logged:
                if line.startswith("Output,"):
                    yield number, [part.strip() for part in line.split(",")[1:]]
            elif fields := line.split():
                if not awaits_header:
                    yield number, fields
                awaits_header = False


PLAIN = Layout("utt score", 2, utt=0, score=1)
ASVSPOOF2019 = Layout("utt attack key score", 4, utt=0, score=3, label=2, system=1)
A_DCF = Layout("spk utt score key", 4, utt=1, score=2, label=3, labels=ASV_LABELS, by_claim=True)
NII_LOG = Layout("Output, utt, label, score", 3, utt=0, score=2, label=1, labels=NII_LABELS, logged=True)


@dataclass(frozen=True)
class ScoreFile:
    """A score file as it was read.

    Attributes:
        path: where it lies.
        scores: utterance -> score, in the order of the file; all finite.
        tables: what else the file says, "utt2label" and "utt2system"; empty where it holds scores only.
        of_sasv: whether the scores judge the speaker too (a-DCF), and so say little of bona fide against spoof alone.
    """

    path: Path
    scores: dict[str, float]
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    of_sasv: bool = False

    def line_of(self, utt: str) -> int:
        """The line that scores ``utt``, for messages."""
        with self.path.open(encoding="utf-8-sig") as file:
            layout = _layout(self.path)
            return next((number for number, fields in layout.rows(file) if fields[layout.utt] == utt), 1)


def read_scores(path: str | Path) -> dict[str, float]:
    """Utterance -> score of a score file in any layout of this module. Raises as :func:`read_score_file`."""
    return read_score_file(path).scores


def read_score_file(path: str | Path) -> ScoreFile:
    """Read a score file in any layout of this module.

    Raises:
        InputError: the file is not there, not text, or of no known layout; a line has other columns than the first, a
            score that is not a finite number, an unknown class, or an utterance that was scored before. Naming file
            and line.
    """
    path = Path(path)
    layout = _layout(path)
    scores = _quickly(path, layout)
    if scores is None:
        return _line_by_line(path, layout)
    return ScoreFile(path, scores)


def _layout(path: Path) -> Layout:
    if not path.is_file():
        raise InputError(f"{path}: no such score file; run the scoring stage first")
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = [(number, line) for number, line in enumerate(islice(file, LOOKED_AT), start=1) if line.strip()]
    except UnicodeDecodeError as error:
        raise _not_text(path, error) from None
    if any(line.startswith("Output,") for _, line in lines):
        return NII_LOG
    if not lines:
        return PLAIN  # an empty file scores nothing; whoever needs scores says which are missing
    number, line = lines[0]
    return _layout_of_line(line.split(), f"{path}:{number}")


def _layout_of_line(fields: list[str], at: str) -> Layout:
    if {"filename", "cm-score"} <= set(fields):
        by_claim = len(fields) > 2
        utt, score = fields.index("filename"), fields.index("cm-score")
        return Layout(" ".join(fields), len(fields), utt, score, has_header=True, by_claim=by_claim)
    if len(fields) == 4:
        fitting = [layout for layout in (ASVSPOOF2019, A_DCF) if fields[layout.label].lower() in layout.labels]
        if len(fitting) == 1:
            return fitting[0]
        which = "both the third and the fourth column are" if fitting else "neither the third nor the fourth column is"
        raise InputError(
            f"{at}: 4 columns are '{ASVSPOOF2019.name}' or '{A_DCF.name}', but {which} a class; make it clear"
        )
    if len(fields) == 2:
        return PLAIN
    commas = ", separated by blanks or tabs, not commas" if len(fields) == 1 and "," in fields[0] else ""
    raise InputError(
        f"{at}: found {len(fields)} columns, which is no known score file; write 'utt score'{commas}, or one of "
        f"'{ASVSPOOF2019.name}', '{A_DCF.name}', '{NII_LOG.name}', or the header 'filename cm-score' of ASVspoof 5"
    )


def _quickly(path: Path, layout: Layout) -> dict[str, float] | None:
    """The scores of a two-column file without any mistake, three times as fast as line by line; else None."""
    if layout.width != 2:
        return None
    try:
        with path.open(encoding="utf-8-sig") as file:
            # Generators: each two-item list dies at once, so that the garbage collector never walks a million of them.
            fields = (line.split() for line in file if not line.isspace())
            if layout.has_header:
                next(fields)
            pairs = fields if layout.utt == 0 else (row[::-1] for row in fields)
            rows = 0

            def counted() -> Iterator[tuple[str, float]]:
                nonlocal rows
                for utt, value in pairs:
                    rows += 1
                    yield utt, finite(value)

            scores = dict(counted())
    except UnicodeDecodeError as error:
        raise _not_text(path, error) from None
    except ValueError:
        return None
    return scores if len(scores) == rows else None


def _line_by_line(path: Path, layout: Layout) -> ScoreFile:
    """Read any layout; says which line is wrong."""
    scores: dict[str, float] = {}
    line_of: dict[str, int] = {}
    tables: dict[str, dict[str, str]] = {}
    one: dict[str, str] = {}  # one string object for each distinct attack
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, fields in layout.rows(file):
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
                if layout.label is not None:
                    label = layout.labels.get(fields[layout.label].lower())
                    if label is None:
                        known = ", ".join(layout.labels)
                        raise InputError(f"{at}: unknown class '{fields[layout.label]}' of {utt}; known are {known}")
                    if tables.setdefault("utt2label", {}).setdefault(utt, label) != label:
                        raise InputError(f"{at}: {utt} is {label}, but not on line {line_of[utt]}; correct one")
                if layout.system is not None:
                    system = fields[layout.system]
                    tables.setdefault("utt2system", {})[utt] = one.setdefault(system, system)
    except UnicodeDecodeError as error:
        raise _not_text(path, error) from None
    return ScoreFile(path, scores, tables, layout is A_DCF)


def _hint(layout: Layout, value: str, is_first: bool) -> str:
    """What to do about a score that is no finite number."""
    if layout.by_claim and value == "-":
        return "a file of SASV scores only is for --task sasv"
    try:
        float(value)
    except ValueError:
        return f"expected '{layout.name}'{' and no header' if is_first and not layout.has_header else ''}"
    return "score this utterance again"


def finite(value: str) -> float:
    """A score as a number; ValueError if it is not a finite one."""
    number = float(value)
    # An underscore is a digit separator to Python, but nobody writes scores that way.
    if not math.isfinite(number) or "_" in value:
        raise ValueError(value)
    return number


def _not_text(path: Path, error: UnicodeDecodeError) -> InputError:
    return InputError(
        f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start}); unpack it if it is compressed"
    )
