"""The evaluation stage: a score file and a data directory in, ``metrics.json`` out.

``scores.txt`` has lines ``utt score`` (no header, any order, higher = more bona fide). Trials and scores are paired
by utterance id, never by line order, and must be the same set: a number computed on part of a test set is not a result.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from spooftrace.atomic import atomic_write
from spooftrace.datadir import read_table
from spooftrace.errors import InputError
from spooftrace.metrics import act_dcf, cllr, eer, min_cllr, min_dcf, ties_across_classes

Value = TypeVar("Value")

EER_CONVENTION = (
    "EER as in the ASVspoof 2019, 2021 and ASVspoof 5 packages: trials in the order of a stable sort with bona fide "
    "first inside a tie, ties not grouped; (FRR + FAR) / 2 at the lowest threshold with the smallest |FRR - FAR|, no "
    "interpolation. 'eer' pools all trials; 'by_system' takes the spoof trials of one system against all bona fide."
)
COST_CONVENTION = (
    "ASVspoof 5 Track 1: spoof prior 0.05, a rejected bona fide trial costs 1, an accepted spoof trial 10, divided by "
    "the better of accepting and rejecting all; Cllr in bits. actDCF and Cllr take the scores for natural-log "
    "likelihood ratios, minDCF and minCllr only for an order."
)


@dataclass(frozen=True)
class DetectionTrials:
    """The scored trials of one test set.

    ``scores`` is float64 (N,); ``is_bonafide`` is bool (N,); ``systems`` holds the N attack systems (entries of bona
    fide trials have no meaning), or is None for a data directory without ``utt2system``.
    """

    scores: np.ndarray
    is_bonafide: np.ndarray
    systems: np.ndarray | None

    @property
    def bonafide(self) -> np.ndarray:
        return self.scores[self.is_bonafide]

    @property
    def spoof(self) -> np.ndarray:
        return self.scores[~self.is_bonafide]

    def spoof_by_system(self) -> dict[str, np.ndarray]:
        """Spoof scores of each attack system, systems in order of their names; empty without ``utt2system``."""
        if self.systems is None:
            return {}
        names, which = np.unique(self.systems[~self.is_bonafide], return_inverse=True)
        spoof = self.spoof
        return {str(name): spoof[which == index] for index, name in enumerate(names)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace evaluate``."""
    parser.add_argument("--data", type=Path, required=True, help="data directory of the test set, e.g. data/eval")
    parser.add_argument("--scores", type=Path, required=True, help="score file of lines 'utt score'")
    parser.add_argument("--out", type=Path, required=True, help="metrics file to write, e.g. exp/x/eval/metrics.json")


def run(args: argparse.Namespace) -> None:
    """Carry out ``spooftrace evaluate``: write ``args.out`` and print the table."""
    metrics = evaluate_detection(args.data, args.scores)
    with atomic_write(args.out) as file:
        json.dump(metrics, file, indent=2, sort_keys=True, ensure_ascii=False)
        file.write("\n")
    print(format_table(metrics))
    if "score_sign_warning" in metrics:
        print(f"WARNING: {metrics['score_sign_warning']}", file=sys.stderr)


def evaluate_detection(data: str | Path, scores: str | Path) -> dict[str, Any]:
    """Detection metrics of ``scores`` on the test set ``data``, as written to ``metrics.json``.

    Rates are fractions. Raises InputError as :func:`read_trials` does.
    """
    trials = read_trials(data, scores)
    bonafide, spoof = trials.bonafide, trials.spoof
    pooled, threshold = eer(bonafide, spoof)
    by_system = {
        system: {
            "trials": bonafide.size + attack.size,
            "bonafide": bonafide.size,
            "spoof": attack.size,
            "eer": eer(bonafide, attack)[0],
        }
        for system, attack in trials.spoof_by_system().items()
    }
    metrics = {
        "task": "detection",
        "set": Path(data).resolve().name,
        "data": Path(data).as_posix(),
        "trials": trials.scores.size,
        "bonafide": bonafide.size,
        "spoof": spoof.size,
        "eer": pooled,
        "eer_threshold": threshold,
        "eer_convention": EER_CONVENTION,
        "pooled": True,
        "min_dcf": min_dcf(bonafide, spoof)[0],
        "act_dcf": act_dcf(bonafide, spoof)[0],
        "cllr": cllr(bonafide, spoof),
        "min_cllr": min_cllr(bonafide, spoof),
        "cost_convention": COST_CONVENTION,
        "ties_across_classes": ties_across_classes(bonafide, spoof),
        "by_system": by_system,
        "mean_over_systems": float(np.mean([cell["eer"] for cell in by_system.values()])) if by_system else None,
    }
    negated = eer(-bonafide, -spoof)[0]
    if negated < pooled:
        metrics["score_sign_warning"] = (
            f"the EER is {100 * pooled:.2f} % as scored and {100 * negated:.2f} % with every score negated; "
            "scores must be higher for bona fide (nothing was flipped)"
        )
    return metrics


def format_table(metrics: dict[str, Any]) -> str:
    """Plain-text table of the EERs, one line for the pooled EER and one for each attack system."""
    rows = [("pooled", metrics["spoof"], metrics["eer"])]
    rows += [(system, cell["spoof"], cell["eer"]) for system, cell in metrics["by_system"].items()]
    width = max(len("system"), len("mean over systems"), *(len(name) for name, _, _ in rows))
    lines = [
        f"{metrics['set']}: {metrics['trials']} trials ({metrics['bonafide']} bona fide, {metrics['spoof']} spoof)",
        f"{'system':<{width}}  {'spoof':>8}  {'EER %':>7}",
        *(f"{name:<{width}}  {count:>8}  {100 * rate:>7.3f}" for name, count, rate in rows),
    ]
    if metrics["mean_over_systems"] is not None:
        lines.append(f"{'mean over systems':<{width}}  {'':>8}  {100 * metrics['mean_over_systems']:>7.3f}")
    lines.append(
        f"minDCF {metrics['min_dcf']:.4f}, actDCF {metrics['act_dcf']:.4f}, Cllr {metrics['cllr']:.4f}, "
        f"minCllr {metrics['min_cllr']:.4f} (pooled, ASVspoof 5 costs, scores taken for log-likelihood ratios)"
    )
    if metrics["ties_across_classes"]:
        lines.append(
            f"{metrics['ties_across_classes']} trials have the score of a trial of the other class: "
            "the EER counts bona fide first inside a tie"
        )
    return "\n".join(lines)


def read_trials(data: str | Path, scores: str | Path) -> DetectionTrials:
    """Pair the trials of a data directory (``utt2label``, ``utt2system`` if there) with their scores.

    Raises InputError for an unknown label, a test set without one of the classes, a spoof trial without a system, a
    trial without a score, a score without a trial, and for whatever :func:`read_scores` refuses.
    """
    data, scores = Path(data), Path(scores)
    label_of = _table(data / "utt2label")
    score_of = read_scores(scores)
    utts = list(label_of)

    values = _in_order(score_of, utts)
    if None in values:
        missing = [utt for utt, value in zip(utts, values, strict=True) if value is None]
        raise InputError(
            f"{scores}: no score for {len(missing)} of the {len(utts)} trials of {data} ({_first(missing)}); "
            "score the whole set again"
        )
    if len(score_of) > len(utts):
        extra = [utt for utt in score_of if utt not in label_of]
        raise InputError(
            f"{scores}:{_line_of(scores, extra[0])}: {len(extra)} scored utterances are not trials of {data} "
            f"({_first(extra)}); were the scores made on another set?"
        )

    for line, (utt, label) in enumerate(label_of.items(), start=1):
        if label not in ("bonafide", "spoof"):
            raise InputError(f"{data / 'utt2label'}:{line}: label '{label}' of {utt} is neither bonafide nor spoof")
    is_bonafide = np.array([label == "bonafide" for label in label_of.values()], dtype=bool)
    for name, count in (("bona fide", is_bonafide.sum()), ("spoof", (~is_bonafide).sum())):
        if count == 0:
            raise InputError(f"{data / 'utt2label'}: no {name} trial; an EER needs both classes")

    systems = None
    if (data / "utt2system").exists():
        found = _in_order(_table(data / "utt2system"), utts)
        without = [utts[index] for index in np.flatnonzero(~is_bonafide) if found[index] is None]
        if without:
            raise InputError(
                f"{data / 'utt2system'}: no system for {len(without)} spoof trials ({_first(without)}); "
                "prepare the data directory again"
            )
        systems = np.array([name or "" for name in found])
    return DetectionTrials(np.array(values), is_bonafide, systems)


def read_scores(path: str | Path) -> dict[str, float]:
    """Read a detection score file: utterance id -> score.

    Raises InputError naming file and line for a line that is not ``utt score``, a score that is not a finite number
    and an utterance that comes twice.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such score file; run the scoring stage first")
    row = np.dtype([("utt", object), ("score", np.float64)])
    try:
        with warnings.catch_warnings():  # loadtxt warns of an empty file; the caller says which trials are missing
            warnings.simplefilter("ignore", UserWarning)
            table = np.loadtxt(path, dtype=row, comments=None, encoding="utf-8", ndmin=1)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start})") from None
    except ValueError as error:
        _raise_for_bad_line(path, str(error))
    scores = dict(zip(table["utt"].tolist(), table["score"].tolist(), strict=True))
    if len(scores) < table.size or not np.isfinite(table["score"]).all():
        _raise_for_bad_line(path, "duplicate or non-finite")
    return scores


def _raise_for_bad_line(path: Path, reason: str) -> NoReturn:
    """Find the first bad line of a score file. Slow and exact: only called when the fast reader refused the file."""
    seen: dict[str, int] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            columns = line.split()
            if not columns:
                continue
            if len(columns) != 2:
                raise InputError(f"{path}:{number}: expected 2 columns 'utt score', found {len(columns)}")
            utt, value = columns
            if not _is_finite_number(value):
                raise InputError(f"{path}:{number}: score '{value}' of {utt} is not a finite number")
            if utt in seen:
                raise InputError(f"{path}:{number}: {utt} has a score on line {seen[utt]} already; keep one")
            seen[utt] = number
    raise InputError(f"{path}: not a score file of lines 'utt score' ({reason})")


def _is_finite_number(value: str) -> bool:
    try:
        # An underscore is a digit separator to Python, but nobody writes scores that way.
        return bool(np.isfinite(float(value))) and "_" not in value
    except ValueError:
        return False


def _line_of(path: Path, utt: str) -> int:
    with path.open(encoding="utf-8") as file:
        return next(number for number, line in enumerate(file, start=1) if line.split()[:1] == [utt])


def _table(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the data preparation stage first")
    return read_table(path)


def _in_order(table: Mapping[str, Value], utts: list[str]) -> list[Value | None]:
    """The values of ``table`` in the order of ``utts``, None where it has no such key."""
    # Tables and our own score files are sorted alike, so this comparison usually saves a look-up for each trial.
    return list(table.values()) if list(table) == utts else [table.get(utt) for utt in utts]


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return f"first: {', '.join(names[:3])}" if len(names) > 3 else ", ".join(names)
