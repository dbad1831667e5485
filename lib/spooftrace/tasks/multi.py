"""Several attribution tasks at once, with a head for each: the D_* and M* baselines of CodecFake+.

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
    """One :class:``Attribution`` a head; the outputs (B, sum of classes) are theirs side by side.

    The loss is the mean of the heads' (the official code weighs them by a softmax of equal numbers). The score of an
    utterance says how bona fide it is: with a head for ``utt2label`` the log-odds of that, otherwise the log-odds of
    1 - g, g being the geometric mean of the heads' probabilities that it is not real (M2). Beside ``scores.txt`` each
    head of the taxonomy has its own file of logits, such as ``scores_vq.txt``.

    Args:
        heads: Table -> weights of its classes in the cross-entropy, null: all alike. Classes are those of
            :class:``Attribution``; in ``utt2label`` that is bona fide first.

    Raises:
        ValueError: Fewer than two heads, or one that :class:``Attribution`` refuses.
    """

    detects = True
    selects_by = ("dev_error",)

    def __init__(self, heads: dict[str, list[float] | None]) -> None:
        super().__init__()
        if len(heads) < 2:
            raise ValueError(f"{len(heads)} heads; with a single one it is Attribution")
        self.heads = nn.ModuleList(Attribution(table, class_weight=weight) for table, weight in heads.items())
        self.sizes = [head.num_outputs for head in self.heads]
        self.num_outputs = sum(self.sizes)
        self.tables = list(heads)
        self.label_file = self.tables[0]

    def target(self, label: str) -> Any:
        raise NotImplementedError("a head has labels of its own; see targets")

    def targets(self, data: DataDir) -> list[tuple[int, ...]]:
        return list(zip(*(head.targets(data) for head in self.heads), strict=True))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        parts = outputs.split(self.sizes, 1)  # (B, sum of C) -> a tensor (B, C) a head
        losses = [head.loss(part, targets[:, k]) for k, (head, part) in enumerate(zip(self.heads, parts, strict=True))]
        return torch.stack(losses).mean()

    def scores(self, outputs: Tensor) -> Tensor:
        """The bona fide score, then all logits: (B, 1 + sum of C)."""
        parts = outputs.split(self.sizes, 1)  # (B, sum of C) -> a tensor (B, C) a head
        if DETECTION in self.tables:
            binary = parts[self.tables.index(DETECTION)]
            score = binary[:, 0] - binary[:, 1]  # (B,)
        else:
            # In logarithms: probabilities near 1 would be ties.
            unreal = [F.logsigmoid(part[:, 1:].logsumexp(1) - part[:, 0]) for part in parts]  # K times (B,)
            mean = torch.stack(unreal).mean(0)  # log g
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
        """``dev_error``, the mean over the heads of the taxonomy, each one's own, and the EER of the score."""
        errors = {}
        for number, (head, part) in enumerate(zip(self.heads, self._split(scores), strict=True)):
            if not head.detects:
                name = f"dev_error_{head.label_file.removeprefix('utt2')}"
                errors[name] = head.dev_metrics(part, targets[:, number])["dev_error"]
        is_real = targets[:, 0] == 0  # the first class of every table
        rate, _ = eer(scores[is_real, 0], scores[~is_real, 0])
        return {"dev_error": float(np.mean(list(errors.values()))), **errors, "dev_eer": rate}

    def _split(self, scores: np.ndarray) -> list[np.ndarray]:
        """The logits (N, C) of each head, from scores (N, 1 + sum of C)."""
        return np.split(scores[:, 1:], np.cumsum(self.sizes)[:-1], axis=1)
