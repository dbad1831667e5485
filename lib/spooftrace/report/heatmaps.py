"""The figure of the confusions: one heat map for each system, two side by side, all on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from spooftrace.report.canvas import png
from spooftrace.report.confusion import Confusion

PER_ROW = 2
MAX_NUMBERS = 12  # with more columns there is no room for numbers in the cells


def draw_confusions(confusions: Sequence[Confusion], title: str, path: Path) -> None:
    """Write the row-normalised confusion matrices as a PNG whose bytes depend on nothing but the arguments."""
    across = min(PER_ROW, len(confusions))
    down = -(-len(confusions) // across)
    side = max(2.6, 0.26 * max(len(one.columns) for one in confusions))
    tall = max(2.0, 0.26 * max(len(one.rows) for one in confusions))
    with png(path, across * (side + 1.3) + 0.9, down * (tall + 1.2) + 0.4) as figure:
        grid = figure.subplots(down, across, squeeze=False)
        for axes, one in zip(grid.flat, confusions, strict=False):
            image = axes.imshow(one.rates, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            _finish(axes, one)
        for axes in grid.flat[len(confusions) :]:
            axes.set_visible(False)
        figure.suptitle(title, fontsize=12)
        figure.colorbar(image, ax=grid, label="Share of the true class", shrink=0.8)


def _finish(axes: Axes, one: Confusion) -> None:
    axes.set_title(one.name, fontsize=10, loc="left")
    turn = 90 if len(one.columns) > 6 else 0
    axes.set_xticks(range(len(one.columns)), one.columns, rotation=turn, fontsize=9)
    axes.set_yticks(range(len(one.rows)), one.rows, fontsize=9)
    axes.set_xlabel("Decided")
    axes.set_ylabel("True class")
    if len(one.columns) > MAX_NUMBERS:
        return
    for y, row in enumerate(one.rates):
        for x, rate in enumerate(row):
            colour = "white" if rate > 0.5 else "black"
            axes.text(x, y, f"{100 * rate:.0f}", ha="center", va="center", fontsize=9, color=colour)
