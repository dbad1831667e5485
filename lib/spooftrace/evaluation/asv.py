"""What the t-DCF needs of a speaker verification (ASV) system, from its score file.

Rates are taken at the threshold where the ASV system has its EER of target against nontarget trials. ASVspoof 2021
recomputes them for each cell of its table: codec filters all three kinds of trial, attack only the spoof trials.
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
    """Error rates of the ASV system behind the t-DCF, by (attack, condition), POOLED for all of them.

    Args:
        path: ASV scores. ASVspoof 2021: ``score.txt`` (``asv_spk trial score``) with its ``trial_metadata.txt`` in the
            same folder or the one above; else the file of ASVspoof 2019 (``attack-or-bonafide key score``).
        convention: how the test set is evaluated; ASVspoof 5 has fixed rates and no file.
        subset: the subset of ASVspoof 2021 to use the scores of; None for all.

    Returns:
        None where nothing is known of an ASV system.

    Raises:
        InputError: a file that is not there or damaged (naming the line), trials that do not fit together, or a kind of
            trial that is lacking.
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
        raise InputError(f"{path}: no trials of the kind {', '.join(lacking)}; an ASV system's rates need all three")
    return cells


def _cells(kinds: Column, attacks: Column, conditions: Column, scores: np.ndarray) -> Cells:
    """The rates of every cell that has trials of all three kinds."""
    target, nontarget, spoof = (kinds.is_in([kind]) for kind in KINDS)
    cells: Cells = {}
    for condition in {*conditions.values, POOLED}:
        here = conditions.is_in([condition]) if condition != POOLED else np.ones(scores.size, dtype=bool)
        bonafide = scores[here & target], scores[here & nontarget]
        if not (bonafide[0].size and bonafide[1].size):
            continue
        threshold = eer(*bonafide)[1]
        for attack in {*attacks.values, POOLED}:
            spoofed = scores[here & spoof & attacks.is_in([attack])] if attack != POOLED else scores[here & spoof]
            if spoofed.size:
                cells[attack, condition] = asv_error_rates(*bonafide, spoofed, threshold)[0]
    return cells


def _asvspoof2019(path: Path) -> Iterator[tuple[str, str, str, float]]:
    """Kind, attack, condition and score of each line ``attack-or-bonafide key score``."""
    for number, (attack, kind, score) in rows(path, 3):
        at = f"{path}:{number}"
        yield _kind(kind, at), attack, POOLED, _number(score, at)


def _asvspoof2021(path: Path, subset: str | None) -> Iterator[tuple[str, str, str, float]]:
    """The same of each trial of the metadata that is in the subset."""
    metadata = _metadata_beside(path)
    score_of: dict[str, float] = {}
    for number, (speaker, trial, score) in rows(path, 3):
        claim = f"{speaker} {trial}"
        if claim in score_of:
            raise InputError(f"{path}:{number}: a second score of the trial '{claim}'; keep one")
        score_of[claim] = _number(score, f"{path}:{number}")
    trials, missing = 0, []
    for number, (speaker, trial, codec, _, attack, kind, _, part) in rows(metadata, 8):
        trials += 1
        score = score_of.get(f"{speaker} {trial}")
        if score is None:
            missing.append(f"{speaker} {trial}")
        elif subset in (None, part):
            yield _kind(kind, f"{metadata}:{number}"), attack, codec, score
    if missing or trials != len(score_of):
        raise InputError(
            f"{path}: {len(missing)} of the {trials} trials of {metadata} have no score ({first(missing) or 'none'}), "
            f"and {len(score_of) - trials + len(missing)} scores no trial; the two files are not of one release"
        )


def _metadata_beside(path: Path) -> Path:
    for folder in (path.parent, path.resolve().parent.parent):
        if (folder / "trial_metadata.txt").is_file():
            return folder / "trial_metadata.txt"
    raise InputError(
        f"{path}: no trial_metadata.txt in its folder or the one above; ASVspoof 2021 ASV scores need it (keys/LA/ASV)"
    )


def _kind(kind: str, at: str) -> str:
    if kind not in KINDS:
        raise InputError(f"{at}: '{kind}' is none of {', '.join(KINDS)}")
    return kind


def _number(text: str, at: str) -> float:
    try:
        return finite(text)
    except ValueError:
        raise InputError(f"{at}: score '{text}' is not a finite number") from None
