"""Spoofing-robust speaker verification (SASV): is it the claimed speaker, and is it bona fide speech?

:mod:`spooftrace.evaluation.sasv_files` describes the files. The min t-DCF is computed from CM scores, the t-EER from CM
and ASV scores, and all other metrics from SASV scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.corpora.asvspoof5 import ASV_KEYS
from spooftrace.evaluation.caveats import few_trials, left_out
from spooftrace.evaluation.conventions import TDCF_CONVENTIONS
from spooftrace.evaluation.metric_text import SASV_METRICS, axis_text, caveat_notes, is_rate, mean_key, value_text
from spooftrace.evaluation.sasv_files import ASV, CM, SASV, SasvKey, join, read_key, read_scores
from spooftrace.evaluation.tables import MEAN, POOLED, Table
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
Kinds = tuple[Array, Array, Array]  # sorted scores of the target, nontarget and spoof trials


def _sasv_metrics(sasv: Kinds) -> dict[str, float]:
    target, nontarget, spoof = sasv
    return {
        **dict(zip(("a_dcf", "a_dcf_threshold"), a_dcf(target, nontarget, spoof, ASVSPOOF5_A_DCF), strict=True)),
        **dict(zip(("a_dcf1", "a_dcf1_threshold"), a_dcf(target, nontarget, spoof, A_DCF1), strict=True)),
        **{f"{name}_eer": rate for name, rate in sasv_eers(*sasv)._asdict().items()},
    }


# Columns of scores -> metrics that are computed from them.
METRICS: dict[tuple[str, ...], Callable[..., dict[str, float]]] = {
    (SASV,): _sasv_metrics,
    (CM,): lambda cm: {"min_tdcf": min_tdcf(np.concatenate(cm[:2]), cm[2], revised_weights(ASVSPOOF5_ASV))[0]},
    (CM, ASV): lambda cm, asv: {"t_eer": t_eer(np.concatenate(cm[:2]), cm[2], *asv).rate},
}


def _stated(costs: SasvCosts) -> str:
    return (
        f"priors target {costs.p_target:g}, nontarget {costs.p_nontarget:g}, spoof {costs.p_spoof:g}; a miss costs "
        f"{costs.c_miss:g}, an accepted nontarget {costs.c_fa_nontarget:g}, an accepted spoof {costs.c_fa_spoof:g}"
    )


CONVENTIONS = {
    "a_dcf": f"a-DCF of ASVspoof 5 Track 2: {_stated(ASVSPOOF5_A_DCF)}; the minimum over all thresholds, divided by "
    "the lower cost of accepting all and rejecting all trials.",
    "a_dcf1": f"a-DCF with the defaults of its authors' package: {_stated(A_DCF1)}. Not comparable with a_dcf.",
    "sasv_eer": "SASVC 2022: EER of target against nontarget and spoof together (sasv_eer), against nontarget "
    "(sv_eer), against spoof (spf_eer); fractions; as in ASVspoof, target first among equal scores, no interpolation.",
    "min_tdcf": "of the CM scores, with the ASV error rates that ASVspoof 5 fixes for every system (miss "
    f"{ASVSPOOF5_ASV.miss:.6f}, false accept {ASVSPOOF5_ASV.false_accept:.6f}, spoof accept "
    f"{ASVSPOOF5_ASV.spoof_accept:.6f}): {TDCF_CONVENTIONS['revised']} Not what --asv_org of the official package "
    "gives, which uses the rejected fraction of the spoof trials instead of the accepted fraction.",
    "t_eer": "concurrent t-EER of CM and ASV scores, half of the false accepts nontarget, half spoof; a fraction here, "
    "per cent in the official package, which also subsamples the thresholds: its last digits may differ.",
}


def evaluate_sasv(scores: str | Path, key: str | Path | None = None) -> dict[str, Any]:
    """SASV metrics of a score file, as written to ``metrics.json``. Rates are fractions.

    Args:
        scores: The score file.
        key: The key file, or a data directory with ``trials``; None if the score file contains the key.

    Raises:
        InputError: As for :func:`read_scores`, :func:`read_key` and :func:`join`; there is no key; there are no trials
            of one of the kinds; or the t-DCF or the t-EER cannot be computed from the CM and ASV scores.
    """
    file = read_scores(scores)
    trials = read_key(key) if key is not None else file.key
    if trials is None:
        raise InputError(f"{file.path}: contains no key; give the key of the test set with --data or --key")
    columns = join(file, trials)
    masks = [trials.kinds.is_in([kind]) for kind in ASV_KEYS]
    counts = {kind: int(mask.sum()) for kind, mask in zip(ASV_KEYS, masks, strict=True)}
    if 0 in counts.values():
        absent = next(kind for kind, count in counts.items() if not count)
        raise InputError(f"{trials.path}: no {absent} trial; SASV metrics need target, nontarget and spoof trials")
    target, nontarget, spoof = masks
    sorted_scores: dict[str, Kinds] = {
        name: (np.sort(column[target]), np.sort(column[nontarget]), np.sort(column[spoof]))
        for name, column in columns.items()
    }
    try:
        pooled = _metrics(sorted_scores)
    except ValueError as error:
        raise InputError(
            f"{file.path}: {error}; a system without CM or ASV scores has '-' in every line of that column"
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
        **pooled,
        **{f"{name}_convention": text for name, text in CONVENTIONS.items() if name in pooled},
        "by_attack": _by_attack(sorted_scores, columns, trials, spoof),
    }
    for name in SASV_METRICS:
        values = [cell[name] for cell in metrics["by_attack"].values() if name in cell]
        if values:
            metrics[mean_key(name)] = float(np.mean(values))
    if lacking := left_out(metrics["by_attack"], [name for name in SASV_METRICS if name in metrics]):
        metrics["left_out_of_mean"] = lacking
    sizes = {row: [*list(counts.values())[:2], cell["spoof"]] for row, cell in metrics["by_attack"].items()}
    if few := few_trials({POOLED: list(counts.values())} | sizes):
        metrics["few_trials"] = few
    negated = sasv_eers(*(-scores[::-1] for scores in sorted_scores[SASV])).sasv
    if negated < pooled["sasv_eer"]:
        metrics["score_sign_warning"] = (
            f"the SASV-EER is {100 * pooled['sasv_eer']:.2f} % as scored and {100 * negated:.2f} % with every score "
            "negated; scores must be higher for target trials (nothing was flipped)"
        )
    return metrics


def tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """Name -> table of each metric by attack; none if the key does not name the attacks."""
    result = {}
    for metric, name in SASV_METRICS.items():
        if (mean := metrics.get(mean_key(metric))) is not None:
            result[f"{metric}_by_attack"] = Table.of_cells(
                f"{metrics['set']}: {name}, by attack",
                "attack",
                metrics["by_attack"] | {POOLED: metrics, MEAN: {metric: mean}},
                {metric: name},
                percent=is_rate(metric),
                decimals=2 if is_rate(metric) else 4,
                notes=tuple(caveat_notes(metrics, {metric: name})),
            )
    return result


def format_text(metrics: Mapping[str, Any]) -> str:
    """The metrics as plain text: counts, a table by attack, and notes on comparability."""
    names = {metric: name for metric, name in SASV_METRICS.items() if metric in metrics}
    counts = ", ".join(f"{metrics[kind]} {kind}" for kind in ASV_KEYS)
    return "\n".join(
        [
            f"{metrics['set']}: {metrics['trials']} trials ({counts})",
            axis_text(metrics, "attack", names) + "\n",
            f"primary metric (ASVspoof 5 Track 2): a-DCF {metrics['a_dcf']:.4f}, pooled",
            f"SV-EER {value_text('sv_eer', metrics['sv_eer'])} % (target against nontarget; independent of attacks)",
            *caveat_notes(metrics, names),
            *(f"{metric}: {text}" for metric, text in CONVENTIONS.items() if metric in names),
        ]
    )


def _metrics(scores: Mapping[str, Kinds], complete: bool = True) -> dict[str, float]:
    """All metrics of these columns; if not ``complete``, metrics with too few trials are left out."""
    values: dict[str, float] = {}
    for columns, compute in METRICS.items():
        if {*columns} <= scores.keys():
            try:
                values |= compute(*(scores[name] for name in columns))
            except ValueError:
                if complete:
                    raise
    return values


def _by_attack(
    scores: Mapping[str, Kinds], columns: Mapping[str, Array], key: SasvKey, is_spoof: Array
) -> dict[str, dict[str, float]]:
    """Attack -> metrics of its spoof trials and all target and nontarget trials."""
    if key.attacks is None:
        return {}
    attacks = key.attacks.codes[is_spoof]
    spoof_of = {name: sorted_by_group(column[is_spoof], attacks) for name, column in columns.items()}
    cells = {}
    for code, spoof in spoof_of[SASV].items():
        cell = _metrics({name: (*scores[name][:2], spoof_of[name][code]) for name in columns}, complete=False)
        cells[key.attacks.values[code]] = {"spoof": spoof.size} | {n: cell[n] for n in SASV_METRICS if n in cell}
    return cells
