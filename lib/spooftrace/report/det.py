"""The DET figure: miss against false-acceptance rate, both axes on the normal-deviate (probit) scale.

On this scale the curve of normally distributed scores is a straight line (Martin et al., Eurospeech 1997). The points
drawn are those of the official curve, tie rule included: see ``spooftrace.metrics.detection``.
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
    """Write the DET curves of one test set as a PNG whose bytes depend on nothing but the arguments.

    Each curve's EER point is marked; the legend gives the pooled EER, or its range over the curves of one name.
    """
    with png(path, 8.2, 5.4) as figure:
        axes = figure.add_subplot()
        rates = [eer(curve.bonafide, curve.spoof)[0] for curve in curves]
        low, high = _limits(curves, rates)
        names = list(dict.fromkeys(curve.name for curve in curves))
        # Two lines an entry read best, as long as the legend is no taller than the axes.
        separator = "\n" if len(names) <= 6 else ": "
        for index, name in enumerate(names):
            own = [curve for curve in curves if curve.name == name]
            values = [rate for curve, rate in zip(curves, rates, strict=True) if curve.name == name]
            label = f"{name}{separator}{_percent(values)}"
            style = {
                "color": COLOURS[index % len(COLOURS)],
                "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
            }
            for curve in own:
                _draw(axes, curve, style, label if curve is own[0] else None, (low, high))
        _finish_axes(axes, low, high, title)
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, frameon=False, fontsize=10,
            title="Pooled EER (marked)", title_fontsize=10, alignment="left", labelspacing=0.8,
        )  # fmt: skip


def _draw(axes: Axes, curve: Curve, style: dict[str, str], label: str | None, limits: tuple[float, float]) -> None:
    frr, far, _ = det_curve(curve.bonafide, curve.spoof)
    k = int(np.argmin(np.abs(frr - far)))
    corners = _corners(frr)
    # The probit of 0 is minus infinity: send those points far outside the axes instead.
    x, y = (ndtri(np.clip(rate[corners], 1e-9, 1 - 1e-9)) for rate in (far, frr))
    axes.plot(x, y, linewidth=1.7, solid_joinstyle="round", label=label, **style)
    # An EER of zero has no place on these axes; its mark sits in the corner.
    mark = ndtri(np.clip([far[k], frr[k]], *limits))
    axes.plot(
        *mark, marker="o", markersize=7, color=style["color"], markeredgecolor="white", clip_on=False, zorder=4
    )  # fmt: skip


def _corners(frr: np.ndarray) -> np.ndarray:
    """Indices where the staircase turns: each step changes one rate only, so the rest is on straight lines."""
    moves_up = np.diff(frr) > 0  # (N + 1,) -> (N,)
    turns = np.flatnonzero(moves_up[1:] != moves_up[:-1]) + 1
    return np.concatenate(([0], turns, [frr.size - 1]))


def _limits(curves: Sequence[Curve], rates: Sequence[float]) -> tuple[float, float]:
    """Ends of both axes: from a bit below what the data can resolve or the best system reaches, to 50 % or beyond."""
    finest = min(1 / max(curve.bonafide.size, curve.spoof.size) for curve in curves)
    best = min((rate for rate in rates if rate > 0), default=0.0)
    target = min(max(finest, best / 10), 0.02)
    low = TICKS[max(0, np.searchsorted(TICKS, target, side="right") - 1)]
    high = next((end for end, eer_below in ((0.5, 0.35), (0.8, 0.6)) if max(rates) < eer_below), TICKS[-1])
    return float(low), float(high)


def _percent(rates: Sequence[float]) -> str:
    if len(rates) == 1:
        return f"{percent(rates[0])} %"
    return f"{percent(min(rates))} to {percent(max(rates))} % ({len(rates)} seeds)"


def _finish_axes(axes: Axes, low: float, high: float, title: str) -> None:
    ticks = TICKS[(low <= TICKS) & (high >= TICKS)]
    # On a wide scale some labels would touch each other: those around 50 % and, far down, all but the powers of ten.
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
