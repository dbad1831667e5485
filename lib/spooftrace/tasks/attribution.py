"""Which kind of codec made an utterance: the source tracing tasks of CodecFake+, and codec identity.

Source of classes and their order: CodecFake+ (Chen et al. 2025, arXiv 2505.12994) and its official lists and code
(ResponsibleGenAI/CodecFake-Source-Tracing), in which ``none`` is called ``Trad``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.metrics.detection import eer
from spooftrace.tasks.base import Task, format_table
from spooftrace.tasks.losses import weights_of_classes

CLASSES = {
    "utt2vq": ("real", "mvq", "svq", "sq"),  # several codebooks, a single one, scalar quantization
    "utt2aux": ("real", "none", "sem", "disent"),
    "utt2dec": ("real", "time", "freq"),
    "utt2label": ("bonafide", "spoof"),
}
DETECTION = "utt2label"


class Attribution(Task):
    """One of several classes, by weighted cross-entropy; the scores are the logits (B, C), a column for each class.

    Args:
        table: The table of the data directory with the classes.
        classes: Their names, in the order of the outputs; by default those of CodecFake+: VQ (``utt2vq``),
            AUX (``utt2aux``), DEC (``utt2dec``) and BIN (``utt2label``, whose scores are detection's: the bona fide
            logit). Needed for other tables, such as ``utt2codec``.
        class_weight: Of each class in the cross-entropy; all alike by default.

    Raises:
        ValueError: No classes are known for the table, fewer than two, one twice, or other weights than classes.

    >>> task = Attribution("utt2dec")
    >>> task.classes, task.target("freq")
    (('real', 'time', 'freq'), 2)
    """

    selects_by = ("dev_error",)

    def __init__(self, table: str, classes: list[str] | None = None, class_weight: list[float] | None = None) -> None:
        super().__init__()
        if classes is None and table not in CLASSES:
            raise ValueError(f"no classes are known for {table} (only for {', '.join(CLASSES)}): give classes")
        if not re.fullmatch(r"\w[\w.-]*", table):
            raise ValueError(f"{table!r} is not the name of a table of a data directory, such as utt2codec")
        self.label_file = table
        self.classes = tuple(classes if classes is not None else CLASSES[table])
        self.num_outputs = len(self.classes)
        if self.num_outputs < 2 or len(set(self.classes)) < self.num_outputs:
            raise ValueError(f"classes {', '.join(self.classes)}: two or more are needed, each once")
        if odd := [name for name in self.classes if len(name.split()) != 1 or name != name.strip()]:
            raise ValueError(f"class {odd[0]!r}: names of classes are single words, as in a table")
        if class_weight is not None and len(class_weight) != self.num_outputs:
            raise ValueError(f"{len(class_weight)} class_weight for {self.num_outputs} classes")
        weight = torch.ones(self.num_outputs) if class_weight is None else weights_of_classes(class_weight)
        self.register_buffer("weight", weight, persistent=False)
        self.detects = table == DETECTION  # there is one score then
        self._index = {name: number for number, name in enumerate(self.classes)}

    def target(self, label: str) -> int:
        if label not in self._index:
            raise InputError(f"class '{label}' is not one of {', '.join(self.classes)}; leave it out or correct it")
        return self._index[label]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, self.weight.to(outputs.dtype))

    def scores(self, outputs: Tensor) -> Tensor:
        return outputs[:, 0] if self.detects else outputs  # (B, C) -> (B,) or (B, C)

    def format_scores(self, utts: Sequence[str], scores: np.ndarray) -> list[str]:
        if self.detects:
            return [f"{utt} {np.float32(score)!s}" for utt, score in zip(utts, scores, strict=True)]
        return format_table(self.classes, utts, scores)

    def dev_metrics(self, scores: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        if self.detects:
            rate, _ = eer(scores[targets == 0], scores[targets == 1])
            return {"dev_error": rate}
        return {"dev_error": 1 - macro_f1(targets, scores.argmax(1))}


def macro_f1(truth: np.ndarray, decided: np.ndarray) -> float:
    """Mean F1 over the classes that occur in ``truth`` (N,); ``decided`` (N,) are the decisions."""
    from spooftrace.metrics.attribution import tracing_report  # scikit-learn takes its time

    return tracing_report(truth, decided).macro_f1
