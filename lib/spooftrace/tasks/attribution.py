"""Source tracing: the kind of codec that made an utterance, as in CodecFake+, or the codec itself.

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
    """Classification by weighted cross-entropy; the scores are the logits (B, C), one column per class.

    Args:
        table: The table of the data directory with the classes.
        classes: Names of the classes, in the order of the outputs. By default those of CodecFake+: VQ (``utt2vq``),
            AUX (``utt2aux``), DEC (``utt2dec``) and BIN (``utt2label``, whose score is the bona fide logit, as in
            ``Detection``). Required for other tables, such as ``utt2codec``.
        class_weight: Weight of each class in the cross-entropy; 1 by default.

    Raises:
        ValueError: The classes are missing for the table, fewer than two or not unique, or the number of weights
            differs from that of the classes.

    >>> task = Attribution("utt2dec")
    >>> task.classes, task.target("freq")
    (('real', 'time', 'freq'), 2)
    """

    weight: Tensor

    def __init__(self, table: str, classes: list[str] | None = None, class_weight: list[float] | None = None) -> None:
        super().__init__()
        if classes is None and table not in CLASSES:
            raise ValueError(f"classes of {table} are not known (only of {', '.join(CLASSES)}): set classes")
        if not re.fullmatch(r"\w[\w.-]*", table):
            raise ValueError(f"{table!r} is not the name of a table of a data directory, such as utt2codec")
        self.label_file = table
        self.classes = tuple(classes if classes is not None else CLASSES[table])
        self.num_outputs = len(self.classes)
        if self.num_outputs < 2 or len(set(self.classes)) < self.num_outputs:
            raise ValueError(f"classes {', '.join(self.classes)}: must be two or more, without duplicates")
        if odd := [name for name in self.classes if len(name.split()) != 1 or name != name.strip()]:
            raise ValueError(f"class {odd[0]!r}: the name of a class must be a single word, as in a table")
        if class_weight is not None and len(class_weight) != self.num_outputs:
            raise ValueError(f"{len(class_weight)} class_weight for {self.num_outputs} classes")
        weight = torch.ones(self.num_outputs) if class_weight is None else weights_of_classes(class_weight)
        self.register_buffer("weight", weight, persistent=False)
        self.detects = table == DETECTION  # with one score per utterance
        # Configurations of earlier versions monitor ``dev_error`` for BIN; its value is the EER.
        self.selects_by = ("dev_eer", "dev_error") if self.detects else ("dev_error",)
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
            return {"dev_eer": rate, "dev_error": rate}
        return {"dev_error": 1 - macro_f1(targets, scores.argmax(1))}


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Compute the mean F1 of predictions (N,) over the classes that occur in ``truth`` (N,)."""
    from spooftrace.metrics.attribution import tracing_report  # scikit-learn is slow to import

    return tracing_report(truth, predicted).macro_f1
