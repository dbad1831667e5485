"""The figure of codec parsing: what was predicted for each codec against what is true, a panel for each target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from spooftrace.metrics.regression import TARGETS
from spooftrace.report.canvas import COLOURS, png

TITLES = dict(zip(TARGETS, ("Sampling rate (kHz)", "Bit rate (kbit/s)", "Number of quantizers"), strict=True))
CLOSED, OPEN = COLOURS[0], COLOURS[1]


def draw_predictions(
    runs: Sequence[Mapping[str, Mapping[str, Any]]], opened: Collection[str], title: str, path: Path
) -> None:
    """Write the predictions of several seeds as a PNG whose bytes depend on nothing but the arguments.

    Args:
        runs: ``by_codec`` of the metrics of each seed.
        opened: the codecs that the model was not trained on, which have another colour and an open mark.
        title: of the figure.
        path: the file.
    """
    with png(path, 11.0, 4.0) as figure:
        for axes, target in zip(figure.subplots(1, len(TARGETS)), TARGETS, strict=True):
            _panel(axes, runs, opened, target)
        figure.suptitle(title, fontsize=12)


def _panel(axes: Axes, runs: Sequence[Mapping[str, Any]], opened: Collection[str], target: str) -> None:
    found = [(name, cell["true"][target], cell["predicted"][target]) for run in runs for name, cell in run.items()]
    found = sorted(((name, true, cell) for name, true, cell in found if true is not None), key=lambda one: one[:2])
    axes.set_title(TITLES[target], fontsize=11, loc="left")
    axes.set_xlabel("True")
    axes.set_ylabel("Predicted: median, 5 to 95 %")
    if not found:
        axes.text(0.5, 0.5, "not known of any codec", transform=axes.transAxes, ha="center")
        return
    values = [value for _, true, cell in found for value in (true, *cell.values())]
    ends = min(values), max(values)
    axes.plot(ends, ends, color="0.7", linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    # Codecs with the same true value, and seeds, stand side by side.
    count, placed = Counter(true for _, true, _ in found), Counter()
    step = min(0.012, 0.1 / max(count.values())) * (ends[1] - ends[0])
    for name, true, cell in found:
        x = true + step * (placed[true] - (count[true] - 1) / 2)
        placed[true] += 1
        colour, inside = (OPEN, "white") if name in opened else (CLOSED, CLOSED)
        axes.vlines(x, cell["p05"], cell["p95"], color=colour, linewidth=1.2)
        label = "open set" if name in opened else "closed set"
        axes.plot(x, cell["median"], "o", color=colour, markerfacecolor=inside, markersize=5, label=label)
    if opened:
        marks = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend([marks[name] for name in sorted(marks)], sorted(marks), fontsize=8, frameon=False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
