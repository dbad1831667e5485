"""Score files and keys of SASV (spoofing-robust speaker verification), paired by trial.

A trial is a claimed speaker and an utterance; it is target, nontarget (bona fide speech of another speaker) or spoof.
A higher score means that the trial is more likely accepted. Layouts of score files::

    spk filename cm-score asv-score sasv-score      ASVspoof 5 Track 2: with this header, columns in any order
    SPK UTT SCORE KEY                               a-DCF package: no header, the key is in it

``-`` in every line of ``cm-score`` or ``asv-score``: the system has no such score. Layouts of keys::

    spk filename cm-label asv-label                 ASVspoof 5 package: with this header, columns in any order
    SPK UTT GENDER ATTACK KEY                       ASVspoof5.{dev,eval}.track_2.trial.tsv
    SPK UTT KEY ATTACK                              trials of a data directory, such as data/eval_track2
    SPK UTT ATTACK KEY                              ASVspoof2019.LA.asv.*.trl.txt, the trials of SASVC 2022

KEY is target, nontarget or spoof. The first line decides which layout is read; white space separates the columns.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.contents import check_scores
from spooftrace.common.errors import InputError
from spooftrace.common.text import iterate_lines
from spooftrace.corpora.asvspoof5 import ASV_KEYS
from spooftrace.corpora.protocol import rows
from spooftrace.evaluation.score_files import finite
from spooftrace.evaluation.trials import Column, first, unlike

Array = np.ndarray
SASV, CM, ASV = "sasv-score", "cm-score", "asv-score"
NO_VALUE = "-"
BONAFIDE = ("bonafide", NO_VALUE)  # in the column of attacks


@dataclass(frozen=True)
class SasvKey:
    """The N trials of a test set: claims ``SPK UTT``, their kinds (ASV_KEYS) and, where known, their attacks."""

    name: str
    path: Path
    claims: list[str]
    kinds: Column
    attacks: Column | None = None


@dataclass(frozen=True)
class SasvScores:
    """A score file: the row of each claim, the columns of scores, float64 (N,), and its own key if it has one."""

    path: Path
    row_of: Mapping[str, int]
    columns: Mapping[str, Array]
    key: SasvKey | None = None


def join(scores: SasvScores, key: SasvKey) -> dict[str, Array]:
    """The columns of scores in the order of the key. Trials are paired by claim, never by line order.

    Raises:
        InputError: A trial has no score, a score has no trial, or a trial is of another kind in the score file than in
            the key; the message names file and line.
    """
    missing = [claim for claim in key.claims if claim not in scores.row_of]
    if missing:
        advice = unlike(missing[0], scores.row_of, key.claims)
        raise InputError(
            f"{_line_of(key.path, missing[0])}: {len(missing)} of the {len(key.claims)} trials have no score in "
            f"{scores.path} ({first(missing)}); {advice}score the whole set again"
        )
    if len(scores.row_of) > len(key.claims):
        trials = set(key.claims)
        extra = [claim for claim in scores.row_of if claim not in trials]
        raise InputError(
            f"{_line_of(scores.path, extra[0])}: {len(extra)} scores have no trial in {key.path} ({first(extra)}); "
            "are they scores of another test set?"
        )
    order = [scores.row_of[claim] for claim in key.claims]
    if scores.key is not None and scores.key is not key:
        for claim, row, kind in zip(key.claims, order, key.kinds.codes.tolist(), strict=True):
            own, other = scores.key.kinds.values[scores.key.kinds.codes[row]], key.kinds.values[kind]
            if own != other:
                raise InputError(
                    f"{_line_of(scores.path, claim)}: '{claim}' is {own} in the scores, but {other} in {key.path}; "
                    "give both files of the same test set"
                )
    places = np.array(order, dtype=np.intp)
    return {name: column[places] for name, column in scores.columns.items()}


def read_scores(path: str | Path) -> SasvScores:
    """Read a score file in one of the two layouts above.

    Raises:
        InputError: The file is missing, not text, or has another layout; a line has other columns than the first, a
            score that is not a finite number, an unknown kind of trial, or a trial that already has a score.
    """
    path = Path(path)
    check_scores(path)
    header = _first_line(path)
    if {"spk", "filename", SASV} <= {*header}:
        places = {name: header.index(name) for name in (SASV, CM, ASV) if name in header}
        layout = _TrialLayout(len(header), header.index("spk"), header.index("filename"), has_header=True)
    elif len(header) == 4 and header[3] in ASV_KEYS:
        places, layout = {SASV: 2}, _TrialLayout(4, kind=3)
    else:
        raise InputError(
            f"{path}:1: not a file of SASV scores; expected the header 'spk filename cm-score asv-score sasv-score' of "
            f"ASVspoof 5, or lines 'SPK UTT SCORE KEY' with one of {', '.join(ASV_KEYS)} at the end"
        )
    columns = {name: array("d") for name in places}
    row_of: dict[str, int] = {}
    kinds: list[str] = []
    for number, claim, fields in layout.trials(path, row_of):
        if not row_of:
            absent = [name for name in (CM, ASV) if name in places and fields[places[name]] == NO_VALUE]
            filled = [(columns[name].append, place) for name, place in places.items() if name not in absent]
        row_of[claim] = len(row_of)
        try:
            for append, place in filled:
                append(finite(fields[place]))
        except ValueError:
            raise InputError(f"{path}:{number}: score '{fields[place]}' of '{claim}' is not a finite number") from None
        for name in absent:
            if fields[places[name]] != NO_VALUE:
                raise InputError(
                    f"{path}:{number}: '{claim}' has a {name}, but earlier lines have '-'; give scores for all trials"
                )
        if layout.kind is not None:
            kinds.append(fields[layout.kind])
    key = SasvKey(path.stem, path, list(row_of), Column.of(kinds)) if kinds else None
    return SasvScores(path, row_of, {name: np.array(column) for name, column in columns.items() if column}, key)


def read_key(path: str | Path) -> SasvKey:
    """Read a key in one of the layouts above; for a data directory, its file ``trials``.

    Raises:
        InputError: The file is missing, not text, or has another layout; a line has other columns than the first, a
            kind that is unknown or contradicts the attack, or a trial that is listed already.
    """
    path = Path(path)
    name, path = (path.resolve().name, path / "trials") if path.is_dir() else (path.stem, path)
    header = _first_line(path)
    has_header = {"spk", "filename", "cm-label", "asv-label"} <= {*header}
    if has_header:
        spk, utt, kind, attack = map(header.index, ("spk", "filename", "asv-label", "cm-label"))
        fitting = [_KeyLayout(len(header), spk, utt, kind, has_header=True, attack=attack)]
    else:
        fitting = [known for known in KEYS if len(header) == known.width and header[known.kind] in ASV_KEYS]
    if len(fitting) != 1:
        raise InputError(
            f"{path}:1: not a key of SASV trials; expected the header 'spk filename cm-label asv-label', or lines "
            "'SPK UTT GENDER ATTACK KEY', 'SPK UTT KEY ATTACK' or 'SPK UTT ATTACK KEY' with KEY target, nontarget or "
            "spoof"
        )
    layout = fitting[0]
    kind_of: dict[str, str] = {}
    attacks: list[str] = []
    for _, claim, fields in layout.trials(path, kind_of):
        kind_of[claim] = sys.intern(fields[layout.kind])  # millions of trials share few distinct strings
        attacks.append(sys.intern(fields[layout.attack]))
    return SasvKey(name, path, list(kind_of), Column.of(kind_of.values()), None if has_header else Column.of(attacks))


@dataclass(frozen=True)
class _TrialLayout:
    """The number of columns of a file of trials, and which column holds what."""

    width: int
    spk: int = 0
    utt: int = 1
    kind: int | None = None
    has_header: bool = False

    def trials(self, path: Path, seen: Mapping[str, Any]) -> Iterator[tuple[int, str, list[str]]]:
        """Line number, claim and fields of each line; raises InputError if the claim is in ``seen`` by then."""
        lines = rows(path, self.width)
        if self.has_header:
            next(lines)
        spk, utt, kind = self.spk, self.utt, self.kind
        for number, fields in lines:
            claim = f"{fields[spk]} {fields[utt]}"
            if claim in seen:
                raise InputError(f"{path}:{number}: the trial '{claim}' is on {_line_of(path, claim)} too; keep one")
            if kind is not None and fields[kind] not in ASV_KEYS:
                raise InputError(
                    f"{path}:{number}: unknown kind '{fields[kind]}' of '{claim}'; known are {', '.join(ASV_KEYS)}"
                )
            yield number, claim, fields


@dataclass(frozen=True)
class _KeyLayout(_TrialLayout):
    """The layout of a key. ``attack`` may be a column of classes: a bona fide trial must not be of kind spoof."""

    kind: int = 2
    attack: int = 3

    def trials(self, path: Path, seen: Mapping[str, Any]) -> Iterator[tuple[int, str, list[str]]]:
        """As for all layouts; also raises InputError if the attack contradicts the kind."""
        for number, claim, fields in super().trials(path, seen):
            kind, attack = fields[self.kind], fields[self.attack]
            if (attack in BONAFIDE) == (kind == "spoof"):
                raise InputError(f"{path}:{number}: '{attack}' and '{kind}' of '{claim}' contradict each other")
            yield number, claim, fields


KEYS = (_KeyLayout(5, kind=4, attack=3), _KeyLayout(4, kind=2, attack=3), _KeyLayout(4, kind=3, attack=2))


def _first_line(path: Path) -> list[str]:
    """The fields of the first line that is not empty."""
    return next((line.split() for line in iterate_lines(path) if line.strip()), [])


def _line_of(path: Path, claim: str) -> str:
    """``file:line`` of a trial, for messages."""
    lines = enumerate(iterate_lines(path), start=1)
    number = next((number for number, line in lines if {*claim.split()} <= {*line.split()}), 1)
    return f"{path}:{number}"
