"""Codes of a codec trained by ``spooftrace codec train``."""

from __future__ import annotations

import torch
from torch import Tensor

from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.frontends.base import FrontEnd, Length
from spooftrace.frontends.by_length import map_by_length
from spooftrace.frontends.resample import Resample


class SmallCodec(FrontEnd):
    """Codes of one of our own codecs: wave (B, N) at 16 kHz -> codes (B, Q, T), integers below the codebook's size.

    The counterpart of ``EnCodec`` with weights that are small enough for a recipe. Each utterance is scaled to the
    level of the codec's training data, as in codec copies, and resampled if the rates differ. Frame t is centred on
    sample t * hop; T is the number of hops, rounded up, plus one. The codec is frozen.

    Args:
        checkpoint: File of ``spooftrace codec train``.
        num_quantizers: Number of quantizers to use; None for all.

    Raises:
        InputError: The file is missing or holds no codec.
        ValueError: The codec has fewer quantizers.
    """

    packable = False  # other rounding can change the choice between two codes at nearly equal distances

    def __init__(self, checkpoint: str, num_quantizers: int | None = None):
        from spooftrace.codecs.weights import load_codec  # only this class needs a codec

        codec = load_codec(checkpoint)
        available = int(codec.config["num_quantizers"])
        if num_quantizers is not None and not 1 <= num_quantizers <= available:
            raise ValueError(f"{checkpoint}: num_quantizers is {num_quantizers}; must be 1..{available}")
        count = num_quantizers or available
        super().__init__("codes", dim=count, frame_rate=codec.frame_rate)
        self.num_quantizers = count
        self.codec = codec
        self.resample = Resample(SAMPLE_RATE, codec.sample_rate) if codec.sample_rate != SAMPLE_RATE else None
        self.freeze_unless_finetuned()

    def num_frames(self, num_samples: Length) -> Length:
        samples = num_samples if self.resample is None else self.resample.num_samples(num_samples)
        shortest, hop = self.codec.n_fft, self.codec.hop  # the codec pads to one window of its spectrum
        samples = samples.clamp(min=shortest) if isinstance(samples, Tensor) else max(samples, shortest)
        return (samples + hop - 1) // hop + 1

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {"num_quantizers": self.num_quantizers}

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        # Rounding in reduced precision would change codes.
        with torch.autocast(wave.device.type, enabled=False):
            return map_by_length(self._codes, wave.float(), wave_len, -1, self.num_frames(wave.shape[1]))

    def _codes(self, wave: Tensor) -> Tensor:
        """Encode waves (b, n) at 16 kHz as (b, Q, T)."""
        if self.resample is not None:
            wave = self.resample(wave)
        rms = wave.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-8)  # (b, n) -> (b, 1)
        return self.codec.encode(wave * (self.codec.level / rms), self.num_quantizers)
