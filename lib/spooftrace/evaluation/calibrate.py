"""``spooftrace calibrate``: scores of one or several systems -> log-likelihood ratios (LLR), trained on a dev set.

One system is calibrated (a scale and an offset), several are fused (a weight each and an offset), by prior-weighted
logistic regression (:mod:`spooftrace.metrics.calibration`). The score files of ``--dev-scores`` and of ``--scores``
are of the same systems in the same order. Nothing is turned round without a warning.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.json_files import write_json
from spooftrace.common.text_table import text_table
from spooftrace.datadir.incomplete import NOT_COMPARABLE, as_json, read_gaps
from spooftrace.evaluation.evaluate import check_outputs
from spooftrace.evaluation.keys import read_data_key
from spooftrace.evaluation.score_files import read_score_file
from spooftrace.evaluation.trials import Key, join
from spooftrace.metrics import act_dcf, cllr, eer, min_cllr, min_dcf
from spooftrace.metrics.calibration import Fusion, SignFlipWarning, calibrate_fit, fuse_fit

METRICS = {
    "eer": ("EER (%)", lambda *scores: eer(*scores)[0]),
    "min_dcf": ("minDCF", lambda *scores: min_dcf(*scores)[0]),
    "act_dcf": ("actDCF", lambda *scores: act_dcf(*scores)[0]),
    "cllr": ("Cllr", cllr),
    "min_cllr": ("minCllr", min_cllr),
}


@dataclass(frozen=True)
class Systems:
    """Scores of the same N trials by several systems.

    Attributes:
        utts: The N utterances.
        scores: float64 (N, systems).
        is_bonafide: bool (N,), or None if the classes are unknown.
    """

    utts: list[str]
    scores: np.ndarray
    is_bonafide: np.ndarray | None

    def classes(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bona fide and spoof rows of ``scores``, (N,) or (N, systems).

        Raises:
            ValueError: The classes are unknown.
        """
        if self.is_bonafide is None:
            raise ValueError("the classes of the trials are unknown")
        return scores[self.is_bonafide], scores[~self.is_bonafide]


def calibrate(
    dev_data: Path, dev_scores: Sequence[Path], scores: Sequence[Path], out: Path, data: Path | None = None,
    prior: float = 0.5,
) -> None:  # fmt: skip
    """Fit a calibration or a fusion, apply it, and write ``out`` and its recipe ``out.json``.

    Args:
        dev_data: Data directory of the development set.
        dev_scores: Its score files, one per system.
        scores: Score files to calibrate, of the same systems in the same order.
        out: Score file of log-likelihood ratios to write.
        data: Data directory of ``scores``, to print metrics before and after.
        prior: Prior of bona fide at which the fit aims.

    Raises:
        InputError: Score files that do not fit each other or their data directory, a prior that is not between 0 and
            1, or development scores that no calibration can be fitted to.
    """
    if len(scores) != len(dev_scores):
        raise InputError(
            f"{len(dev_scores)} files of --dev-scores, {len(scores)} of --scores; give one of each a system"
        )
    recipe_path = out.with_name(f"{out.name}.json")
    check_outputs({"--out": out, "the recipe of --out,": recipe_path}, [*dev_scores, *scores])
    dev = read_systems(dev_scores, dev_data)
    test = read_systems(scores, data)
    fusion = fit(dev, dev_scores, prior)
    sets = {"dev": (dev, dev_scores)} | ({"eval": (test, scores)} if data else {})
    tables = {name: before_and_after(systems, files, fusion) for name, (systems, files) in sets.items()}

    with atomic_write(out) as file:
        file.writelines(map("{} {!r}\n".format, test.utts, fusion.apply(test.scores).tolist()))
    recipe = {
        "weights": list(fusion.weights),
        "offset": fusion.offset,
        "flipped": fusion.flipped,
        "prior": prior,
        "dev_data": dev_data.as_posix(),
        "dev_scores": [path.as_posix() for path in dev_scores],
        "scores": [path.as_posix() for path in scores],
        "figures": tables,
    }
    if gaps := [gap for folder in (dev_data, data) if folder for gap in read_gaps(folder)]:
        recipe["incomplete"] = as_json(gaps)
        for gap in dict.fromkeys(gaps):
            _warn(f"{NOT_COMPARABLE}: {gap}")
    write_json(recipe_path, recipe)
    for name, table in tables.items():
        is_dev = sets[name][0].utts == dev.utts
        print(f"{name}{' (trained on it: the figures after are too good)' if is_dev else ''}")
        print(_text(table) + "\n")
    terms = [f"{weight:+.6g} * {path}" for weight, path in zip(fusion.weights, scores, strict=True)]
    print(f"LLR = {' '.join(terms)} {fusion.offset:+.6g}\nwrote {out} ({len(test.utts)} trials) and its .json")


def read_systems(files: Sequence[Path], data: Path | None = None) -> Systems:
    """The scores of several systems, paired by utterance, in the order of the data directory or of the first file.

    Raises:
        InputError: the files do not score the same utterances, or not those of the data directory.
    """
    found = [replace(read_score_file(path), tables={}) for path in files]
    if data is not None:
        key = read_data_key(data)
    else:  # the classes are unknown and not needed
        utts = list(found[0].scores)
        if not utts:
            raise InputError(f"{files[0]}: holds no score; score the set again")
        key = Key(files[0].stem, files[0], utts, np.zeros(len(utts), dtype=bool), {})
    scores = np.column_stack([join(key, file).scores for file in found])
    return Systems(key.utts, scores, None if data is None else key.is_bonafide)


def fit(dev: Systems, files: Sequence[Path], prior: float) -> Fusion:
    """The calibration of one system, or the fusion of several, from labelled scores; warns of scores that point wrong.

    Raises:
        InputError: nothing can be fitted to these scores; see :mod:`spooftrace.metrics.calibration`.
    """
    for path, scores in zip(files, dev.scores.T, strict=True):
        bonafide, spoof = dev.classes(scores)
        rate, negated = eer(bonafide, spoof)[0], eer(-bonafide, -spoof)[0]
        if negated < rate:
            _warn(
                f"{path}: the EER is {100 * rate:.2f} % as scored and {100 * negated:.2f} % with every score negated; "
                "scores must be higher for bona fide (nothing was flipped)"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SignFlipWarning)  # said below, by the name of the file
            if len(files) > 1:
                fusion = fuse_fit(*dev.classes(dev.scores), prior)
            else:
                single = calibrate_fit(*dev.classes(dev.scores[:, 0]), prior)
                fusion = Fusion((single.scale,), single.offset)
    except ValueError as error:
        raise InputError(f"{', '.join(map(str, files))}: cannot calibrate: {error}") from None
    for path, weight in zip(files, fusion.weights, strict=True):
        if weight < 0:
            _warn(f"{path}: its weight is negative ({weight:.4g}), which turns its scores round in what is written")
    return fusion


def before_and_after(systems: Systems, files: Sequence[Path], fusion: Fusion) -> dict[str, dict[str, float]]:
    """The METRICS of each system as it was scored, and of what became of them."""
    rows = {str(path): scores for path, scores in zip(files, systems.scores.T, strict=True)}
    rows["calibrated" if len(files) == 1 else "fused"] = fusion.apply(systems.scores)
    return {
        row: {name: float(metric(*systems.classes(scores))) for name, (_, metric) in METRICS.items()}
        for row, scores in rows.items()
    }


def _text(table: dict[str, dict[str, float]]) -> str:
    rows = [
        [row, *(f"{100 * value:.3f}" if name == "eer" else f"{value:.4f}" for name, value in figures.items())]
        for row, figures in table.items()
    ]
    return text_table(["scores", *(title for title, _ in METRICS.values())], rows, totals=1)


def _warn(text: str) -> None:
    print(f"WARNING: {text}", file=sys.stderr)
