"""Markdown for the pages of all tasks: tables, statistics over seeds, and how each run was made.

Every number comes from ``metrics.json`` and ``run.json``; missing values read ``n/a``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from spooftrace.common.cells import markdown
from spooftrace.common.english import duration, percent
from spooftrace.common.text_table import markdown_table
from spooftrace.report.incomplete import mark
from spooftrace.report.runs import Run

MISSING = "n/a"
MAX_COLUMNS = 24  # a table of more attacks or classes cannot be read: the tables beside metrics.json have them
SEEDS_CONVENTION = (
    "Rows of means and ranges (lowest to highest) join runs whose configurations differ by the seed alone. SD is "
    "their sample standard deviation (the squares divided by the number of seeds minus one). The best seed is the "
    "one that does best on this very test set: quote the mean."
)


@dataclass(frozen=True)
class Section:
    """What stands under one heading: results, which are printed too, then Markdown that shows the figures."""

    title: str
    results: str
    figures: Sequence[str] = ()


def bullets(lines: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {markdown(line)}" for line in lines)


def image(caption: str, path: Path, page_folder: Path) -> str:
    """Markdown that shows a figure on a page of ``page_folder``."""
    return f"![{markdown(caption)}]({quote(Path(os.path.relpath(path, page_folder)).as_posix())})"


def run_rows(name: str, runs: Sequence[Run], rates: np.ndarray) -> list[list[str]]:
    """Rows of rates (runs, columns) in per cent; several runs are followed by their means and ranges."""
    rows = [
        [name, text_of(run.seed), parameters(run), *map(percent, row)] for run, row in zip(runs, rates, strict=True)
    ]
    if len(runs) > 1:
        ranges = [_range(*ends) for ends in zip(rates.min(axis=0), rates.max(axis=0), strict=True)]
        rows += [
            [name, f"mean of {len(runs)}", "", *map(percent, rates.mean(axis=0))],
            [name, "range", "", *ranges],
        ]
    return rows


SEEDS_HEADER = ("System", "Metric", "Seeds", "Best (seed)", "Mean", "SD", "Range")


def seeds_row(
    name: str, metric: str, runs: Sequence[Run], values: np.ndarray, show: Callable[[float], str], best: int
) -> list[str]:
    """What several seeds make of one metric, as SEEDS_HEADER says; ``best`` is the index of the best run."""
    mean, deviation = values.mean(), values.std(ddof=1)
    values_text = [f"{show(values[best])} ({runs[best].seed})", show(mean), show(deviation)]
    return [name, metric, str(len(runs)), *values_text, f"{show(values.min())}-{show(values.max())}"]


def spread(values: Iterable[float | None], show: Callable[[float], str]) -> str:
    """The mean over several runs and its standard deviation, ``1.23 ± 0.04``; the value itself of a single one.

    None and NaN are left out.
    """
    known = np.array([value for value in values if value is not None and not np.isnan(value)])
    if not known.size:
        return MISSING
    return show(known[0]) if known.size == 1 else f"{show(known.mean())} ± {show(known.std(ddof=1))}"


def scoring_notes(runs: Sequence[Run], test_set: str) -> list[str]:
    """How the utterances were scored, or a warning where the runs differ in that."""
    scored: dict[str, list[str]] = {}
    for run in runs:
        scored.setdefault(run.scoring(test_set) or MISSING, []).append(run.name)
    if len(scored) > 1:
        ways = "; ".join(f"{', '.join(names)}: {way}" for way, names in scored.items())
        return [f"WARNING, the runs were not scored in the same way, as far as is known: {ways}."]
    return [] if MISSING in scored else [f"Scored with {next(iter(scored))} (lengths in samples at 16 kHz)."]


def runs_table(runs: Sequence[Run]) -> str:
    """How each run was made; ``imports`` says more of those that were not trained."""
    header = ["Run", "System", "Seed", "Back-end", "Trained", "All parameters", "Best epoch", "Epochs"]
    return markdown_table([*header, "Training time", "Device", "Commit"], map(_run_row, runs), left=2)


def imports(runs: Sequence[Run]) -> list[str]:
    """Runs that are checkpoints of others, one item each: what was imported, and what is known of its training."""
    items = []
    for run in runs:
        if not (made := run.info.get("imported")):
            continue
        told = [
            f"{text_of(made.get('release'))} ({text_of(made.get('repository'))})",
            f"trained on {made.get('trained_on') or 'unknown data'}",
            f"file {text_of(made.get('file'))}",
        ]
        told += [f"sha256 {text_of(made.get('sha256'))}", f"score: {text_of(made.get('score'))}"]
        told += [f"assumed: {', '.join(made['assumed'])}"] if made.get("assumed") else []
        items.append(f"{run.name} was not trained here but imported: {'; '.join(told)}.")
    return items


def versions(runs: Sequence[Run]) -> list[str]:
    """Package versions: one item when all runs agree, otherwise one for each set of runs that agree."""
    users: dict[str, list[str]] = {}
    for run in runs:
        packages = run.info.get("versions") or {}
        text = ", ".join(f"{name} {version}" for name, version in sorted(packages.items())) or MISSING
        users.setdefault(text, []).append(run.name)
    if len(users) == 1:
        return list(users)
    return [f"{', '.join(names)}: {text}" for text, names in users.items()]


def text_of(value: Any) -> str:
    """The value; ``n/a`` for None."""
    return MISSING if value is None else str(value)


def parameters(run: Run) -> str:
    """How many parameters a run has, and how many of them were trained."""
    known = run.info.get("parameters") or {}
    return f"{_count(known.get('total'))} ({_count(known.get('trainable'))})"


def _run_row(run: Run) -> list[str]:
    info = run.info
    known = info.get("parameters") or {}
    return [
        run.name + mark(run),
        run.system,
        text_of(run.seed),
        *(_count(known.get(key)) for key in ("backend", "trainable", "total")),
        text_of(info.get("best_epoch")),
        text_of(info.get("epochs")),
        duration(info.get("train_seconds")),
        text_of(info.get("device")),
        text_of(info.get("git_commit")),
    ]


def _count(number: int | None) -> str:
    """1234 -> 1,234; 317390000 -> 317.4M."""
    if number is None:
        return MISSING
    return f"{number / 1e6:.1f}M" if number >= 10_000_000 else f"{number:,}"


def _range(low: float, high: float) -> str:
    return MISSING if np.isnan(low) else f"{percent(low)}-{percent(high)}"
