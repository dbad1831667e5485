"""Quantization with a single codebook: each vector is split into several tokens, which the same codebook codes in turn.

A higher frame rate is no alternative: neighbouring frames overlap, and a convolutional encoder gives them nearly the
same code. The tokens of a frame can carry different information.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spooftrace.codecs.quantizers import Quantized, Quantizer, ResidualVectorQuantizer


class SingleVectorQuantizer(Quantizer):
    """A codebook that codes ``tokens`` segments of each vector: (B, T, D) -> codes (B, 1, ``tokens`` T).

    Args:
        dim: Size D of the vectors, a multiple of ``tokens``.
        codebook_size: Entries K, of D / ``tokens`` numbers each.
        num_quantizers: Must be 1.
        tokens: Codes per frame.

    Raises:
        ValueError: ``num_quantizers`` is not 1, or ``tokens`` does not divide ``dim``.
    """

    def __init__(self, dim: int, codebook_size: int = 1024, num_quantizers: int = 1, tokens: int = 4) -> None:
        super().__init__()
        if num_quantizers != 1:
            raise ValueError(f"a single codebook means num_quantizers 1, not {num_quantizers}")
        if dim % tokens:
            raise ValueError(f"tokens {tokens} does not divide dim {dim}")
        self.codebook_size, self.num_quantizers, self.tokens, self.dim = codebook_size, 1, tokens, dim
        self.enter, self.leave = nn.Linear(dim, dim), nn.Linear(dim, dim)
        for layer in (self.enter, self.leave):  # initially the vector is only split
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.codebook = ResidualVectorQuantizer(dim // tokens, codebook_size, 1, decay=0.99)

    def forward(
        self, x: Tensor, num_quantizers: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Quantized:
        """Quantize as ``Quantizer.forward``."""
        batch, frames, dim = x.shape
        segments = self.enter(x).reshape(batch, frames * self.tokens, dim // self.tokens)
        quantized = self.codebook(segments, None, generator)
        return quantized._replace(values=self.leave(quantized.values.reshape(batch, frames, dim)))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, 1, ``tokens`` T) -> vectors (B, T, D); see ``check_codes``."""
        return self.leave(self.codebook.decode(codes).reshape(len(codes), -1, self.dim))
