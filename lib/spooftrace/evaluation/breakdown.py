"""Metrics broken down as the challenges print them: attack by codec, per attack, per source, per subset.

A cell contains the spoof trials of its row and its column. Bona fide trials have no attack and no vocoder, so each row
or column of these properties contains all of them; by any other property (codec, subset, source) they are selected like
spoof trials, as in the packages of ASVspoof 2021 and ASVspoof 5. If all spoof trials and no bona fide trials (``-``)
have a subset, subsets are treated like attacks: in egs/mini they group the attacks by novelty.

There are two kinds of totals, which are not comparable: "pooled" is the metric over all trials of a row or column,
"mean" the unweighted mean of its cells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from spooftrace.evaluation.caveats import few_note, few_trials, left_out_note, without
from spooftrace.evaluation.metric_text import AXIS_NAMES, DETECTION_METRICS, is_rate
from spooftrace.evaluation.tables import MEAN, POOLED, Table, is_total
from spooftrace.evaluation.trials import Column, ScoredTrials
from spooftrace.metrics import DetCurve, TandemWeights, act_dcf, cllr, eer, min_dcf, min_tdcf, sorted_by_group

Array = np.ndarray
Cell = tuple[str, str, DetCurve | None]  # row, column, trials
# (attack, condition) -> weights of the tandem cost; None if there are no rates of the ASV system
WeightsOf = Callable[[str, str], TandemWeights | None]

SPOOF_ONLY = ("attack", "vocoder")
# All metrics but the t-DCF, which also depends on the ASV system.
OF_CURVE: dict[str, Callable[[DetCurve], float]] = {
    "eer": lambda curve: eer(curve)[0],
    "min_dcf": lambda curve: min_dcf(curve)[0],
    "act_dcf": lambda curve: act_dcf(curve)[0],
    "cllr": cllr,
}


def cells(trials: ScoredTrials, rows: str, columns: str | None = None) -> Iterator[Cell]:
    """The trials of each cell, row by row, POOLED rows and columns last; None for a cell that lacks a class.

    Args:
        trials: N scored trials.
        rows: Property of the trials, such as "attack", whose values are the rows.
        columns: Property whose values are the columns; without it, all cells are in the column POOLED.

    Raises:
        ValueError: The trials have no such property.
    """
    row_axis = _axis(trials, rows)
    column_axis = _axis(trials, columns) if columns else _Axis((), np.zeros(len(trials), np.intp), False)
    width = len(column_axis.names) + 1
    bonafide, spoof = trials.is_bonafide, ~trials.is_bonafide
    spoof_of = _by_cell(trials.scores[spoof], row_axis.places(spoof), column_axis.places(spoof), width)
    bonafide_of = _by_cell(
        trials.scores[bonafide],
        row_axis.places(bonafide, row_axis.filters_bonafide),
        column_axis.places(bonafide, column_axis.filters_bonafide),
        width,
    )
    for row, row_name in enumerate((*row_axis.names, POOLED)):
        bonafide_row = row if row_axis.filters_bonafide else len(row_axis.names)
        for column, column_name in enumerate((*column_axis.names, POOLED)):
            bonafide_column = column if column_axis.filters_bonafide else width - 1
            bonafide_scores = bonafide_of.get(bonafide_row * width + bonafide_column)
            spoof_scores = spoof_of.get(row * width + column)
            if bonafide_scores is None or spoof_scores is None:
                yield row_name, column_name, None
            else:
                yield row_name, column_name, DetCurve(bonafide_scores, spoof_scores)


def breakdown(
    trials: ScoredTrials,
    rows: str,
    columns: str | None = None,
    metrics: Collection[str] = ("eer",),
    weights: WeightsOf | None = None,
    chosen: Iterable[Cell] | None = None,
    names: Mapping[str, str] = DETECTION_METRICS,
) -> dict[str, Table]:
    """One table per metric with a pooled and a mean row, and with such columns if ``columns`` is given.

    Means are over the filled cells. The mean of means is left empty.

    Args:
        trials: N scored trials.
        rows: As for :func:`cells`.
        columns: As for :func:`cells`; without it, a table has one column with the name of the metric.
        metrics: Names in DETECTION_METRICS.
        weights: Tandem cost weights by attack and condition (POOLED for all), for "min_tdcf".
        chosen: The cells, for challenges with a rule of their own; by default those of :func:`cells`.
        names: Metric -> name in titles.

    Raises:
        ValueError: The trials have no such property.
    """
    chosen = cells(trials, rows, columns) if chosen is None else chosen
    curves = {(row, column): curve for row, column, curve in chosen}
    values_of = {
        (row, column): cell_metrics(curve, metrics, weights, {rows: row, columns or "": column})
        for (row, column), curve in curves.items()
    }
    few = few_note(few_trials({_cell_name(*at): _sizes(curve) for at, curve in curves.items() if curve is not None}))
    row_names = tuple(dict.fromkeys(row for row, _ in values_of))
    column_names = tuple(dict.fromkeys(column for _, column in values_of))
    by = " by ".join(AXIS_NAMES.get(axis, axis) for axis in (rows, columns) if axis)
    tables = {}
    for metric in metrics:
        values = [[values_of[row, column].get(metric, np.nan) for column in column_names] for row in row_names]
        tables[metric] = Table(
            title=f"{trials.name}: {names[metric]}, {by}",
            row_name=AXIS_NAMES.get(rows, rows),
            rows=(*row_names, MEAN),
            columns=(*column_names, MEAN) if columns else (names[metric],),
            values=_with_means(np.array(values), row_names, column_names),
            percent=is_rate(metric),
            decimals=2 if is_rate(metric) else 4,
            notes=tuple(filter(None, (_note_of_mean(values_of, metric, names[metric]), few))),
        )
    return tables


def _cell_name(row: str, column: str) -> str:
    return row if column == POOLED else f"{row}, {column}"


def _sizes(curve: DetCurve) -> tuple[int, int]:
    return curve.bonafide.size, curve.spoof.size


def _note_of_mean(values_of: Mapping[tuple[str, str], Mapping[str, float]], metric: str, name: str) -> str:
    """Note on rows without a value, which the mean in the pooled column leaves out; "" if there are none."""
    single = {row: cell for (row, column), cell in values_of.items() if column == POOLED and not is_total(row)}
    lacking = without(single, metric)
    return left_out_note(name, lacking, len(single)) if lacking else ""


def cell_metrics(
    curve: DetCurve | None, metrics: Collection[str], weights: WeightsOf | None, where: Mapping[str, str]
) -> dict[str, float]:
    """The metrics of a cell, except those that lack trials or ASV rates.

    Args:
        curve: The trials of the cell; None if it lacks a class.
        metrics: Names in DETECTION_METRICS.
        weights: As for :func:`breakdown`.
        where: Property -> its value in this cell, such as ``{"attack": "A07"}``.
    """
    if curve is None:
        return {}
    values = {metric: OF_CURVE[metric](curve) for metric in metrics if metric in OF_CURVE}
    # Rates of ASV systems are known by attack and by condition only.
    measured = all(value == POOLED for axis, value in where.items() if axis not in ("attack", "cond"))
    if "min_tdcf" in metrics and weights and measured:
        # Undefined if the ASV system has no rates or accepts no spoof trial, or if there are too few scores.
        with suppress(ValueError):
            cell_weights = weights(where.get("attack", POOLED), where.get("cond", POOLED))
            values |= {"min_tdcf": min_tdcf(curve, cell_weights)[0]} if cell_weights else {}
    return values


@dataclass(frozen=True)
class _Axis:
    names: tuple[str, ...]  # the values that occur
    codes: Array  # index into names of each trial, (N,)
    filters_bonafide: bool

    def places(self, keep: Array, filtered: bool = True) -> list[Array]:
        """Positions of the kept trials along this axis: at their own value, if filtered by it, and at POOLED."""
        pooled = np.full(np.count_nonzero(keep), len(self.names))
        return [self.codes[keep], pooled] if filtered and self.names else [pooled]


def _axis(trials: ScoredTrials, name: str) -> _Axis:
    if name not in trials.columns:
        raise ValueError(f"the trials have no '{name}'; known are {', '.join(trials.columns) or 'none'}")
    column = trials.columns[name]
    spoof_only = name in SPOOF_ONLY or (name == "subset" and _is_of_spoof(column, trials.is_bonafide))
    counted = column.codes[~trials.is_bonafide] if spoof_only else column.codes
    occurs = np.bincount(counted, minlength=len(column.values)) > 0
    # Numbers without gaps; those of bona fide trials are not used if only spoof trials have the property.
    number = np.cumsum(occurs) - 1
    names = tuple(np.array(column.values)[occurs].tolist())
    return _Axis(names, number[column.codes], not spoof_only)


def _is_of_spoof(column: Column, is_bonafide: Array) -> bool:
    """Whether all spoof trials and no bona fide trial have a value other than ``-``."""
    if "-" not in column.values:
        return False
    return np.array_equal(column.codes == column.values.index("-"), is_bonafide)


def _by_cell(scores: Array, rows: Sequence[Array], columns: Sequence[Array], width: int) -> dict[int, Array]:
    """Sorted scores by cell number, ``row * width + column``."""
    cells: dict[int, Array] = {}
    for row in rows:
        for column in columns:
            cells |= sorted_by_group(scores, row * width + column)
    return cells


def _with_means(values: Array, rows: Sequence[str], columns: Sequence[str]) -> Array:
    """The values with a row of means over single rows and, if there are single columns, a column of such means."""
    single_rows = np.array([not is_total(name) for name in rows])
    single_columns = np.array([not is_total(name) for name in columns])
    means = np.array([_mean(column[single_rows]) for column in values.T])
    if not single_columns.any():
        return np.vstack([values, means])
    across = np.array([_mean(row[single_columns]) for row in values])
    return np.block([[values, across[:, None]], [means[None], np.full((1, 1), np.nan)]])


def _mean(values: Array) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else np.nan
