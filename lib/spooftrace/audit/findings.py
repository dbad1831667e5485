"""What the cues say about the labels of a corpus, pooled and for each attack or class: every measurement as a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from spooftrace.audit.measuring import Measured
from spooftrace.audit.separation import (
    Estimate,
    balanced_error,
    deal_folds,
    equal_error,
    f1_scores,
    histogram_decisions,
    joint_decisions,
)

Array = np.ndarray
DETECTION = ("bonafide", "spoof")
LABELS = ("utt2label", "utt2vq", "utt2aux", "utt2dec", "utt2codec", "utt2attack")
NO_VALUE = "-"  # no codec, no attack: an utterance that the label says nothing of
POOLED = "pooled"
ALL_CUES = "all cues"
MIN_UTTERANCES = 20  # utterances; of fewer nothing is claimed
RISK = 0.05  # that of all figures of a label one counts as telling when no cue says anything


@dataclass(frozen=True)
class Finding:
    """One measurement.

    Attributes:
        cue: a cue, or ``all cues``.
        measure: ``eer``; ``error``, the mean error rate of the decisions of a histogram; ``macro_f1``; ``f1``.
        part: ``pooled``, the attack whose spoof is compared with all bona fide, or the class.
        utterances: of the two classes, of the class and all others, or of the smallest and the largest class.
        estimate: its value, interval and chance.
        telling: better than the limit, of at least 20 utterances each, and not by luck: the 5 % risk of one such
            figure among all those of the label is shared out evenly.
    """

    cue: str
    measure: str
    part: str
    utterances: tuple[int, int]
    estimate: Estimate
    telling: bool = False

    @property
    def too_few(self) -> bool:
        return min(self.utterances) < MIN_UTTERANCES


@dataclass(frozen=True)
class Audit:
    """All findings on one label.

    Attributes:
        label: its table.
        classes: class -> utterances.
        left_out: class -> utterances, of the classes too small to be judged.
        by_speaker: whether the cross-validation keeps speakers whole.
        partition: which utterances are in one class, whatever it is called: equal for tables that say the same.
        findings: cue by cue, the most telling first; all cues together last.
    """

    label: str
    classes: dict[str, int]
    left_out: dict[str, int]
    by_speaker: bool
    partition: bytes
    findings: list[Finding]

    @property
    def is_detection(self) -> bool:
        """Bona fide against spoof?"""
        return set(self.classes) == set(DETECTION)

    @property
    def telling(self) -> list[Finding]:
        """Of single cues: what all cues together tell may be the trace of the generator that a detector is to find."""
        return [finding for finding in self.findings if finding.telling and finding.cue != ALL_CUES]


def audit_label(
    label: str,
    measured: Measured,
    class_of: Mapping[str, str],
    speaker_of: Mapping[str, str],
    attack_of: Mapping[str, str],
    limit: float,
) -> Audit | None:
    """How well each cue tells the classes of a label apart; ``None`` where there are no two such classes.

    Args:
        label: name of the table.
        measured: the cues.
        class_of: utterance -> class; ``-`` is none, and classes of fewer than 20 utterances are left out. Bona fide
            against spoof is judged by error rates, other classes by F1.
        speaker_of: utterance -> speaker.
        attack_of: utterance -> attack, for detection; may be empty.
        limit: the EER below which a cue is telling; an F1 must be as far on the way from chance to 1.
    """
    counts = Counter(class_of[utt] for utt in measured.utts)
    counts.pop(NO_VALUE, None)
    kept = {name: count for name, count in sorted(counts.items()) if count >= MIN_UTTERANCES}
    left_out = {name: count for name, count in sorted(counts.items()) if count < MIN_UTTERANCES}
    if len(kept) < 2:
        return None
    chosen = np.array([class_of[utt] in kept for utt in measured.utts])
    utts = [utt for utt, kept_utt in zip(measured.utts, chosen, strict=True) if kept_utt]
    # Classes are numbered by name, so that bona fide is 0.
    _, first, classes = np.unique([class_of[utt] for utt in utts], return_index=True, return_inverse=True)
    _, speakers = np.unique([speaker_of[utt] for utt in utts], return_inverse=True)
    folds, by_speaker = deal_folds(classes, speakers)

    scores = dict(zip(measured.names, measured.values[chosen].T, strict=True))
    decided = {cue: histogram_decisions(values, classes, folds) for cue, values in scores.items()}
    decided[ALL_CUES], scores[ALL_CUES] = joint_decisions(measured.values[chosen], classes, folds)
    if set(counts) == set(DETECTION):
        attacks = np.array([attack_of.get(utt, NO_VALUE) for utt in utts])
        found = {cue: list(_error_rates(cue, scores[cue], decided[cue], classes, speakers, attacks)) for cue in scores}
    else:
        found = {cue: list(_f1_scores(cue, decided[cue], classes, speakers, list(kept))) for cue in scores}

    deviations = NormalDist().inv_cdf(1 - RISK / 2 / sum(map(len, found.values())))
    judged = {cue: [_judge(finding, limit, deviations) for finding in rows] for cue, rows in found.items()}
    order = sorted(judged, key=lambda cue: (cue != ALL_CUES, _rank(judged[cue])), reverse=True)
    partition = chosen.tobytes() + first.argsort().argsort()[classes].tobytes()  # classes by their first utterance
    return Audit(label, kept, left_out, by_speaker, partition, [finding for cue in order for finding in judged[cue]])


def _error_rates(
    cue: str, scores: Array, decided: Array, classes: Array, speakers: Array, attacks: Array
) -> Iterator[Finding]:
    """EER of all spoof and of that of each attack, and the error rate of the histogram."""
    bonafide, spoof = classes == 0, classes == 1
    parts = {POOLED: spoof} | {str(name): spoof & (attacks == name) for name in np.unique(attacks[spoof])}
    for part, chosen in parts.items():
        figure = equal_error(scores[bonafide], scores[chosen], (speakers[bonafide], speakers[chosen]))
        yield Finding(cue, "eer", part, (int(bonafide.sum()), int(chosen.sum())), figure)
    if cue != ALL_CUES:
        figure = balanced_error(classes, decided, speakers)
        yield Finding(cue, "error", POOLED, (int(bonafide.sum()), int(spoof.sum())), figure)


def _f1_scores(cue: str, decided: Array, classes: Array, speakers: Array, names: Sequence[str]) -> Iterator[Finding]:
    """Macro-F1, and the F1 of each class."""
    macro, each = f1_scores(classes, decided, len(names), speakers)
    sizes = np.bincount(classes).tolist()
    yield Finding(cue, "macro_f1", POOLED, (min(sizes), max(sizes)), macro)
    for name, size, figure in zip(names, sizes, each, strict=True):
        yield Finding(cue, "f1", name, (size, len(classes) - size), figure)


def _judge(finding: Finding, limit: float, deviations: float) -> Finding:
    telling = (
        finding.estimate.skill > 1 - 2 * limit and finding.estimate.beyond_luck(deviations) and not finding.too_few
    )
    return replace(finding, telling=telling)


def _rank(findings: Sequence[Finding]) -> tuple[bool, float]:
    """What cues are sorted by: telling ones first, then by the greatest skill that is not of a handful."""
    skills = [finding.estimate.skill for finding in findings if not finding.too_few]
    return any(finding.telling for finding in findings), max(skills, default=0.0)
