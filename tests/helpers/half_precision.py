"""Checks of networks under autocast to bfloat16, on processors with and without instructions for it.

bfloat16 has 8 significant bits. Processors multiply bfloat16 numbers exactly, add the products in float32 and round the
sum, or emulate that. Which kernels PyTorch chooses depends on the processor, and some are wrong: oneDNN 3.12, which
PyTorch 2.13 contains, has AMX kernels for strided convolutions whose errors are as large as their results
(pytorch/pytorch#169688, uxlfoundation/oneDNN#5494). A test of a network must distinguish such an error from one of
this repository. ``OperationCheck`` therefore repeats each operation on the same numbers in float32.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

EPS = torch.finfo(torch.bfloat16).eps
OPERATIONS = {
    "aten::convolution", "aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::gelu",
    "aten::native_layer_norm", "aten::native_group_norm", "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::mkldnn_linear", "mkldnn::_linear_pointwise",
}  # fmt: skip


class OperationCheck(TorchDispatchMode):
    """Count the operations on bfloat16 numbers, and record those that differ from float32 by more than rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.wrong: list[str] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        name = operation.name().partition(".")[0]
        if name in OPERATIONS and any(_is_bfloat16(x) for x in tree_flatten((args, kwargs))[0]):
            self.count += 1
            exact = operation(*tree_map(_widen, args), **tree_map(_widen, kwargs or {}))
            got, right = (x[0] if isinstance(x, tuple) else x for x in (result, exact))
            # One rounding of the sum, and one of an intermediate result in softmax and attention: half of EPS each.
            if not (got.float() - right).abs().max() <= 2 * EPS * right.abs().max():
                shapes = [tuple(x.shape) for x in tree_flatten(args)[0] if isinstance(x, Tensor)]
                self.wrong.append(f"{name} of {shapes}")
        return result


def _is_bfloat16(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.bfloat16


def _widen(value: Any) -> Any:
    return value.float() if _is_bfloat16(value) else value


def check_bfloat16_autocast(model: nn.Module, *inputs: Tensor) -> None:
    """Assert that a model (inputs -> features, lengths) computes the same under autocast as in float32, up to rounding.

    Each operation rounds two inputs and an output, each by at most EPS / 2. These errors are independent, so their
    squares add up. The test is an expected failure, with the operation's name, where PyTorch computes an operation
    wrongly on this processor.
    """
    expected, _ = model(*inputs)
    operations = OperationCheck()
    with torch.autocast("cpu", dtype=torch.bfloat16), operations:
        features, _ = model(*inputs)
    assert operations.count > 0, "nothing ran in bfloat16"
    assert torch.isfinite(features).all()
    if operations.wrong:
        pytest.xfail(f"PyTorch's bfloat16 is wrong on this processor: {'; '.join(operations.wrong)}")
    difference = relative_difference(features.float(), expected)
    assert difference < EPS / 2 * math.sqrt(3 * operations.count)


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())
