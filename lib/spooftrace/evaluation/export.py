"""Scores in the submission formats of the challenges. All of them read back with every digit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.evaluation.trials import ScoredTrials


def parse_export(text: str) -> tuple[str, Path]:
    """The two halves of ``FORMAT:FILE``.

    Raises:
        ValueError: there is no such format, or no file.

    >>> parse_export("ctrsvdd:my scores.txt")
    ('ctrsvdd', PosixPath('my scores.txt'))
    """
    name, colon, path = text.partition(":")
    if name not in FORMATS or not colon or not path:
        raise ValueError(f"'{text}' is not FORMAT:FILE with a format of {', '.join(FORMATS)}")
    return name, Path(path)


def write_export(trials: ScoredTrials, form: str, path: str | Path) -> None:
    """Write the scores of all trials, in the order of the key, as the challenge ``form`` wants them.

    Args:
        trials: the scored trials.
        form: a name in FORMATS.
        path: the file to write, whole or not at all.

    Raises:
        InputError: the format has a column that the key of the trials lacks.
    """
    lines = FORMATS[form](trials)
    with atomic_write(path) as file:
        file.writelines(f"{line}\n" for line in lines)


def _utt_score(trials: ScoredTrials) -> Iterator[str]:
    return map("{} {!r}".format, trials.utts, trials.scores.tolist())


def _asvspoof5(trials: ScoredTrials) -> Iterator[str]:
    yield "filename\tcm-score"
    yield from map("{}\t{!r}".format, trials.utts, trials.scores.tolist())


def _asvspoof2019(trials: ScoredTrials) -> Iterator[str]:
    """``utt attack key score``; the attack of bona fide trials is ``-``."""
    if "attack" not in trials.columns:
        raise InputError(f"{trials.name}: the asvspoof2019 format has a column of attacks, which the key lacks")
    attack = trials.columns["attack"]
    for utt, bonafide, code, score in zip(
        trials.utts, trials.is_bonafide.tolist(), attack.codes.tolist(), trials.scores.tolist(), strict=True
    ):
        yield f"{utt} {'- bonafide' if bonafide else f'{attack.values[code]} spoof'} {score!r}"


FORMATS: dict[str, Callable[[ScoredTrials], Iterator[str]]] = {
    "asvspoof2019": _asvspoof2019,
    "asvspoof2021": _utt_score,
    "asvspoof5": _asvspoof5,
    "ctrsvdd": _utt_score,
}
