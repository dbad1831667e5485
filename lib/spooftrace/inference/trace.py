"""Ask a trained system where audio files come from: ``spooftrace trace --exp exp/sastnet_vq_s1234 call.wav``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spooftrace.common.errors import InputError, display
from spooftrace.common.text_table import text_table
from spooftrace.inference.recordings import add_arguments, read_task, score_recordings
from spooftrace.scoring import policy

if TYPE_CHECKING:
    from spooftrace.tasks import Parsing

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """``spooftrace trace``: one line a file.

    Attribution: the likeliest class of each head and the probability that the model gives to it, which says nothing of
    codecs that it has never seen. Parsing: kHz, kbit/s and number of quantizers, and the codec of ``conf/codecs.yaml``
    that is nearest to these. Returns 1 if a file could not be used, else 0.
    """
    words = policy(args, overrides)
    task = read_task(args.exp)
    from spooftrace.tasks import MultiAttribution, Parsing

    if task.detects and not isinstance(task, MultiAttribution):
        raise InputError(f"{args.exp}: tells bona fide speech from spoofs; spooftrace detect gives its scores")
    results = score_recordings("spooftrace trace", args, words)
    if not results.files:
        return 1
    if isinstance(task, Parsing):
        header = ("kHz", "kbit/s", "Q", "nearest codec")
        rows = _parameters(results.tables["scores.txt"], task)
    else:
        items = sorted(results.tables.items())
        tables = {name: lines for name, lines in items if len(lines) > len(results.files)}  # those with a header
        header = tuple(name.removeprefix("scores").removesuffix(".txt").strip("_") or "class" for name in tables)
        rows = zip(*(_decisions(lines) for lines in tables.values()), strict=True)
    cells = [(*row, display(file)) for row, file in zip(rows, results.files, strict=True)]
    print(text_table((*header, "file"), cells, left=None, rule=False))
    return 1 if results.failed else 0


def _values(lines: Sequence[str]) -> np.ndarray:
    """The numbers of a score file with a header (N, S); utterances are in the order of the files."""
    return np.array([line.split("\t")[1:] for line in lines[1:]], np.float64)


def _decisions(lines: Sequence[str]) -> Iterator[str]:
    logits, classes = _values(lines), lines[0].split("\t")[1:]
    likelihood = np.exp(logits - logits.max(1, keepdims=True))  # (N, C)
    for row in likelihood / likelihood.sum(1, keepdims=True):
        yield f"{classes[row.argmax()]} {row.max():.2f}"


def _parameters(lines: Sequence[str], task: Parsing) -> Iterator[tuple[str, ...]]:
    from spooftrace.codecs.table import codec_table
    from spooftrace.metrics.regression import nearest_codec

    known = {name: codec.setting().nac for name, codec in codec_table().codecs.items()}
    codecs = {name: task.target(nac) for name, nac in known.items() if set(nac.split()) != {"-"}}
    values = _values(lines)  # (N, 3)
    for row, name in zip(values, nearest_codec(values, codecs, task.deviation.numpy()), strict=True):
        same = [other for other in codecs if known[other] == known[str(name)]]
        yield (*(f"{value:.2f}" for value in row), " or ".join(same))
