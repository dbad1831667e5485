"""The audit as text for the terminal, as ``audit.tsv`` with every figure, and as ``audit.json``."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spooftrace.audit.cues import CUES, FILE_REMEDY
from spooftrace.audit.findings import ALL_CUES, MIN_UTTERANCES, POOLED, Audit, Finding
from spooftrace.common.atomic import atomic_write
from spooftrace.common.cells import spreadsheet
from spooftrace.common.english import percent
from spooftrace.common.json_files import write_json
from spooftrace.common.text_table import text_table

CONVENTION = (
    "EER: the cue as a score, in the better direction, equal values taken in turn; 50 % says nothing. Histogram: mean "
    "error rate of a histogram of ten bins of the cue, five-fold cross-validated. F1: of the same histogram's "
    "decisions; its chance is that of the same decisions dealt out by lot. All cues: logistic regression on their "
    "ranks and squared ranks, cross-validated alike. Intervals: 95 %, bootstrap by speaker, or by utterance where a "
    "class has fewer than 10 speakers."
)
REMEDIES = {cue.name: cue.remedy for cue in CUES}
COLUMNS = "label cue measure part utterances others value low high chance telling".split()
MEASURES = {"eer": "EER", "error": "histogram error", "macro_f1": "macro-F1", "f1": "F1"}
PART_MEASURES = ("eer", "f1")  # that are there for each attack or class


def as_text(audit: Audit) -> str:
    """One line a cue: pooled figures, and the attack or class in which it tells most."""
    sizes = ", ".join(f"{count:,} {name}" for name, count in audit.classes.items())
    lines = [f"{audit.label}: {sizes}; cross-validated over {'speakers' if audit.by_speaker else 'utterances'}"]
    if audit.is_detection:
        header = ["cue", "EER %", "95 % interval", "histogram %", "lowest EER of an attack"]
    else:
        header = ["cue", "macro-F1 %", "95 % interval", "chance %", "best told class: F1 % (chance %)"]
    rows = []
    for cue in dict.fromkeys(finding.cue for finding in audit.findings):
        found = [finding for finding in audit.findings if finding.cue == cue]
        pooled = {finding.measure: finding for finding in found if finding.part == POOLED}
        main = pooled.get("eer") or pooled["macro_f1"]
        second = _marked(pooled["error"]) if "error" in pooled else ""
        rows.append(
            [
                cue,
                _marked(main),
                f"{percent(main.estimate.low, 1)} to {percent(main.estimate.high, 1)}",
                second if audit.is_detection else percent(main.estimate.chance, 1),
                _extreme(found, audit.is_detection),
            ]
        )
    lines += [text_table(header, rows), *map("  ".__add__, verdict(audit))]
    return "\n".join(lines)


def verdict(audit: Audit) -> list[str]:
    """What tells the classes apart and what to do about it; what nothing is claimed about."""
    lines = []
    for cue in dict.fromkeys(finding.cue for finding in audit.telling):
        where = [
            f"{finding.part} {MEASURES[finding.measure]} {percent(finding.estimate.value, 1)} %"
            for finding in audit.telling
            if finding.cue == cue
        ]
        more = f" and {len(where) - 4} more" if len(where) > 4 else ""
        lines += [f"  {cue}: {', '.join(where[:4])}{more}", f"    {REMEDIES.get(cue, FILE_REMEDY)}"]
    if lines:
        lines.insert(0, "* these tell the classes apart, better than the limit and more than luck explains:")
    else:
        lines.append(f"no single cue tells the classes of {audit.label} apart")
    few = {finding.part: min(finding.utterances) for finding in audit.findings if finding.too_few} | audit.left_out
    if few:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(few.items()))
        lines.append(f"nothing is claimed of fewer than {MIN_UTTERANCES} utterances: {names}")
    return lines


def write_findings(path: Path, audits: Sequence[Audit], about: Mapping[str, Any]) -> None:
    """``about``, then classes, verdict and findings of each label; rates are fractions."""
    labels = {
        audit.label: {
            "classes": audit.classes,
            "left_out": audit.left_out,
            "cross_validation": "speakers" if audit.by_speaker else "utterances",
            "telling": sorted({finding.cue for finding in audit.telling}),
            "verdict": verdict(audit),
            "findings": [asdict(finding) for finding in audit.findings],
        }
        for audit in audits
    }
    write_json(path, {**about, "convention": CONVENTION, "labels": labels}, sort_keys=False)


def write_tsv(path: Path, audits: Sequence[Audit]) -> None:
    """One line for each figure; rates are fractions."""
    with atomic_write(path) as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for audit in audits:
            writer.writerows([audit.label, *row] for row in map(_row, audit.findings))


def _row(finding: Finding) -> list[Any]:
    estimate = finding.estimate
    numbers = (f"{number:.6g}" for number in (estimate.value, estimate.low, estimate.high, estimate.chance))
    telling = "yes" if finding.telling else "no"
    return [finding.cue, finding.measure, spreadsheet(finding.part), *finding.utterances, *numbers, telling]


def _extreme(found: Sequence[Finding], is_detection: bool) -> str:
    parts = [
        finding
        for finding in found
        if finding.part != POOLED and finding.measure in PART_MEASURES and not finding.too_few
    ]
    if not parts:
        return ""
    best = max(parts, key=lambda finding: finding.estimate.skill)
    chance = "" if is_detection else f" ({percent(best.estimate.chance, 1)})"
    return f"{best.part} {_marked(best)}{chance}"


def _marked(finding: Finding) -> str:
    return f"{percent(finding.estimate.value, 1)}{'*' if finding.telling and finding.cue != ALL_CUES else ' '}"
