"""Batch norm for training on a CPU with channels-last tensors, the layout in which its convolutions are fastest."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PreciseBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` that stays precise in training on a CPU with channels-last tensors.

    In that case PyTorch sums float32 numbers sequentially: for a million of them the variance is off by 1e-4, and the
    gradient of AASIST, which amplifies the error, by several per cent. This class uses ``Tensor.sum``, which sums in
    blocks. In all other cases it is ``nn.BatchNorm2d``.
    """

    def forward(self, x: Tensor) -> Tensor:
        count = x.numel() // x.size(1)
        channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        on_cpu = x.device.type == "cpu" and x.dtype == torch.float32
        if not (self.training and on_cpu and channels_last and count > 1):
            return super().forward(x)
        y, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps)
        tracked = (self.num_batches_tracked, self.running_mean, self.running_var)
        update_statistics(*tracked, mean, variance * (count / (count - 1)), self.momentum)
        return y


def update_statistics(
    count: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    new_mean: Tensor,
    new_variance: Tensor,
    momentum: float | None,
) -> None:
    """Update the running statistics of a batch norm in place, with ``momentum`` or, if it is None, cumulatively."""
    assert count is not None and mean is not None and variance is not None  # the norm tracks its statistics
    count += 1
    weight = 1 / float(count) if momentum is None else momentum
    mean.lerp_(new_mean, weight)
    variance.lerp_(new_variance, weight)


class _Normalise(torch.autograd.Function):
    """(B, C, F, T) channels last, weight (C,), bias (C,) -> normalised, mean (C,) and variance (C,) of the batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        rows = _rows(x)
        mean = rows.mean(dim=0)
        variance = (rows.square().sum(dim=0) / len(rows) - mean.square()).clamp(min=0)
        ctx.save_for_backward(x, mean, (variance + eps).rsqrt(), weight)
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        x, mean, scale, weight = ctx.saved_tensors  # scale: 1 / standard deviation
        grad = grad.contiguous(memory_format=torch.channels_last)
        rows, grads = _rows(x), _rows(grad)
        grad_bias = grads.sum(dim=0)
        grad_weight = ((grads * rows).sum(dim=0) - mean * grad_bias) * scale
        # The gradient of x is linear in the gradient and in x: weight * scale * (g - mean(g) - x^ * mean(g * x^)).
        slope = -weight * scale.square() * grad_weight / len(rows)
        offset = -weight * scale * grad_bias / len(rows) - slope * mean
        grad_rows = torch.addcmul(offset, rows, slope).addcmul_(grads, weight * scale)
        return grad_rows.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2), grad_weight, grad_bias, None


def _rows(x: Tensor) -> Tensor:
    """(B, C, F, T), channels last -> (B * F * T, C), without a copy."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)
