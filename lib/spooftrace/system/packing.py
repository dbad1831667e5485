"""Running frozen networks fast: reduced precision where the hardware has it, and weights packed for the CPU.

PyTorch computes linear layers in float32 with MKL, which is slow on processors that are not Intel's, and converts
frozen float32 weights to bfloat16 anew in every call under autocast. oneDNN, which PyTorch also contains, is fast on
all x86 processors; ``pack`` hands it the weights once, in the layout and type in which they will be used.
"""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from spooftrace.common.errors import InputError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# As Linux names them; the last one is Arm's. Without any of them bfloat16 is emulated, slower than float32.
BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision that the device does not compute in.

    Going on in another one would give an array job on mixed machines parts of different numbers.

    Raises:
        InputError: bf16 on a processor or GPU without instructions for it; fp16 on a processor.
    """
    if precision == "fp32":
        return
    if device.type == "cpu":
        able = precision == "bf16" and has_bf16_instructions()
    else:
        able = precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    if not able:
        what = "processor" if device.type == "cpu" else "GPU"
        raise InputError(f"--precision {precision}: this {what} has no instructions for it; use --precision fp32")


def has_bf16_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies matrices of bfloat16 (avx512_bf16, AMX, or Arm's)."""
    return cpuinfo.exists() and not BF16_INSTRUCTIONS.isdisjoint(cpuinfo.read_text(encoding="utf-8").split())


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Let what runs inside compute in ``precision`` where that is safe; does nothing for fp32."""
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32")


class InPrecision(nn.Module):
    """A front-end that computes in another precision and gives float32 again, as what stage 3 stores does.

    Args:
        frontend: On ``device``, and packed for ``precision`` if at all.
        precision: What it computes in.
        device: Where it is.
    """

    def __init__(self, frontend: nn.Module, precision: Precision, device: torch.device) -> None:
        super().__init__()
        self.frontend, self.precision, self.device = frontend, precision, device

    def forward(self, wave: Tensor, wave_len: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(self.precision, self.device):
            features, lengths = self.frontend(wave, wave_len)
        return features.float() if features.is_floating_point() else features, lengths  # codes are integers


def pack(module: nn.Module, precision: Precision) -> None:
    """Prepare a frozen module for inference on an x86 processor, in place; elsewhere only fold weight norms.

    Linear and plain one-dimensional convolution layers become ``PackedLinear`` and ``PackedConv1d``. The numbers change
    by float rounding only. Afterwards the module has no ``state_dict`` worth saving and cannot be trained.
    """
    for part in module.modules():
        if parametrize.is_parametrized(part):  # e.g. weight norm, otherwise computed again in every call
            for name in list(part.parametrizations):
                parametrize.remove_parametrizations(part, name)
    if platform.machine() == "x86_64" and torch.backends.mkldnn.is_available():
        _pack_children(module, DTYPES[precision])


def _pack_children(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in list(module.named_children()):
        # Subclasses may compute something else.
        if type(child) is nn.Linear:
            setattr(module, name, PackedLinear(child, dtype))
        elif type(child) is nn.Conv1d and child.groups == 1 and child.dilation == (1,) and _pads_zeros(child):
            setattr(module, name, PackedConv1d(child, dtype))
        else:
            _pack_children(child, dtype)


def _pads_zeros(convolution: nn.Conv1d) -> bool:
    return convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)


class _Packed(nn.Module):
    """A matrix (O, I) and a bias (O,) in oneDNN's layout; ``dtype`` is that of the inputs, weights and outputs."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous())
        self.bias = None if bias is None else bias.detach().to(dtype)

    def multiply(self, x: Tensor) -> Tensor:
        """x (..., I) -> (..., O)."""
        return torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.packed, self.bias, "none", [], "")


class PackedLinear(_Packed):
    """What ``nn.Linear`` computes: x (..., I) -> (..., O)."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__(linear.weight, linear.bias, dtype)
        self.in_features, self.out_features = linear.in_features, linear.out_features

    @property
    def weight(self) -> Tensor:
        """The weights (O, I), unpacked for modules that look at those of their children; slow."""
        return self.packed.to_dense()

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(x)


class PackedConv1d(_Packed):
    """What ``nn.Conv1d`` without groups computes, as one matrix product: x (B, C, N) -> (B, O, T).

    The output has the channels of a frame side by side in memory. A LayerNorm over channels and another such
    convolution then need no transposed copy, and these copies cost as much as the convolution itself.
    """

    def __init__(self, convolution: nn.Conv1d, dtype: torch.dtype) -> None:
        weight = convolution.weight.transpose(1, 2).flatten(1)  # (O, C, K) -> (O, K, C) -> (O, K * C)
        super().__init__(weight, convolution.bias, dtype)
        (self.kernel,), (self.stride,), (self.padding,) = (
            convolution.kernel_size, convolution.stride, convolution.padding,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x.to(self.dtype).transpose(1, 2), (0, 0, self.padding, self.padding)).contiguous()  # -> (B, N, C)
        batch, samples, channels = x.shape
        frames = (samples - self.kernel) // self.stride + 1
        # A frame's inputs are consecutive in memory, so a window is a row: (B, N, C) -> (B, T, K * C).
        strides = (samples * channels, self.stride * channels, 1)
        x = x.as_strided((batch, frames, self.kernel * channels), strides).contiguous()
        return self.multiply(x).transpose(1, 2)  # (B, T, O) -> (B, O, T)
