"""Detection: scored trials -> the content of ``metrics.json`` and the tables of a challenge.

Keys name what a value is computed on (``eer`` pools all trials, ``mean_over_attacks`` is a mean over attacks), and
``..._convention`` states how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.evaluation.breakdown import (
    Cell,
    WeightsOf,
    breakdown,
    cell_metrics,
    cells,
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
from spooftrace.evaluation.metric_text import AXIS_NAMES, DETECTION_METRICS, mean_key
from spooftrace.evaluation.tables import POOLED, Table, is_total
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
# Rates of the ASV system, or weights of the t-DCF: by (attack, condition), POOLED for all; or equal for all trials.
Asv = Mapping[tuple[str, str], AsvErrorRates | TandemWeights] | AsvErrorRates | TandemWeights


def evaluate_detection(trials: ScoredTrials, convention: str = "plain", asv: Asv | None = None) -> dict[str, Any]:
    """Detection metrics of one test set, as written to ``metrics.json``. Rates are fractions.

    Args:
        trials: Scored trials of both classes.
        convention: A name in CONVENTIONS.
        asv: Error rates of the speaker verification system, or the weights that the organisers published; without them
            there is no t-DCF.

    Raises:
        InputError: A class has no trials, the convention needs a property that the trials lack, the ASV rates are of
            other attacks or conditions, or the t-DCF is undefined for these scores and ASV rates.
    """
    rules = CONVENTIONS[convention]
    weights = _weights_of(rules, asv)
    if isinstance(asv, Mapping):
        _check_asv_is_of(trials, asv)
    curve = _curve(trials)
    metrics: dict[str, Any] = {
        "task": "detection",
        "set": trials.name,
        "convention": convention,
        "trials": len(trials),
        **_pooled(curve, convention),
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
            value: {"trials": cell.bonafide.size + cell.spoof.size, **_counts(cell)}
            | cell_metrics(cell, rules.metrics, weights, {axis: value})
            for value, _, cell in _cells(trials, axis, convention)
            if cell is not None and not is_total(value)
        }
    metrics.setdefault("by_attack", {})
    metrics["mean_over_attacks"] = _mean(metrics["by_attack"], "eer")
    metrics |= {
        mean_key(name): mean
        for name in rules.metrics
        if name != "eer" and (mean := _mean(metrics["by_attack"], name)) is not None
    }
    return metrics | _caveats(metrics, rules.metrics) | _sign_warning(curve)


def _pooled(curve: DetCurve, convention: str) -> dict[str, Any]:
    """Metrics of all trials, with their conventions."""
    rate, threshold = eer(curve)
    return {
        **_counts(curve),
        "eer": rate,
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


def _sign_warning(curve: DetCurve) -> dict[str, str]:
    """A warning if the negated scores have a lower EER."""
    rate, negated = eer(curve)[0], eer(DetCurve(-curve.bonafide[::-1], -curve.spoof[::-1]))[0]
    if negated >= rate:
        return {}
    warning = (
        f"the EER is {100 * rate:.2f} % as scored and {100 * negated:.2f} % with every score negated; "
        "scores must be higher for bona fide (nothing was flipped)"
    )
    return {"score_sign_warning": warning}


def _caveats(metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Caveats of the metrics: cells with few trials, and means that leave attacks out."""
    caveats: dict[str, Any] = {}
    cells = {POOLED: metrics} | {row: cell for axis in AXES for row, cell in metrics.get(f"by_{axis}", {}).items()}
    if few := few_trials({row: (cell["bonafide"], cell["spoof"]) for row, cell in cells.items()}):
        caveats["few_trials"] = few
    if lacking := left_out(metrics["by_attack"], names):
        caveats["left_out_of_mean"] = lacking
    return caveats


def breakdown_tables(trials: ScoredTrials, convention: str = "plain", asv: Asv | None = None) -> dict[str, Table]:
    """Name -> table that a challenge prints: each metric by one property of the trials, then by two.

    There is no table by a property that the trials lack or that has a single value, and none of a t-DCF without any
    rates of the ASV system. Arguments and errors as for :func:`evaluate_detection`.
    """
    rules = CONVENTIONS[convention]
    weights = _weights_of(rules, asv)
    metrics = [metric for metric in rules.metrics if metric != "min_tdcf" or weights]
    names = DETECTION_METRICS | {"min_tdcf": f"{rules.tdcf} min t-DCF"}
    axes = _axes(trials, rules)
    tables: dict[str, Table] = {}
    for rows, columns in [*((axis, None) for axis in axes), *(pair for pair in rules.crossed if {*pair} <= {*axes})]:
        chosen = None if columns else _cells(trials, rows, convention)
        for metric, table in breakdown(trials, rows, columns, metrics, weights, chosen, names).items():
            single = [not is_total(name) for name in table.rows]
            if not np.isnan(table.values[single]).all():
                tables["_".join([metric, "by", rows, *(["and", columns] if columns else [])])] = table
    return tables


def _axes(trials: ScoredTrials, rules: Convention) -> list[str]:
    """The properties to break down by: the attack, and properties with at least two values."""
    known = [axis for axis in rules.by if axis in trials.columns]
    return [axis for axis in known if axis == "attack" or len(_occurring(trials, axis)) > 1]


def _occurring(trials: ScoredTrials, name: str) -> list[str]:
    column = trials.columns[name]
    counts = np.bincount(column.codes, minlength=len(column.values))
    return [value for value, count in zip(column.values, counts, strict=True) if count]


def _cells(trials: ScoredTrials, axis: str, convention: str) -> Iterator[Cell]:
    """The cells of a breakdown by a property, by the rule of the challenge if it has one."""
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
    """Trials of the source and of the attack that CtrSVDD leaves out of its ranking, each bool (N,)."""
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
        rates = asv.get((attack, condition)) if isinstance(asv, Mapping) else asv
        return rules.tandem_weights(rates) if isinstance(rates, AsvErrorRates) else rates

    return weights


def _check_asv_is_of(trials: ScoredTrials, asv: Mapping[tuple[str, str], Any]) -> None:
    """Refuse ASV scores of another test set, which would give a meaningless t-DCF."""
    for place, name in enumerate(("attack", "cond")):
        measured = {cell[place] for cell in asv} - {POOLED}
        if measured and name in trials.columns:
            spoof = trials.select(~trials.is_bonafide)
            if not spoof.columns[name].is_in(measured).any():
                title = AXIS_NAMES.get(name, name)
                raise InputError(
                    f"{trials.name}: no {title} ({first(_occurring(spoof, name))}) is one of the ASV scores "
                    f"({first(sorted(measured))}); give --asv-scores of the same trials, or none (the DF track of "
                    "ASVspoof 2021 has no t-DCF)"
                )


def _pooled_tdcf(trials: ScoredTrials, curve: DetCurve, rules: Convention, asv: Asv | None) -> dict[str, Any]:
    """The t-DCF over all trials, if there are ASV rates."""
    weights = _weights_of(rules, asv)
    if weights is None:
        return {}
    try:
        pooled = weights(POOLED, POOLED)
        if pooled is None:
            raise ValueError("the rates of the ASV system over all attacks and conditions are not given")
        return {"min_tdcf": min_tdcf(curve, pooled)[0], "min_tdcf_convention": TDCF_CONVENTIONS[rules.tdcf]}
    except ValueError as error:
        if not isinstance(asv, Mapping):
            return {}  # rates fixed by the challenge: the user did not request a t-DCF
        raise InputError(f"{trials.name}: no min t-DCF: {error}") from None


def _counts(curve: DetCurve) -> dict[str, int]:
    return {"bonafide": curve.bonafide.size, "spoof": curve.spoof.size}


def _mean(by_value: Mapping[str, Mapping[str, float]], metric: str) -> float | None:
    """Unweighted mean of a metric over the cells that have it."""
    values = [cell[metric] for cell in by_value.values() if metric in cell]
    return float(np.mean(values)) if values else None
