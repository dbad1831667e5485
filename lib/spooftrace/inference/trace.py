"""The kind of codec, or the codec parameters, of audio files, by a trained system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.inference.recordings import read_task, score_recordings

if TYPE_CHECKING:
    from spooftrace.system.packing import Precision
    from spooftrace.tasks import Parsing


@dataclass(frozen=True)
class Traced:
    """Decisions about audio files.

    Attributes:
        header: Names of the columns.
        rows: One row per file: class and probability of each head, or kHz, kbit/s, quantizers and nearest codec.
        files: The files that could be used, in the order given.
        failed: Number of files that could not be used.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    files: Sequence[Path]
    failed: int


def trace(
    exp: Path, paths: Sequence[Path], policy: Sequence[str] = (), num_gpus: int = 0, precision: Precision = "fp32"
) -> Traced:
    """Trace audio files with an attribution or parsing system.

    Attribution gives the likeliest class of each head and its probability, which holds for codecs seen in training
    only. Parsing gives kHz, kbit/s and number of quantizers, and the codec of ``conf/codecs.yaml`` nearest to these.

    Args:
        exp: Folder of a trained system.
        paths: Audio files, or folders of audio files.
        policy: Overrides of how utterances are scored, e.g. ``["--data.eval_crop", "full"]``.
        num_gpus: 1 to compute on the GPU.
        precision: Of the front-ends.

    Raises:
        InputError: ``exp`` holds no trained attribution or parsing system.
    """
    task = read_task(exp)
    from spooftrace.tasks import MultiAttribution, Parsing

    if task.detects and not isinstance(task, MultiAttribution):
        raise InputError(f"{exp}: tells bona fide speech from spoofs; use spooftrace detect")
    results = score_recordings("spooftrace trace", exp, paths, policy, num_gpus, precision)
    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    if not results.files:
        return Traced(header, rows, results.files, results.failed)
    if isinstance(task, Parsing):
        header = ("kHz", "kbit/s", "Q", "nearest codec")
        rows = list(_parameters(results.tables["scores.txt"], task))
    else:
        items = sorted(results.tables.items())
        tables = {name: lines for name, lines in items if len(lines) > len(results.files)}  # those with a header
        header = tuple(name.removeprefix("scores").removesuffix(".txt").strip("_") or "class" for name in tables)
        rows = list(zip(*(_decisions(lines) for lines in tables.values()), strict=True))
    return Traced(header, rows, results.files, results.failed)


def _values(lines: Sequence[str]) -> np.ndarray:
    """Return the numbers of a score file with a header, float64 (N, S), in the order of the files."""
    return np.array([line.split("\t")[1:] for line in lines[1:]], np.float64)


def _decisions(lines: Sequence[str]) -> Iterator[str]:
    """Yield the likeliest class of each file and its probability."""
    logits, classes = _values(lines), lines[0].split("\t")[1:]
    likelihood = np.exp(logits - logits.max(1, keepdims=True))  # (N, C)
    for row in likelihood / likelihood.sum(1, keepdims=True):
        yield f"{classes[row.argmax()]} {row.max():.2f}"


def _parameters(lines: Sequence[str], task: Parsing) -> Iterator[tuple[str, ...]]:
    """Yield kHz, kbit/s, number of quantizers and nearest codec of each file."""
    from spooftrace.codecs.table import codec_table
    from spooftrace.metrics.regression import nearest_codec

    known = {name: codec.setting().nac for name, codec in codec_table().codecs.items()}
    codecs = {name: task.target(nac) for name, nac in known.items() if set(nac.split()) != {"-"}}
    values = _values(lines)  # (N, 3)
    for row, name in zip(values, nearest_codec(values, codecs, task.deviation.numpy()), strict=True):
        same = [other for other in codecs if known[other] == known[str(name)]]
        yield (*(f"{value:.2f}" for value in row), " or ".join(same))
