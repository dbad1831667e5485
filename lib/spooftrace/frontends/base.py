"""Base class of front-ends: waveform -> features."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar, get_args

import torch
from torch import Tensor, nn

WEIGHTS = "weights_sha256"  # key of a fingerprint: the hash of all tensors
Layout = Literal["frames", "layers", "vector", "codes", "wave"]
Length = TypeVar("Length", int, Tensor)


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Return a mask that is True within the length of each item: lengths (B,) -> (B, size) bool.

    >>> length_mask(torch.tensor([1, 3]), 3).tolist()
    [[True, False, False], [True, True, True]]
    """
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)  # (B, 1) against (size,) -> (B, size)


class Codebook(Protocol):
    """Codebook of one quantizer."""

    embed: Tensor  # (K, D)


class FrontEnd(nn.Module, ABC):
    """Turns 16 kHz waveforms into one stream of features.

    Attributes:
        layout: Shape of the features: ``frames`` (B, T, D), ``layers`` (B, L, T, D), ``vector`` (B, D),
            ``codes`` (B, Q, T) or ``wave`` (B, N).
        dim: D, the size of one feature vector (Q for codes, 1 for a wave).
        frame_rate: Frames per second (0 for a vector, the sample rate for a wave).
        finetune: Whether the weights are trained with the back-end.
        codebooks: The codebook of each quantizer, with its vectors (K, D) in ``embed``; empty if there are none.
        packable: Whether ``spooftrace.system.packing`` may replace its layers by faster ones, equal up to float
            rounding. False if another package accesses the layers, or if rounding can change a code.

    A subclass calls ``super().__init__``, builds its modules, ends its constructor with
    ``self.freeze_unless_finetuned()``, and implements ``extract``, ``num_frames`` and ``arguments``.

    Every front-end guarantees:

    * The features of an utterance in a padded batch equal those of the utterance alone (up to float rounding), whatever
      the padding: ``forward`` sets it to zero, and ``extract`` must not let it affect the features.
    * A frozen front-end (with weights and ``finetune=False``) stays in eval mode in spite of ``train()`` and runs under
      ``torch.no_grad``. A front-end without weights passes gradients to the wave.
    """

    packable = True
    codebooks: Sequence[Codebook] = ()

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
        """Whether the front-end has weights that are not trained."""
        return not self.finetune and next(self.parameters(), None) is not None

    def freeze_unless_finetuned(self) -> None:
        """Freeze the weights and turn off dropout unless fine-tuned; the last call of a subclass's constructor."""
        if self.frozen:
            self.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> FrontEnd:
        return super().train(mode and not self.frozen)

    def forward(self, wave: Tensor, wave_len: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features of a batch of utterances.

        Args:
            wave: (B, N) float, 16 kHz, amplitude within -1..1. Samples past ``wave_len`` are ignored.
            wave_len: (B,) integers from 1 to N, number of samples of each utterance.

        Returns:
            The features in the shape of ``layout``, with T = ``num_frames(N)``, zero after the end of each utterance;
            and their lengths (B,), ``num_frames(wave_len)``.

        Raises:
            ValueError: The shapes do not match.
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
        """Compute the features of waves (B, N) that are zero after ``wave_len`` (B,)."""

    @abstractmethod
    def num_frames(self, num_samples: Length) -> Length:
        """Return the exact number of frames for ``num_samples`` samples (int or integer tensor).

        1 for a ``vector``, the number of samples for a ``wave``.
        """

    @abstractmethod
    def arguments(self) -> dict[str, str | int | float | bool]:
        """Return the constructor arguments that determine the features, without paths."""

    def fingerprint(self) -> dict[str, str | int | float | bool]:
        """Return what determines the features: class, arguments, and the SHA-256 of the weights, if any.

        It is stored beside a cached feature archive, which is valid for front-ends with an equal fingerprint.
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
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
