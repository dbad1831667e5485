"""Batch norm over the batch of all ranks for training on CPUs, which torch's SyncBatchNorm does not support."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from spooftrace.backends.parts.batchnorm import update_statistics


class SharedBatchNorm(_BatchNorm):
    """``nn.BatchNorm1d``, ``2d`` or ``3d`` with mean and variance over all ranks: (B, C, ...) -> (B, C, ...).

    All ranks must have batches of the same size. In evaluation mode it is ordinary batch norm.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"batch norm takes (B, C, ...), not {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not distributed.is_initialized():
            return super().forward(x)
        self._check_input_dim(x)
        others = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = distributed.get_world_size() * x.numel() // x.size(1)
        mean = _Sum.apply(x.sum(others)) / count  # (C,)
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(others)) / count  # (C,)
        if self.track_running_stats:
            tracked = (self.num_batches_tracked, self.running_mean, self.running_var)
            unbiased = variance.detach() * (count / max(1, count - 1))
            update_statistics(*tracked, mean.detach(), unbiased, self.momentum)
        y = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y


class _Sum(torch.autograd.Function):
    """Sum over all ranks; the gradient is the sum of the gradients of all ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        distributed.all_reduce(total)
        return total


def share_batch_norm(module: nn.Module) -> None:
    """Replace every batch norm inside ``module`` by one over the batch of all ranks, with the same state."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, SharedBatchNorm):
            shared = SharedBatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            # The same tensors, not copies: the optimizer may already hold the parameters.
            shared._parameters, shared._buffers = child._parameters, child._buffers
            shared.train(child.training)
            setattr(module, name, shared)
        else:
            share_batch_norm(child)
