"""Attribution in RESULTS.md: F1 of each test set against chance, by subset and attack, confusions, unknown classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from spooftrace.common.english import percent
from spooftrace.common.text_table import markdown_table
from spooftrace.evaluation.open_set import OPEN_SET_METRICS
from spooftrace.report.confusion import class_order, confusion_table, confusions
from spooftrace.report.incomplete import marked
from spooftrace.report.incomplete import notes as incomplete_notes
from spooftrace.report.markdown import (
    MAX_COLUMNS,
    SEEDS_CONVENTION,
    SEEDS_HEADER,
    Section,
    bullets,
    image,
    run_rows,
    scoring_notes,
    seeds_row,
    spread,
)
from spooftrace.report.names import ATTRIBUTION, F1S
from spooftrace.report.published import Result, quoted
from spooftrace.report.runs import Group, Run, group_by_seed
from spooftrace.report.subsets import (
    TRIM,
    TRIM_CONVENTION,
    Cell,
    Metric,
    TaskMetrics,
    evaluated_on,
    main_sets,
    subsets_table,
)

TITLES = {key: name[0].upper() + name[1:] for key, name in F1S.items()}


def sections(runs: Sequence[Run], published: Sequence[Result], figures: Path, page_folder: Path) -> Iterator[Section]:
    """A section for each test set but trimmed copies; confusion matrices are written to ``figures``."""
    labels = next(metrics["label_table"] for run in runs for metrics in run.metrics.values())
    metrics_of_table = [metric for metric in ATTRIBUTION if metric.startswith(f"{labels}.")]
    for test_set in main_sets(runs):
        groups = marked(group_by_seed(runs), [test_set, test_set + TRIM])
        there = evaluated_on(groups, test_set)
        claims = quoted(published, {run.system for run in there}, [test_set, test_set + TRIM], metrics_of_table)
        tables = (
            results_table,
            seeds_table,
            _subsets_table,
            class_table,
            attack_table,
            confusion_table,
            open_set_table,
        )
        parts = [make(groups, test_set) for make in tables]
        parts += [bullets(trial_notes(there, test_set)), claims]
        title = f"{test_set}: attribution by {labels}"
        yield Section(title, "\n\n".join(filter(None, parts)), _figure(groups, test_set, labels, figures, page_folder))


def conventions(runs: Sequence[Run]) -> list[str]:
    """How the numbers were computed, one sentence group an item."""
    named = ("f1_convention", "chance_convention", "subset_convention", "open_set_convention")
    every = [metrics for run in runs for metrics in run.metrics.values()]
    rules = [rule for key in named for rule in sorted({metrics[key] for metrics in every if key in metrics})]
    return [
        *rules,
        SEEDS_CONVENTION,
        "x ± y: mean and SD over the seeds. Confusions: per cent of the utterances of the true class, over all seeds.",
        *([TRIM_CONVENTION] if any(name.endswith(TRIM) for run in runs for name in run.metrics) else []),
    ]


def results_table(groups: Sequence[Group], test_set: str) -> str:
    """F1 and accuracy of all runs on one test set, and chance level."""
    rows: list[list[str]] = []
    baselines: dict[str, Cell] = {}
    for group in groups:
        if runs := group.on(test_set):
            values = np.array([[run.metrics[test_set][key] for key in F1S] for run in runs])
            rows += run_rows(group.name, runs, values)
            baselines |= {name: cell for run in runs for name, cell in _baselines_of(run.metrics[test_set]).items()}
    rows += [[name, "", "", *(percent(cell[key]) for key in F1S)] for name, cell in baselines.items()]
    return markdown_table(["System", "Seed", "Parameters (trained)", *TITLES.values()], rows, left=2)


def seeds_table(groups: Sequence[Group], test_set: str) -> str:
    """Best, mean, SD and range over the seeds of each system; "" if no system has several seeds."""
    rows = []
    for group in groups:
        if len(runs := group.on(test_set)) > 1:
            for key, title in TITLES.items():
                values = np.array([run.metrics[test_set][key] for run in runs])
                rows.append(seeds_row(group.name, title, runs, values, percent, int(values.argmax())))
    return markdown_table(SEEDS_HEADER, rows, left=2) if rows else ""


def class_table(groups: Sequence[Group], test_set: str) -> str:
    """F1 of each class, mean and SD over the seeds; "" with too many classes for columns."""
    return _named_table(groups, test_set, "F1 % by class", "by_class", "f1", "utterances")


def attack_table(groups: Sequence[Group], test_set: str) -> str:
    """The share of each attack's utterances whose class was found; "" where attacks are unknown, or too many."""
    return _named_table(groups, test_set, "Accuracy % by attack", "by_attack", "accuracy", "trials")


def open_set_table(groups: Sequence[Group], test_set: str) -> str:
    """How well each rejection score tells unknown classes from known ones; "" where all classes are known."""
    rows = []
    for group in groups:
        runs = [run for run in group.on(test_set) if "open_set" in run.metrics[test_set]]
        scores = dict.fromkeys(score for run in runs for score in run.metrics[test_set]["open_set"])
        for score in scores:
            cells = [run.metrics[test_set]["open_set"].get(score, {}) for run in runs]
            values = [spread((cell.get(key) for cell in cells), percent) for key in OPEN_SET_METRICS]
            rows.append([group.name, score, str(len(runs)), *values])
    header = ["System", "Rejection by", "Runs", *(f"{name} %" for name in OPEN_SET_METRICS.values())]
    return markdown_table(header, rows, left=2) if rows else ""


def _figure(groups: Sequence[Group], test_set: str, labels: str, figures: Path, page_folder: Path) -> list[str]:
    """Draw the confusions of all systems side by side; returns the Markdown that shows them."""
    from spooftrace.report.heatmaps import draw_confusions

    path = figures / f"confusion_{labels}_{test_set}.png"
    draw_confusions(confusions(groups, test_set), f"Confusions by {labels}, {test_set}", path)
    return [image(f"Confusions of {test_set} by {labels}", path, page_folder)]


def trial_notes(runs: Sequence[Run], test_set: str) -> list[str]:
    """What a reader must know to compare the results: numbers of utterances, and how they were scored."""
    own = [run for run in runs if test_set in run.metrics]
    first = own[0].metrics[test_set]
    classes = {name: cell["utterances"] for name, cell in first["by_class"].items()}
    notes = [f"{first['trials']:,} utterances; of classes that the model knows: {_counted(classes)}."]
    if "unknown_classes" in first:
        notes.append(
            f"Of unknown classes: {_counted(first['unknown_classes'])}; used for the metrics of rejection only."
        )
    for key, what in (("by_class", "classes"), ("by_attack", "attacks")):
        if len(first.get(key, ())) > MAX_COLUMNS:
            notes.append(f"{len(first[key])} {what}: their metrics are in the tables of each run.")
    for run in runs:
        counts = [run.metrics[name]["trials"] for name in (test_set, test_set + TRIM) if name in run.metrics]
        if len(set(counts)) > 1:
            notes.append(f"WARNING, {run.name}: {counts[0]:,} utterances of {test_set}, {counts[1]:,} trimmed ones.")
    return notes + incomplete_notes(runs, [test_set, test_set + TRIM]) + scoring_notes(own, test_set)


def _subsets_table(groups: Sequence[Group], test_set: str) -> str:
    metrics = [Metric(title, itemgetter(key), percent) for key, title in TITLES.items()]
    return subsets_table(groups, test_set, TaskMetrics(metrics, _cells_of, _baselines_of))


def _cells_of(metrics: Cell) -> Mapping[str, Cell]:
    return {"all": metrics, **metrics.get("by_subset", {})}


def _baselines_of(cell: Cell) -> dict[str, Cell]:
    if "chance" not in cell:
        return {}
    at_random = cell["chance"]["random"]
    return {f"random, {at_random['choices']} classes": at_random, "majority class": cell["chance"]["majority"]}


def _named_table(groups: Sequence[Group], test_set: str, title: str, key: str, metric: str, count: str) -> str:
    """A metric by class or attack, one per column; "" if there are none or too many."""
    found = {group.name: [run.metrics[test_set] for run in group.on(test_set)] for group in groups}
    every = [metrics for of_group in found.values() for metrics in of_group]
    counts = {name: cell[count] for metrics in every for name, cell in metrics.get(key, {}).items()}
    if not 0 < len(counts) <= MAX_COLUMNS:
        return ""
    names = [name for name in class_order(every) if name in counts] if key == "by_class" else sorted(counts)
    rows = []
    for group, of_group in found.items():
        if of_group:
            cells = [[metrics.get(key, {}).get(name, {}).get(metric) for metrics in of_group] for name in names]
            rows.append([group, str(len(of_group)), *(spread(values, percent) for values in cells)])
    rows.append(["utterances", "", *(f"{counts[name]:,}" for name in names)])
    return markdown_table([title, "Runs", *names], rows, left=2)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
