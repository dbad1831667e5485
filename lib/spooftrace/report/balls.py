"""Figures of a trained HYDRA: the weight of each subspace for each target, and the codecs in the Poincaré balls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.report.canvas import COLOURS, png
from spooftrace.report.incomplete import title_of

if TYPE_CHECKING:
    from spooftrace.system.experiment import Experiment

TARGETS = ("kHz", "kbit/s", "Q")
MARKERS = "o^sDvPX*"


def report_balls(exp: Path, data: Path, figures: Path, dump: Path = Path("dump")) -> list[str]:
    """Draw ``<exp>_attention.png`` and ``<exp>_balls.png`` of a trained HYDRA.

    Args:
        exp: Experiment; for systems other than HYDRA a one-line notice is returned.
        data: Data directory with ``utt2codec``, whose vectors are in ``dump``.
        figures: Folder for the two files.
        dump: Folder where stage 3 stored the vectors.

    Returns:
        Lines to print.

    Raises:
        InputError: There is no trained system in ``exp``, or there are no vectors of these utterances.
    """
    from spooftrace.system.experiment import load_experiment

    experiment = load_experiment(exp)
    if not experiment.config.backend["class_path"].endswith(".HYDRA"):
        return [f"{exp}: not a HYDRA, so there are no balls to draw"]
    directory = DataDir.read(data)
    weights, points = _look(experiment, directory, dump)  # (T, K), (N, K, 2)
    codecs = directory.table("utt2codec")
    paths = [figures / f"{exp.name}_{what}.png" for what in ("attention", "balls")]
    draw_attention(weights, title_of(exp, data), paths[0])
    draw_balls(points, [codecs[utt] for utt in directory.utts], title_of(exp, data), paths[1])
    shares = (f"{name} {' '.join(f'{share:.2f}' for share in row)}" for name, row in zip(TARGETS, weights, strict=True))
    return [f"{exp}: weights of the subspaces: {', '.join(shares)}; see {paths[0]} and {paths[1]}"]


def _look(experiment: Experiment, directory: DataDir, dump: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean weight of each subspace for each target (T, K), and all points of the balls in the unit disc (N, K, 2)."""
    import torch

    from spooftrace.backends import HYDRA
    from spooftrace.batching.build import open_streams

    cached = open_streams(experiment.config, dump, directory.path)
    if len(cached) != 1:
        raise InputError(
            f"{experiment.path}: its vectors were not stored; figures are drawn for systems with data.cached"
        )
    ((name, stream),) = cached.items()
    missing = [utt for utt in directory.utts if utt not in stream.reader]
    if missing:
        raise InputError(f"{directory.path}: no '{name}' of {missing[0]}; run stage 3 again")
    vectors = torch.from_numpy(np.stack([stream.reader[utt] for utt in directory.utts]).astype(np.float32))  # (N, D)
    backend = cast(HYDRA, experiment.with_cached({name: stream.shape}).system.backend)
    return backend.attention(vectors).mean(0).numpy(), backend.disc_points(vectors).numpy()


def draw_attention(weights: np.ndarray, title: str, path: Path) -> None:
    """Write the weights (T, K) as a heat map with a number in each cell."""
    with png(path, 4.0, 3.0) as figure:
        axes = figure.add_subplot()
        axes.imshow(weights, vmin=0, vmax=1, cmap="Blues")
        for (row, column), value in np.ndenumerate(weights):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="w" if value > 0.6 else "k")
        axes.set_xticks(range(weights.shape[1]), [f"subspace {number + 1}" for number in range(weights.shape[1])])
        axes.set_yticks(range(len(weights)), TARGETS[: len(weights)])
        axes.set_title(f"{title}: weight of each subspace", fontsize=9)


def draw_balls(points: np.ndarray, codecs: list[str], title: str, path: Path) -> None:
    """Write the points (N, K, 2) of K balls, one panel per ball, coloured by codec."""
    names, count = sorted(set(codecs)), points.shape[1]
    of_codec = np.array(codecs)
    with png(path, 3.2 * count + 1.8, 3.5) as figure:
        for number in range(count):
            axes = figure.add_subplot(1, count, number + 1, aspect="equal")
            angle = np.linspace(0, 2 * np.pi, 200)
            axes.plot(np.cos(angle), np.sin(angle), color="0.6", linewidth=0.8)
            for place, name in enumerate(names):
                x, y = points[of_codec == name, number].T
                turn, colour = divmod(place, len(COLOURS))
                marker = MARKERS[turn % len(MARKERS)]
                axes.scatter(x, y, s=6, alpha=0.6, linewidths=0, label=name, marker=marker, color=COLOURS[colour])
            axes.set_title(f"subspace {number + 1}", fontsize=9)
            axes.set_axis_off()
        figure.suptitle(f"{title}: balls, projected to the plane of the largest variance", fontsize=9)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", fontsize=6, markerscale=2)
