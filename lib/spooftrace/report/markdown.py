"""RESULTS.md as text. Every number comes from ``metrics.json`` and ``run.json``; what is not there reads ``n/a``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from spooftrace.report.runs import Group, Run

MISSING = "n/a"
SMALL_CELL = 100
MAX_ATTACKS = 24  # more columns than these nobody can read: the tables beside metrics.json have them
METRICS = {
    "eer": "EER %",
    "eer_ranking": "EER % without A14 and ACESinger",
    "min_dcf": "minDCF",
    "act_dcf": "actDCF",
    "cllr": "Cllr",
    "min_cllr": "minCllr",
    "min_tdcf": "min t-DCF",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table padded to read well as plain text; all but the ``left`` first columns are right-aligned."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = (":" + "-" * (w - 1) if column < left else "-" * (w - 1) + ":" for column, w in enumerate(widths))
    return "\n".join([line(cells[0]), f"| {' | '.join(rule)} |", *map(line, cells[1:])])


def results_table(groups: Sequence[Group], test_set: str) -> str:
    """EERs in per cent of all runs on one test set: pooled, mean over the attack systems, each attack system.

    Several seeds of one system are followed by a row of means and a row of ranges. The last row counts the trials.
    """
    members = {group.name: group.on(test_set) for group in groups}
    first = next(run for runs in members.values() for run in runs).metrics[test_set]
    attacks = shown_attacks(first)
    rows = []
    for name, runs in members.items():
        values = np.array([_rates(run.metrics[test_set], attacks) for run in runs])
        rows += [
            [name, _text(run.seed), _parameters(run), *map(_percent, row)]
            for run, row in zip(runs, values, strict=True)
        ]
        if len(runs) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            ranges = [_range(*ends) for ends in zip(low, high, strict=True)]
            rows += [
                [name, f"mean of {len(runs)}", "", *map(_percent, values.mean(axis=0))],
                [name, "range", "", *ranges],
            ]
    counts = [f"{first['by_system'][attack]['spoof']:,}" for attack in attacks]
    rows.append(["spoof trials", "", "", f"{first['spoof']:,}", "", *counts])
    return table(["System", "Seed", "Parameters (trained)", "Pooled EER %", "Mean EER %", *attacks], rows, left=2)


def costs_table(groups: Sequence[Group], test_set: str) -> str:
    """The other metrics of all runs on one test set, those that were computed."""
    runs = [(group.name, run) for group in groups for run in group.on(test_set)]
    known = [key for key in METRICS if key != "eer" and any(key in run.metrics[test_set] for _, run in runs)]
    rows = [
        [name, _text(run.seed), *(_figure(key, run.metrics[test_set].get(key)) for key in known)] for name, run in runs
    ]
    return table(["System", "Seed", *(METRICS[key] for key in known)], rows, left=2)


def seeds_table(groups: Sequence[Group], test_set: str) -> str:
    """What several seeds of a system make of the pooled EER and the primary metric; "" where all ran once."""
    rows = []
    for group in groups:
        runs = group.on(test_set)
        if len(runs) < 2:
            continue
        for key in dict.fromkeys(["eer", *(run.metrics[test_set]["primary"] for run in runs)]):
            if not all(key in run.metrics[test_set] for run in runs):
                continue
            values = np.array([run.metrics[test_set][key] for run in runs])
            best = int(values.argmin())  # of METRICS, all are the better the lower
            mean, deviation = values.mean(), values.std(ddof=1)
            figures = [f"{_figure(key, values[best])} ({runs[best].seed})", _figure(key, mean), _figure(key, deviation)]
            ends = f"{_figure(key, values.min())}-{_figure(key, values.max())}"
            rows.append([group.name, METRICS[key], str(len(runs)), *figures, ends])
    return table(["System", "Metric", "Seeds", "Best (seed)", "Mean", "SD", "Range"], rows, left=2) if rows else ""


def shown_attacks(metrics: Mapping[str, Any]) -> list[str]:
    """The attack systems with a column of their own."""
    attacks = sorted(metrics["by_system"])
    return attacks if len(attacks) <= MAX_ATTACKS else []


def trial_notes(groups: Sequence[Group], test_set: str) -> list[str]:
    """What a reader must know before comparing numbers: sizes, coarse cells, ties, scores that look flipped."""
    runs = [run for group in groups for run in group.on(test_set)]
    first = runs[0].metrics[test_set]
    notes = [f"{first['trials']:,} trials: {first['bonafide']:,} bona fide, {first['spoof']:,} spoof."]
    primary = dict.fromkeys(METRICS[run.metrics[test_set]["primary"]] for run in runs)
    notes.append(f"Ranked by: {', '.join(primary)}.")
    cells = {"all spoof": first["spoof"], "bona fide": first["bonafide"]}
    cells |= {attack: first["by_system"][attack]["spoof"] for attack in shown_attacks(first)}
    names_of: dict[int, list[str]] = {}
    for name, count in cells.items():
        if count < SMALL_CELL:
            names_of.setdefault(count, []).append(name)
    if len(first["by_system"]) > MAX_ATTACKS:
        notes.append(f"{len(first['by_system'])} attack systems: their figures are in the tables of each run.")
    if "subset" in first:
        notes.append(f"The official subset '{first['subset']}' of the test set.")
    if names_of:
        steps = [f"{', '.join(names)} {100 / count:.2f} ({count} trials)" for count, names in names_of.items()]
        notes.append(f"Small cells, and the points by which one trial moves their error rate: {'; '.join(steps)}.")
    scored: dict[str, list[str]] = {}
    for run in runs:
        scored.setdefault(run.scoring(test_set) or MISSING, []).append(run.name)
    if len(scored) > 1:
        ways = "; ".join(f"{', '.join(names)}: {text}" for text, names in scored.items())
        notes.append(f"WARNING, the runs were not scored in the same way, as far as is known: {ways}.")
    elif MISSING not in scored:
        notes.append(f"Scored with {next(iter(scored))} (lengths in samples at 16 kHz).")
    ties = {run.name: run.metrics[test_set].get("ties_across_classes") for run in runs}
    tied = [f"{name} {count:,}" for name, count in ties.items() if count]
    if tied:
        notes.append(f"Trials that share a score with the other class (see the tie rule below): {', '.join(tied)}.")
    notes += [
        f"WARNING, {run.name}: {text}."
        for run in runs
        for key, text in run.metrics[test_set].items()
        if key.endswith("_warning")
    ]
    return notes


def conventions(runs: Sequence[Run]) -> list[str]:
    """How the numbers were computed, one sentence group an item."""
    named = ("eer_convention", "cost_convention", "min_tdcf_convention")
    rules = sorted(
        {metrics[key] for run in runs for metrics in run.metrics.values() for key in named if key in metrics}
    )
    return [
        *rules,
        "Pooled EER: one threshold for all attack systems. Mean EER: the unweighted mean of the EERs of the single "
        "attack systems, each against all bona fide trials. The two are not comparable with each other.",
        "Rows of means and ranges (lowest to highest) join runs whose configurations differ by the seed alone. SD is "
        "their sample standard deviation (the squares divided by the number of seeds minus one). The best seed is the "
        "one that does best on this very test set: quote the mean.",
        "DET figures: probit axes, the EER point of each run marked; runs that differ by the seed share a colour.",
    ]


def runs_table(runs: Sequence[Run]) -> str:
    """How each run was made; ``imports`` says more of those that were not trained."""
    header = ["Run", "System", "Seed", "Back-end", "Trained", "All parameters", "Best epoch", "Epochs"]
    return table([*header, "Training time", "Device", "Commit"], map(_run_row, runs), left=2)


def imports(runs: Sequence[Run]) -> list[str]:
    """Runs that are checkpoints of others, one item each: what was imported, and what is known of its training."""
    items = []
    for run in runs:
        if not (made := run.info.get("imported")):
            continue
        told = [f"{made['release']} ({made['repository']})", f"trained on {made['trained_on']}", f"file {made['file']}"]
        told += [f"sha256 {made['sha256']}", f"score: {made['score']}"]
        told += [f"assumed: {', '.join(made['assumed'])}"] if made["assumed"] else []
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


def _run_row(run: Run) -> list[str]:
    info = run.info
    parameters = info.get("parameters") or {}
    return [
        run.name,
        run.system,
        _text(run.seed),
        *(_count(parameters.get(key)) for key in ("backend", "trainable", "total")),
        _text(info.get("best_epoch")),
        _text(info.get("epochs")),
        _duration(info.get("train_seconds")),
        _text(info.get("device")),
        _text(info.get("git_commit")),
    ]


def _rates(metrics: Mapping[str, Any], attacks: Sequence[str]) -> list[float]:
    mean = metrics["mean_over_systems"]
    cells = [metrics["by_system"][attack]["eer"] for attack in attacks]
    return [metrics["eer"], np.nan if mean is None else mean, *cells]


def _parameters(run: Run) -> str:
    parameters = run.info.get("parameters") or {}
    return f"{_count(parameters.get('total'))} ({_count(parameters.get('trainable'))})"


def _count(number: int | None) -> str:
    """1234 -> 1,234; 317390000 -> 317.4M."""
    if number is None:
        return MISSING
    return f"{number / 1e6:.1f}M" if number >= 10_000_000 else f"{number:,}"


def _percent(rate: float) -> str:
    return MISSING if np.isnan(rate) else f"{100 * rate:.2f}"


def _figure(key: str, value: float | None) -> str:
    """A value of ``metrics.json`` as its column in METRICS says."""
    if value is None:
        return MISSING
    return _percent(value) if key.startswith("eer") else f"{value:.4f}"


def _range(low: float, high: float) -> str:
    return MISSING if np.isnan(low) else f"{_percent(low)}-{_percent(high)}"


def _text(value: Any) -> str:
    return MISSING if value is None else str(value)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
