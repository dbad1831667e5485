"""Codec parsing in RESULTS.md: RMSE and MAE of the three targets, by set of codecs and by codec, and nearest codecs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from spooftrace.common.english import percent
from spooftrace.common.text_table import markdown_table
from spooftrace.metrics.regression import TARGETS
from spooftrace.report.incomplete import marked
from spooftrace.report.incomplete import notes as incomplete_notes
from spooftrace.report.markdown import MAX_COLUMNS, Section, bullets, image, scoring_notes, spread
from spooftrace.report.names import CODEC_SETS, MEASURES, PARSING, UNITS
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

BASELINE = "mean of the training set"


def _number(value: float) -> str:
    return f"{value:.2f}"


def _error(target: str, measure: str) -> Callable[[Cell], float | None]:
    """Function that reads an error from a cell."""
    return lambda cell: cell["targets"][target][measure]


METRICS = [
    *(
        Metric(f"{unit} {name}", _error(target, measure), _number)
        for target, unit in zip(TARGETS, UNITS.values(), strict=True)
        for measure, name in MEASURES.items()
    ),
    Metric("Nearest codec %", lambda cell: cell["nearest_codec_accuracy"], percent),
]


def sections(runs: Sequence[Run], published: Sequence[Result], figures: Path, page_folder: Path) -> Iterator[Section]:
    """A section for each test set but trimmed copies; figures of each system are written to ``figures``."""
    task = TaskMetrics(METRICS, _cells_of, _baselines_of)
    for test_set in main_sets(runs):
        groups = marked(group_by_seed(runs), [test_set, test_set + TRIM])
        there = evaluated_on(groups, test_set)
        claims = quoted(published, {run.system for run in there}, [test_set, test_set + TRIM], PARSING)
        parts = [set_table(groups, test_set, part) for part in ("", *CODEC_SETS)]
        parts += [subsets_table(groups, test_set, task), codec_table(groups, test_set)]
        parts += [bullets(trial_notes(there, test_set)), claims]
        drawn = _figures(groups, test_set, figures, page_folder)
        yield Section(f"{test_set}: parsing", "\n\n".join(filter(None, parts)), drawn)


def conventions(runs: Sequence[Run]) -> list[str]:
    """How the numbers were computed, one sentence group an item."""
    every = [metrics for run in runs for metrics in run.metrics.values()]
    named = ("training_mean_convention", "subset_convention")
    rules = {metrics["nearest_codec"]["convention"] for metrics in every}
    rules |= {metrics[key] for metrics in every for key in named if key in metrics}
    return [
        "Errors are in kHz, kbit/s and numbers of quantizers. Closed set: codecs that the model was trained on, "
        "in whatever setting; open set: the others.",
        *sorted(rules),
        "x ± y: mean and SD (the squares divided by the number of seeds minus one) over the seeds.",
        "Figures of predictions: the median and the range from 5 to 95 % of the utterances of each codec, each seed by "
        "itself; on the grey line predictions are right.",
        *([TRIM_CONVENTION] if any(name.endswith(TRIM) for run in runs for name in run.metrics) else []),
    ]


def set_table(groups: Sequence[Group], test_set: str, part: str) -> str:
    """Errors on all codecs, or on those of ``closed_set`` or ``open_set``; "" where there are none."""
    rows: list[list[str]] = []
    baselines: dict[str, Cell] = {}
    for group in groups:
        cells = [cell for run in group.on(test_set) if (cell := _part(run.metrics[test_set], part))]
        if cells:
            values = [spread((metric.of(cell) for cell in cells), metric.show) for metric in METRICS]
            rows.append([group.name, str(len(cells)), *values])
            baselines |= {name: baseline for cell in cells for name, baseline in _baselines_of(cell).items()}
    rows += [
        [name, "", *(spread([metric.of(cell)], metric.show) for metric in METRICS)] for name, cell in baselines.items()
    ]
    title = f"System, {CODEC_SETS[part]}" if part else "System, all codecs"
    return markdown_table([title, "Runs", *(metric.name for metric in METRICS)], rows, left=2) if rows else ""


def codec_table(groups: Sequence[Group], test_set: str) -> str:
    """Errors on each codec, a row for each codec and system; "" with too many codecs."""
    rows, part_of = [], _codecs(groups, test_set)
    for name, part in part_of.items() if len(part_of) <= MAX_COLUMNS else ():
        for group in groups:
            cells = [cell for run in group.on(test_set) if (cell := run.metrics[test_set]["by_codec"].get(name))]
            if cells:
                values = [spread((metric.of(cell) for cell in cells), metric.show) for metric in METRICS]
                rows.append([name, part, group.name, f"{cells[0]['utterances']:,}", *values])
    header = ["Codec", "Set", "System", "Utterances", *(metric.name for metric in METRICS)]
    return markdown_table(header, rows, left=3) if rows else ""


def trial_notes(runs: Sequence[Run], test_set: str) -> list[str]:
    """What a reader must know to compare the results: the codecs, and those with identical values."""
    own = [run for run in runs if test_set in run.metrics]
    first = own[0].metrics[test_set]
    notes = [f"{first['trials']:,} utterances of {len(first['by_codec'])} codecs or settings of codecs."]
    notes += [
        f"{name[0].upper()}{name[1:]}, {cell['trials']:,} utterances: {', '.join(cell['codecs'])}."
        for part, name in CODEC_SETS.items()
        if (cell := first.get(part))
    ]
    if len(first["by_codec"]) > MAX_COLUMNS:
        notes.append("The metrics of single codecs are in the tables of each run.")
    nearest = first["nearest_codec"]
    notes.append(f"The nearest codec is one of {len(nearest['candidates'])}.")
    notes += [f"Indistinguishable by these values: {', '.join(names)}." for names in nearest["same_values"]]
    return notes + incomplete_notes(runs, [test_set, test_set + TRIM]) + scoring_notes(own, test_set)


def _codecs(groups: Sequence[Group], test_set: str) -> dict[str, str]:
    """Name -> the set it is in ("" if that is not known), closed set first."""
    every = [run.metrics[test_set] for group in groups for run in group.on(test_set)]
    part_of = {
        codec: name
        for metrics in reversed(every)
        for part, name in CODEC_SETS.items()
        for codec in (metrics.get(part) or {}).get("codecs", ())
    }
    names = {name for metrics in every for name in metrics["by_codec"]}
    return {name: part_of.get(name, "") for name in sorted(names, key=lambda name: (part_of.get(name, ""), name))}


def _part(metrics: Cell, part: str) -> Cell | None:
    return metrics.get(part) if part else metrics


def _cells_of(metrics: Cell) -> Mapping[str, Cell | None]:
    return {"all": metrics, **metrics.get("by_subset", {})}


def _baselines_of(cell: Cell) -> dict[str, Cell]:
    return {BASELINE: cell["training_mean"]} if "training_mean" in cell else {}


def _figures(groups: Sequence[Group], test_set: str, figures: Path, page_folder: Path) -> list[str]:
    """Draw the predictions of each system; returns the Markdown that shows them."""
    from spooftrace.report.predictions import draw_predictions

    shown = []
    part_of = _codecs(groups, test_set)
    for group in groups:
        if runs := group.on(test_set):
            path = figures / f"parsing_{test_set}_{runs[0].name}.png"
            cells = [run.metrics[test_set]["by_codec"] for run in runs]
            opened = [name for name, part in part_of.items() if part == CODEC_SETS["open_set"]]
            draw_predictions(cells, opened, f"{group.name} on {test_set}", path)
            shown.append(image(f"Predictions of {group.name} on {test_set}", path, page_folder))
    return shown
