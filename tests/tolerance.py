"""How far two correct computations of the same numbers may lie apart.

Processors add in different orders, fuse multiplications and additions or not, and round intermediate results to
different widths, so results differ in their last bits. The bounds here follow from the arithmetic: the precision, the
length of the sums and the size of the numbers. They do not follow from what one processor gives.

The rule: rounding each of n terms of a sum to nearest, in any order, leaves an error like that of a random walk, about
u * sqrt(n) times the size of the numbers, u being half the distance from 1 to the next number (Higham and Mary, "A new
approach to probabilistic rounding error analysis", 2019). Two computations differ by at most twice that, eps * sqrt(n).
In a network, n counts the terms of all sums that follow one after another. Normalisation, attention and activations
amplify errors by a few times, for which there is a factor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

AMPLIFICATION = 4


def terms(model: nn.Module) -> int:
    """The terms of all sums of a network one after another: the inputs of one output of each layer, added up."""
    return sum(parameter[0].numel() for parameter in model.parameters() if parameter.ndim > 1)


def rounding(expected: Tensor | float, terms: int, dtype: torch.dtype = torch.float32) -> float:
    """The largest difference that rounding explains.

    Args:
        expected: the right numbers; the largest absolute value counts.
        terms: length of the sums, one after another.
        dtype: the precision of the less exact of the two computations.
    """
    scale = float(torch.as_tensor(expected).abs().max())
    return AMPLIFICATION * torch.finfo(dtype).eps * math.sqrt(terms) * scale


def assert_equal_up_to_rounding(
    actual: Tensor, expected: Tensor, terms: int, dtype: torch.dtype = torch.float32
) -> None:
    """Assert equal shapes and differences that rounding explains; the tensors may be of different precisions."""
    bound = rounding(expected, terms, dtype)
    torch.testing.assert_close(actual, expected, atol=bound, rtol=0, check_dtype=False)
