"""Semantic distillation: a separate codebook learns to predict a frozen Whisper layer.

A semantic and several acoustic quantizers with the same input are the design of Mimi (Défossez et al. 2024, section
3.3.3). The cosine loss on the quantized vectors is that of SpeechTokenizer and Mimi.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.codecs.quantizers import Quantized, Quantizer, ResidualVectorQuantizer, check_codes
from spooftrace.common.atomic import atomic_write

# int16 waves (N,) at 16 kHz -> features float16 (ceil(N / 320), E) of each wave.
Teacher = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


class SemanticQuantizer(Quantizer):
    """A codebook for the semantic objective and an acoustic quantizer, whose vectors are added.

    Args:
        dim: Size D of the vectors.
        acoustic: Residual or factorised quantizer. The semantic codebook has the same number of entries.
    """

    def __init__(self, dim: int, acoustic: Quantizer) -> None:
        super().__init__()
        self.codebook_size, self.num_quantizers = acoustic.codebook_size, acoustic.num_quantizers + 1
        self.enter = nn.Linear(dim, dim)
        self.semantic = ResidualVectorQuantizer(dim, acoustic.codebook_size, 1)
        self.leave = nn.Linear(dim, dim)
        self.acoustic = acoustic

    def forward(
        self, x: Tensor, num_quantizers: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Quantized:
        """Quantize as ``Quantizer.forward``; the first codebook is the semantic one."""
        if num_quantizers is None:
            num_quantizers = torch.full((x.shape[0],), self.num_quantizers, device=x.device)
        semantic = self.semantic(self.enter(x), None, generator)
        values, codes, commitment = self.leave(semantic.values), [semantic.codes], semantic.commitment
        if int(num_quantizers.max()) > 1:
            acoustic = self.acoustic(x, num_quantizers - 1, generator)
            # Utterances with the semantic codebook alone get no contribution of the others, not even a bias.
            values = values + acoustic.values * (num_quantizers > 1)[:, None, None]
            codes.append(acoustic.codes)
            commitment = commitment + acoustic.commitment
        return Quantized(values, torch.cat(codes, 1), commitment, semantic.values)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, Q, T), Q from 1 to ``num_quantizers``, -> vectors (B, T, D); see ``check_codes``."""
        check_codes(codes, self.codebook_size, self.num_quantizers)
        values = self.leave(self.semantic.decode(codes[:, :1]))
        return values + self.acoustic.decode(codes[:, 1:]) if codes.shape[1] > 1 else values


class SemanticDistillation(nn.Module):
    """1 - cosine between a linear map of the semantic vectors and the teacher's features, averaged over frames.

    Args:
        dim: Size D of the semantic vectors.
        targets: Features of the training data.
    """

    def __init__(self, dim: int, targets: TeacherFeatures) -> None:
        super().__init__()
        self.targets = targets
        self.head = nn.Linear(dim, targets.dim)

    def forward(self, semantic: Tensor, crops: Sequence[tuple[int, int]]) -> Tensor:
        """Return the loss of semantic vectors (B, T, D) of crops that begin at (utterance, frame)."""
        loss, frames = semantic.new_zeros(()), 0
        predicted = self.head(semantic)  # (B, T, D) -> (B, T, E)
        for row, (utterance, first) in zip(predicted, crops, strict=True):
            target = torch.from_numpy(self.targets.frames(utterance, first, len(row)))  # (T', E), short at the end
            loss = loss + (1 - F.cosine_similarity(row[: len(target)], target, dim=-1)).sum()
            frames += len(target)
        return loss / max(frames, 1)


class TeacherFeatures:
    """Whisper features of many utterances as float16; each dimension is standardised when it is read.

    Without standardisation all frames are similar (mean cosine 0.6), and the loss is not informative.

    Args:
        features: (sum of T, E), the frames of all utterances.
        lengths: Number of frames of each utterance.
    """

    def __init__(self, features: np.ndarray, lengths: np.ndarray) -> None:
        self.features, self.starts = features, np.concatenate([[0], np.cumsum(lengths)])
        self.dim = features.shape[1]
        sample = features[:: max(1, len(features) // 50_000)].astype(np.float32)
        self.mean, self.deviation = sample.mean(0), sample.std(0) + 1e-5

    def frames(self, utterance: int, first: int, count: int) -> np.ndarray:
        """Return up to ``count`` frames of an utterance from ``first`` on: float32 (T, E)."""
        start, end = self.starts[utterance] + first, self.starts[utterance + 1]
        return (self.features[start : min(start + count, end)].astype(np.float32) - self.mean) / self.deviation

    @classmethod
    def of(cls, waves: Sequence[np.ndarray], path: Path, teacher: Teacher) -> TeacherFeatures:
        """Compute the features of ``waves`` with ``teacher``, or read them from the file ``path`` of an earlier run.

        Args:
            waves: int16 waves (N,) at 16 kHz.
            path: File for the features. It is replaced if it holds features of other waves.
            teacher: Computes the features.

        Raises:
            InputError: The weights of the teacher are missing.
        """
        content = sha256()
        for wave in waves:
            content.update(wave.tobytes())
        try:
            with np.load(path) as file:
                if str(file["content"]) == content.hexdigest():
                    return cls(file["features"], file["lengths"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass  # missing or damaged: compute the features
        per_wave = teacher(waves)
        buffer = io.BytesIO()
        lengths = np.array([len(frames) for frames in per_wave])
        features = np.concatenate(per_wave)
        np.savez(buffer, features=features, lengths=lengths, content=content.hexdigest())
        with atomic_write(path, "wb") as out:
            out.write(buffer.getbuffer())
        return cls(features, lengths)
