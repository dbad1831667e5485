"""Metrics broken down as the challenges print them: attack by codec, per attack, per source, per subset.

Two rules say which trials a cell has. Spoof trials are those of its row and its column. Bona fide trials have no attack
and no vocoder, so a row or column of those takes all of them; by every other property (codec, subset, source) they are
filtered as the spoof trials are. So do the ASVspoof 2021 and ASVspoof 5 packages. A subset that all spoof trials and no
bona fide trials have (``-``) is one of attacks too: in egs/mini, how new the attack is.

Two kinds of totals, which must not be compared with each other: "pooled" is the metric of all the trials of a row or
column together, "mean" the unweighted mean of its cells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from spooftrace.evaluation.caveats import few_note, few_trials, left_out_note, without
from spooftrace.evaluation.trials import Column, ScoredTrials
from spooftrace.metrics import DetCurve, TandemWeights, act_dcf, cllr, eer, min_dcf, min_tdcf, sorted_by_group

Array = np.ndarray
Cell = tuple[str, str, DetCurve | None]  # row, column, trials
# (attack, condition) -> weights of the tandem cost there; None where the ASV system was not measured
WeightsOf = Callable[[str, str], TandemWeights | None]

POOLED, MEAN = "pooled", "mean"
SPOOF_ONLY = ("attack", "vocoder")
AXIS_NAMES = {"cond": "condition"}  # where the name of the table is not the word that readers know
METRIC_NAMES = {
    "eer": "EER (%)",
    "min_dcf": "minDCF",
    "act_dcf": "actDCF",
    "cllr": "Cllr (bits)",
    "min_tdcf": "min t-DCF",
}
# All but the t-DCF, which needs to know the ASV system too.
OF_CURVE: dict[str, Callable[[DetCurve], float]] = {
    "eer": lambda curve: eer(curve)[0],
    "min_dcf": lambda curve: min_dcf(curve)[0],
    "act_dcf": lambda curve: act_dcf(curve)[0],
    "cllr": cllr,
}


@dataclass(frozen=True)
class Table:
    """Numbers with names for their rows and columns.

    Attributes:
        title: what the numbers are, with unit and convention.
        row_name: what a row is, such as "attack".
        rows: R names; totals (:func:`is_total`) come last.
        columns: C names, likewise.
        values: (R, C), NaN where a cell is empty.
        percent: whether the values are fractions to be shown in per cent.
        decimals: digits after the point to show.
        notes: what to know of them, a line each.

    Raises:
        ValueError: the values do not fit the names.
    """

    title: str
    row_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Array
    percent: bool = False
    decimals: int = 4
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if np.shape(self.values) != (len(self.rows), len(self.columns)):
            raise ValueError(
                f"values of shape {np.shape(self.values)} for {len(self.rows)} rows and {len(self.columns)} columns"
            )


def is_total(name: str) -> bool:
    """Is it the name of a pooled figure or a mean, not of a single attack, codec, ...?"""
    return name == MEAN or name.startswith(POOLED)


def cells(trials: ScoredTrials, rows: str, columns: str | None = None) -> Iterator[Cell]:
    """The trials of each cell, row by row, POOLED rows and columns last; None for a cell that lacks a class.

    Args:
        trials: N scored trials.
        rows: the property of the trials, such as "attack", that gives the rows.
        columns: the one that gives the columns; without it, all cells are in the column POOLED.

    Raises:
        ValueError: the trials have no such property.
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
            has_both = bonafide_scores is not None and spoof_scores is not None
            yield row_name, column_name, DetCurve(bonafide_scores, spoof_scores) if has_both else None


def breakdown(
    trials: ScoredTrials,
    rows: str,
    columns: str | None = None,
    metrics: Collection[str] = ("eer",),
    weights: WeightsOf | None = None,
    parts: Iterable[Cell] | None = None,
    names: Mapping[str, str] = METRIC_NAMES,
) -> dict[str, Table]:
    """One table for each metric, with a pooled and a mean row, and, where there are columns, such columns.

    Means are over the cells that are filled. There is no mean of means.

    Args:
        trials: N scored trials.
        rows: as for :func:`cells`.
        columns: as for :func:`cells`; without it, a table has one column with the name of the metric.
        metrics: names in METRIC_NAMES.
        weights: the tandem cost weights for an attack and a condition (POOLED for all); "min_tdcf" needs it.
        parts: the cells, where a challenge has a rule of its own for them; by default those of :func:`cells`.
        names: what to call the metrics.

    Raises:
        ValueError: the trials have no such property.
    """
    curves = {(row, column): curve for row, column, curve in (cells(trials, rows, columns) if parts is None else parts)}
    figures = {
        (row, column): cell_metrics(curve, metrics, weights, {rows: row, columns or "": column})
        for (row, column), curve in curves.items()
    }
    few = few_note(few_trials({_cell_name(*at): _sizes(curve) for at, curve in curves.items() if curve is not None}))
    row_names = tuple(dict.fromkeys(row for row, _ in figures))
    column_names = tuple(dict.fromkeys(column for _, column in figures))
    by = " by ".join(AXIS_NAMES.get(axis, axis) for axis in (rows, columns) if axis)
    tables = {}
    for metric in metrics:
        values = [[figures[row, column].get(metric, np.nan) for column in column_names] for row in row_names]
        tables[metric] = Table(
            title=f"{trials.name}: {names[metric]}, {by}",
            row_name=AXIS_NAMES.get(rows, rows),
            rows=(*row_names, MEAN),
            columns=(*column_names, MEAN) if columns else (names[metric],),
            values=_with_means(np.array(values), row_names, column_names),
            percent=metric == "eer",
            decimals=2 if metric == "eer" else 4,
            notes=tuple(filter(None, (_note_of_mean(figures, metric, names[metric]), few))),
        )
    return tables


def _cell_name(row: str, column: str) -> str:
    return row if column == POOLED else f"{row}, {column}"


def _sizes(curve: DetCurve) -> tuple[int, int]:
    return curve.bonafide.size, curve.spoof.size


def _note_of_mean(figures: Mapping[tuple[str, str], Mapping[str, float]], metric: str, name: str) -> str:
    """What the mean over the rows leaves out in the pooled column, or ""."""
    single = {row: cell for (row, column), cell in figures.items() if column == POOLED and not is_total(row)}
    lacking = without(single, metric)
    return left_out_note(name, lacking, len(single)) if lacking else ""


def cell_metrics(
    curve: DetCurve | None, metrics: Collection[str], weights: WeightsOf | None, where: Mapping[str, str]
) -> dict[str, float]:
    """The metrics of one cell by name, without those that it has not enough trials or no ASV rates for.

    ``where`` says which value of each property the cell has, such as ``{"attack": "A07"}``.
    """
    if curve is None:
        return {}
    figures = {metric: OF_CURVE[metric](curve) for metric in metrics if metric in OF_CURVE}
    # ASV systems are measured by attack and by condition, and not by anything else.
    measured = all(value == POOLED for axis, value in where.items() if axis not in ("attack", "cond"))
    if "min_tdcf" in metrics and weights and measured:
        # No figure where the ASV system was not measured or lets no spoof trial through, or scores are too few.
        with suppress(ValueError):
            here = weights(where.get("attack", POOLED), where.get("cond", POOLED))
            figures |= {"min_tdcf": min_tdcf(curve, here)[0]} if here else {}
    return figures


@dataclass(frozen=True)
class _Axis:
    names: tuple[str, ...]  # the values that occur
    codes: Array  # index into names of each trial, (N,)
    filters_bonafide: bool

    def places(self, keep: Array, filtered: bool = True) -> list[Array]:
        """Where each kept trial stands along this axis: at its own value, if filtered by it, and at POOLED."""
        pooled = np.full(np.count_nonzero(keep), len(self.names))
        return [self.codes[keep], pooled] if filtered and self.names else [pooled]


def _axis(trials: ScoredTrials, name: str) -> _Axis:
    if name not in trials.columns:
        raise ValueError(f"the trials have no '{name}'; known are {', '.join(trials.columns) or 'none'}")
    column = trials.columns[name]
    spoof_only = name in SPOOF_ONLY or (name == "subset" and _is_of_spoof(column, trials.is_bonafide))
    counted = column.codes[~trials.is_bonafide] if spoof_only else column.codes
    occurs = np.bincount(counted, minlength=len(column.values)) > 0
    # Numbers without gaps; those of bona fide trials mean nothing where the axis is one of spoof alone.
    number = np.cumsum(occurs) - 1
    names = tuple(value for value, there in zip(column.values, occurs, strict=True) if there)
    return _Axis(names, number[column.codes], not spoof_only)


def _is_of_spoof(column: Column, is_bonafide: Array) -> bool:
    """Whether all spoof trials and no bona fide trial have a value here other than ``-``."""
    if "-" not in column.values:
        return False
    return np.array_equal(column.codes == column.values.index("-"), is_bonafide)


def _by_cell(scores: Array, rows: Sequence[Array], columns: Sequence[Array], width: int) -> dict[int, Array]:
    """Sorted scores by cell number, ``row * width + column``."""
    found: dict[int, Array] = {}
    for row in rows:
        for column in columns:
            found |= sorted_by_group(scores, row * width + column)
    return found


def _with_means(values: Array, rows: Sequence[str], columns: Sequence[str]) -> Array:
    """The values with a row, and where there is more than one column a column, of means over what is not a total."""
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
