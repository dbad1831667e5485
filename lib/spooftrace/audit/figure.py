"""The audit as a heat map: a row for each cue, a column for all of a label and each of its attacks or classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spooftrace.audit.findings import ALL_CUES, POOLED, Audit, Finding
from spooftrace.audit.page import PART_MEASURES
from spooftrace.common.atomic import atomic_write

MAX_PARTS = 24  # attacks or classes of a label: the most telling ones


def draw_audit(audits: Sequence[Audit], title: str, path: Path) -> None:
    """Write the heat map as a PNG whose bytes depend on nothing but the arguments.

    A cell shows the EER or F1 in per cent; its colour is the skill, from nothing (white) to no error. Figures that
    count as telling are framed, those of too few utterances grey.
    """
    cues = [
        cue for cue in dict.fromkeys(finding.cue for audit in audits for finding in audit.findings) if cue != ALL_CUES
    ]
    cues.append(ALL_CUES)
    columns = [(audit, part) for audit in audits for part in _parts(audit)]
    cells = {
        (cues.index(finding.cue), number): finding
        for number, (audit, part) in enumerate(columns)
        for finding in audit.findings
        if finding.part == part and finding.measure in (*PART_MEASURES, "macro_f1")
    }
    skill = np.full((len(cues), len(columns)), np.nan)  # (cues, columns)
    for place, finding in cells.items():
        skill[place] = max(finding.estimate.skill, 0)
    with matplotlib.style.context("default"):  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(2.6 + 0.55 * len(columns), 1.9 + 0.27 * len(cues)), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        image = axes.imshow(skill, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
        for (row, column), finding in cells.items():
            _write(axes, row, column, finding)
        axes.set_xticks(range(len(columns)), [_heading(*column) for column in columns], rotation=60, ha="right")
        axes.set_yticks(range(len(cues)), cues)
        axes.tick_params(length=0, labelsize=8)
        for number, (audit, _) in enumerate(columns[1:], start=1):
            if audit is not columns[number - 1][0]:
                axes.axvline(number - 0.5, color="black", linewidth=1.2)
        axes.axhline(len(cues) - 1.5, color="black", linewidth=1.2)
        axes.set_title(title, fontsize=9, loc="left")
        bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02)
        bar.set_label("0: chance, 1: no error", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        with atomic_write(path, "wb") as file:
            figure.savefig(file, format="png", metadata={"Software": None})


def _parts(audit: Audit) -> list[str]:
    """``pooled`` and the attacks or classes, in the order of their names."""
    best: dict[str, float] = {}
    for finding in audit.findings:
        if finding.part != POOLED:
            best[finding.part] = max(best.get(finding.part, 0.0), finding.estimate.skill)
    return [POOLED, *sorted(sorted(best, key=lambda part: -best[part])[:MAX_PARTS])]


def _heading(audit: Audit, part: str) -> str:
    if part != POOLED:
        return part
    return f"{audit.label.removeprefix('utt2')}: {'EER' if audit.is_detection else 'macro-F1'} %"


def _write(axes: Axes, row: int, column: int, finding: Finding) -> None:
    colour = "0.6" if finding.too_few else "white" if finding.estimate.skill > 0.6 else "black"
    text = f"{100 * finding.estimate.value:.0f}"
    axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    if finding.telling and finding.cue != ALL_CUES:
        axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor="black", linewidth=1.3))
