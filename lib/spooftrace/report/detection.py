"""Detection in RESULTS.md: EERs of all runs on each test set, statistics over the seeds, costs, and DET curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.cells import markdown
from spooftrace.common.english import percent
from spooftrace.common.errors import InputError
from spooftrace.common.text_table import markdown_table
from spooftrace.evaluation import read_trials
from spooftrace.evaluation.caveats import few_note, few_trials
from spooftrace.metrics import eer
from spooftrace.report.incomplete import marked
from spooftrace.report.incomplete import notes as incomplete_notes
from spooftrace.report.markdown import (
    MAX_COLUMNS,
    MISSING,
    SEEDS_CONVENTION,
    SEEDS_HEADER,
    Section,
    bullets,
    image,
    run_rows,
    scoring_notes,
    seeds_row,
    text_of,
)
from spooftrace.report.names import DETECTION as METRICS
from spooftrace.report.names import DETECTION_QUOTED
from spooftrace.report.published import Result, quoted
from spooftrace.report.runs import Group, Run, group_by_seed, test_sets


def sections(runs: Sequence[Run], published: Sequence[Result], figures: Path, page_folder: Path) -> Iterator[Section]:
    """A section for each test set; DET curves are written to ``figures``."""
    for test_set in test_sets(runs):
        groups = marked(group_by_seed(runs), [test_set])
        tables = [make(groups, test_set) for make in (results_table, seeds_table, costs_table)]
        systems = {run.system for run in runs if test_set in run.metrics}
        claims = quoted(published, systems, [test_set], DETECTION_QUOTED)
        parts = [*tables, bullets(trial_notes(groups, test_set)), claims]
        yield Section(test_set, "\n\n".join(filter(None, parts)), det_figure(groups, test_set, figures, page_folder))


def results_table(groups: Sequence[Group], test_set: str) -> str:
    """EERs in per cent of all runs on one test set: pooled, mean over the attacks, each attack.

    Several seeds of one system are followed by a row of means and a row of ranges. The last row counts the trials.
    """
    first = next(run for group in groups for run in group.on(test_set)).metrics[test_set]
    attacks = shown_attacks(first)
    rows = []
    for group in groups:
        runs = group.on(test_set)
        rows += run_rows(group.name, runs, np.array([_rates(run.metrics[test_set], attacks) for run in runs]))
    counts = [f"{first['by_attack'][attack]['spoof']:,}" for attack in attacks]
    rows.append(["spoof trials", "", "", f"{first['spoof']:,}", "", *counts])
    return markdown_table(
        ["System", "Seed", "Parameters (trained)", "Pooled EER %", "Mean EER %", *attacks], rows, left=2
    )


def costs_table(groups: Sequence[Group], test_set: str) -> str:
    """All other metrics that were computed for the runs on a test set."""
    runs = [(group.name, run) for group in groups for run in group.on(test_set)]
    known = [key for key in METRICS if key != "eer" and any(key in run.metrics[test_set] for _, run in runs)]
    rows = [
        [name, text_of(run.seed), *(_value_text(key, run.metrics[test_set].get(key)) for key in known)]
        for name, run in runs
    ]
    return markdown_table(["System", "Seed", *(METRICS[key] for key in known)], rows, left=2)


def seeds_table(groups: Sequence[Group], test_set: str) -> str:
    """Pooled EER and primary metric over the seeds of each system; "" if no system has several seeds."""
    rows = []
    for group in groups:
        runs = group.on(test_set)
        if len(runs) < 2:
            continue
        for key in dict.fromkeys(["eer", *(run.metrics[test_set]["primary"] for run in runs)]):
            if all(key in run.metrics[test_set] for run in runs):
                values = np.array([run.metrics[test_set][key] for run in runs])
                best = int(values.argmin())  # of METRICS, all are the better the lower
                rows.append(seeds_row(group.name, METRICS[key], runs, values, partial(_value_text, key), best))
    return markdown_table(SEEDS_HEADER, rows, left=2) if rows else ""


def shown_attacks(metrics: Mapping[str, Any]) -> list[str]:
    """The attacks with a column of their own."""
    attacks = sorted(metrics["by_attack"])
    return attacks if len(attacks) <= MAX_COLUMNS else []


def trial_notes(groups: Sequence[Group], test_set: str) -> list[str]:
    """What a reader must know to compare the results: sizes, small cells, ties, scores of the wrong sign."""
    runs = [run for group in groups for run in group.on(test_set)]
    first = runs[0].metrics[test_set]
    notes = [f"{first['trials']:,} trials: {first['bonafide']:,} bona fide, {first['spoof']:,} spoof."]
    primary = dict.fromkeys(METRICS[run.metrics[test_set]["primary"]] for run in runs)
    notes.append(f"Ranked by: {', '.join(primary)}.")
    cells = {"all spoof": first["spoof"], "bona fide": first["bonafide"]}
    cells |= {attack: first["by_attack"][attack]["spoof"] for attack in shown_attacks(first)}
    if len(first["by_attack"]) > MAX_COLUMNS:
        notes.append(f"{len(first['by_attack'])} attacks: their metrics are in the tables of each run.")
    if "subset" in first:
        notes.append(f"The official subset '{first['subset']}' of the test set.")
    if few := few_note(few_trials({name: [count] for name, count in cells.items()}), mark=""):
        notes.append(f"Small cells: {few}.")
    notes += [*incomplete_notes(runs, [test_set]), *scoring_notes(runs, test_set)]
    ties = {run.name: run.metrics[test_set].get("ties_across_classes") for run in runs}
    tied = [f"{name} {count:,}" for name, count in ties.items() if count]
    if tied:
        notes.append(
            f"Trials with the same score as a trial of the other class (see the tie rule below): {', '.join(tied)}."
        )
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
        "Pooled EER: one threshold for all attacks. Mean EER: the unweighted mean of the EERs of the single "
        "attacks, each against all bona fide trials. The two are not comparable with each other.",
        SEEDS_CONVENTION,
        "DET figures: probit axes, the EER point of each run marked; runs that differ by the seed share a colour.",
    ]


def det_figure(groups: Sequence[Group], test_set: str, folder: Path, page_folder: Path) -> list[str]:
    """Draw the DET curves of one test set; returns Markdown that shows them, and notes on curves that are missing."""
    from spooftrace.report.det import Curve, draw_det

    curves, parts = [], []
    for group in groups:
        for member in group.on(test_set):
            data = Path(member.metrics[test_set]["data"])
            scores = member.folder / test_set / "scores.txt"
            absent = [str(path) for path in (scores, data) if not path.exists()]
            if absent:
                lacking = f"No DET curve of {member.name}: {' and '.join(absent)} not found."
                parts.append(markdown(lacking))
                print(lacking)
                continue
            metrics = member.metrics[test_set]
            trials = read_trials(data, scores, metrics.get("subset"), metrics.get("convention"))
            if eer(trials.bonafide, trials.spoof)[0] != metrics["eer"]:
                raise InputError(
                    f"{scores.with_name('metrics.json')}: its EER is not that of {scores}; evaluate this set again"
                )
            curves.append(Curve(group.name, trials.bonafide, trials.spoof))
    if curves:
        path = folder / f"det_{test_set}.png"
        draw_det(curves, f"DET curves, {test_set}", path)
        parts.insert(0, image(f"DET curves of {test_set}", path, page_folder))
    return parts


def _rates(metrics: Mapping[str, Any], attacks: Sequence[str]) -> list[float]:
    mean = metrics["mean_over_attacks"]
    cells = [metrics["by_attack"][attack]["eer"] for attack in attacks]
    return [metrics["eer"], np.nan if mean is None else mean, *cells]


def _value_text(key: str, value: float | None) -> str:
    """A value of ``metrics.json`` as its column in METRICS says."""
    if value is None:
        return MISSING
    return percent(value) if key.startswith("eer") else f"{value:.4f}"
