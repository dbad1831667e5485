"""Bounds on the difference between two correct computations of the same values.

Processors add in different orders, fuse multiplications and additions or not, and round intermediate results to
different widths, so results differ in their last bits. The bounds here follow from the arithmetic: the precision, the
length of the sums and the size of the numbers, and not from the results of a particular processor.

The rule: rounding each of n terms of a sum to nearest, in any order, leaves an error like that of a random walk, about
u * sqrt(n) times the size of the numbers, u being half the distance from 1 to the next number (Higham and Mary, "A new
approach to probabilistic rounding error analysis", 2019). Two computations differ by at most twice that, eps * sqrt(n).
In a network, n counts the terms of all sums that follow one after another. Normalisation, attention and activations
amplify errors; the factor stands for that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

AMPLIFICATION = 2


def terms(model: nn.Module) -> int:
    """Return the number of terms of all successive sums of a network: the inputs per output, added over the layers."""
    return sum(parameter[0].numel() for parameter in model.parameters() if parameter.ndim > 1)


def rounding(expected: Tensor | float, sums: int | nn.Module, dtype: torch.dtype = torch.float32) -> float:
    """Return the largest difference that rounding explains.

    Args:
        expected: The correct values; the largest absolute value counts.
        sums: The number of terms of all successive sums, or the network that computes them.
        dtype: The precision of the less exact of the two computations.
    """
    count = terms(sums) if isinstance(sums, nn.Module) else sums
    scale = float(torch.as_tensor(expected).detach().abs().max())
    return AMPLIFICATION * torch.finfo(dtype).eps * math.sqrt(count) * scale


def assert_equal_up_to_rounding(
    actual: Tensor, expected: Tensor, sums: int | nn.Module, dtype: torch.dtype = torch.float32
) -> None:
    """Assert equal shapes and differences that ``rounding`` explains; the tensors may be of different precisions."""
    bound = rounding(expected, sums, dtype)
    torch.testing.assert_close(actual, expected, atol=bound, rtol=0, check_dtype=False)
