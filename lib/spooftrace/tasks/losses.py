"""Losses of the detection task, each with its score. Targets: 0 spoof, 1 bona fide.

A loss declares the number of back-end outputs (``num_outputs``), computes a scalar from outputs and targets
(``forward``), and computes scores, higher = more bona fide (``scores``). For the margin losses the outputs are an
embedding of size ``dim``, which is ``num_outputs`` of the back-end. These losses hold the directions of the classes,
which the system's optimizer trains and which are saved with the system.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SPOOF, BONAFIDE = 0, 1


class DetectionLoss(nn.Module, ABC):
    """Base class of the losses of ``Detection``.

    Attributes:
        num_outputs: Number of outputs that the back-end must have.
    """

    num_outputs: int

    @abstractmethod
    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean loss, a scalar, of ``outputs`` (B, num_outputs) against ``targets`` (B,)."""

    @abstractmethod
    def scores(self, outputs: Tensor) -> Tensor:
        """Compute scores (B,), higher = more bona fide, from ``outputs`` (B, num_outputs)."""


def weights_of_classes(values: Sequence[float]) -> Tensor:
    """Return the class weights of a cross-entropy as a tensor (C,).

    Raises:
        ValueError: A weight is negative, NaN or infinite, or all are 0.
    """
    # Check the numbers instead of the tensor, which has no data on the meta device.
    if not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
        raise ValueError(f"class_weight {list(values)}: must be numbers of 0 or more, and not all 0")
    return torch.tensor(values, dtype=torch.float32)


class CrossEntropy(DetectionLoss):
    """Cross-entropy with class weights over two outputs.

    Args:
        class_weight: Weights of spoof and bona fide.
        score: ``logit`` is the bona fide output; ``difference`` subtracts the spoof output.
    """

    num_outputs = 2
    class_weight: Tensor

    def __init__(self, class_weight: tuple[float, float], score: Literal["logit", "difference"] = "logit") -> None:
        super().__init__()
        self.register_buffer("class_weight", weights_of_classes(class_weight), persistent=False)
        self.score = score

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, self.class_weight.to(outputs.dtype))

    def scores(self, outputs: Tensor) -> Tensor:
        bonafide = outputs[:, BONAFIDE]  # (B, 2) -> (B,)
        return bonafide if self.score == "logit" else bonafide - outputs[:, SPOOF]


class BinaryFocal(DetectionLoss):
    """Focal loss on one output (Lin et al., ICCV 2017) with label smoothing, as Nes2Net trains on CtrSVDD.

    The loss of an utterance is ``alpha * (1 - p) ** gamma * e`` with e its binary cross-entropy against the smoothed
    target and p = exp(-e). Unlike in the paper, ``alpha`` weighs both classes equally, as in the Nes2Net authors' code.

    Args:
        gamma: Exponent of the factor that reduces the weight of easy utterances.
        alpha: Factor of the loss.
        smoothing: Targets become ``smoothing / 2`` and ``1 - smoothing / 2``; 0.1 gives the authors' 0.05 and 0.95.
    """

    num_outputs = 1

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25, smoothing: float = 0.1) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha
        self.smoothing = smoothing

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        soft = targets.to(outputs.dtype) * (1 - self.smoothing) + self.smoothing / 2
        entropy = F.binary_cross_entropy_with_logits(outputs.squeeze(1), soft, reduction="none")  # (B,)
        return (self.alpha * (1 - torch.exp(-entropy)) ** self.gamma * entropy).mean()

    def scores(self, outputs: Tensor) -> Tensor:
        return outputs.squeeze(1)  # (B, 1) -> (B,)


class MarginLoss(DetectionLoss):
    """Base class of losses on the cosines between an embedding and learned directions.

    Args:
        dim: Size of the embedding.
        num_directions: 1 (bona fide) or 2 (spoof, bona fide).
    """

    def __init__(self, dim: int, num_directions: int) -> None:
        super().__init__()
        self.num_outputs = dim
        self.directions = nn.Parameter(torch.randn(num_directions, dim))  # their norms have no effect

    def cosines(self, outputs: Tensor) -> Tensor:
        """Compute the cosines of embeddings (B, dim) with the directions: (B, num_directions)."""
        # Not in half precision: near 1, the values of trained cosines, bfloat16 has only 0.996 and 1.
        with torch.autocast(outputs.device.type, enabled=False):
            directions = F.normalize(self.directions, dim=1)
            return F.normalize(outputs.to(directions.dtype), dim=1) @ directions.T  # (B, dim) -> (B, num_directions)


class OCSoftmax(MarginLoss):
    """One-class softmax (Zhang, Jiang and Duan, IEEE SPL 2021): bona fide close to one direction, spoof away from it.

    The loss is ``log(1 + exp(scale * v))`` with v the cosine's distance from its margin: ``bonafide_margin - cos`` for
    bona fide, ``cos - spoof_margin`` for spoof. The score is the cosine. (The authors train the direction by SGD
    with the same learning rate; here the system's optimizer trains it.)

    Args:
        dim: Size of the embedding; the authors' is 256.
        bonafide_margin: Lower margin of bona fide cosines.
        spoof_margin: Upper margin of spoof cosines.
        scale: Scale, alpha in the paper.
    """

    def __init__(self, dim: int, bonafide_margin: float = 0.9, spoof_margin: float = 0.2, scale: float = 20.0) -> None:
        super().__init__(dim, 1)
        self.bonafide_margin = bonafide_margin
        self.spoof_margin = spoof_margin
        self.scale = scale

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        cosine = self.scores(outputs)
        violation = torch.where(targets == BONAFIDE, self.bonafide_margin - cosine, cosine - self.spoof_margin)
        return F.softplus(self.scale * violation).mean()

    def scores(self, outputs: Tensor) -> Tensor:
        return self.cosines(outputs).squeeze(1)  # (B, 1) -> (B,)


class AMSoftmax(MarginLoss):
    """Additive-margin softmax (Wang et al., IEEE SPL 2018), with the settings of the OC-Softmax paper.

    Cross-entropy over ``scale`` times the cosines, the target's less ``margin``. The score is the difference of the
    cosines, which ranks utterances in the order of the softmax of the cosines.

    Args:
        dim: Size of the embedding.
        margin: Margin that is subtracted from the target's cosine.
        scale: Scale of the cosines.
    """

    def __init__(self, dim: int, margin: float = 0.9, scale: float = 20.0) -> None:
        super().__init__(dim, 2)
        self.margin = margin
        self.scale = scale

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        cosines = self.cosines(outputs)  # (B, 2)
        return F.cross_entropy(self.scale * (cosines - self.margin * F.one_hot(targets, 2)), targets)

    def scores(self, outputs: Tensor) -> Tensor:
        cosines = self.cosines(outputs)
        return cosines[:, BONAFIDE] - cosines[:, SPOOF]  # (B, 2) -> (B,)


class P2SGrad(MarginLoss):
    """Mean squared error between cosines and the one-hot target: its gradient is P2SGrad (Zhang et al., CVPR 2019).

    In the form of Wang and Yamagishi (Interspeech 2021), the mean being over utterances and classes as in their code.
    There are no settings. The score is the cosine with bona fide.

    Args:
        dim: Size of the embedding; 64 in Wang and Yamagishi's LCNN systems.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 2)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        cosines = self.cosines(outputs)
        return F.mse_loss(cosines, F.one_hot(targets, 2).to(cosines.dtype))  # (B, 2), (B, 2) -> ()

    def scores(self, outputs: Tensor) -> Tensor:
        return self.cosines(outputs)[:, BONAFIDE]  # (B, 2) -> (B,)
