"""Residual vector quantization with codebooks that are exponential moving averages of the data.

Sources: residual quantization and quantizer dropout as in SoundStream (Zeghidour et al. 2021, sections III-C, III-D),
codebook updates as in VQ-VAE-2 (Razavi et al. 2019, appendix), k-means start and restart of dead entries as in EnCodec
(Défossez et al. 2022, section 3.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spooftrace.common.english import counted


class Quantized(NamedTuple):
    """Result of a quantizer.

    Attributes:
        values: (B, T, D), sum of the chosen code vectors, with the gradient of the input (straight-through).
        codes: (B, Q, T) int64, entry chosen by each quantizer.
        commitment: Scalar, mean squared distance of each residual to its code vector, relative to the input's variance.
        semantic: (B, T, D), contribution of the semantic codebook; None without one.
    """

    values: Tensor
    codes: Tensor
    commitment: Tensor
    semantic: Tensor | None = None


class Quantizer(nn.Module, ABC):
    """Base class of quantizers.

    Attributes:
        codebook_size: Entries of each codebook; levels of each scalar.
        num_quantizers: Number of codebooks or scalars.
    """

    codebook_size: int
    num_quantizers: int

    @abstractmethod
    def forward(
        self, x: Tensor, num_quantizers: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Quantized:
        """Quantize vectors.

        Args:
            x: (B, T, D).
            num_quantizers: (B,), how many quantizers each item uses; all by default.
            generator: Source of the random draws of training.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Return the vectors (B, T, D) of codes (B, Q, T), Q from 1 to ``num_quantizers``.

        Raises:
            ValueError: The codes are impossible; see ``check_codes``.
        """


class ResidualVectorQuantizer(Quantizer):
    """``num_quantizers`` consecutive codebooks; each codes the residual of those before.

    In training mode a forward pass also updates the codebooks. The first pass initialises them by k-means.

    Args:
        dim: Size D of the vectors.
        codebook_size: Entries K of each codebook.
        num_quantizers: Number of codebooks.
        decay: Decay of the moving averages per training step.
        dead_below: An entry that codes less than this fraction of 1 / K of the vectors is replaced by a random vector.
        kmeans_iterations: Iterations of the initialisation on the first batch.
    """

    codebooks: Tensor
    usage: Tensor
    sums: Tensor
    started: Tensor

    def __init__(
        self,
        dim: int,
        codebook_size: int = 256,
        num_quantizers: int = 8,
        decay: float = 0.98,
        dead_below: float = 0.05,
        kmeans_iterations: int = 8,
    ) -> None:
        super().__init__()
        self.codebook_size, self.num_quantizers = codebook_size, num_quantizers
        self.decay, self.dead_below, self.kmeans_iterations = decay, dead_below, kmeans_iterations
        self.register_buffer("codebooks", torch.zeros(num_quantizers, codebook_size, dim))  # (Q, K, D)
        # Moving averages of each entry, for training: number and sum of the vectors that chose it.
        self.register_buffer("usage", torch.ones(num_quantizers, codebook_size))  # (Q, K)
        self.register_buffer("sums", torch.zeros(num_quantizers, codebook_size, dim))  # (Q, K, D)
        self.register_buffer("started", torch.tensor(False))

    def forward(
        self, x: Tensor, num_quantizers: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Quantized:
        """Quantize, and in training mode update the codebooks.

        Args:
            x: (B, T, D).
            num_quantizers: (B,), how many codebooks each item uses (quantizer dropout); all by default.
            generator: Source of the random draws of training (k-means, replacement of dead entries).
        """
        batch, frames, dim = x.shape
        if num_quantizers is None:
            num_quantizers = torch.full((batch,), self.num_quantizers, device=x.device)
        flat = x.reshape(-1, dim)  # (B, T, D) -> (B*T, D)
        if self.training and not self.started:
            self._start(flat.detach(), generator)
        variance = flat.detach().var() + 1e-5
        residual, total, commitment, codes = flat, torch.zeros_like(flat), flat.new_zeros(()), []
        for index in range(int(num_quantizers.max())):
            chosen = nearest(residual.detach(), self.codebooks[index])  # (B*T,)
            vectors = self.codebooks[index][chosen]  # (B*T, D)
            active = (num_quantizers > index).repeat_interleave(frames)  # (B,) -> (B*T,)
            if self.training:
                self._learn(index, residual.detach()[active], chosen[active], generator)
            distance = (residual - vectors).square() * active[:, None]
            commitment = commitment + distance.mean() / variance
            total = total + vectors * active[:, None]
            residual = residual - vectors
            codes.append(chosen.view(batch, frames))
        values = flat + (total - flat).detach()  # straight-through gradient
        return Quantized(values.view_as(x), torch.stack(codes, 1), commitment / self.num_quantizers)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, Q, T), Q from 1 to ``num_quantizers``, -> vectors (B, T, D); see ``check_codes``."""
        check_codes(codes, self.codebook_size, self.num_quantizers)
        return torch.stack([self.codebooks[q][codes[:, q]] for q in range(codes.shape[1])]).sum(0)

    def resume_from_codebooks(self) -> None:
        """Keep the current codebooks, loaded from a file without moving averages, instead of running k-means."""
        self.started.fill_(True)
        self.usage.fill_(1.0)
        self.sums.copy_(self.codebooks)

    @torch.no_grad()
    def _start(self, x: Tensor, generator: torch.Generator | None) -> None:
        """Set each codebook to the k-means centres of its residuals."""
        residual = x
        for index in range(self.num_quantizers):
            centres = self._sample(residual, self.codebook_size, generator)
            # Equal centres would stay equal: move the repeated vectors of a small batch apart.
            noise = torch.randn(centres.shape, generator=generator, device=x.device)
            centres = centres + 1e-3 * residual.std() * noise
            for _ in range(self.kmeans_iterations):
                counts, sums = self._count(residual, nearest(residual, centres))
                centres = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), centres)
            self.codebooks[index] = centres
            self.usage[index] = 1
            self.sums[index] = centres
            residual = residual - centres[nearest(residual, centres)]
        self.started.fill_(True)

    @torch.no_grad()
    def _learn(self, index: int, x: Tensor, chosen: Tensor, generator: torch.Generator | None) -> None:
        """Update codebook ``index`` with the vectors ``x`` (N, D) that chose its entries ``chosen`` (N,)."""
        if not len(x):
            return
        usage, sums = self.usage[index], self.sums[index]  # views: in-place changes below reach the buffers
        batch_counts, batch_sums = self._count(x, chosen)
        usage.mul_(self.decay).add_(batch_counts, alpha=1 - self.decay)
        sums.mul_(self.decay).add_(batch_sums, alpha=1 - self.decay)
        fair = len(x) / self.codebook_size
        dead = usage < self.dead_below * fair
        count = int(dead.sum())
        if count:
            usage[dead] = 0.5 * fair  # enough for several steps without vectors
            sums[dead] = 0.5 * fair * self._sample(x, count, generator)
        # Laplace smoothing avoids a division by almost zero for rare entries.
        total = usage.sum()
        smoothed = (usage + 1e-5) / (total + self.codebook_size * 1e-5) * total
        self.codebooks[index] = sums / smoothed[:, None]

    def _count(self, x: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return the number (K,) and the sum (K, D) of the vectors ``x`` (N, D) that chose each entry."""
        counts = torch.bincount(chosen, minlength=self.codebook_size).to(x.dtype)
        sums = x.new_zeros(self.codebook_size, x.shape[1]).index_add_(0, chosen, x)
        return counts, sums

    @staticmethod
    def _sample(x: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw ``count`` rows of ``x`` (N, D), with repetition only if N is smaller."""
        rounds = -(-count // len(x))
        order = [torch.randperm(len(x), generator=generator, device=x.device) for _ in range(rounds)]
        return x[torch.cat(order)[:count]]


def check_codes(codes: Tensor, codebook_size: int, num_quantizers: int) -> None:
    """Check that ``codes`` (B, Q, T) can be decoded.

    Raises:
        ValueError: Q exceeds the number of quantizers, or a code is outside of 0 .. K-1.
    """
    if codes.shape[1] > num_quantizers:
        raise ValueError(f"codes of {counted(codes.shape[1], 'quantizer')}; this codec has {num_quantizers}")
    if codes.numel() and (codes.min() < 0 or codes.max() >= codebook_size):
        raise ValueError(f"codes must lie in 0 .. {codebook_size - 1}")


def nearest(x: Tensor, codebook: Tensor) -> Tensor:
    """Return the index (N,) of the entry of ``codebook`` (K, D) closest to each row of ``x`` (N, D)."""
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2, and |x|^2 is the same for all entries.
    return (codebook.square().sum(1) - 2 * x @ codebook.T).argmin(1)
