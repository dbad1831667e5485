"""Base class of self-supervised models in any library: convolutions, then numbered transformer layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.frontends.base import FrontEnd, Layout, Length, length_mask

LAYOUTS: dict[str, Layout] = {"layers": "layers", "last": "frames", "pooled": "vector"}  # output -> layout
# Added to the variance in the normalisation of a wave by fairseq, unilm and s3prl (F.layer_norm).
EPSILON = 1e-5


class LayeredFrontEnd(FrontEnd):
    """Selected layers of a model that starts with convolutions: lengths, layout and arguments of ``HuggingFace``.

    Args:
        output: Kind of output, see ``HuggingFace``.
        layers: Layers as returned by ``check_layers``.
        normalize: Whether waves are normalised.
        width: D of one layer.
        convolutions: Kernel and stride of each convolution, in samples of its input.
        finetune: Whether the weights are trained.
        normalize_eps: Constant added to the variance, see ``HuggingFace``.
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
            raise ValueError(f"normalize_eps {normalize_eps}: must be greater than 0 and less than 1")
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
        self.samples_per_frame = 1  # receptive field, from one output backwards
        for kernel, stride in reversed(self.convolutions):
            self.samples_per_frame = (self.samples_per_frame - 1) * stride + kernel

    def num_frames(self, num_samples: Length) -> Length:
        if self.layout != "vector":
            return self.count_frames(num_samples)
        return torch.ones_like(num_samples) if isinstance(num_samples, Tensor) else 1

    def count_frames(self, num_samples: Length) -> Length:
        """Return the number of frames of a layer, at least one, also if the output is pooled over them."""
        if isinstance(num_samples, Tensor):
            frames = num_samples.clamp(min=self.samples_per_frame)
        else:
            frames = max(num_samples, self.samples_per_frame)
        for kernel, stride in self.convolutions:
            frames = (frames - kernel) // stride + 1
        return frames

    def arguments(self) -> dict[str, str | int | float | bool]:
        arguments: dict[str, str | int | float | bool] = {
            "output": self.output,
            "layers": " ".join(map(str, self.layers)),
            "normalize": self.normalize,
        }
        # The default is left out, which keeps features valid that were stored before this argument existed.
        return arguments | ({"normalize_eps": self.normalize_eps} if self.normalize_eps != EPSILON else {})


def check_layers(layers: list[int] | None, output: str, count: int, model: str) -> list[int]:
    """Check the layers of a model with ``count`` layers, and fill in the defaults of ``HuggingFace``.

    Raises:
        ValueError: An unknown output, an unknown layer, or a wrong number of layers.
    """
    if output not in LAYOUTS:
        raise ValueError(f"output {output!r} is none of {', '.join(LAYOUTS)}")
    if layers is None:
        return list(range(1, count + 1)) if output == "layers" else [-1]
    wrong = [layer for layer in layers if not -1 <= layer <= count]
    if wrong or not layers:
        raise ValueError(f"{model} has no layer {wrong[0]}: -1 or 0..{count}" if wrong else "layers: name at least one")
    if output == "last" and len(layers) != 1:
        raise ValueError(f"output: last takes one layer, not {len(layers)}; for several use output: layers")
    return list(layers)


def standardize(wave: Tensor, wave_len: Tensor, eps: float = EPSILON) -> Tensor:
    """Normalise waves (B, N) to mean 0 and variance 1 over ``wave_len`` (B,) samples; the padding stays zero.

    ``eps`` is added to the variance.
    """
    mask = length_mask(wave_len, wave.shape[1])
    wave = wave.float()
    centred = (wave - wave.sum(1, keepdim=True) / wave_len.unsqueeze(1)) * mask
    variance = centred.square().sum(1, keepdim=True) / wave_len.unsqueeze(1)
    return centred * torch.rsqrt(variance + eps)
