"""Several layers of Whisper's encoder, for back-ends that take layers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spooftrace.frontends.whisper import Whisper


class WhisperLayers(Whisper):
    """Selected encoder layers: wave (B, N) -> layers (B, L, T, D), 50 frames per second; the encoder is frozen.

    Each equals the output of ``Whisper`` for that ``layer``. Layers above the highest are neither kept nor computed.

    Args:
        layers: Numbers of the layers, from 1, in the order of the output.
        model: Folder or Hugging Face name, see ``Whisper``.
        padding: Kind of padding, see ``Whisper``.

    Raises:
        InputError: The model is not available.
        ValueError: An unknown layer or padding.
    """

    def __init__(self, layers: list[int], model: str = "openai/whisper-base", padding: Literal["30s", "none"] = "30s"):
        if not layers or min(layers) < 1:
            raise ValueError(f"layers {layers}: must be one or more numbers from 1")
        super().__init__(model, max(layers), padding)
        self.layout = "layers"
        self.layers = list(layers)

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {"layers": " ".join(map(str, self.layers)), "padding": self.padding}

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        x = super().extract(wave, wave_len)  # (B, N) -> (B, T, L * D)
        return x.unflatten(2, (len(self.layers), -1)).transpose(1, 2).contiguous()  # -> (B, L, T, D)

    def _encode(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        """Encode waves (B, S) of up to 30 s as (B, S / 320, L * D)."""
        outputs: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            outputs.append(output)

        with ExitStack() as hooks:
            for layer in self.encoder.layers:
                hooks.enter_context(layer.register_forward_hook(keep))
            super()._encode(wave, wave_len)
        return torch.cat([outputs[number - 1] for number in self.layers], dim=2)  # L x (B, T, D) -> (B, T, L * D)
