"""The contract between a task and the stages that use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn


class Task(nn.Module, ABC):
    """What a system predicts. Subclasses say how labels become targets, outputs become a loss, outputs become scores.

    Attributes:
        num_outputs: Columns that the back-end must produce.
        label_file: File of the data directory that holds the labels, e.g. ``utt2label``.
    """

    num_outputs: int
    label_file: str

    @abstractmethod
    def target(self, label: str) -> int:
        """Class index of a label of ``label_file``; raises ``InputError`` for an unknown one."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of ``outputs`` (B, num_outputs) against ``targets`` (B,)."""

    @abstractmethod
    def scores(self, outputs: Tensor) -> Tensor:
        """Scores to be written, from ``outputs`` (B, num_outputs)."""

    @abstractmethod
    def format_scores(self, utts: Sequence[str], scores: np.ndarray) -> list[str]:
        """Lines of the score file, one an utterance, without newline."""

    @abstractmethod
    def dev_metrics(self, scores: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        """Figures that select epochs on the dev set."""
