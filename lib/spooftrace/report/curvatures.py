"""How learned curvatures went over the training: ``epochs.tsv`` of an experiment -> a figure of its ``curvature_*``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spooftrace.common.epochs_table import read_epochs
from spooftrace.report.incomplete import marked
from spooftrace.report.markdown import image
from spooftrace.report.runs import Run, group_by_seed

PREFIX = "curvature_"


def curvatures(runs: Sequence[Run], figures: Path, page_folder: Path) -> list[str]:
    """Draw the curvatures of each system that has any, its seeds together; returns parts of a Markdown page."""
    parts = []
    for group in marked(group_by_seed(runs), []):
        courses = [course for run in group.runs if (course := read_curvatures(run.folder / "epochs.tsv"))]
        if courses:
            path = figures / f"{group.runs[0].name}_curvatures.png"
            draw_curvatures(courses, f"Curvatures of {group.name}", path)
            parts.append(image(f"Learned curvatures of {group.name}", path, page_folder))
    return ["## Learned curvatures", *parts] if parts else []


def read_curvatures(path: Path) -> dict[str, list[float]]:
    """Name -> the value after each epoch; {} where there is no such file or no such column in it.

    Raises:
        InputError: The file is damaged.
    """
    epochs = read_epochs(path)
    names = [name for name in (epochs[0] if epochs else ()) if name.startswith(PREFIX)]
    return {name: [figures[name] for figures in epochs] for name in names}


def draw_curvatures(courses: Sequence[dict[str, list[float]]], title: str, path: Path) -> None:
    """Write the courses of several seeds as a PNG, a colour for each curvature."""
    from matplotlib.ticker import MaxNLocator

    from spooftrace.report.canvas import COLOURS, png

    with png(path, 6.0, 3.6) as figure:
        axes = figure.add_subplot()
        for number, name in enumerate(dict.fromkeys(name for course in courses for name in course)):
            for seed, course in enumerate(one for one in courses if name in one):
                label = None if seed else name.removeprefix(PREFIX)
                epochs = range(1, len(course[name]) + 1)
                axes.plot(epochs, course[name], color=COLOURS[number % len(COLOURS)], linewidth=1.4, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Curvature")
        axes.set_title(title, fontsize=11, loc="left")
        axes.legend(fontsize=9, frameon=False)
