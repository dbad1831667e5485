"""A front-end with weights that needs no pretrained model."""

from __future__ import annotations

import torch
from torch import Tensor

from spooftrace.frontends.base import FrontEnd, Length


class Projection(FrontEnd):
    """160 samples a frame, projected to 8 numbers."""

    def __init__(self, finetune: bool = True) -> None:
        super().__init__("frames", 8, 100.0, finetune)
        self.linear = torch.nn.Linear(160, 8)
        self.freeze_unless_finetuned()

    def num_frames(self, num_samples: Length) -> Length:
        return num_samples // 160

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {}

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        return self.linear(wave.unfold(1, 160, 160))  # (B, N) -> (B, T, 160) -> (B, T, 8)
