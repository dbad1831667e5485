"""Detection: scored trials in, the content of ``metrics.json`` and the tables of a challenge out.

Every number says what it is, in its key (``eer`` pools all trials, ``mean_over_attacks`` is a mean over attacks) or in
the ``..._convention`` beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.evaluation.breakdown import (
    METRIC_NAMES,
    POOLED,
    Cell,
    Table,
    WeightsOf,
    breakdown,
    cell_metrics,
    cells,
    is_total,
)
from spooftrace.evaluation.caveats import few_trials, left_out
from spooftrace.evaluation.conventions import (
    CONVENTIONS,
    COST_CONVENTION,
    CTRSVDD_RULE,
    EER_CONVENTION,
    TDCF_CONVENTIONS,
    UNRANKED_ATTACK,
    UNRANKED_SOURCE,
    Convention,
)
from spooftrace.evaluation.detection_text import AXES, format_text
from spooftrace.evaluation.trials import ScoredTrials, first
from spooftrace.metrics import (
    AsvErrorRates,
    DetCurve,
    TandemWeights,
    act_dcf,
    cllr,
    eer,
    min_cllr,
    min_dcf,
    min_tdcf,
    ties_across_classes,
)

__all__ = ["breakdown_tables", "evaluate_detection", "format_text"]

Array = np.ndarray
# What is known of the ASV system: by (attack, condition), POOLED standing for all; or the same everywhere.
Asv = Mapping[tuple[str, str], AsvErrorRates | TandemWeights] | AsvErrorRates | TandemWeights


def evaluate_detection(trials: ScoredTrials, convention: str = "plain", asv: Asv | None = None) -> dict[str, Any]:
    """Detection metrics of one test set, as written to ``metrics.json``. Rates are fractions.

    Args:
        trials: the scored trials, both classes.
        convention: a name in CONVENTIONS.
        asv: error rates of the speaker verification system behind the t-DCF, or the weights that the organisers
            published; without it there is no t-DCF.

    Raises:
        InputError: a class without trials, a property of the trials that the convention needs is not there, ASV rates
            of other attacks or conditions, or a t-DCF that cannot be computed from these scores and ASV rates.
    """
    rules = CONVENTIONS[convention]
    weights = _weights_of(rules, asv)
    if isinstance(asv, Mapping):
        _check_asv_is_of(trials, asv)
    curve = _curve(trials)
    pooled, threshold = eer(curve)
    metrics: dict[str, Any] = {
        "task": "detection",
        "set": trials.name,
        "convention": convention,
        "trials": len(trials),
        **_counts(curve),
        "eer": pooled,
        "eer_threshold": threshold,
        "eer_convention": f"{EER_CONVENTION} {CTRSVDD_RULE}" if convention == "ctrsvdd" else EER_CONVENTION,
        "pooled": True,
        "min_dcf": min_dcf(curve)[0],
        "act_dcf": act_dcf(curve)[0],
        "cllr": cllr(curve),
        "min_cllr": min_cllr(curve),
        "cost_convention": COST_CONVENTION,
        "ties_across_classes": ties_across_classes(curve),
    }
    if "subset" in trials.columns:
        metrics["subsets"] = [value for value in _occurring(trials, "subset") if value != "-"]
    metrics |= _pooled_tdcf(trials, curve, rules, asv)
    metrics["primary"] = "eer" if rules.primary == "min_tdcf" and "min_tdcf" not in metrics else rules.primary
    if convention == "ctrsvdd":
        is_source, is_attack = _unranked(trials)
        ranking = _curve(trials.select(~(is_source | is_attack)))
        metrics |= {"eer_ranking": eer(ranking)[0], "ranking_trials": _counts(ranking)}
    for axis in _axes(trials, rules):
        metrics[f"by_{axis}"] = {
            value: {"trials": part.bonafide.size + part.spoof.size, **_counts(part)}
            | cell_metrics(part, rules.metrics, weights, {axis: value})
            for value, _, part in _parts(trials, axis, convention)
            if part is not None and not is_total(value)
        }
    metrics.setdefault("by_attack", {})
    metrics["mean_over_attacks"] = _mean(metrics["by_attack"], "eer")
    metrics |= {
        f"mean_{name}_over_attacks": mean
        for name in rules.metrics
        if name != "eer" and (mean := _mean(metrics["by_attack"], name)) is not None
    }
    metrics |= _caveats(metrics, rules.metrics)
    negated = eer(DetCurve(-curve.bonafide[::-1], -curve.spoof[::-1]))[0]
    if negated < pooled:
        metrics["score_sign_warning"] = (
            f"the EER is {100 * pooled:.2f} % as scored and {100 * negated:.2f} % with every score negated; "
            "scores must be higher for bona fide (nothing was flipped)"
        )
    return metrics


def _caveats(metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What to know of the figures: cells with few trials, and means that leave attacks out."""
    caveats: dict[str, Any] = {}
    cells = {POOLED: metrics} | {row: cell for axis in AXES for row, cell in metrics.get(f"by_{axis}", {}).items()}
    if few := few_trials({row: (cell["bonafide"], cell["spoof"]) for row, cell in cells.items()}):
        caveats["few_trials"] = few
    if lacking := left_out(metrics["by_attack"], names):
        caveats["left_out_of_mean"] = lacking
    return caveats


def breakdown_tables(trials: ScoredTrials, convention: str = "plain", asv: Asv | None = None) -> dict[str, Table]:
    """The tables that a challenge prints, by name: each metric by one property of the trials, then by two.

    Left out are tables by a property that the trials lack or that has a single value, and those of a t-DCF where the
    ASV system was measured in no cell. Arguments and errors as for :func:`evaluate_detection`.
    """
    rules = CONVENTIONS[convention]
    weights = _weights_of(rules, asv)
    metrics = [metric for metric in rules.metrics if metric != "min_tdcf" or weights]
    names = METRIC_NAMES | {"min_tdcf": f"{rules.tdcf} min t-DCF"}
    axes = _axes(trials, rules)
    tables: dict[str, Table] = {}
    for rows, columns in [*((axis, None) for axis in axes), *(pair for pair in rules.crossed if {*pair} <= {*axes})]:
        parts = None if columns else _parts(trials, rows, convention)
        for metric, table in breakdown(trials, rows, columns, metrics, weights, parts, names).items():
            single = [not is_total(name) for name in table.rows]
            if not np.isnan(table.values[single]).all():
                tables["_".join([metric, "by", rows, *(["and", columns] if columns else [])])] = table
    return tables


def _axes(trials: ScoredTrials, rules: Convention) -> list[str]:
    """The properties to break down by: all attacks, and what else takes at least two values."""
    there = [axis for axis in rules.by if axis in trials.columns]
    return [axis for axis in there if axis == "attack" or len(_occurring(trials, axis)) > 1]


def _occurring(trials: ScoredTrials, name: str) -> list[str]:
    column = trials.columns[name]
    counts = np.bincount(column.codes, minlength=len(column.values))
    return [value for value, count in zip(column.values, counts, strict=True) if count]


def _parts(trials: ScoredTrials, axis: str, convention: str) -> Iterator[Cell]:
    """The cells of a breakdown by one property, by the challenge's own rule if it has one."""
    if (convention, axis) != ("ctrsvdd", "attack"):
        yield from cells(trials, axis)
        return
    is_source, is_attack = _unranked(trials)
    fewer = {row: curve for row, _, curve in cells(trials.select(~(is_source & trials.is_bonafide)), axis)}
    for row, column, curve in cells(trials, axis):
        if row == POOLED:
            yield f"{POOLED} without {UNRANKED_ATTACK}", column, _curve(trials.select(~(is_source | is_attack)))
        yield row, column, curve if row in (UNRANKED_ATTACK, POOLED) else fewer[row]


def _unranked(trials: ScoredTrials) -> tuple[Array, Array]:
    """Which trials are of the source, and which of the attack, that CtrSVDD does not rank by; each bool (N,)."""
    for name in ("attack", "source"):
        if name not in trials.columns:
            raise InputError(f"{trials.name}: no utt2{name}; the rule of CtrSVDD needs it, prepare the data again")
    is_attack = trials.columns["attack"].is_in([UNRANKED_ATTACK]) & ~trials.is_bonafide
    return trials.columns["source"].is_in([UNRANKED_SOURCE]), is_attack


def _curve(trials: ScoredTrials) -> DetCurve:
    try:
        return DetCurve(trials.bonafide, trials.spoof)
    except ValueError as error:
        raise InputError(f"{trials.name}: {error}") from None


def _weights_of(rules: Convention, asv: Asv | None) -> WeightsOf | None:
    """The tandem weights by attack and condition."""
    if asv is None:
        return None

    def weights(attack: str, condition: str) -> TandemWeights | None:
        here = asv.get((attack, condition)) if isinstance(asv, Mapping) else asv
        return rules.tandem_weights(here) if isinstance(here, AsvErrorRates) else here

    return weights


def _check_asv_is_of(trials: ScoredTrials, asv: Mapping[tuple[str, str], Any]) -> None:
    """Refuse ASV scores of another set: the t-DCF would be a number all the same."""
    for place, (name, title) in enumerate((("attack", "attack"), ("cond", "condition"))):
        measured = {cell[place] for cell in asv} - {POOLED}
        if measured and name in trials.columns:
            spoof = trials.select(~trials.is_bonafide)
            if not spoof.columns[name].is_in(measured).any():
                raise InputError(
                    f"{trials.name}: no {title} ({first(_occurring(spoof, name))}) is one of the ASV scores "
                    f"({first(sorted(measured))}); give --asv-scores of the same trials, or none (the DF track of "
                    "ASVspoof 2021 has no t-DCF)"
                )


def _pooled_tdcf(trials: ScoredTrials, curve: DetCurve, rules: Convention, asv: Asv | None) -> dict[str, Any]:
    """The t-DCF over all trials, if it is wanted and possible."""
    weights = _weights_of(rules, asv)
    if weights is None:
        return {}
    try:
        pooled = weights(POOLED, POOLED)
        if pooled is None:
            raise ValueError("the ASV system's rates over all attacks and conditions are not given")
        return {"min_tdcf": min_tdcf(curve, pooled)[0], "min_tdcf_convention": TDCF_CONVENTIONS[rules.tdcf]}
    except ValueError as error:
        if not isinstance(asv, Mapping):
            return {}  # rates that the challenge fixes: the user did not ask for this figure
        raise InputError(f"{trials.name}: no min t-DCF: {error}") from None


def _counts(curve: DetCurve) -> dict[str, int]:
    return {"bonafide": curve.bonafide.size, "spoof": curve.spoof.size}


def _mean(by_value: Mapping[str, Mapping[str, float]], metric: str) -> float | None:
    """The unweighted mean of a metric over the cells that have it."""
    values = [cell[metric] for cell in by_value.values() if metric in cell]
    return float(np.mean(values)) if values else None
