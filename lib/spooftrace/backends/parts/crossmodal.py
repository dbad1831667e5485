"""Cross-modal transformers: one sequence attends to another.

Source: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences" (MulT), ACL 2019;
SAST_Net/FusionLayer in ResponsibleGenAI/CodecFake-Source-Tracing, whose parameter names the transformers use.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.backends.parts.shapes import check_shape

DROPOUT = 0.1  # of the inputs, of the hidden units, and of the additions to the residual stream
POOLING = 2  # number of semantic frames that are averaged


def positions(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Compute sinusoidal positions 1 to ``length``: (length, dim), sines then cosines, wavelengths 2 pi to 20000 pi."""
    half = dim // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10000) / (half - 1)))
    angles = torch.arange(1, length + 1, device=device).unsqueeze(1) * rates  # (T, 1) * (D / 2,) -> (T, D / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class CrossModalLayer(nn.Module):
    """Attention from one sequence to another and a feed-forward network, each after a LayerNorm."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)  # the official name
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.layer_norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        for linear in (self.fc1, self.fc2, self.self_attn.out_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, with_map: bool) -> tuple[Tensor, Tensor | None]:
        """Attend from x (B, T, D) to (B, S, D): return (B, T, D) and the attention (B, T, S), averaged over heads."""
        norm = self.layer_norms[0]
        attended, attention = self.self_attn(norm(x), norm(keys), norm(values), need_weights=with_map)
        x = x + self._drop(attended)
        hidden = self._drop(F.relu(self.fc1(self.layer_norms[1](x))))  # (B, T, D) -> (B, T, 4 D)
        return x + self._drop(self.fc2(hidden)), attention

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, DROPOUT, self.training)


class CrossModalTransformer(nn.Module):
    """Queries (B, T, D) attend to a source (B, S, D): (B, T, D). 14,177,280 parameters with the published sizes.

    The official code treats a frame whose first number is exactly 0 as padding without a position; here every frame has
    a position, 1, 2, ...

    Args:
        dim: Width D, a multiple of ``num_heads`` and 2.
        num_layers: Number of layers.
        num_heads: Number of attention heads.
    """

    def __init__(self, dim: int = 768, num_layers: int = 2, num_heads: int = 16):
        super().__init__()
        self.dim = dim
        self.layers = nn.ModuleList(CrossModalLayer(dim, num_heads) for _ in range(num_layers))
        self.layer_norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, source: Tensor) -> Tensor:
        return self.run(queries, source)[0]

    def run(self, queries: Tensor, source: Tensor, with_map: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return ``forward``'s output and, if ``with_map``, the last attention (B, T, S), averaged over heads."""
        x, placed = self._add_positions(queries), self._add_positions(source)
        # Keys and values have separate dropout.
        x, keys, values = (F.dropout(sequence, DROPOUT, self.training) for sequence in (x, placed, placed))
        attention = None
        for layer in self.layers:
            x, attention = layer(x, keys, values, with_map and layer is self.layers[-1])
        return self.layer_norm(x), attention

    def _add_positions(self, x: Tensor) -> Tensor:
        return math.sqrt(self.dim) * x + positions(x.size(1), self.dim, x.device)


class SemanticAcousticFusion(nn.Module):
    """Acoustic tokens (B, T, dim) and semantic frames (B, 2 S, semantic_dim) -> (B, T, dim).

    Pairs of semantic frames are averaged. Three cross-modal transformers follow: semantic queries attend to acoustic
    tokens (SA), acoustic queries attend to semantic frames (AS), and the output of AS attends to the output of SA.

    If the semantic frames differ in width from the tokens, a linear layer precedes them; the published system, with 768
    for both, has none.

    Args:
        dim: Width of the acoustic tokens and of the transformers.
        semantic_dim: Width of the semantic frames.
        num_layers: Layers of each transformer.
        num_heads: Attention heads of each transformer.

    Source: Chen et al., arXiv 2506.07294, sections III-A and III-C. The official code calls SA ``ta_transformer``, AS
    ``at_transformer`` and the third ``at_ta_transformer``.
    """

    def __init__(self, dim: int = 768, semantic_dim: int = 768, num_layers: int = 2, num_heads: int = 16):
        super().__init__()
        if dim % num_heads or dim % 2:
            raise ValueError(f"a width of {dim} cannot be split over {num_heads} heads of the fusion")
        self.semantic_dim = semantic_dim
        self.projection = nn.Identity() if semantic_dim == dim else nn.Linear(semantic_dim, dim)
        self.semantic_to_acoustic = CrossModalTransformer(dim, num_layers, num_heads)
        self.acoustic_to_semantic = CrossModalTransformer(dim, num_layers, num_heads)
        self.fusion = CrossModalTransformer(dim, num_layers, num_heads)

    def forward(self, acoustic: Tensor, semantic: Tensor) -> Tensor:
        return self.run(acoustic, semantic)[0]

    def run(self, acoustic: Tensor, semantic: Tensor, with_maps: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the output of ``forward`` and, if ``with_maps``, the attention maps of the last layers.

        Returns:
            Fused tokens (B, T, dim); attention by name, {} without ``with_maps``: ``SA`` (B, S, T), ``AS`` (B, T, S)
            and ``fusion`` (B, T, S). Rows are queries and sum to 1.
        """
        check_shape(self, semantic, "frames", (len(acoustic), "T", self.semantic_dim), POOLING)
        pooled = F.avg_pool1d(semantic.transpose(1, 2), POOLING).transpose(1, 2)  # (B, 2 S, E) -> (B, S, E)
        semantic = self.projection(pooled)  # -> (B, S, D)
        sa, sa_map = self.semantic_to_acoustic.run(semantic, acoustic, with_maps)  # (B, S, D)
        as_, as_map = self.acoustic_to_semantic.run(acoustic, semantic, with_maps)  # (B, T, D)
        fused, fusion_map = self.fusion.run(as_, sa, with_maps)  # (B, T, D)
        maps = {"SA": sa_map, "AS": as_map, "fusion": fusion_map}
        return fused, {name: attention for name, attention in maps.items() if attention is not None}
