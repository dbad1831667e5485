"""DET figure: false rejection against false acceptance rate, both axes on the normal-deviate (probit) scale.

On this scale the curve of normally distributed scores is a straight line (Martin et al., Eurospeech 1997). Ties are
handled as in the official packages: see ``spooftrace.metrics.detection``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from scipy.special import ndtri

from spooftrace.common.english import percent
from spooftrace.metrics import det_curve, eer
from spooftrace.report.canvas import COLOURS, png

TICKS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99]) / 100
DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Curve:
    """Scores of one run on one test set; curves of the same ``name`` share colour and legend entry."""

    name: str
    bonafide: np.ndarray
    spoof: np.ndarray


def draw_det(curves: Sequence[Curve], title: str, path: Path) -> None:
    """Write the DET curves of a test set as a PNG; its bytes depend only on the arguments.

    The EER point of each curve is marked; the legend gives the pooled EER, or its range over curves of the same name.
    """
    with png(path, 8.2, 5.4) as figure:
        axes = figure.add_subplot()
        rates = [eer(curve.bonafide, curve.spoof)[0] for curve in curves]
        low, high = _limits(curves, rates)
        names = list(dict.fromkeys(curve.name for curve in curves))
        # Entries of two lines are easier to read, but must not make the legend taller than the axes.
        separator = "\n" if len(names) <= 6 else ": "
        for index, name in enumerate(names):
            own = [curve for curve in curves if curve.name == name]
            values = [rate for curve, rate in zip(curves, rates, strict=True) if curve.name == name]
            label = f"{name}{separator}{_percent(values)}"
            style = COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]
            for curve in own:
                _draw(axes, curve, style, label if curve is own[0] else None, (low, high))
        _finish_axes(axes, low, high, title)
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, frameon=False, fontsize=10,
            title="Pooled EER (marked)", title_fontsize=10, alignment="left", labelspacing=0.8,
        )  # fmt: skip


def _draw(axes: Axes, curve: Curve, style: tuple[str, str], label: str | None, limits: tuple[float, float]) -> None:
    """Draw a curve and its EER point; ``style`` is (colour, line style)."""
    colour, dashes = style
    frr, far, _ = det_curve(curve.bonafide, curve.spoof)
    k = int(np.argmin(np.abs(frr - far)))
    corners = _corners(frr)
    # The probit of 0 is minus infinity: clip such points to values far outside the axes.
    x, y = (ndtri(np.clip(rate[corners], 1e-9, 1 - 1e-9)) for rate in (far, frr))
    axes.plot(x, y, linewidth=1.7, solid_joinstyle="round", label=label, color=colour, linestyle=dashes)
    # An EER of zero lies outside the axes; its marker is drawn in the corner.
    mark = ndtri(np.clip([far[k], frr[k]], *limits))
    axes.plot(
        *mark, marker="o", markersize=7, color=colour, markeredgecolor="white", clip_on=False, zorder=4
    )  # fmt: skip


def _corners(frr: np.ndarray) -> np.ndarray:
    """Indices of the corners of the staircase; the other points lie on straight lines between them."""
    moves_up = np.diff(frr) > 0  # (N + 1,) -> (N,)
    turns = np.flatnonzero(moves_up[1:] != moves_up[:-1]) + 1
    return np.concatenate(([0], turns, [frr.size - 1]))


def _limits(curves: Sequence[Curve], rates: Sequence[float]) -> tuple[float, float]:
    """Ends of both axes: from just below the resolution of the data or the best EER, to 50 % or more."""
    finest = min(1 / max(curve.bonafide.size, curve.spoof.size) for curve in curves)
    best = min((rate for rate in rates if rate > 0), default=0.0)
    target = min(max(finest, best / 10), 0.02)
    low = float(TICKS[max(0, int(np.searchsorted(TICKS, target, side="right")) - 1)])
    worst = max(rates)
    return low, 0.5 if worst < 0.35 else 0.8 if worst < 0.6 else float(TICKS[-1])


def _percent(rates: Sequence[float]) -> str:
    if len(rates) == 1:
        return f"{percent(rates[0])} %"
    return f"{percent(min(rates))} to {percent(max(rates))} % ({len(rates)} seeds)"


def _finish_axes(axes: Axes, low: float, high: float, title: str) -> None:
    ticks = TICKS[(low <= TICKS) & (high >= TICKS)]
    # On a wide scale some labels would overlap: those around 50 % and, at low rates, all but the powers of ten.
    if high > 0.5:
        ticks = ticks[~np.isin(ticks, (0.3, 0.5, 0.7))]
    if low < 0.001:
        ticks = ticks[(ticks >= 0.005) | np.isin(ticks, (0.0001, 0.001))]
    labels = [f"{100 * tick:g}" for tick in ticks]
    axes.set_xticks(ndtri(ticks), labels)
    axes.set_yticks(ndtri(ticks), labels)
    ends = ndtri(np.array([low, high]))
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    axes.plot(ends, ends, color="0.7", linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("Spoof accepted: false acceptance rate (%)", fontsize=11)
    axes.set_ylabel("Bona fide rejected: false rejection rate (%)", fontsize=11)
    axes.set_title(title, fontsize=12, loc="left", pad=10)
    axes.tick_params(labelsize=10)
