"""Spoofing-robust speaker verification (SASV): is it the claimed speaker, and is it bona fide speech?

The files are described in :mod:`spooftrace.evaluation.sasv_files`. All figures but the min t-DCF (of the CM scores) and
the t-EER (of CM and ASV scores) come from the SASV scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.common.text_table import text_table
from spooftrace.corpora.asvspoof5 import ASV_KEYS
from spooftrace.evaluation.breakdown import MEAN, POOLED, Table
from spooftrace.evaluation.caveats import MARK, few_note, few_trials, left_out, left_out_note, share_of
from spooftrace.evaluation.conventions import TDCF_CONVENTIONS
from spooftrace.evaluation.sasv_files import ASV, CM, SASV, SasvKey, join, read_key, read_scores
from spooftrace.metrics import (
    A_DCF1,
    ASVSPOOF5_A_DCF,
    ASVSPOOF5_ASV,
    SasvCosts,
    a_dcf,
    min_tdcf,
    revised_weights,
    sasv_eers,
    sorted_by_group,
    t_eer,
)

Array = np.ndarray
Parts = Mapping[str, Sequence[Array]]  # column of scores -> those of the target, nontarget and spoof trials, sorted

NAMES = {
    "a_dcf": "a-DCF",
    "a_dcf1": "a-DCF1",
    "sasv_eer": "SASV-EER (%)",
    "spf_eer": "SPF-EER (%)",
    "min_tdcf": "min t-DCF",
    "t_eer": "t-EER (%)",
}
# Which figures the scores of which columns give.
FIGURES: dict[tuple[str, ...], Callable[..., dict[str, float]]] = {
    (SASV,): lambda sasv: {
        **dict(zip(("a_dcf", "a_dcf_threshold"), a_dcf(*sasv, ASVSPOOF5_A_DCF), strict=True)),
        **dict(zip(("a_dcf1", "a_dcf1_threshold"), a_dcf(*sasv, A_DCF1), strict=True)),
        **{f"{name}_eer": rate for name, rate in sasv_eers(*sasv)._asdict().items()},
    },
    (CM,): lambda cm: {"min_tdcf": min_tdcf(np.concatenate(cm[:2]), cm[2], revised_weights(ASVSPOOF5_ASV))[0]},
    (CM, ASV): lambda cm, asv: {"t_eer": t_eer(np.concatenate(cm[:2]), cm[2], *asv).rate},
}


def _stated(costs: SasvCosts) -> str:
    return (
        f"priors target {costs.p_target:g}, nontarget {costs.p_nontarget:g}, spoof {costs.p_spoof:g}; a miss costs "
        f"{costs.c_miss:g}, an accepted nontarget {costs.c_fa_nontarget:g}, an accepted spoof {costs.c_fa_spoof:g}"
    )


CONVENTIONS = {
    "a_dcf": f"a-DCF of ASVspoof 5 Track 2: {_stated(ASVSPOOF5_A_DCF)}; least over all thresholds, divided by the "
    "better of accepting and rejecting all.",
    "a_dcf1": f"a-DCF with the defaults of its authors' package: {_stated(A_DCF1)}. Not comparable with a_dcf.",
    "sasv_eer": "SASVC 2022: EER of target against nontarget and spoof together (sasv_eer), against nontarget "
    "(sv_eer), against spoof (spf_eer); fractions, target first inside a tie and no interpolation as in ASVspoof.",
    "min_tdcf": "of the CM scores, with the ASV error rates that ASVspoof 5 fixes for every system (miss "
    f"{ASVSPOOF5_ASV.miss:.6f}, false accept {ASVSPOOF5_ASV.false_accept:.6f}, spoof accept "
    f"{ASVSPOOF5_ASV.spoof_accept:.6f}): {TDCF_CONVENTIONS['revised']} Not what --asv_org of the official package "
    "gives, which takes the share of spoof that is rejected for the share that is accepted.",
    "t_eer": "concurrent t-EER of CM and ASV scores, half of the false accepts nontarget, half spoof; a fraction here, "
    "per cent in the official package, which also thins the thresholds, so that its last digits may differ.",
}


def evaluate_sasv(scores: str | Path, key: str | Path | None = None) -> dict[str, Any]:
    """SASV metrics of a score file, as written to ``metrics.json``. Rates are fractions.

    Args:
        scores: the score file.
        key: the key file, or a data directory with ``trials``; None where the score file has the key in it.

    Raises:
        InputError: as for :func:`read_scores`, :func:`read_key` and :func:`join`; no key at all; a kind without trials;
            or CM and ASV scores that the t-DCF or the t-EER cannot be computed from.
    """
    found = read_scores(scores)
    trials = read_key(key) if key is not None else found.key
    if trials is None:
        raise InputError(f"{found.path}: has no key in it; give the key of the test set with --data or --key")
    columns = join(found, trials)
    masks = [trials.kinds.is_in([kind]) for kind in ASV_KEYS]
    counts = {kind: int(mask.sum()) for kind, mask in zip(ASV_KEYS, masks, strict=True)}
    if 0 in counts.values():
        lacking = next(kind for kind, count in counts.items() if not count)
        raise InputError(f"{trials.path}: no {lacking} trial; SASV metrics need target, nontarget and spoof trials")
    parts = {name: [np.sort(column[mask]) for mask in masks] for name, column in columns.items()}
    try:
        figures = _figures(parts)
    except ValueError as error:
        raise InputError(
            f"{found.path}: {error}; a system without CM or ASV scores has '-' in every line of that column"
        ) from None
    metrics: dict[str, Any] = {
        "task": "sasv",
        "set": trials.name,
        "data": trials.path.as_posix(),
        "trials": len(trials.claims),
        **counts,
        "scores": list(columns),
        "pooled": True,
        "primary": "a_dcf",
        **figures,
        **{f"{name}_convention": text for name, text in CONVENTIONS.items() if name in figures},
        "by_attack": _by_attack(parts, columns, trials, masks[-1]),
    }
    for name in NAMES:
        values = [cell[name] for cell in metrics["by_attack"].values() if name in cell]
        if values:
            metrics[f"mean_{name}_over_attacks"] = float(np.mean(values))
    if lacking := left_out(metrics["by_attack"], [name for name in NAMES if name in metrics]):
        metrics["left_out_of_mean"] = lacking
    sizes = {row: [*list(counts.values())[:2], cell["spoof"]] for row, cell in metrics["by_attack"].items()}
    if few := few_trials({POOLED: list(counts.values())} | sizes):
        metrics["few_trials"] = few
    negated = sasv_eers(*(-part[::-1] for part in parts[SASV])).sasv
    if negated < figures["sasv_eer"]:
        metrics["score_sign_warning"] = (
            f"the SASV-EER is {100 * figures['sasv_eer']:.2f} % as scored and {100 * negated:.2f} % with every score "
            "negated; scores must be higher for target trials (nothing was flipped)"
        )
    return metrics


def tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """Each metric by attack, by name; none where the key does not say the attacks."""
    cells = metrics["by_attack"] | {POOLED: metrics}
    found = {}
    for name in NAMES:
        if (mean := metrics.get(f"mean_{name}_over_attacks")) is not None:
            found[f"{name}_by_attack"] = Table(
                title=f"{metrics['set']}: {NAMES[name]}, by attack",
                row_name="attack",
                rows=(*cells, MEAN),
                columns=(NAMES[name],),
                values=np.array([[cell.get(name, np.nan)] for cell in cells.values()] + [[mean]]),
                percent=name.endswith("eer"),
                decimals=2 if name.endswith("eer") else 4,
                notes=tuple(_notes(metrics, [name])),
            )
    return found


def format_text(metrics: Mapping[str, Any]) -> str:
    """The metrics as plain text: counts, a table by attack, and what to know before comparing."""
    names = [name for name in NAMES if name in metrics]
    cells = {POOLED: metrics} | metrics["by_attack"]
    few = metrics.get("few_trials", {})
    grid = [
        [f"{row}{MARK}" if row in few else row, str(cell["spoof"]), *(_shown(name, cell.get(name)) for name in names)]
        for row, cell in cells.items()
    ]
    if metrics["by_attack"]:
        means = (metrics.get(f"mean_{name}_over_attacks") for name in names)
        lacking = metrics.get("left_out_of_mean", {})
        shares = (share_of(lacking.get(name, []), len(metrics["by_attack"])) for name in names)
        title = f"mean over attacks{MARK}" if few.keys() & metrics["by_attack"].keys() else "mean over attacks"
        grid.append([title, "", *map(str.__add__, map(_shown, names, means), shares)])
    counts = ", ".join(f"{metrics[kind]} {kind}" for kind in ASV_KEYS)
    return "\n".join(
        [
            f"{metrics['set']}: {metrics['trials']} trials ({counts})",
            text_table(["attack", "spoof", *(NAMES[name] for name in names)], grid) + "\n",
            f"primary metric (ASVspoof 5 Track 2): a-DCF {metrics['a_dcf']:.4f}, pooled",
            f"SV-EER {_shown('sv_eer', metrics['sv_eer'])} % (target against nontarget, so of no attack)",
            *_notes(metrics, names),
            *(f"{name}: {text}" for name, text in CONVENTIONS.items() if name in names),
        ]
    )


def _notes(metrics: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """What to know of these figures by attack."""
    lacking = metrics.get("left_out_of_mean", {})
    notes = [left_out_note(NAMES[n], lacking[n], len(metrics["by_attack"])) for n in names if n in lacking]
    return [*notes, *filter(None, [few_note(metrics.get("few_trials", {}))])]


def _figures(parts: Parts, complete: bool = True) -> dict[str, float]:
    """All figures that these columns give; if not ``complete``, without those that there are too few trials for."""
    found: dict[str, float] = {}
    for needed, figures in FIGURES.items():
        if {*needed} <= parts.keys():
            try:
                found |= figures(*(parts[name] for name in needed))
            except ValueError:
                if complete:
                    raise
    return found


def _by_attack(
    parts: Parts, columns: Mapping[str, Array], key: SasvKey, is_spoof: Array
) -> dict[str, dict[str, float]]:
    """The figures of the spoof trials of each attack with all target and nontarget trials, by attack."""
    if key.attacks is None:
        return {}
    attacks = key.attacks.codes[is_spoof]
    spoof_of = {name: sorted_by_group(column[is_spoof], attacks) for name, column in columns.items()}
    cells = {}
    for code, spoof in spoof_of[SASV].items():
        cell = _figures({name: [*parts[name][:2], spoof_of[name][code]] for name in columns}, complete=False)
        cells[key.attacks.values[code]] = {"spoof": spoof.size} | {n: cell[n] for n in NAMES if n in cell}
    return cells


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{100 * value:.3f}" if name.endswith("eer") else f"{value:.4f}"
