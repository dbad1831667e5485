"""Residual vector quantization in a space of few dimensions, learnt by gradient, as in DAC (Kumar et al. 2023, 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.codecs.quantizers import Quantized, Quantizer, check_codes

CODE_DIM = 8


class FactorisedQuantizer(Quantizer):
    """``num_quantizers`` consecutive codebooks; each selects its entry by angle, in its own eight dimensions.

    Args:
        dim: Size D of the vectors.
        codebook_size: Entries K of each codebook.
        num_quantizers: Number of codebooks.
    """

    def __init__(self, dim: int, codebook_size: int = 256, num_quantizers: int = 8) -> None:
        super().__init__()
        self.codebook_size, self.num_quantizers = codebook_size, num_quantizers
        self.reduce = nn.ModuleList(nn.Linear(dim, CODE_DIM) for _ in range(num_quantizers))
        self.restore = nn.ModuleList(nn.Linear(CODE_DIM, dim) for _ in range(num_quantizers))
        self.codebooks = nn.Parameter(torch.randn(num_quantizers, codebook_size, CODE_DIM))  # (Q, K, 8)

    def forward(
        self, x: Tensor, num_quantizers: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Quantized:
        """Quantize as ``Quantizer.forward``, without random draws. The commitment loss updates the codebooks."""
        batch = x.shape[0]
        if num_quantizers is None:
            num_quantizers = torch.full((batch,), self.num_quantizers, device=x.device)
        residual, total, loss, codes = x, torch.zeros_like(x), x.new_zeros(()), []
        for index in range(int(num_quantizers.max())):
            reduced = self.reduce[index](residual)  # (B, T, D) -> (B, T, 8)
            codebook = self.codebooks[index]  # (K, 8)
            chosen = (F.normalize(reduced.detach(), dim=-1) @ F.normalize(codebook.detach(), dim=-1).T).argmax(-1)
            vectors = codebook[chosen]  # (B, T) -> (B, T, 8)
            active = (num_quantizers > index)[:, None, None]  # (B,) -> (B, 1, 1)
            commitment = (reduced - vectors.detach()).square() + 4 * (vectors - reduced.detach()).square()
            loss = loss + (commitment * active).mean()
            restored = self.restore[index](reduced + (vectors - reduced).detach())  # (B, T, 8) -> (B, T, D)
            total = total + restored * active
            residual = residual - restored
            codes.append(chosen)
        return Quantized(total, torch.stack(codes, 1), loss / self.num_quantizers)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, Q, T), Q from 1 to ``num_quantizers``, -> vectors (B, T, D); see ``check_codes``."""
        check_codes(codes, self.codebook_size, self.num_quantizers)
        return torch.stack([self.restore[q](self.codebooks[q][codes[:, q]]) for q in range(codes.shape[1])]).sum(0)
