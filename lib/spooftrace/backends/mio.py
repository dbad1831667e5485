"""MiO: two pooled representations merged by bilinear pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parsing_cnn import TargetHeads, check_vector, standardisation


class MiO(Backend):
    """MiO ("merge into one"): vectors (B, input_dim) and (B, other_dim) -> (B, num_outputs).

    A linear layer maps each vector to ``merged_dim`` numbers; the outer product of the two (bilinear pooling) is the
    input of one network per target. 5,318,463 parameters with the defaults.

    Streams: two of layout ``vector``. In codec source parsing the first is Whisper-base, averaged over time, and the
    second the x-vector.

    There is no official code. The papers give the two models and bilinear pooling. Chosen here: 120 numbers per vector,
    the width of the first layer of a target; networks, standardisation and dropout of ``ParsingCNN``; and the usual
    normalisation after bilinear pooling, signed square roots and division by the norm, without which products of large
    numbers dominate (Lin et al., ICCV 2015).

    Args:
        input_dim, other_dim: Widths of the first and of the second vector.
        num_outputs: Number of targets.
        merged_dim: Width of each vector before the products.
        dropout: Probability that training sets an activation to zero, see ``ParsingCNN``.

    Raises:
        ValueError: An input of another shape.

    Source: Chetia Phukan et al., "Heterogeneity over homogeneity", Findings of NAACL 2024; for codec parsing the same
    authors' arXiv 2506.12627, table 4.
    """

    layouts = (("vector",), ("vector",))

    def __init__(
        self,
        input_dim: int = 512,
        other_dim: int = 512,
        num_outputs: int = 3,
        merged_dim: int = 120,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.input_dim = input_dim
        self.widths = (input_dim, other_dim)  # of the streams
        self.other_dim = other_dim
        self.num_outputs = num_outputs
        self.first = nn.Sequential(standardisation(input_dim), nn.Linear(input_dim, merged_dim))
        self.second = nn.Sequential(standardisation(other_dim), nn.Linear(other_dim, merged_dim))
        self.dropout = nn.Dropout(dropout)
        self.heads = TargetHeads(merged_dim**2, (120, 30), num_outputs, dropout)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        check_vector(self, first, self.input_dim)
        check_vector(self, second, self.other_dim)
        products = torch.einsum("bi,bj->bij", self.first(first), self.second(second)).flatten(1)  # -> (B, M * M)
        # Signed square root with a finite slope at 0.
        roots = products * (products.abs() + 1e-6).rsqrt()
        merged = F.normalize(roots, dim=1) * roots.size(1) ** 0.5  # -> (B, M * M), with a root mean square of 1
        return self.heads([self.dropout(merged)] * self.num_outputs)  # -> (B, num_outputs)
