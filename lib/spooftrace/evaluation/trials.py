"""The scored trials of a test set: what every metric and every table of the evaluation works on.

Scores and key are paired by utterance id, never by line order, and must be the same set: a number computed on part of a
test set is not a result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spooftrace.common.audio_suffixes import AUDIO
from spooftrace.common.errors import InputError
from spooftrace.evaluation.score_files import ScoreFile

Array = np.ndarray

FILE_ENDINGS = (*AUDIO, ".pt", ".npy")  # some programs name scores by files of features


@dataclass(frozen=True)
class Column:
    """One property of the trials, such as the attack or the codec, as categories: 4 bytes a trial.

    Attributes:
        values: the categories, sorted by name; after :meth:`ScoredTrials.select` some may have no trial left.
        codes: index into ``values`` of each trial, int32 (N,).
    """

    values: tuple[str, ...]
    codes: Array

    @classmethod
    def of(cls, values: Iterable[str]) -> Column:
        """The column of N values.

        >>> Column.of(["b", "a", "b"])
        Column(values=('a', 'b'), codes=array([1, 0, 1], dtype=int32))
        """
        values = list(values)
        names = tuple(sorted(set(values)))
        code_of = {name: code for code, name in enumerate(names)}
        return cls(names, np.fromiter(map(code_of.__getitem__, values), np.int32, len(values)))

    def is_in(self, wanted: Iterable[str]) -> Array:
        """Which trials have one of these values, bool (N,)."""
        wanted = set(wanted)
        return np.array([name in wanted for name in self.values], dtype=bool)[self.codes]


@dataclass(frozen=True)
class ScoredTrials:
    """The trials of one test set with their scores (higher = more bona fide), in the order of the key.

    Attributes:
        name: of the test set.
        utts: the N utterance ids.
        scores: float64 (N,), all finite.
        is_bonafide: bool (N,).
        columns: what else the key says, by name: "attack", "cond" (codec, channel), "subset", "source",
            "spk", ... as far as the key has it. The attack of a bona fide trial has no meaning.
        note: how ids of scores and key were made equal, where they were not as they are written.
    """

    name: str
    utts: list[str]
    scores: Array
    is_bonafide: Array
    columns: Mapping[str, Column] = field(default_factory=dict)
    note: str = ""

    def __len__(self) -> int:
        return len(self.utts)

    @property
    def bonafide(self) -> Array:
        """Scores of the bona fide trials, (Nb,)."""
        return self.scores[self.is_bonafide]

    @property
    def spoof(self) -> Array:
        """Scores of the spoof trials, (Ns,)."""
        return self.scores[~self.is_bonafide]

    def select(self, keep: Array) -> ScoredTrials:
        """The trials where ``keep``, bool (N,), is true; the categories of the columns stay as they are."""
        return replace(
            self,
            utts=[self.utts[index] for index in np.flatnonzero(keep)],
            scores=self.scores[keep],
            is_bonafide=self.is_bonafide[keep],
            columns={name: Column(column.values, column.codes[keep]) for name, column in self.columns.items()},
        )


@dataclass(frozen=True)
class Key:
    """The trials of a test set without scores.

    Attributes:
        name: of the test set.
        path: the key file or data directory, for messages.
        utts: the N utterance ids.
        is_bonafide: bool (N,).
        columns: as in :class:`ScoredTrials`.
    """

    name: str
    path: Path
    utts: list[str]
    is_bonafide: Array
    columns: Mapping[str, Column]


def join(key: Key, file: ScoreFile) -> ScoredTrials:
    """Give every trial of a key its score.

    Ids are compared as they are written. If trials are left without a score, audio endings (``.flac``, ``.wav``) are
    taken off the ids on both sides, and if that is not enough, folders (``/`` or ``\\``) as well; never where it makes
    two ids equal. ``note`` of the result says so.

    Raises:
        InputError: a trial without a score, a score without a trial, or a class in the score file that is not the one
            in the key; naming the first of them.
    """
    for simplified in (str, _without_ending, _file_name):
        wanted, score_of = key.utts, file.scores
        if simplified is not str:
            wanted = list(map(simplified, key.utts))
            score_of = {simplified(utt): score for utt, score in file.scores.items()}
            if len(set(wanted)) < len(wanted) or len(score_of) < len(file.scores):
                continue
        # Tables and our own score files are sorted alike, so this comparison usually saves a look-up for each trial.
        scores = list(score_of.values()) if list(score_of) == wanted else list(map(score_of.get, wanted))
        if None not in scores:
            break
    else:
        raise InputError(_missing(key, file))
    if len(score_of) > len(wanted):
        trials = set(wanted)
        extra = [utt for utt in file.scores if simplified(utt) not in trials]
        raise InputError(
            f"{file.path}:{file.line_of(extra[0])}: {len(extra)} scored utterances are not trials of {key.path} "
            f"({first(extra)}); were the scores made on another set?"
        )
    label_of = {simplified(utt): label for utt, label in file.tables.get("utt2label", {}).items()}
    for utt, bonafide in zip(wanted, key.is_bonafide.tolist(), strict=True) if label_of else ():
        if utt in label_of and bonafide != (label_of[utt] == "bonafide"):
            written = next(name for name in file.scores if simplified(name) == utt)
            other = "bonafide" if bonafide else "spoof"
            raise InputError(
                f"{file.path}:{file.line_of(written)}: {written} is {label_of[utt]} here, but {other} in {key.path}; "
                "which file is of another set?"
            )
    return ScoredTrials(
        key.name, key.utts, np.array(scores, dtype=np.float64), key.is_bonafide, key.columns, NOTES[simplified]
    )


def first(names: Iterable[str]) -> str:
    """The first names of a list for a message.

    >>> first(["a", "b", "c", "d"])
    'first: a, b, c'
    """
    names = list(names)
    return f"first: {', '.join(names[:3])}" if len(names) > 3 else ", ".join(names)


def _without_ending(utt: str) -> str:
    return utt[: utt.rindex(".")] if utt.lower().endswith(FILE_ENDINGS) else utt


def _file_name(utt: str) -> str:
    return re.split(r"[/\\]", _without_ending(utt))[-1]


# How ids were compared, for those who read the result.
NOTES = {
    str: "",
    _without_ending: "ids of scores and key are equal without audio endings such as .flac",
    _file_name: "ids of scores and key are equal without folders and audio endings",
}


def _missing(key: Key, file: ScoreFile) -> str:
    """The message about trials without a score; it shows an id of each file if the ids differ in form."""
    missing = [utt for utt in key.utts if utt not in file.scores]
    problem = f"{file.path}: no score for {len(missing)} of the {len(key.utts)} trials of {key.path} ({first(missing)})"
    return f"{problem}; {unlike(missing[0], file.scores, key.utts)}score the whole set again{_all_subsets(key)}"


def unlike(missing: str, scored: Iterable[str], trials: Iterable[str]) -> str:
    """The advice to write ids alike, with one of each file; "" if every scored id belongs to a trial."""
    known = set(trials)
    extra = next((utt for utt in scored if utt not in known), None)
    if extra is None:
        return ""
    return f"ids do not meet: the key has '{missing}', the scores have '{extra}'; write both alike, or "


def _all_subsets(key: Key) -> str:
    subsets = key.columns["subset"].values if "subset" in key.columns else ()
    return f" (all subsets: {', '.join(subsets)})" if len(subsets) > 1 else ""
