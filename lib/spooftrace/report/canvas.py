"""Write reproducible PNG figures. Imports matplotlib, so import this module only in functions that draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spooftrace.common.atomic import atomic_write

# Palette of Okabe and Ito, safe for colour-blind readers, without its yellow and pale blue: too faint for thin lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00")


@contextmanager
def png(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Context manager: an empty figure, which is written to ``path`` when the block ends without an error.

    Args:
        path: PNG file to write; its bytes depend only on what is drawn.
        width: Width in inches.
        height: Height in inches.
    """
    with matplotlib.style.context("default"):  # ignore the user's matplotlibrc
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with atomic_write(path, "wb") as file:
            figure.savefig(file, format="png", metadata={"Software": None})
