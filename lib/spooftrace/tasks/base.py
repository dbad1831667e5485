"""Base class of tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir


class Task(nn.Module, ABC):
    """What a system predicts: targets from labels, a loss and scores from outputs.

    A target is a class index, or a tuple of K numbers for tasks with several targets per utterance. In a batch of B
    utterances targets are (B,) or (B, K).

    Attributes:
        num_outputs: Number of outputs that the back-end must have.
        label_file: File of the data directory that holds the labels, e.g. ``utt2label``.
        detects: Whether the score file holds bona fide scores.
        selects_by: Names of the ``dev_metrics`` that can select an epoch; lower is better.
    """

    num_outputs: int
    label_file: str
    detects: bool = False
    selects_by: Sequence[str]

    @property
    def label_files(self) -> Sequence[str]:
        """All files of labels that the task reads."""
        return [self.label_file]

    @abstractmethod
    def target(self, label: str) -> Any:
        """Return the target of a label of ``label_file``; raise ``InputError`` for an unknown label."""

    def targets(self, data: DataDir) -> list[Any]:
        """Return the targets of all utterances of a data directory; an ``InputError`` names the utterance."""
        labels = data.table(self.label_file)
        known: dict[str, Any] = {}
        for label in dict.fromkeys(labels[utt] for utt in data.utts):
            try:
                known[label] = self.target(label)
            except InputError as error:
                line, utt = next((n, utt) for n, utt in enumerate(data.utts, 1) if labels[utt] == label)
                raise InputError(f"{data.path / self.label_file}:{line}: {utt}: {error}") from None
        return [known[labels[utt]] for utt in data.utts]

    def check(self, targets: Sequence[Any], where: Path) -> None:
        """Raise ``InputError`` if training or selection is impossible with the targets of data directory ``where``."""
        if len(set(targets)) < 2:
            raise InputError(f"{where / self.label_file}: all labels are the same; choose data with both")

    def fit(self, targets: Sequence[Any]) -> None:
        """Set statistics that are not trained, such as the scale of the targets, from those of the training set."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the scalar loss of ``outputs`` (B, num_outputs) against ``targets`` (B,) or (B, K)."""

    @abstractmethod
    def scores(self, outputs: Tensor) -> Tensor:
        """Compute the scores for the score file, (B,) or (B, S), from ``outputs`` (B, num_outputs)."""

    @abstractmethod
    def format_scores(self, utts: Sequence[str], scores: np.ndarray) -> list[str]:
        """Format the score file: a header if there are several columns, then one line per utterance, no newlines."""

    def other_files(self, utts: Sequence[str], scores: np.ndarray) -> Mapping[str, list[str]]:
        """Format further files beside the score file: name -> lines."""
        return {}

    @abstractmethod
    def dev_metrics(self, scores: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        """Compute metrics of the dev set, including those of ``selects_by``."""


def format_table(columns: Sequence[str], utts: Sequence[str], scores: np.ndarray) -> list[str]:
    """Format scores (N, S) as lines of a tab-separated table with the header ``utt`` and ``columns``."""
    # str of a float32 is the shortest text that parses to the same number.
    rows = ("\t".join((utt, *map(str, row))) for utt, row in zip(utts, scores.astype(np.float32), strict=True))
    return ["\t".join(("utt", *columns)), *rows]
