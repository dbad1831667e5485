"""Several attribution tasks with a head each: the D_* and M* baselines of CodecFake+.

Source: Chen et al. 2025, arXiv 2505.12994; ResponsibleGenAI/CodecFake-Source-Tracing, ``w2v2_aasist_baseline``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.datadir import DataDir
from spooftrace.metrics.detection import eer
from spooftrace.tasks.attribution import CLASSES, DETECTION, Attribution
from spooftrace.tasks.base import Task, format_table


class MultiAttribution(Task):
    """One ``Attribution`` per head; the outputs (B, sum of classes) are those of the heads, concatenated.

    The loss is the mean over the heads (the official code weighs them by a softmax of equal numbers). The score of an
    utterance is a bona fide score. With a head for ``utt2label`` it is the log-odds of bona fide; otherwise (M2) the
    log-odds of 1 - g, where g is the geometric mean of the heads' probabilities of spoof. Beside ``scores.txt`` each
    head of the taxonomy has its own file of logits, such as ``scores_vq.txt``.

    Args:
        heads: Table -> class weights of its cross-entropy, or null for equal weights. The classes are those of
            ``Attribution``; in ``utt2label`` bona fide comes first.

    Raises:
        ValueError: Fewer than two heads, or arguments that are invalid for ``Attribution``.
    """

    detects = True
    selects_by = ("dev_error",)

    def __init__(self, heads: dict[str, list[float] | None]) -> None:
        super().__init__()
        if len(heads) < 2:
            raise ValueError(f"{len(heads)} heads: must be two or more; for one, use Attribution")
        self._heads = tuple(Attribution(table, class_weight=weight) for table, weight in heads.items())
        self.heads = nn.ModuleList(self._heads)
        self.sizes = [head.num_outputs for head in self._heads]
        self.num_outputs = sum(self.sizes)
        self.tables = list(heads)
        self.label_file = self.tables[0]

    @property
    def label_files(self) -> Sequence[str]:
        return self.tables

    def target(self, label: str) -> Any:
        raise NotImplementedError("each head has its own labels; use targets")

    def targets(self, data: DataDir) -> list[tuple[int, ...]]:
        return list(zip(*(head.targets(data) for head in self._heads), strict=True))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        parts = outputs.split(self.sizes, 1)  # (B, sum of C) -> heads x (B, C)
        losses = [head.loss(part, targets[:, k]) for k, (head, part) in enumerate(zip(self._heads, parts, strict=True))]
        return torch.stack(losses).mean()

    def scores(self, outputs: Tensor) -> Tensor:
        """Compute the bona fide score, followed by all logits: (B, 1 + sum of C)."""
        parts = outputs.split(self.sizes, 1)  # (B, sum of C) -> heads x (B, C)
        if DETECTION in self.tables:
            binary = parts[self.tables.index(DETECTION)]
            score = binary[:, 0] - binary[:, 1]  # (B,)
        else:
            # Logarithms keep apart probabilities near 1.
            log_spoof = [F.logsigmoid(part[:, 1:].logsumexp(1) - part[:, 0]) for part in parts]  # K x (B,)
            mean = torch.stack(log_spoof).mean(0)  # log g
            score = torch.log(-torch.expm1(mean).clamp(max=-1e-30)) - mean
        return torch.cat([score[:, None], outputs], 1)

    def format_scores(self, utts: Sequence[str], scores: np.ndarray) -> list[str]:
        return [f"{utt} {np.float32(row[0])!s}" for utt, row in zip(utts, scores, strict=True)]

    def other_files(self, utts: Sequence[str], scores: np.ndarray) -> Mapping[str, list[str]]:
        return {
            f"scores_{table.removeprefix('utt2')}.txt": format_table(CLASSES[table], utts, part)
            for table, part in zip(self.tables, self._split(scores), strict=True)
            if table != DETECTION
        }

    def dev_metrics(self, scores: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        """Compute ``dev_error``, the mean over the taxonomy heads, the error of each, and the EER of the score."""
        errors = {}
        for number, (head, part) in enumerate(zip(self._heads, self._split(scores), strict=True)):
            if not head.detects:
                name = f"dev_error_{head.label_file.removeprefix('utt2')}"
                errors[name] = head.dev_metrics(part, targets[:, number])["dev_error"]
        is_real = targets[:, 0] == 0  # the first class of every table
        rate, _ = eer(scores[is_real, 0], scores[~is_real, 0])
        return {"dev_error": float(np.mean(list(errors.values()))), **errors, "dev_eer": rate}

    def _split(self, scores: np.ndarray) -> list[np.ndarray]:
        """Split scores (N, 1 + sum of C) into the logits (N, C) of each head."""
        return np.split(scores[:, 1:], np.cumsum(self.sizes)[:-1], axis=1)
