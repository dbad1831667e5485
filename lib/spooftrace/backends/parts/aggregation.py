"""Aggregation of all layers of a foundation model into frames: (B, L, T, D) -> (B, T, D).

Three published methods. Back-ends that take frames select one by ``aggregation`` and ``num_layers``; without it they
take frames (B, T, D).

    sea           a gate per layer from the means of all layers, then the sum (squeeze-and-excitation aggregation)
    weighted_sum  a weight per layer for all utterances, softmax over the layers
    attm          a gate per layer as in attentive merging, then concatenation of the layers and a linear layer

They are those of the CtrSVDD recipe of Nes2Net, with the official parameter names: official checkpoints keep them under
``ssl_model.``, ours under ``aggregation.``. In that recipe L is 25, and the first layer is the encoder input.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Aggregation = Literal["sea", "weighted_sum", "attm"]


class LayerAggregation(nn.Module):
    """Base class of the three methods: layers (B, num_layers, T, dim) -> frames (B, T, dim)."""

    def __init__(self, num_layers: int, dim: int):
        super().__init__()
        self.num_layers = num_layers
        self.dim = dim


class SqueezeExcitation(LayerAggregation):
    """SEA: each layer times a gate in (0, 1), summed, not normalised: (B, L, T, D) -> (B, T, D).

    The gates come from the mean of each layer over time and dimensions. 400 parameters for 25 layers.

    Source: Guragain et al., "Speech foundation model ensembles for the CtrSVDD challenge 2024", SLT 2024.
    """

    def __init__(self, num_layers: int, dim: int):
        super().__init__(num_layers, dim)
        self.fc_att_merge = nn.Sequential(
            nn.Linear(num_layers, num_layers // 3, bias=False),
            nn.ReLU(),
            nn.Linear(num_layers // 3, num_layers, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, layers: Tensor) -> Tensor:
        return weigh(layers, self.fc_att_merge(layers.mean(dim=(2, 3))))  # gates (B, L)


class WeightedSum(LayerAggregation):
    """One learned weight per layer, softmax over the layers, for every utterance: (B, L, T, D) -> (B, T, D)."""

    def __init__(self, num_layers: int, dim: int):
        super().__init__(num_layers, dim)
        self.weight_hidd = nn.Parameter(torch.ones(num_layers))

    def forward(self, layers: Tensor) -> Tensor:
        return weigh(layers, self.weight_hidd.softmax(dim=0).expand(len(layers), -1))


class AttentiveMerging(LayerAggregation):
    """AttM: layers times gates, concatenated and projected back to D: (B, L, T, D) -> (B, T, D).

    With the default projection, one linear layer, this is the variant of the CtrSVDD recipe. ``projection="mlp"`` is
    the original: L * D -> L * D / 4 -> D. The original code passes another Linear to SiLU as ``inplace`` by accident;
    no output depends on it. Its weights exist here for official checkpoints to load strictly, and are not trained
    (``requires_grad`` is false). 50,339,984 parameters for 12 layers of 1024; 9,440,256 of them have no effect.

    Source: Pan et al., "Attentive merging of hidden embeddings from pre-trained speech model for anti-spoofing
    detection", Interspeech 2024; class ``AttM`` of pandarialTJU/AttM_INTERSPEECH24, whose keys these are.
    """

    def __init__(self, num_layers: int, dim: int, projection: Literal["linear", "mlp"] = "linear"):
        super().__init__(num_layers, dim)
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
        """Compute the gate of each layer: (B, L, T, D) -> (B, L) in (0, 1)."""
        x = F.silu(layers.mean(dim=2) @ self.W).squeeze(2)  # (B, L, D) @ (D, 1) -> (B, L)
        return torch.sigmoid(F.silu(x @ self.W1) @ self.W2)  # (B, L) -> (B, L // 2) -> (B, L)

    def forward(self, layers: Tensor) -> Tensor:
        x = layers * self.gates(layers)[:, :, None, None]
        x = x.permute(0, 2, 3, 1).flatten(2)  # (B, L, T, D) -> (B, T, D, L) -> (B, T, D * L)
        return self.linear_proj(x)  # -> (B, T, D)


CLASSES: dict[str, type[LayerAggregation]] = {
    "sea": SqueezeExcitation,
    "weighted_sum": WeightedSum,
    "attm": AttentiveMerging,
}
MIN_LAYERS = {"sea": 3, "weighted_sum": 1, "attm": 2}  # with fewer the bottleneck is empty


def weigh(layers: Tensor, weights: Tensor) -> Tensor:
    """Sum the layers with their weights: (B, L, T, D), (B, L) -> (B, T, D)."""
    return (weights.unsqueeze(1) @ layers.flatten(2)).view(len(layers), *layers.shape[2:])  # (B, 1, L) @ (B, L, T * D)


def make_aggregation(name: Aggregation | None, num_layers: int, dim: int) -> LayerAggregation | None:
    """Build the module of this name; None for None.

    Raises:
        ValueError: An unknown name, or too few layers.
    """
    if name is None:
        return None
    if name not in CLASSES:
        raise ValueError(f"aggregation must be one of {', '.join(CLASSES)} or null, not {name}")
    if num_layers < MIN_LAYERS[name]:
        raise ValueError(f"aggregation {name} needs {MIN_LAYERS[name]} layers or more, not {num_layers}")
    return CLASSES[name](num_layers, dim)
