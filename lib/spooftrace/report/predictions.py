"""Figure of codec parsing: predicted against true values of each codec, one panel per target."""

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
    runs: Sequence[Mapping[str, Mapping[str, Any]]], open_set: Collection[str], title: str, path: Path
) -> None:
    """Write the predictions of several seeds as a PNG; its bytes depend only on the arguments.

    Args:
        runs: ``by_codec`` of the metrics of each seed.
        open_set: Codecs that the model was not trained on; they have another colour and an open marker.
        title: Title of the figure.
        path: PNG file to write.
    """
    with png(path, 11.0, 4.0) as figure:
        for axes, target in zip(figure.subplots(1, len(TARGETS)), TARGETS, strict=True):
            _panel(axes, runs, open_set, target)
        figure.suptitle(title, fontsize=12)


def _panel(axes: Axes, runs: Sequence[Mapping[str, Any]], open_set: Collection[str], target: str) -> None:
    """One target: the median and the 5 to 95 % range of the predictions of each codec and seed."""
    codecs = [(name, cell["true"][target], cell["predicted"][target]) for run in runs for name, cell in run.items()]
    points = sorted((codec for codec in codecs if codec[1] is not None), key=lambda codec: codec[:2])
    axes.set_title(TITLES[target], fontsize=11, loc="left")
    axes.set_xlabel("True")
    axes.set_ylabel("Predicted: median, 5 to 95 %")
    if not points:
        axes.text(0.5, 0.5, "unknown for all codecs", transform=axes.transAxes, ha="center")
        return
    values = [value for _, true, quantiles in points for value in (true, *quantiles.values())]
    ends = min(values), max(values)
    axes.plot(ends, ends, color="0.7", linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    # Points with the same true value are drawn side by side.
    count = Counter(true for _, true, _ in points)
    drawn: Counter[float] = Counter()
    step = min(0.012, 0.1 / max(count.values())) * (ends[1] - ends[0])
    for name, true, quantiles in points:
        x = true + step * (drawn[true] - (count[true] - 1) / 2)
        drawn[true] += 1
        colour, inside = (OPEN, "white") if name in open_set else (CLOSED, CLOSED)
        axes.vlines(x, quantiles["p05"], quantiles["p95"], color=colour, linewidth=1.2)
        label = "open set" if name in open_set else "closed set"
        axes.plot(x, quantiles["median"], "o", color=colour, markerfacecolor=inside, markersize=5, label=label)
    if open_set:
        marks = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend([marks[name] for name in sorted(marks)], sorted(marks), fontsize=8, frameon=False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
