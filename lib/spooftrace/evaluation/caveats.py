"""What must stand beside a figure: it comes from few trials or part of a set, or a mean leaves something out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spooftrace.common.records import SCORES_RECORD, read_scores_record
from spooftrace.datadir.incomplete import Gap, gaps_of, read_gaps
from spooftrace.evaluation.trials import first

FEW = 100  # trials of a class: below, one of them moves an error rate by more than a point
MARK = "~"


def few_trials(cells: Mapping[str, Iterable[int]]) -> dict[str, int]:
    """The cells with few trials of a class -> the number of the class that has the fewest.

    >>> few_trials({"pooled": (200, 180), "A07": (200, 3)})
    {'A07': 3}
    """
    fewest = {name: min(counts) for name, counts in cells.items()}
    return {name: count for name, count in fewest.items() if count < FEW}


def few_note(few: Mapping[str, int], mark: str = MARK) -> str:
    """One line about cells with few trials, behind the mark that stands beside them; "" without any."""
    if not few:
        return ""
    steps = first(
        f"{name} {100 / count:.1f} ({count})" for name, count in sorted(few.items(), key=lambda item: item[1])
    )
    return (
        f"{mark} fewer than {FEW} trials of a class, so the digits shown say little: the points by which one trial "
        f"moves the error rate (trials), {steps}"
    ).strip()


def without(cells: Mapping[str, Mapping[str, Any]], metric: str) -> list[str]:
    """The cells that lack a metric which others have, so that a mean leaves them out; none where no cell has it."""
    lacking = [name for name, cell in cells.items() if metric not in cell]
    return lacking if len(lacking) < len(cells) else []


def left_out(cells: Mapping[str, Mapping[str, Any]], metrics: Iterable[str]) -> dict[str, list[str]]:
    """Metric -> the attacks that its mean leaves out; metrics whose mean is over all attacks are not there."""
    return {metric: names for metric in metrics if (names := without(cells, metric))}


def left_out_note(name: str, lacking: list[str], total: int) -> str:
    """One line about a mean that is not over all attacks."""
    return (
        f"{name}: the mean is over {total - len(lacking)} of {total}; the others have no value "
        f"({first(lacking)}): too few trials, or the ASV system was not measured there"
    )


def share_of(lacking: list[str], total: int) -> str:
    """What stands behind such a mean in a table, `` (2 of 3)``; "" for a mean over all."""
    return f" ({total - len(lacking)} of {total})" if lacking else ""


def gaps_of_test_set(data: Path | None, key: Path | None, scores: Path) -> list[Gap]:
    """What a test set lacks, by its data directory (or that of its key) and by what its scores were made of.

    Raises:
        InputError: a file that says so is damaged.
    """
    folders = [data, key and key.parent]
    gaps = [gap for folder in folders if folder for gap in read_gaps(folder)]
    gaps += gaps_of(read_scores_record(scores.with_name(SCORES_RECORD)).get("incomplete", []))
    return list(dict.fromkeys(gaps))
