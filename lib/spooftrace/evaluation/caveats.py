"""Caveats of metrics: few trials, incomplete test sets, and means that leave attacks out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spooftrace.common.records import SCORES_RECORD, read_scores_record
from spooftrace.datadir.incomplete import Gap, gaps_of, read_gaps
from spooftrace.evaluation.trials import first

MIN_TRIALS = 100  # of a class; with fewer, a single trial changes an error rate by more than one percentage point
MARK = "~"


def few_trials(cells: Mapping[str, Iterable[int]]) -> dict[str, int]:
    """Cell -> trials of its smaller class, for cells with few trials of a class.

    Args:
        cells: Cell -> number of trials of each class.

    >>> few_trials({"pooled": (200, 180), "A07": (200, 3)})
    {'A07': 3}
    """
    fewest = {name: min(counts) for name, counts in cells.items()}
    return {name: count for name, count in fewest.items() if count < MIN_TRIALS}


def few_note(few: Mapping[str, int], mark: str = MARK) -> str:
    """Note on the cells with few trials, starting with the mark that they have in tables; "" if there are none."""
    if not few:
        return ""
    steps = first(
        f"{name} {100 / count:.1f} ({count})" for name, count in sorted(few.items(), key=lambda item: item[1])
    )
    return (
        f"{mark} fewer than {MIN_TRIALS} trials of a class; percentage points by which a single trial changes the "
        f"error rate (trials): {steps}"
    ).strip()


def without(cells: Mapping[str, Mapping[str, Any]], metric: str) -> list[str]:
    """Cells without a metric that other cells have; a mean leaves them out. Empty if no cell has the metric."""
    lacking = [name for name, cell in cells.items() if metric not in cell]
    return lacking if len(lacking) < len(cells) else []


def left_out(cells: Mapping[str, Mapping[str, Any]], metrics: Iterable[str]) -> dict[str, list[str]]:
    """Metric -> attacks that its mean leaves out, for metrics whose mean is not over all attacks."""
    return {metric: names for metric in metrics if (names := without(cells, metric))}


def left_out_note(name: str, lacking: list[str], total: int) -> str:
    """Note on a mean that is not over all attacks."""
    return (
        f"{name}: the mean is over {total - len(lacking)} of {total}; no value for "
        f"{first(lacking)}: too few trials, or no rates of the ASV system"
    )


def share_of(lacking: list[str], total: int) -> str:
    """Suffix of such a mean in a table, `` (2 of 3)``; "" for a mean over all attacks."""
    return f" ({total - len(lacking)} of {total})" if lacking else ""


def gaps_of_test_set(data: Path | None, key: Path | None, scores: Path) -> list[Gap]:
    """Gaps in a test set, from its data directory, the folder of its key, and the record of its scores.

    Raises:
        InputError: A file that lists gaps is damaged.
    """
    folders = [data, key and key.parent]
    gaps = [gap for folder in folders if folder for gap in read_gaps(folder)]
    gaps += gaps_of(read_scores_record(scores.with_name(SCORES_RECORD)).get("incomplete", []))
    return list(dict.fromkeys(gaps))
