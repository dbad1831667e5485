"""The baselines of CodecFake+ (ResponsibleGenAI/CodecFake-Source-Tracing): W2V2-AASIST for one task or for several.

S_* have one task, D_* detection and one other, M1 all four, M2 all but detection. Each task has a branch in the
official code; here the first branch is the graph of the back-end and the others are ``more_graphs``. The classes of
AUX, DEC and VQ have our order, real first. In detection, spoof is 0 and bona fide 1. S_BIN keeps that order, which is
that of ``Detection``; if detection is one of several tasks, its last layer is swapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from spooftrace.official.base import (
    BONAFIDE,
    LOG_ODDS,
    XLS_R,
    Config,
    OfficialCheckpoint,
    adam,
    config,
    detection,
    finetuned,
    node,
)


class Head(NamedTuple):
    """A task: branch in the official code, table of its classes, and class weights of the loss."""

    branch: str
    table: str
    class_weight: Sequence[float]


HEADS = {  # weights in our order, with bona fide first, also in detection
    "BIN": Head("binary_branch", "utt2label", (0.9, 0.1)),
    "AUX": Head("multiclass_branch_as", "utt2aux", (0.1, 0.3, 0.3, 0.3)),
    "DEC": Head("multiclass_branch_ds", "utt2dec", (0.1, 0.45, 0.45)),
    "VQ": Head("multiclass_branch_qs", "utt2vq", (0.1, 0.3, 0.3, 0.3)),
}
TRUNK = (r"((?:LL|first_bn1?|encoder|attention)\..+)", r"\1")
TRACING = "the logit of each class; the official code writes their softmax"
WITHOUT_DETECTION = (
    "the log-odds of 1 - g, where g is the geometric mean of the tasks' probabilities of spoof; the official code "
    f"writes 1 - g; {BONAFIDE}"
)


def _config(width: int, _depth: int, tasks: Sequence[str]) -> Config:
    heads = [HEADS[task] for task in tasks]
    if tasks == ("BIN",):
        task = detection("difference")
    elif len(heads) == 1:
        task = node("Attribution", table=heads[0].table, class_weight=list(heads[0].class_weight))
    else:
        task = node("MultiAttribution", heads={head.table: list(head.class_weight) for head in heads})
    sizes = [len(head.class_weight) for head in heads]
    backend = node("W2V2AASIST", input_dim=width, num_outputs=sizes if len(sizes) > 1 else sizes[0])
    return config(finetuned(XLS_R), backend, adam(1e-6), task)


def _checkpoint(name: str, *tasks: str) -> OfficialCheckpoint:
    branches = [HEADS[task].branch for task in tasks]
    tables = "" if len(tasks) == 1 else "; also a table of logits for each tracing task"
    score = LOG_ODDS if "BIN" in tasks else TRACING if len(tasks) == 1 else WITHOUT_DETECTION
    return OfficialCheckpoint(
        system=name.lower(),
        title=f"{name} of CodecFake+",
        repository="ResponsibleGenAI/CodecFake-Source-Tracing",
        score=score + tables,
        config=partial(_config, tasks=tasks),
        names=(
            TRUNK,
            (rf"{branches[0]}\.(.+)", r"\1"),
            *((rf"{branch}\.(.+)", rf"more_graphs.{i}.\1") for i, branch in enumerate(branches[1:])),
        ),
        ssl="fairseq",
        swapped="out_layer" if tasks[0] == "BIN" and len(tasks) > 1 else None,
    )


CHECKPOINTS = (
    _checkpoint("S_BIN", "BIN"),
    _checkpoint("S_AUX", "AUX"),
    _checkpoint("S_DEC", "DEC"),
    _checkpoint("S_VQ", "VQ"),
    _checkpoint("D_AUX", "BIN", "AUX"),
    _checkpoint("D_DEC", "BIN", "DEC"),
    _checkpoint("D_VQ", "BIN", "VQ"),
    _checkpoint("M1", "BIN", "AUX", "DEC", "VQ"),
    _checkpoint("M2", "AUX", "DEC", "VQ"),
)
