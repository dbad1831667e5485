"""Error rates of the speaker verification (ASV) system in the t-DCF, from its score file.

The threshold is that of the EER between target and nontarget trials. ASVspoof 2021 recomputes the rates for each cell
of its table: the codec selects trials of all three kinds, the attack only spoof trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.corpora.protocol import rows
from spooftrace.evaluation.score_files import finite
from spooftrace.evaluation.trials import Column, first
from spooftrace.metrics import ASVSPOOF5_ASV, AsvErrorRates, asv_error_rates, eer

Cells = dict[tuple[str, str], AsvErrorRates]  # by (attack, condition)

POOLED = "pooled"
KINDS = ("target", "nontarget", "spoof")


def read_asv(path: str | Path | None, convention: str, subset: str | None = None) -> Cells | AsvErrorRates | None:
    """Error rates of the ASV system in the t-DCF, by (attack, condition), POOLED for all of them.

    Args:
        path: ASV scores. ASVspoof 2021: ``score.txt`` (``asv_spk trial score``) with its ``trial_metadata.txt`` in the
            same folder or the one above; otherwise the file of ASVspoof 2019 (``attack-or-bonafide key score``).
        convention: Name of the convention that the test set is evaluated by; ASVspoof 5 has fixed rates and no file.
        subset: Subset of ASVspoof 2021 whose scores are used; None for all.

    Returns:
        The rates; None if there is no ASV system.

    Raises:
        InputError: A file is missing or damaged (the message names the line), the trials of both files differ, or
            target, nontarget or spoof trials are missing.
    """
    if convention == "asvspoof5":
        if path is not None:
            raise InputError(f"{path}: ASVspoof 5 fixes the rates of its ASV system; leave --asv-scores out")
        return ASVSPOOF5_ASV
    if path is None:
        return None
    path = Path(path)
    trials = _asvspoof2021(path, subset) if convention == "asvspoof2021" else _asvspoof2019(path)
    kinds, attacks, conditions, scores = [], [], [], []
    for kind, attack, condition, score in trials:
        kinds.append(kind)
        attacks.append(attack)
        conditions.append(condition)
        scores.append(score)
    cells = _cells(Column.of(kinds), Column.of(attacks), Column.of(conditions), np.array(scores))
    if (POOLED, POOLED) not in cells:
        lacking = [kind for kind in KINDS if kind not in kinds]
        raise InputError(f"{path}: no {', '.join(lacking)} trials; the rates of an ASV system need all three kinds")
    return cells


def _cells(kinds: Column, attacks: Column, conditions: Column, scores: np.ndarray) -> Cells:
    """The rates of each cell that has trials of all three kinds."""
    target, nontarget, spoof = (kinds.is_in([kind]) for kind in KINDS)
    cells: Cells = {}
    for condition in {*conditions.values, POOLED}:
        selected = conditions.is_in([condition]) if condition != POOLED else np.ones(scores.size, dtype=bool)
        bonafide = scores[selected & target], scores[selected & nontarget]
        if not (bonafide[0].size and bonafide[1].size):
            continue
        threshold = eer(*bonafide)[1]
        for attack in {*attacks.values, POOLED}:
            of_attack = attacks.is_in([attack]) if attack != POOLED else np.ones(scores.size, dtype=bool)
            spoofed = scores[selected & spoof & of_attack]
            if spoofed.size:
                cells[attack, condition] = asv_error_rates(*bonafide, spoofed, threshold)[0]
    return cells


def _asvspoof2019(path: Path) -> Iterator[tuple[str, str, str, float]]:
    """Kind, attack, condition and score of each line ``attack-or-bonafide key score``."""
    for number, (attack, kind, score) in rows(path, 3):
        at = f"{path}:{number}"
        yield _kind(kind, at), attack, POOLED, _number(score, at)


def _asvspoof2021(path: Path, subset: str | None) -> Iterator[tuple[str, str, str, float]]:
    """Kind, attack, condition and score of each trial of the metadata that is in the subset."""
    metadata = _metadata_beside(path)
    score_of: dict[str, float] = {}
    for number, (speaker, trial, score) in rows(path, 3):
        claim = f"{speaker} {trial}"
        if claim in score_of:
            raise InputError(f"{path}:{number}: the trial '{claim}' has a second score; keep one")
        score_of[claim] = _number(score, f"{path}:{number}")
    trials = 0
    missing: list[str] = []
    for number, (speaker, trial, codec, _, attack, kind, _, trial_subset) in rows(metadata, 8):
        trials += 1
        claim = f"{speaker} {trial}"
        if claim not in score_of:
            missing.append(claim)
        elif subset in (None, trial_subset):
            yield _kind(kind, f"{metadata}:{number}"), attack, codec, score_of[claim]
    if missing or trials != len(score_of):
        raise InputError(
            f"{path}: {len(missing)} of the {trials} trials of {metadata} have no score ({first(missing) or 'none'}), "
            f"and {len(score_of) - trials + len(missing)} scores have no trial; use two files of the same download"
        )


def _metadata_beside(path: Path) -> Path:
    for folder in (path.parent, path.resolve().parent.parent):
        if (folder / "trial_metadata.txt").is_file():
            return folder / "trial_metadata.txt"
    raise InputError(
        f"{path}: no trial_metadata.txt in its folder or the one above; ASV scores of ASVspoof 2021 need it "
        "(keys/LA/ASV)"
    )


def _kind(kind: str, at: str) -> str:
    if kind not in KINDS:
        raise InputError(f"{at}: unknown kind of trial '{kind}'; known are {', '.join(KINDS)}")
    return kind


def _number(text: str, at: str) -> float:
    try:
        return finite(text)
    except ValueError:
        raise InputError(f"{at}: score '{text}' is not a finite number") from None
