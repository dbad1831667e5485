"""Codes of a codec that ``spooftrace codec train`` made, for systems that listen to what a codec makes of speech."""

from __future__ import annotations

import torch
from torch import Tensor

from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.frontends.base import FrontEnd, Length
from spooftrace.frontends.by_length import map_by_length
from spooftrace.frontends.resample import Resample


class SmallCodec(FrontEnd):
    """Codes of one of our own codecs: wave (B, N) at 16 kHz -> codes (B, Q, T), integers below the codebook's size.

    What ``EnCodec`` is for EnCodec, with weights small enough to come with a recipe. Each utterance is brought to the
    level that the codec was trained at, as where it makes copies, and resampled if its rate is another one. Frame t is
    centred on sample t * hop, so that T is the number of hops, begun ones included, and one more. The codec is
    frozen.

    Args:
        checkpoint: File of ``spooftrace codec train``.
        num_quantizers: The first ones only; None: all.

    Raises:
        InputError: The file is not there, or holds no codec.
        ValueError: The codec does not have that many quantizers.
    """

    packable = False  # Where two codes are about as near, rounding of another kind would choose the other one.

    def __init__(self, checkpoint: str, num_quantizers: int | None = None):
        from spooftrace.codecs.weights import load_codec  # A codec is a model of its own; only this class needs one.

        codec = load_codec(checkpoint)
        has = codec.config["num_quantizers"]
        if num_quantizers is not None and not 1 <= num_quantizers <= has:
            raise ValueError(f"{checkpoint} has no {num_quantizers} quantizers: 1..{has}")
        count = num_quantizers or has
        super().__init__("codes", dim=count, frame_rate=codec.frame_rate)
        self.num_quantizers = count
        self.codec = codec
        self.resample = Resample(SAMPLE_RATE, codec.sample_rate) if codec.sample_rate != SAMPLE_RATE else None
        self.freeze_unless_finetuned()

    def num_frames(self, num_samples: Length) -> Length:
        samples = num_samples if self.resample is None else self.resample.num_samples(num_samples)
        shortest, hop = self.codec.n_fft, self.codec.hop  # the codec fills up to one window of its spectrum
        samples = samples.clamp(min=shortest) if isinstance(samples, Tensor) else max(samples, shortest)
        return (samples + hop - 1) // hop + 1

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {"num_quantizers": self.num_quantizers}

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        # Rounding in reduced precision would choose other codes.
        with torch.autocast(wave.device.type, enabled=False):
            return map_by_length(self._codes, wave.float(), wave_len, -1, self.num_frames(wave.shape[1]))

    def _codes(self, wave: Tensor) -> Tensor:
        """wave (b, n) at 16 kHz -> (b, Q, T)."""
        if self.resample is not None:
            wave = self.resample(wave)
        loudness = wave.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-8)  # (b, n) -> (b, 1)
        return self.codec.encode(wave * (self.codec.level / loudness), self.num_quantizers)
