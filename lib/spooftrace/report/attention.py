"""What SASTNet's cross-modal transformers look at in a bona fide utterance and in a copy of it by a codec.

The acoustic tokens of SASTNet are a class token and patches, several for each time; in the figure those of one time are
one cell, and the class token is left out, so that both axes of a map are time. The numbers are of the whole maps.

Source: Chen et al., "Towards Generalized Source Tracing for Codec-Based Deepfake Speech", arXiv 2506.07294, section V-C
and figure 4, which shows one pair and gives no numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.report.canvas import png
from spooftrace.report.incomplete import title_of

if TYPE_CHECKING:
    from spooftrace.system.experiment import Experiment

# Map -> what looks at what.
TITLES = {
    "SA": "SA: semantic looks at acoustic",
    "AS": "AS: acoustic looks at semantic",
    "fusion": "Fusion: AS looks at SA",
}
FILLING: Any = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
COLUMNS = ("map", "bonafide", "copy", "entropy_bonafide", "entropy_copy", "difference")


@dataclass(frozen=True)
class Attention:
    """What a SASTNet looks at in one utterance.

    Attributes:
        maps: ``SA`` (S, 1 + N), ``AS`` and ``fusion`` (1 + N, S), of the last layer, the mean of its heads; rows are
            queries and add up to 1. S semantic frames, a class token and N patches, row by row in time.
        seconds: how long the window is that both sequences cover.
        patches: how many patches there are for each time.
        spectrogram: log-mel spectrogram (mels, frames) of what the utterance has of the window; the model hears it
            again, or zeros, where it is shorter.
        heard: its seconds.
    """

    maps: Mapping[str, np.ndarray]
    seconds: float
    patches: int
    spectrogram: np.ndarray
    heard: float


def report_attention(
    exp: Path, data: Path, figures: Path, pair: Sequence[str] | None = None, dump: Path = Path("dump")
) -> list[str]:
    """Draw the maps of a pair, and compute how even they are and how much they differ.

    Writes ``<exp>_attention.png`` and ``<exp>_attention.tsv``, a row for each map.

    Args:
        exp: a trained SASTNet; other systems have no such maps, which is all that is said of them.
        data: data directory with both utterances.
        figures: folder for the two files.
        pair: a bona fide utterance and its copy; by default what ``find_pair`` finds.
        dump: where stage 3 stored cached streams.

    Returns:
        Lines to print.

    Raises:
        InputError: no trained system in ``exp``, no such utterances, or no pair; as scoring them.
    """
    from spooftrace.system.experiment import load_experiment

    experiment = load_experiment(exp)
    backend = experiment.config.backend
    if not backend["class_path"].endswith(".SASTNet") or backend["init_args"]["semantic_dim"] is None:
        return [f"{exp}: not a SASTNet with semantic frames, so there is no cross-modal attention to draw"]
    directory = DataDir.read(data)
    pair = find_pair(directory) if pair is None else pair
    for utt in pair:
        if utt not in directory.tables["utt2spk"]:
            raise InputError(f"{data}: no utterance '{utt}'; name a bona fide utterance and its copy that are there")
    bonafide, copy = attend(experiment, data, dump, pair)
    numbers = {
        name: (relative_entropy(first), relative_entropy(copy.maps[name]), difference(first, copy.maps[name]))
        for name, first in bonafide.maps.items()
    }
    stem = figures / f"{exp.name}_attention"
    with atomic_write(stem.with_name(f"{stem.name}.tsv")) as file:
        print(*COLUMNS, sep="\t", file=file)
        for name, row in numbers.items():
            print(name, *pair, *(f"{number:.6f}" for number in row), sep="\t", file=file)
    draw_attention(
        dict(zip(pair, (bonafide, copy), strict=True)), title_of(exp, data), stem.with_name(f"{stem.name}.png")
    )
    return [
        f"{exp}: attention over {pair[0]} and its copy {pair[1]}, see {stem}.png",
        *(
            f"{name}: entropy {one:.4f} and {other:.4f} (1: even over all keys), difference {apart:.4f} (0 to 1)"
            for name, (one, other, apart) in numbers.items()
        ),
    ]


def find_pair(data: DataDir) -> tuple[str, str]:
    """The first copy by name whose original is there, too: ``UTT_CODEC`` or ``UTT-CODEC`` of bona fide ``UTT``.

    Returns:
        The original and the copy.

    Raises:
        InputError: there is none, or the directory has no ``utt2label``.
    """
    labels = data.table("utt2label")
    for utt in data.utts:
        if labels[utt] == "bonafide":
            continue
        stems = [utt[: found.start()] for found in re.finditer("[-_]", utt)]
        for stem in reversed(stems):  # the longest name, as names of utterances have such signs, too
            if labels.get(stem) == "bonafide":
                return stem, utt
    raise InputError(f"{data.path}: no copy UTT_CODEC or UTT-CODEC of a bona fide UTT in it; name both utterances")


def relative_entropy(attention: np.ndarray) -> float:
    """How evenly the queries look, 0 (each at a single key) to 1 (at all alike): mean entropy / log of the keys.

    Args:
        attention: (queries, keys); rows add up to 1.

    Raises:
        ValueError: fewer than two keys.

    >>> relative_entropy(np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]]))
    0.75
    """
    if attention.ndim != 2 or attention.shape[1] < 2:
        raise ValueError(f"attention over two or more keys is needed, not an array of shape {attention.shape}")
    p = attention.astype(np.float64)
    logs = np.log(p, where=p > 0, out=np.zeros_like(p))  # 0 log 0 = 0
    return float(-(p * logs).sum(axis=1).mean() / np.log(p.shape[1]))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Which share of their attention the queries turn elsewhere: half the sum of absolute differences, their mean.

    Args:
        one: (queries, keys); rows add up to 1.
        other: of the same shape.

    Raises:
        ValueError: unequal shapes.

    >>> difference(np.array([[0.5, 0.5, 0.0]]), np.array([[0.5, 0.25, 0.25]]))
    0.25
    """
    if one.shape != other.shape:
        raise ValueError(f"maps of shapes {one.shape} and {other.shape} cannot be compared")
    return float(np.abs(one.astype(np.float64) - other).sum(axis=1).mean() / 2)


def attend(experiment: Experiment, data: Path, dump: Path, utts: Sequence[str]) -> tuple[Attention, ...]:
    """The attention of a trained SASTNet over each utterance.

    The model hears what it hears in scoring, on the CPU; of windows, the first.

    Raises:
        InputError: no trained model, or one of another system; audio or features are missing; as scoring.
    """
    import torch

    from spooftrace.backends import SASTNet
    from spooftrace.batching.build import make_batches, open_streams
    from spooftrace.batching.loader import load
    from spooftrace.frontends.base import FrontEnd

    config = experiment.config
    cached = open_streams(config, dump, data)
    system = experiment.with_cached({name: stream.shape for name, stream in cached.items()}).system
    backend, first = cast(SASTNet, system.backend), system.streams[0]
    rate = cached[first].frame_rate if first in cached else cast(FrontEnd, system.frontends[first]).frame_rate
    seconds = backend.image_frames / float(rate)
    seen: list[tuple[Any, ...]] = []
    backend.register_forward_pre_hook(lambda module, streams: seen.append(streams))
    utterances = make_batches("score", config, system, data, dump, cached).utterances
    plan = [[utterances.utts.index(utt)] for utt in utts]
    found = []
    with torch.inference_mode():
        for groups, utt in zip(load(utterances, plan, 1, 0), utts, strict=True):
            try:
                system(groups[0])
            except InputError as error:
                raise InputError(f"{data}: {error}") from None
            maps = backend.attention_maps(*seen.pop())
            arrays = {name: batch[0].numpy() for name, batch in maps.items()}
            spectrogram, heard = _spectrogram(utterances, utt, seconds)
            found.append(Attention(arrays, seconds, backend.mae.grid[1], spectrogram, heard))
    return tuple(found)


def over_time(name: str, attention: Attention) -> np.ndarray:
    """A map whose rows (queries) and columns (keys) are times, in units of even attention: 1 is what all keys get."""
    found = attention.maps[name]
    relative = found * found.shape[1]
    if name == "SA":  # the keys are acoustic: (S, 1 + N) -> (S, times, patches) -> (S, times)
        return relative[:, 1:].reshape(len(found), -1, attention.patches).mean(axis=2)
    return relative[1:].reshape(-1, attention.patches, found.shape[1]).mean(axis=1)  # (1 + N, S) -> (times, S)


def draw_attention(pair: Mapping[str, Attention], title: str, path: Path) -> None:
    """Write a PNG: for each utterance its maps, and its spectrogram above each; the scales are common to the pair."""
    with png(path, 12.0, 9.0) as figure:
        grid = figure.subplots(2 * len(pair), len(TITLES), sharex=True, squeeze=False, height_ratios=[1, 2] * len(pair))
        for column, (name, heading) in zip(grid.T, TITLES.items(), strict=True):
            _draw_spectrograms(column[::2], pair)
            image = _draw_maps(column[1::2], pair, name)
            column[0].set_title(heading, fontsize=10, loc="right")
            column[-1].set_xlabel("Time looked at (s)", fontsize=9)
            figure.colorbar(image, ax=column, location="bottom", label="Attention (1: even)", aspect=40, pad=0.02)
        for number, utt in enumerate(pair):
            grid[2 * number, 0].set_title(utt, fontsize=9, loc="left")
            grid[2 * number + 1, 0].set_ylabel("Time of the query (s)", fontsize=9)
        figure.suptitle(f"Attention of {title}, log-mel spectrograms above", fontsize=12)


def _draw_spectrograms(column: Sequence[Axes], pair: Mapping[str, Attention]) -> None:
    values = [one.spectrogram for one in pair.values()]
    scale = Normalize(min(map(np.min, values)), max(map(np.max, values)))
    for axes, one in zip(column, pair.values(), strict=True):
        axes.imshow(one.spectrogram, norm=scale, cmap="magma", extent=(0, one.heard, 0, 1), **FILLING)
        axes.set_yticks([])
        _limit(axes, one)


def _draw_maps(column: Sequence[Axes], pair: Mapping[str, Attention], name: str) -> AxesImage:
    maps = [over_time(name, one) for one in pair.values()]
    scale = Normalize(min(map(np.min, maps)), max(map(np.max, maps)))
    for axes, one, found in zip(column, pair.values(), maps, strict=True):
        image = axes.imshow(found, norm=scale, extent=(0, one.seconds, 0, one.seconds), **FILLING)
        _limit(axes, one)
    return image


def _limit(axes: Axes, one: Attention) -> None:
    """The window, and a line where the utterance ends in it: what follows is filled up."""
    axes.set_xlim(0, one.seconds)
    if one.heard < one.seconds:
        axes.axvline(one.heard, color="white", linewidth=1, linestyle="--")


def _spectrogram(utterances: Any, utt: str, seconds: float) -> tuple[np.ndarray, float]:
    """Log-mel spectrogram (mels, frames) of what the model hears of an utterance, and its seconds."""
    import torch

    from spooftrace.audio import read_audio
    from spooftrace.common.sample_rate import SAMPLE_RATE
    from spooftrace.frontends import LogMel

    path, start, end = utterances.directory.audio(utt)
    most = round(seconds * SAMPLE_RATE)
    if utterances.crop != "none":
        most = min(most, utterances.options.crop)
    wave = torch.from_numpy(read_audio(path, SAMPLE_RATE, start, end)[:most])
    frames, _ = LogMel()(wave[None], torch.tensor([len(wave)]))  # (1, N) -> (1, T, mels)
    return frames[0].T.numpy(), len(wave) / SAMPLE_RATE
