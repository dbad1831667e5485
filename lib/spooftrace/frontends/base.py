"""What every front-end (waveform -> features) promises to the rest of spooftrace."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

WEIGHTS = "weights_sha256"  # of a fingerprint: the hash of all tensors
Layout = Literal["frames", "layers", "vector", "codes", "wave"]
Length = TypeVar("Length", int, Tensor)


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """True for positions that belong to the item, False for its padding: lengths (B,) -> (B, size) bool.

    >>> length_mask(torch.tensor([1, 3]), 3).tolist()
    [[True, False, False], [True, True, True]]
    """
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)  # (B, 1) against (size,) -> (B, size)


class FrontEnd(nn.Module, ABC):
    """Turns 16 kHz waveforms into one stream of features.

    Attributes:
        layout: How the features lie: ``frames`` (B, T, D), ``layers`` (B, L, T, D), ``vector`` (B, D),
            ``codes`` (B, Q, T) or ``wave`` (B, N).
        dim: D, the size of one feature vector (Q for codes, 1 for a wave).
        frame_rate: Frames per second (0 for a vector, the sample rate for a wave).
        finetune: Whether the weights are trained along with the back-end.
        packable: Whether its layers may be replaced by ones that compute the same faster, up to float rounding
            (``spooftrace.system.packing``); not where another package looks into them, or rounding decides about codes.

    A subclass calls ``super().__init__``, builds its modules, ends its constructor with
    ``self.freeze_unless_finetuned()``, and implements ``extract``, ``num_frames`` and ``arguments``.

    Two promises hold for every front-end:

    * A padded batch gives each utterance the same numbers as that utterance alone (up to float rounding), whatever the
      samples after its end are: ``forward`` sets them to zero, and ``extract`` does the rest.
    * A frozen front-end (it has weights and ``finetune`` is False) stays in eval mode whatever ``train()`` says and
      runs under ``torch.no_grad``. Without weights there is nothing to freeze: gradients then flow through to the wave.
    """

    packable = True

    def __init__(self, layout: Layout, dim: int, frame_rate: float, finetune: bool = False):
        super().__init__()
        if layout not in get_args(Layout):
            raise ValueError(f"layout {layout!r} is none of {', '.join(get_args(Layout))}")
        self.layout = layout
        self.dim = dim
        self.frame_rate = frame_rate
        self.finetune = finetune

    @property
    def frozen(self) -> bool:
        """True when there are weights and they are not to be trained."""
        return not self.finetune and next(self.parameters(), None) is not None

    def freeze_unless_finetuned(self) -> None:
        """Last call of a subclass's constructor: a frozen front-end's weights ask for no gradient, dropout is off."""
        if self.frozen:
            self.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> FrontEnd:
        return super().train(mode and not self.frozen)

    def forward(self, wave: Tensor, wave_len: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a batch of utterances.

        Args:
            wave: (B, N) float, 16 kHz, amplitude within -1..1. Samples past ``wave_len`` are ignored.
            wave_len: (B,) integers, number of samples of each utterance, 1..N.

        Returns:
            The features in the shape that ``layout`` names, with T = ``num_frames(N)``, zero after the end of each
            utterance; and their lengths (B,), ``num_frames(wave_len)``.

        Raises:
            ValueError: The shapes do not fit together.
        """
        if wave.ndim != 2 or wave_len.shape != wave.shape[:1]:
            raise ValueError(
                f"expected wave (B, N) and wave_len (B,), got {tuple(wave.shape)}, {tuple(wave_len.shape)}"
            )
        wave_len = wave_len.to(wave.device)
        wave = wave.masked_fill(~length_mask(wave_len, wave.shape[1]), 0.0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.extract(wave, wave_len), self.num_frames(wave_len)

    @abstractmethod
    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        """The features alone, for a wave (B, N) that is already zero after ``wave_len`` (B,)."""

    @abstractmethod
    def num_frames(self, num_samples: Length) -> Length:
        """Exact number of frames that ``num_samples`` samples give, without running anything (int or integer tensor).

        1 for a ``vector``, the number of samples for a ``wave``.
        """

    @abstractmethod
    def arguments(self) -> dict[str, str | int | float | bool]:
        """The constructor arguments that decide the numbers (not where a model lies on the disk)."""

    def fingerprint(self) -> dict[str, str | int | float | bool]:
        """What decides the numbers: class, arguments, sha256 of the weights if there are any.

        Stored beside a cached feature archive; the archive is still right if it equals that of the front-end at hand.
        """
        fingerprint = {"class": type(self).__name__, **self.arguments()}
        weights = self.state_dict()
        if weights:
            fingerprint[WEIGHTS] = _sha256(weights)
        return fingerprint


def _sha256(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # As bytes, because numpy has no bfloat16.
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
