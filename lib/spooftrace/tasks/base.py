"""The contract between a task and the stages that use it."""

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
    """What a system predicts. Subclasses say how labels become targets, outputs become a loss, outputs become scores.

    A target is a class index; tasks that predict several things at once have a tuple of K numbers instead. In a batch
    of B utterances that makes (B,) or (B, K).

    Attributes:
        num_outputs: Columns that the back-end must produce.
        label_file: File of the data directory that holds the labels, e.g. ``utt2label``.
        detects: Whether the score file says how bona fide each utterance is.
        selects_by: The figures of ``dev_metrics`` that can select an epoch; lower is better.
    """

    num_outputs: int
    label_file: str
    detects: bool = False
    selects_by: Sequence[str]

    @abstractmethod
    def target(self, label: str) -> Any:
        """Target of a label of ``label_file``; raises ``InputError`` for an unknown one."""

    def targets(self, data: DataDir) -> list[Any]:
        """Targets of all utterances of a data directory; raises ``InputError``, which names the utterance."""
        labels = data.table(self.label_file)
        found = {}
        for label in dict.fromkeys(labels[utt] for utt in data.utts):
            try:
                found[label] = self.target(label)
            except InputError as error:
                line, utt = next((n, utt) for n, utt in enumerate(data.utts, 1) if labels[utt] == label)
                raise InputError(f"{data.path / self.label_file}:{line}: {utt}: {error}") from None
        return [found[labels[utt]] for utt in data.utts]

    def check(self, targets: Sequence[Any], where: Path) -> None:
        """Raise ``InputError`` for targets that nothing can be learned from, or chosen by; ``where`` they are from."""
        if len(set(targets)) < 2:
            raise InputError(f"{where / self.label_file}: all labels are the same; choose data with both")

    def fit(self, targets: Sequence[Any]) -> None:
        """Learn from the targets of the training set what is not trained, such as their scale."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss of ``outputs`` (B, num_outputs) against ``targets`` (B,) or (B, K)."""

    @abstractmethod
    def scores(self, outputs: Tensor) -> Tensor:
        """Scores to be written, (B,) or (B, S), from ``outputs`` (B, num_outputs)."""

    @abstractmethod
    def format_scores(self, utts: Sequence[str], scores: np.ndarray) -> list[str]:
        """Lines of the score file, without newline: a header where there are several columns, then one an utterance."""

    def other_files(self, utts: Sequence[str], scores: np.ndarray) -> Mapping[str, list[str]]:
        """Name -> lines of files that go beside the score file."""
        return {}

    @abstractmethod
    def dev_metrics(self, scores: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        """Figures of the dev set, among them those of ``selects_by``."""


def format_table(columns: Sequence[str], utts: Sequence[str], scores: np.ndarray) -> list[str]:
    """Lines of a table with a header, tabs between: ``utt`` and the ``columns``, then the scores (N, S)."""
    # repr of a float32 is the shortest text that reads back as the same number.
    rows = ("\t".join((utt, *map(str, row))) for utt, row in zip(utts, scores.astype(np.float32), strict=True))
    return ["\t".join(("utt", *columns)), *rows]
