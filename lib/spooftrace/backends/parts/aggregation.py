"""From all layers of a foundation model to frames: (B, L, T, D) -> (B, T, D).

Three published ways, chosen by name with ``aggregation`` and ``num_layers`` of the back-ends that take frames; without
a name such a back-end takes frames (B, T, D) as they come.

    sea           gate of each layer from the means of all layers, then the sum (squeeze-and-excitation aggregation)
    weighted_sum  one weight a layer for all utterances, softmax over the layers
    attm          gate of each layer as in attentive merging, then all layers side by side and one linear layer

They are those of the CtrSVDD recipe of Nes2Net, and their parameter names are the official ones: its checkpoints keep
them under ``ssl_model.``, ours under ``aggregation.``. There L is 25, with the encoder input as first layer.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Aggregation = Literal["sea", "weighted_sum", "attm"]


class SqueezeExcitation(nn.Module):
    """SEA: each layer times a gate in (0, 1), summed, not normalised: (B, L, T, D) -> (B, T, D).

    The gates come from the mean of each layer over time and dimensions. 400 parameters for 25 layers.

    Source: Guragain et al., "Speech foundation model ensembles for the CtrSVDD challenge 2024", SLT 2024.
    """

    def __init__(self, num_layers: int, dim: int):
        super().__init__()
        self.fc_att_merge = nn.Sequential(
            nn.Linear(num_layers, num_layers // 3, bias=False),
            nn.ReLU(),
            nn.Linear(num_layers // 3, num_layers, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, layers: Tensor) -> Tensor:
        return weigh(layers, self.fc_att_merge(layers.mean(dim=(2, 3))))  # gates (B, L)


class WeightedSum(nn.Module):
    """One learned weight a layer, softmax over the layers, the same for every utterance: (B, L, T, D) -> (B, T, D)."""

    def __init__(self, num_layers: int, dim: int):
        super().__init__()
        self.weight_hidd = nn.Parameter(torch.ones(num_layers))

    def forward(self, layers: Tensor) -> Tensor:
        return weigh(layers, self.weight_hidd.softmax(dim=0).expand(len(layers), -1))


class AttentiveMerging(nn.Module):
    """AttM: each layer times a gate, all layers side by side, projected back to D: (B, L, T, D) -> (B, T, D).

    With the default projection, one linear layer, this is the variant of the CtrSVDD recipe. ``projection="mlp"`` is
    the original: L * D -> L * D / 4 -> D. The original's code has one more Linear by accident (it is passed to SiLU as
    ``inplace``), which no output depends on. Its weights exist here so that official checkpoints load strictly, and are
    not trained (``requires_grad`` is false). 50,339,984 parameters for 12 layers of 1024, 9,440,256 of them such.

    Source: Pan et al., "Attentive merging of hidden embeddings from pre-trained speech model for anti-spoofing
    detection", Interspeech 2024; class ``AttM`` of pandarialTJU/AttM_INTERSPEECH24, whose keys these are.
    """

    def __init__(self, num_layers: int, dim: int, projection: Literal["linear", "mlp"] = "linear"):
        super().__init__()
        if projection not in ("linear", "mlp"):
            raise ValueError(f"projection must be linear or mlp, not {projection}")
        self.W = nn.Parameter(torch.randn(dim, 1))
        self.W1 = nn.Parameter(torch.randn(num_layers, num_layers // 2))
        self.W2 = nn.Parameter(torch.randn(num_layers // 2, num_layers))
        self.linear_proj: nn.Module = nn.Linear(num_layers * dim, dim)
        if projection == "mlp":
            hidden = num_layers * dim // 4
            self.linear_proj = nn.Sequential(nn.Linear(num_layers * dim, hidden), nn.SiLU(), nn.Linear(hidden, dim))
            self.linear_proj[1].inplace = nn.Linear(hidden, hidden).requires_grad_(False)

    def gates(self, layers: Tensor) -> Tensor:
        """How much of each layer goes on: (B, L, T, D) -> (B, L) in (0, 1)."""
        x = F.silu(layers.mean(dim=2) @ self.W).squeeze(2)  # (B, L, D) @ (D, 1) -> (B, L)
        return torch.sigmoid(F.silu(x @ self.W1) @ self.W2)  # (B, L) -> (B, L // 2) -> (B, L)

    def forward(self, layers: Tensor) -> Tensor:
        x = layers * self.gates(layers)[:, :, None, None]
        x = x.permute(0, 2, 3, 1).flatten(2)  # (B, L, T, D) -> (B, T, D, L) -> (B, T, D * L)
        return self.linear_proj(x)  # -> (B, T, D)


CLASSES = {"sea": SqueezeExcitation, "weighted_sum": WeightedSum, "attm": AttentiveMerging}
MIN_LAYERS = {"sea": 3, "weighted_sum": 1, "attm": 2}  # fewer leave an empty bottleneck


def weigh(layers: Tensor, weights: Tensor) -> Tensor:
    """Sum of the layers, each with its weight: (B, L, T, D), (B, L) -> (B, T, D)."""
    return (weights.unsqueeze(1) @ layers.flatten(2)).view(len(layers), *layers.shape[2:])  # (B, 1, L) @ (B, L, T * D)


def make_aggregation(name: Aggregation | None, num_layers: int, dim: int) -> nn.Module | None:
    """The module that ``name`` stands for, with ``num_layers`` as an attribute; None for None.

    Raises:
        ValueError: An unknown name, or fewer layers than it can work with.
    """
    if name is None:
        return None
    if name not in CLASSES:
        raise ValueError(f"aggregation must be one of {', '.join(CLASSES)} or null, not {name}")
    if num_layers < MIN_LAYERS[name]:
        raise ValueError(f"aggregation {name} needs {MIN_LAYERS[name]} layers or more, not {num_layers}")
    module = CLASSES[name](num_layers, dim)
    module.num_layers = num_layers
    return module
