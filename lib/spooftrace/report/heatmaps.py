"""Figure of the confusion matrices: one heat map per system, two side by side, on a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from spooftrace.report.canvas import png
from spooftrace.report.confusion import Confusion

PER_ROW = 2
MAX_NUMBERS = 12  # columns; with more, numbers do not fit into the cells


def draw_confusions(confusions: Sequence[Confusion], title: str, path: Path) -> None:
    """Write the row-normalised confusion matrices as a PNG; its bytes depend only on the arguments."""
    across = min(PER_ROW, len(confusions))
    down = -(-len(confusions) // across)
    width = max(2.6, 0.26 * max(len(confusion.columns) for confusion in confusions))
    height = max(2.0, 0.26 * max(len(confusion.rows) for confusion in confusions))
    with png(path, across * (width + 1.3) + 0.9, down * (height + 1.2) + 0.4) as figure:
        grid = figure.subplots(down, across, squeeze=False)
        for axes, confusion in zip(grid.flat, confusions, strict=False):
            image = axes.imshow(confusion.rates, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            _label_axes(axes, confusion)
        for axes in grid.flat[len(confusions) :]:
            axes.set_visible(False)
        figure.suptitle(title, fontsize=12)
        figure.colorbar(image, ax=grid, label="Fraction of the true class", shrink=0.8)


def _label_axes(axes: Axes, confusion: Confusion) -> None:
    """The title, the classes and, where they fit, the rates in per cent."""
    axes.set_title(confusion.name, fontsize=10, loc="left")
    rotation = 90 if len(confusion.columns) > 6 else 0
    axes.set_xticks(range(len(confusion.columns)), confusion.columns, rotation=rotation, fontsize=9)
    axes.set_yticks(range(len(confusion.rows)), confusion.rows, fontsize=9)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")
    if len(confusion.columns) > MAX_NUMBERS:
        return
    for y, row in enumerate(confusion.rates):
        for x, rate in enumerate(row):
            colour = "white" if rate > 0.5 else "black"
            axes.text(x, y, f"{100 * rate:.0f}", ha="center", va="center", fontsize=9, color=colour)
