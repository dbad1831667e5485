"""Figures as PNG files whose bytes depend on nothing but what is drawn. Imports matplotlib: import it where drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spooftrace.common.atomic import atomic_write

# Okabe and Ito's palette, readable with colour-blind eyes; its yellow and pale blue are too faint for thin lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00")


@contextmanager
def png(path: Path, width: float, height: float) -> Iterator[Figure]:
    """An empty figure of this size in inches; on leaving the block without an error it is written to ``path``."""
    with matplotlib.style.context("default"):  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with atomic_write(path, "wb") as file:
            figure.savefig(file, format="png", metadata={"Software": None})
