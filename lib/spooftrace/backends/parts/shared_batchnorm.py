"""Batch norm over the batch of all processes that train together on CPUs, which torch's SyncBatchNorm cannot."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(_BatchNorm):
    """``nn.BatchNorm1d``, ``2d`` or ``3d`` with mean and variance of the whole batch, (B, C, ...) -> (B, C, ...).

    All processes have equal shares of the batch. In evaluation mode it is ordinary batch norm.
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
            self._track(mean.detach(), variance.detach() * (count / max(1, count - 1)))
        y = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class _Sum(torch.autograd.Function):
    """The sum over all processes; the gradient is the sum of what all of them pass back."""

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
    """Replace every batch norm inside ``module`` by one over the batch of all processes, with the same state."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, SharedBatchNorm):
            shared = SharedBatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            # The same parameters and buffers, which others may hold already.
            shared._parameters, shared._buffers = child._parameters, child._buffers
            shared.train(child.training)
            setattr(module, name, shared)
        else:
            share_batch_norm(child)
