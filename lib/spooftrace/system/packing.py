"""Fast inference with frozen networks: reduced precision where the hardware supports it, packed weights on the CPU.

PyTorch computes float32 linear layers with MKL, which is slow on processors of other makers than Intel. Under autocast
it converts frozen float32 weights to bfloat16 in every call. oneDNN, which PyTorch also contains, is fast on all x86
processors; :func:`pack` stores the weights once in oneDNN's layout and data type.
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
# Flags of /proc/cpuinfo; ``bf16`` is Arm's. Processors without them emulate bfloat16, which is slower than float32.
BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision that the device does not support.

    A silent fallback to another precision would mix different numbers in an array job on mixed machines.

    Args:
        precision: The requested precision.
        device: Device of the computation.

    Raises:
        InputError: bf16 on a processor or GPU without instructions for it; fp16 on a processor.
    """
    if precision == "fp32":
        return
    if device.type == "cpu":
        supported = precision == "bf16" and has_bf16_instructions()
    else:
        supported = precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    if not supported:
        hardware = "processor" if device.type == "cpu" else "GPU"
        raise InputError(f"--precision {precision}: this {hardware} has no instructions for it; use --precision fp32")


def has_bf16_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 matrices (AVX-512 BF16, AMX or Arm BF16)."""
    return cpuinfo.exists() and not BF16_INSTRUCTIONS.isdisjoint(cpuinfo.read_text(encoding="utf-8").split())


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to ``precision`` inside the block; for fp32 the block has no effect."""
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32")


class InPrecision(nn.Module):
    """A front-end that computes in ``precision`` and returns float32, the type of the features that stage 3 stores.

    Args:
        frontend: A front-end on ``device``; if it is packed, then for ``precision``.
        precision: Precision of the computation.
        device: Device of the front-end.
    """

    def __init__(self, frontend: nn.Module, precision: Precision, device: torch.device) -> None:
        super().__init__()
        self.frontend, self.precision, self.device = frontend, precision, device

    def forward(self, wave: Tensor, wave_len: Tensor) -> tuple[Tensor, Tensor]:
        """Features and their lengths of waveforms (B, N) of ``wave_len`` (B,) samples."""
        with autocast(self.precision, self.device):
            features, lengths = self.frontend(wave, wave_len)
        return features.float() if features.is_floating_point() else features, lengths  # codes are integers


def pack(module: nn.Module, precision: Precision) -> None:
    """Prepare a frozen module for inference, in place.

    Weight norms are folded into the weights. On x86 processors, linear layers and one-dimensional convolutions without
    groups or dilation become :class:`PackedLinear` and :class:`PackedConv1d`; the outputs change by float rounding
    only. A packed module cannot be trained, and its ``state_dict`` is incomplete.

    Args:
        module: The frozen module.
        precision: Precision of the inference.
    """
    for part in module.modules():
        if parametrize.is_parametrized(part) and isinstance(part.parametrizations, nn.ModuleDict):
            for name in list(part.parametrizations):  # e.g. weight norm, otherwise computed again in every call
                parametrize.remove_parametrizations(part, name)
    if platform.machine() == "x86_64" and torch.backends.mkldnn.is_available():
        _pack_children(module, DTYPES[precision])


def _pack_children(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in list(module.named_children()):
        # Compare exact types: subclasses may compute something else.
        if type(child) is nn.Linear:
            setattr(module, name, PackedLinear(child, dtype))
        elif type(child) is nn.Conv1d and child.groups == 1 and child.dilation == (1,) and _pads_zeros(child):
            setattr(module, name, PackedConv1d(child, dtype))
        else:
            _pack_children(child, dtype)


def _pads_zeros(convolution: nn.Conv1d) -> bool:
    return convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)


class _Packed(nn.Module):
    """A weight matrix (O, I) and a bias (O,) in oneDNN's layout; inputs and outputs are of ``dtype``, too."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous())
        self.bias = None if bias is None else bias.detach().to(dtype)

    def multiply(self, x: Tensor) -> Tensor:
        """The product with the matrix plus the bias: x (..., I) -> (..., O)."""
        return torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.packed, self.bias, "none", [], "")


class PackedLinear(_Packed):
    """A drop-in replacement of ``nn.Linear`` for inference: x (..., I) -> (..., O).

    Args:
        linear: The layer to replace.
        dtype: Data type of the weights, inputs and outputs.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__(linear.weight, linear.bias, dtype)
        self.in_features, self.out_features = linear.in_features, linear.out_features

    @property
    def weight(self) -> Tensor:
        """The unpacked weights (O, I), for modules that read the weights of their children; slow."""
        return self.packed.to_dense()

    def forward(self, x: Tensor) -> Tensor:
        """The output of the layer: x (..., I) -> (..., O)."""
        return self.multiply(x)


class PackedConv1d(_Packed):
    """An ``nn.Conv1d`` without groups or dilation, computed as one matrix product: x (B, C, N) -> (B, O, T).

    The channels of a frame are contiguous in the output. A LayerNorm over channels and another such convolution can
    therefore use it without a transposed copy, which would cost as much as the convolution itself.

    Args:
        convolution: The layer to replace; it pads with zeros.
        dtype: Data type of the weights, inputs and outputs.
    """

    def __init__(self, convolution: nn.Conv1d, dtype: torch.dtype) -> None:
        weight = convolution.weight.transpose(1, 2).flatten(1)  # (O, C, K) -> (O, K, C) -> (O, K * C)
        super().__init__(weight, convolution.bias, dtype)
        (self.kernel,), (self.stride,) = convolution.kernel_size, convolution.stride
        self.padding = int(convolution.padding[0])  # a number: pack() skips padding such as "same"

    def forward(self, x: Tensor) -> Tensor:
        """The output of the layer: x (B, C, N) -> (B, O, T)."""
        x = F.pad(x.to(self.dtype).transpose(1, 2), (0, 0, self.padding, self.padding)).contiguous()  # -> (B, N, C)
        batch, samples, channels = x.shape
        frames = (samples - self.kernel) // self.stride + 1
        # The inputs of a frame are contiguous, so each window is a row of a strided view: (B, N, C) -> (B, T, K * C).
        strides = (samples * channels, self.stride * channels, 1)
        x = x.as_strided((batch, frames, self.kernel * channels), strides).contiguous()
        return self.multiply(x).transpose(1, 2)  # (B, T, O) -> (B, O, T)
