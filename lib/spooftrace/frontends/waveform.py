"""The raw wave, for back-ends such as AASIST and RawNet2."""

from __future__ import annotations

from torch import Tensor

from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.frontends.base import FrontEnd, Length


class Waveform(FrontEnd):
    """Pass the wave through: (B, N) -> (B, N), with zero padding.

    >>> import torch
    >>> wave, wave_len = Waveform()(torch.ones(1, 4), torch.tensor([3]))
    >>> wave.tolist(), wave_len.tolist()
    ([[1.0, 1.0, 1.0, 0.0]], [3])
    """

    def __init__(self) -> None:
        super().__init__("wave", dim=1, frame_rate=SAMPLE_RATE)
        self.freeze_unless_finetuned()

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        return wave

    def num_frames(self, num_samples: Length) -> Length:
        return num_samples

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {}
