"""Finite scalar quantization: each dimension is rounded separately, without a codebook (Mentzer et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spooftrace.codecs.quantizers import Quantized, Quantizer, check_codes


class ScalarQuantizer(Quantizer):
    """``num_quantizers`` scalars, each rounded to one of ``codebook_size`` levels. A scalar counts as a quantizer.

    With quantizer dropout in training, the model supports several bitrates: the first scalars are the most important.

    Args:
        dim: Size D of the vectors.
        codebook_size: Levels K.
        num_quantizers: Number of scalars per vector.
    """

    def __init__(self, dim: int, codebook_size: int = 9, num_quantizers: int = 24) -> None:
        super().__init__()
        self.codebook_size, self.num_quantizers = codebook_size, num_quantizers
        self.top = (codebook_size - 1) / 2  # levels are -top .. top
        self.reduce = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_quantizers))
        self.restore = nn.Linear(num_quantizers, dim)

    def forward(
        self, x: Tensor, num_quantizers: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Quantized:
        """Quantize as ``Quantizer.forward``.

        In training mode, half of the items (drawn with ``generator``) get uniform noise of the width of a level instead
        of rounding, which gives an exact gradient.
        """
        batch = x.shape[0]
        if num_quantizers is None:
            num_quantizers = torch.full((batch,), self.num_quantizers, device=x.device)
        scalars = self.top * torch.tanh(self.reduce(x))  # (B, T, D) -> (B, T, Q)
        codes = torch.round(scalars + self.top)
        values = scalars + (codes - self.top - scalars).detach()  # straight-through gradient
        if self.training:
            noise = torch.rand(scalars.shape, generator=generator, device=x.device) - 0.5
            noisy = torch.rand(batch, 1, 1, generator=generator, device=x.device) < 0.5
            values = torch.where(noisy, scalars + noise, values)
        places = torch.arange(self.num_quantizers, device=x.device)
        values = values * (places < num_quantizers[:, None, None])  # (B, T, Q)
        codes = codes.long().transpose(1, 2)[:, : int(num_quantizers.max())]  # (B, T, Q) -> (B, Q, T)
        return Quantized(self.restore(values / self.top), codes, x.new_zeros(()))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, Q, T), Q from 1 to ``num_quantizers``, -> vectors (B, T, D); see ``check_codes``."""
        check_codes(codes, self.codebook_size, self.num_quantizers)
        values = codes.new_zeros(codes.shape[0], codes.shape[2], self.num_quantizers, dtype=self.restore.weight.dtype)
        values[..., : codes.shape[1]] = codes.transpose(1, 2) - self.top  # (B, Q, T) -> (B, T, Q)
        return self.restore(values / self.top)
