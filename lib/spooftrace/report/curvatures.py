"""Learned curvatures over the epochs: the columns ``curvature_*`` of ``epochs.tsv`` as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spooftrace.common.epochs_table import read_epochs
from spooftrace.report.incomplete import marked
from spooftrace.report.markdown import image
from spooftrace.report.runs import Run, group_by_seed

PREFIX = "curvature_"


def curvatures(runs: Sequence[Run], figures: Path, page_folder: Path) -> list[str]:
    """Draw the curvatures of each system that learns any, one figure for all its seeds.

    Returns:
        Paragraphs of a Markdown page; none if no system has learned curvatures.
    """
    paragraphs = []
    for group in marked(group_by_seed(runs), []):
        curves = [curve for run in group.runs if (curve := read_curvatures(run.folder / "epochs.tsv"))]
        if curves:
            path = figures / f"{group.runs[0].name}_curvatures.png"
            draw_curvatures(curves, f"Curvatures of {group.name}", path)
            paragraphs.append(image(f"Learned curvatures of {group.name}", path, page_folder))
    return ["## Learned curvatures", *paragraphs] if paragraphs else []


def read_curvatures(path: Path) -> dict[str, list[float]]:
    """Name -> value after each epoch; {} if the file or the columns are missing.

    Raises:
        InputError: The file is damaged.
    """
    epochs = read_epochs(path)
    names = [name for name in (epochs[0] if epochs else ()) if name.startswith(PREFIX)]
    return {name: [epoch[name] for epoch in epochs] for name in names}


def draw_curvatures(curves: Sequence[dict[str, list[float]]], title: str, path: Path) -> None:
    """Write the curvatures of several seeds as a PNG, one colour per curvature."""
    from matplotlib.ticker import MaxNLocator

    from spooftrace.report.canvas import COLOURS, png

    with png(path, 6.0, 3.6) as figure:
        axes = figure.add_subplot()
        for number, name in enumerate(dict.fromkeys(name for curve in curves for name in curve)):
            for seed, values in enumerate(curve[name] for curve in curves if name in curve):
                label = None if seed else name.removeprefix(PREFIX)
                epochs = range(1, len(values) + 1)
                axes.plot(epochs, values, color=COLOURS[number % len(COLOURS)], linewidth=1.4, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Curvature")
        axes.set_title(title, fontsize=11, loc="left")
        axes.legend(fontsize=9, frameon=False)
