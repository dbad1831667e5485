"""Whisper features, the training targets of semantic codecs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from spooftrace.common.progress import Progress
from spooftrace.frontends.whisper import Whisper

TEACHER = "openai/whisper-tiny.en"
LAYER = 3


@torch.inference_mode()
def extract_teacher(waves: Sequence[np.ndarray], model: str = TEACHER, layer: int = LAYER) -> list[np.ndarray]:
    """Compute Whisper features of 16-bit waves (N,) at 16 kHz: float16 (ceil(N / 320), E) each, 50 per second."""
    teacher = Whisper(model, layer=layer, padding="none").eval()
    parts = []
    with Progress(f"features of {model}", len(waves), sum(map(len, waves)) / 16000) as progress:
        for wave in waves:
            x = torch.from_numpy(wave.astype(np.float32) / 32768)[None]  # (1, N)
            features = teacher.extract(x, torch.tensor([x.shape[1]]))[0]  # (T, E)
            parts.append(features.numpy().astype(np.float16))
            progress.advance(1, len(wave) / 16000)
    return parts
