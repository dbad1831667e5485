"""SLS: a gate for each layer of XLS-R, their sum, and one wide linear layer over all of its frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parts.aggregation import weigh
from spooftrace.backends.parts.shapes import check_shape, map_windows


class SLS(Backend):
    """XLS-R + SLS: layers (B, L, T, input_dim) -> log-probabilities (B, num_outputs), class 1 = bona fide.

    23,399,429 parameters, nearly all in ``fc1``. The width of that layer is that of 201 frames (64,600 samples) after
    pooling by 3. The published code therefore takes T of 201 to 203 only; for these the outputs are the published ones.

    Other values of T work with windows of the length of training: a shorter input is repeated up to 201 frames, as the
    recordings are in training; a longer one is cut into evenly spaced windows of 201 frames (neighbours overlap by less
    than one window). Each window has its own gates, and the outputs of the windows are averaged before the
    log-softmax. Pooling any length to 67 steps would need one pass only, but maxima over longer spans are larger than
    those that ``fc1`` was trained on.

    As published, the last outputs pass through SELU, hence none is below -1.758, and become log-probabilities.
    Cross-entropy accepts these like logits.

    Streams: ``layers``, any number L of them (the published system has the 24 of XLS-R 300M, before the final
    LayerNorm); any T from 1 on.

    Args:
        input_dim: Width of the layers.
        num_outputs: Number of classes.
        num_frames: Number of frames that ``fc1`` is built for. If it is a multiple of 3, ``num_frames + 1`` and
            ``num_frames + 2`` frames are not cut either.

    Raises:
        ValueError: ``num_outputs`` below 2, ``num_frames`` or ``input_dim`` below 3, an input of another shape.

    Source: Zhang et al., "Audio deepfake detection with self-supervised XLS-R and SLS classifier", ACM Multimedia 2024;
    QiShanZhang/SLSforASVspoof-2021-DF, whose keys these are, without ``module.``.
    """

    layouts = (("layers",),)

    def __init__(self, input_dim: int = 1024, num_outputs: int = 2, num_frames: int = 201):
        super().__init__()
        if num_outputs < 2:
            raise ValueError("num_outputs must be 2 or more: SLS gives log-probabilities, and that of one class is 0")
        if min(num_frames, input_dim) < 3:
            raise ValueError(f"num_frames and input_dim must be 3 or more; got {num_frames} and {input_dim}")
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.num_frames = num_frames
        self.first_bn = nn.BatchNorm2d(1)
        self.fc0 = nn.Linear(input_dim, 1)
        self.fc1 = nn.Linear((num_frames // 3) * (input_dim // 3), 1024)
        self.fc3 = nn.Linear(1024, num_outputs)

    def forward(self, layers: Tensor) -> Tensor:
        check_shape(self, layers, "layers", ("B", "L", "T", self.input_dim))
        longest = self.num_frames // 3 * 3 + 2  # pooling by 3 drops up to two frames
        outputs = map_windows(self.classify, layers, dim=2, length=self.num_frames, longest=longest)
        return torch.log_softmax(outputs, dim=1)

    def gates(self, layers: Tensor) -> Tensor:
        """Compute the gate of each layer: (B, L, T, D) -> (B, L) in (0, 1)."""
        return torch.sigmoid(self.fc0(layers.mean(dim=2))).squeeze(2)  # (B, L, D) -> (B, L, 1) -> (B, L)

    def classify(self, layers: Tensor) -> Tensor:
        """Classify layers (B, L, num_frames, D): (B, num_outputs), the input of the log-softmax."""
        x = weigh(layers, self.gates(layers)).unsqueeze(1)  # (B, L, T, D) -> (B, 1, T, D)
        x = F.max_pool2d(F.selu(self.first_bn(x)), 3)  # -> (B, 1, T // 3, D // 3)
        x = F.selu(self.fc1(x.flatten(1)))  # -> (B, 1024)
        return F.selu(self.fc3(x))  # -> (B, num_outputs)
