"""Learned weights of the codec's quantizers in QAF-Static: a table, a heat map, and Markdown for RESULTS.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.text_table import markdown_table
from spooftrace.config.yaml_text import read_yaml
from spooftrace.report.incomplete import title_of
from spooftrace.report.markdown import image

BACKEND = "spooftrace.backends.QAFStatic"
KEY = "backend.weights"  # (Q, D), logits of the softmax over the quantizers


def quantizer_weights(exp: Path, figures: Path, page: Path | None = None) -> list[str]:
    """Export the learned quantizer weights of one experiment.

    Writes ``exp/quantizer_weights.tsv``, with a row per quantizer (the mean over the dimensions, then each dimension),
    and ``figures/<experiment>_quantizers.png``. In each dimension the weights of all quantizers add up to 1.

    Args:
        exp: Experiment.
        figures: Folder for the figure.
        page: Folder of the page that will show the figure; by default the parent of ``figures``.

    Returns:
        Paragraphs of a Markdown page; none if the back-end has no such weights.

    Raises:
        InputError: ``model.safetensors`` is missing, damaged or of another system than ``config.yaml``.
    """
    backend = _backend(exp / "config.yaml")
    options = backend.get("init_args", {})
    if backend.get("class_path") != BACKEND or options.get("pooling", "qaf") != "qaf":
        return []
    weights = _softmax(_read(exp) / options.get("temperature", 1.0))  # (Q, D)
    means = weights.mean(axis=1)
    _write(weights, exp / "quantizer_weights.tsv")
    figure = figures / f"{exp.name}_quantizers.png"
    draw_quantizers(weights, f"Quantizer weights, {title_of(exp)}", figure)
    count = len(weights)
    header = ["Quantizer", *(str(q + 1) for q in range(count))]
    rows = [["Mean weight", *(f"{mean:.4f}" for mean in means)]]
    return [
        f"Quantizer weights of {title_of(exp)}, mean over the dimensions (equal weights: {1 / count:.4f}). Weights of "
        f"all dimensions: `{(exp / 'quantizer_weights.tsv').as_posix()}`.",
        markdown_table(header, rows),
        image(f"Quantizer weights of {exp.name}", figure, figures.parent if page is None else page),
    ]


def draw_quantizers(weights: np.ndarray, title: str, path: Path) -> None:
    """Write weights (Q, D) as a PNG: a heat map, and beside it the mean of each quantizer.

    White is 1 / Q, the initial weight. The bytes of the file depend only on the arguments.
    """
    from matplotlib.colors import CenteredNorm

    from spooftrace.report.canvas import png

    count, dims = weights.shape
    numbers = np.arange(1, count + 1)
    norm = CenteredNorm(vcenter=1 / count, halfrange=max(float(np.abs(weights - 1 / count).max()), 1e-6))
    with png(path, 9.0, 1.6 + 0.3 * count) as figure:
        heat, bars = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
        extent = (-0.5, dims - 0.5, count + 0.5, 0.5)  # the first quantizer on top
        image = heat.imshow(weights, cmap="RdBu_r", norm=norm, aspect="auto", interpolation="nearest", extent=extent)
        heat.set_xlabel("Dimension of the codebook vectors")
        heat.set_ylabel("Quantizer")
        heat.set_yticks(numbers)
        heat.set_title(title, fontsize=11, loc="left")
        bars.barh(numbers, weights.mean(axis=1), color="0.6")
        bars.axvline(1 / count, color="black", linewidth=1, linestyle="--")
        bars.set_xlabel("Mean weight")
        figure.colorbar(image, ax=bars, label="Weight")


def _backend(path: Path) -> dict[str, Any]:
    """The node ``backend`` of a resolved configuration; {} without one."""
    config = read_yaml(path) if path.exists() else None
    node = config.get("backend") if isinstance(config, dict) else None
    return node if isinstance(node, dict) else {}


def _read(exp: Path) -> np.ndarray:
    """The learned weights (Q, D), without building the system."""
    from spooftrace.system.experiment import load_experiment

    experiment = load_experiment(exp)
    weights = experiment.weights(KEY)
    if KEY not in weights:
        raise InputError(f"{experiment.model}: no quantizer weights in it; train again")
    return weights[KEY].double().numpy()


def _softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over the first axis."""
    e = np.exp(x - x.max(axis=0))
    return e / e.sum(axis=0)


def _write(weights: np.ndarray, path: Path) -> None:
    with atomic_write(path) as file:
        print("quantizer", "mean", *(f"dim_{d}" for d in range(weights.shape[1])), sep="\t", file=file)
        for number, row in enumerate(weights, 1):
            print(number, *(f"{value:.6f}" for value in (row.mean(), *row)), sep="\t", file=file)
