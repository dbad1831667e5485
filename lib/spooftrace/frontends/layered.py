"""What self-supervised models of every library have in common: convolutions, then numbered transformer layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.frontends.base import FrontEnd, Layout, Length, length_mask

LAYOUTS: dict[str, Layout] = {"layers": "layers", "last": "frames", "pooled": "vector"}  # output -> layout
# Added to the variance of a waveform that is normalised, by fairseq, unilm and s3prl (F.layer_norm).
EPSILON = 1e-5


class LayeredFrontEnd(FrontEnd):
    """Chosen layers of a model with convolutions in front: lengths, layout and arguments of ``HuggingFace``.

    Args:
        output, layers, normalize, normalize_eps: As in ``HuggingFace``; ``layers`` checked by ``check_layers``.
        width: D of one layer.
        convolutions: Kernel and stride of each convolution, in samples of its input.
        finetune: As in ``FrontEnd``.
    """

    def __init__(
        self,
        output: str,
        layers: list[int],
        normalize: bool,
        width: int,
        convolutions: Sequence[tuple[int, int]],
        finetune: bool = False,
        normalize_eps: float = EPSILON,
    ):
        if not 0 < normalize_eps < 1:
            raise ValueError(f"normalize_eps {normalize_eps}: greater than 0 and less than 1")
        super().__init__(
            LAYOUTS[output],
            dim=width * (len(layers) if output == "pooled" else 1),
            frame_rate=0 if output == "pooled" else SAMPLE_RATE / prod(stride for _, stride in convolutions),
            finetune=finetune,
        )
        self.output = output
        self.layers = layers
        self.normalize = normalize
        self.normalize_eps = normalize_eps
        self.convolutions = list(convolutions)
        self.samples_per_frame = 1  # samples behind one frame: kernels and strides backwards from one output
        for kernel, stride in reversed(self.convolutions):
            self.samples_per_frame = (self.samples_per_frame - 1) * stride + kernel

    def num_frames(self, num_samples: Length) -> Length:
        if self.layout != "vector":
            return self.count_frames(num_samples)
        return torch.ones_like(num_samples) if isinstance(num_samples, Tensor) else 1

    def count_frames(self, num_samples: Length) -> Length:
        """Frames of a layer, also where the output is pooled over them; at least one."""
        if isinstance(num_samples, Tensor):
            frames = num_samples.clamp(min=self.samples_per_frame)
        else:
            frames = max(num_samples, self.samples_per_frame)
        for kernel, stride in self.convolutions:
            frames = (frames - kernel) // stride + 1
        return frames

    def arguments(self) -> dict[str, str | int | float | bool]:
        told = {"output": self.output, "layers": " ".join(map(str, self.layers)), "normalize": self.normalize}
        # Left out at its default: features that were stored before this argument existed stay valid.
        return told | ({"normalize_eps": self.normalize_eps} if self.normalize_eps != EPSILON else {})


def check_layers(layers: list[int] | None, output: str, count: int, model: str) -> list[int]:
    """The layers to give, with the defaults of ``HuggingFace``, of a model that has ``count``.

    Raises:
        ValueError: No such output, no such layer, or a wrong number of them.
    """
    if output not in LAYOUTS:
        raise ValueError(f"output {output!r} is none of {', '.join(LAYOUTS)}")
    if layers is None:
        return list(range(1, count + 1)) if output == "layers" else [-1]
    wrong = [layer for layer in layers if not -1 <= layer <= count]
    if wrong or not layers:
        raise ValueError(f"{model} has no layer {wrong[0]}: -1 or 0..{count}" if wrong else "layers: name at least one")
    if output == "last" and len(layers) != 1:
        raise ValueError(f"output: last is one layer, not {len(layers)}; output: layers gives several")
    return list(layers)


def standardize(wave: Tensor, wave_len: Tensor, eps: float = EPSILON) -> Tensor:
    """Mean 0, variance 1 over each utterance's real samples; wave (B, N), zero after ``wave_len``, and stays so.

    ``eps`` is added to the variance.
    """
    mask = length_mask(wave_len, wave.shape[1])
    wave = wave.float()
    centred = (wave - wave.sum(1, keepdim=True) / wave_len.unsqueeze(1)) * mask
    variance = centred.square().sum(1, keepdim=True) / wave_len.unsqueeze(1)
    return centred * torch.rsqrt(variance + eps)
