"""One Whisper vector per utterance, the input of NACSP and MiO."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from spooftrace.frontends.base import Length
from spooftrace.frontends.whisper import Whisper, encoder_frames


class WhisperPooled(Whisper):
    """Mean of one Whisper encoder layer over the frames of the utterance: wave (B, N) -> vector (B, D).

    Arguments and errors are those of ``Whisper``.
    """

    def __init__(
        self,
        model: str = "openai/whisper-base",
        layer: int = -1,
        padding: Literal["30s", "none"] = "30s",
        finetune: bool = False,
    ):
        super().__init__(model, layer, padding, finetune)
        self.layout = "vector"
        self.frame_rate = 0.0

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        frames = super().extract(wave, wave_len)  # (B, T, D), zero after the end of each utterance
        return frames.float().sum(1) / encoder_frames(wave_len).unsqueeze(1)  # (B, T, D) -> (B, D)

    def num_frames(self, num_samples: Length) -> Length:
        return num_samples * 0 + 1
