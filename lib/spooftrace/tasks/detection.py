"""Bona fide or spoof: the countermeasure task of the ASVspoof challenges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from spooftrace.errors import InputError
from spooftrace.metrics.detection import eer
from spooftrace.tasks.base import Task

LABELS = {"spoof": 0, "bonafide": 1}


class Detection(Task):
    """Two outputs, spoof (index 0) and bona fide (index 1), weighted cross-entropy, score higher = more bona fide.

    Args:
        class_weight: Weights of spoof and bona fide in the loss. (0.1, 0.9) is what AASIST, W2V2-AASIST, SLS and
            Nes2Net-X use on ASVspoof 2019, where one trial in ten is bona fide.
        score: ``logit`` is the bona fide output as it is, what those systems write; ``difference`` subtracts the
            spoof output, which is the log-odds that the model was trained for.

    >>> task = Detection()
    >>> task.scores(torch.tensor([[-1.0, 2.0]]))
    tensor([2.])
    """

    num_outputs = 2
    label_file = "utt2label"
    class_weight: Tensor

    def __init__(
        self,
        class_weight: tuple[float, float] = (0.1, 0.9),
        score: Literal["logit", "difference"] = "logit",
    ) -> None:
        super().__init__()
        self.register_buffer("class_weight", torch.tensor(class_weight), persistent=False)
        self.score = score

    def target(self, label: str) -> int:
        if label not in LABELS:
            raise InputError(f"unknown label '{label}' in {self.label_file}: it is 'bonafide' or 'spoof'")
        return LABELS[label]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, self.class_weight)

    def scores(self, outputs: Tensor) -> Tensor:
        bonafide = outputs[:, LABELS["bonafide"]]  # (B, 2) -> (B,)
        return bonafide if self.score == "logit" else bonafide - outputs[:, LABELS["spoof"]]

    def format_scores(self, utts: Sequence[str], scores: np.ndarray) -> list[str]:
        # repr of a float32 is the shortest text that reads back as the same number.
        return [f"{utt} {np.float32(score)!s}" for utt, score in zip(utts, scores, strict=True)]

    def dev_metrics(self, scores: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        rate, _ = eer(scores[targets == LABELS["bonafide"]], scores[targets == LABELS["spoof"]])
        return {"dev_eer": rate}
