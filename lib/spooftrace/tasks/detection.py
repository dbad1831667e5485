"""Detection of spoofed speech: the countermeasure task of the ASVspoof challenges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.metrics.detection import eer
from spooftrace.tasks.base import Task
from spooftrace.tasks.losses import BONAFIDE, SPOOF, CrossEntropy, DetectionLoss

LABELS = {"spoof": SPOOF, "bonafide": BONAFIDE}


class Detection(Task):
    """Spoof (class 0) or bona fide (class 1); a higher score means more bona fide.

    The default loss is weighted cross-entropy over two outputs, spoof and bona fide.

    Args:
        class_weight: Weights of spoof and bona fide in the cross-entropy. (0.1, 0.9) is what AASIST, W2V2-AASIST, SLS
            and Nes2Net-X use on ASVspoof 2019, where one trial in ten is bona fide.
        score: Score from the outputs of the cross-entropy: ``logit`` is the bona fide output, the score that those
            systems write; ``difference`` subtracts the spoof output, which gives the log-odds.
        loss: Another loss, which defines the number of outputs and the score (``spooftrace.tasks.losses``), e.g.
            ``{class_path: OCSoftmax, init_args: {dim: 256}}`` for a back-end whose 256 outputs are an embedding.
            ``class_weight`` and ``score`` then have no effect.

    >>> import torch
    >>> task = Detection()
    >>> task.scores(torch.tensor([[-1.0, 2.0]]))
    tensor([2.])
    """

    label_file = "utt2label"
    detects = True
    selects_by = ("dev_eer",)

    def __init__(
        self,
        class_weight: tuple[float, float] = (0.1, 0.9),
        score: Literal["logit", "difference"] = "logit",
        loss: DetectionLoss | None = None,
    ) -> None:
        super().__init__()
        self.criterion = CrossEntropy(class_weight, score) if loss is None else loss
        self.num_outputs = self.criterion.num_outputs

    def target(self, label: str) -> int:
        if label not in LABELS:
            raise InputError(f"unknown label '{label}': it must be 'bonafide' or 'spoof'")
        return LABELS[label]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.criterion(outputs, targets)

    def scores(self, outputs: Tensor) -> Tensor:
        return self.criterion.scores(outputs)

    def format_scores(self, utts: Sequence[str], scores: np.ndarray) -> list[str]:
        # str of a float32 is the shortest text that parses to the same number.
        return [f"{utt} {np.float32(score)!s}" for utt, score in zip(utts, scores, strict=True)]

    def dev_metrics(self, scores: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        rate, _ = eer(scores[targets == LABELS["bonafide"]], scores[targets == LABELS["spoof"]])
        return {"dev_eer": rate}
