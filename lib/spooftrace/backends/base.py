"""The base class of back-ends: what each must define, and what it may define."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from spooftrace.common.errors import InputError

LAYOUTS = ("frames", "layers", "vector", "codes", "wave")
SEE = "the docstring of spooftrace.backends.Backend has an example"


class Backend(nn.Module):
    """Features in, outputs out: ``forward`` takes one batch of each stream and returns outputs (B, num_outputs).

    The streams come in the order of the configuration, in these layouts: ``wave`` (B, N) float32 at 16 kHz, ``frames``
    (B, T, D), ``layers`` (B, L, T, D), ``codes`` (B, Q, T) integers, ``vector`` (B, D). Outputs are logits as a rule:
    no loss, and no softmax unless the published system ends in one (SLS). ``forward`` raises ``ValueError`` for an
    input of another shape, or one that is shorter than ``min_frames``; the message says what would fit.

    A subclass must define ``layouts`` and ``num_outputs``. Everything else has a default.

    Attributes:
        layouts: For each stream, the layouts that the back-end takes, e.g. ``(("layers",), ("codes",))``.
        num_outputs: Number of outputs, a constructor argument.
        input_dim: Width D of the first stream; 0 if the back-end takes any. ``System`` compares it with the width
            of a single stream.
        widths: Width of each stream, for back-ends of several streams.
        num_layers: Number of layers L of back-ends that take ``layers`` without an ``aggregation``; 0 if they take any.
        num_quantizers: Number of quantizers Q, for back-ends that take ``codes``.
        min_frames: Fewest frames of an input.
        pretrained: File of pretrained weights that ``initialise`` loads.
        needs_codebooks: Whether a training must first call ``start_from`` with the codebooks of the codec.

    Examples:
        >>> import torch
        >>> class Mean(Backend):
        ...     layouts = (("frames",),)
        ...
        ...     def __init__(self, input_dim: int, num_outputs: int = 2) -> None:
        ...         super().__init__()
        ...         self.input_dim, self.num_outputs = input_dim, num_outputs
        ...         self.linear = nn.Linear(input_dim, num_outputs)
        ...
        ...     def forward(self, x: Tensor) -> Tensor:
        ...         return self.linear(x.mean(1))  # (B, T, D) -> (B, D) -> (B, num_outputs)
        >>> Mean(60)(torch.zeros(4, 100, 60)).shape
        torch.Size([4, 2])
    """

    layouts: Sequence[Sequence[str]]
    num_outputs: int
    input_dim: int = 0
    widths: Sequence[int] = ()
    num_layers: int = 0
    num_quantizers: int = 0
    min_frames: int = 1
    pretrained: str | None = None
    needs_codebooks: bool = False

    def total_loss(
        self, loss: Tensor, targets: Tensor, whole: Callable[[Tensor], Tensor] = lambda share: share
    ) -> Tensor:
        """Loss that training minimises. Default: the loss of the task.

        Called in training directly after ``forward``, so a back-end may keep tensors of the batch for it.

        Args:
            loss: Loss of the task over the whole batch, a scalar.
            targets: Targets of the whole batch, (B,) or (B, K).
            whole: Gathers the batch of all ranks, (B / world size, ...) -> (B, ...). A back-end applies it to what it
                has kept of its own share.

        Returns:
            A scalar.
        """
        return loss

    def figures(self) -> dict[str, float]:
        """Values to log after every epoch, by name, such as learned curvatures. Default: none."""
        return {}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameter groups with optimizer settings of their own, as ``torch.optim`` takes them. Default: none."""
        return []

    def initialise(self) -> str | None:
        """Load ``pretrained`` before a training that is not resumed. Default: nothing to load.

        Returns:
            A line to print that says what the back-end starts from.

        Raises:
            ValueError: The file cannot be read, or its weights have other sizes.
        """
        return None

    def start_from(self, codebooks: Tensor) -> None:
        """Set the tables of code vectors, for back-ends with ``needs_codebooks``.

        Args:
            codebooks: The vectors of each quantizer, (Q, K, D).

        Raises:
            ValueError: The tables have another size.
        """
        raise ValueError(f"{type(self).__name__} has no tables of code vectors")


def check_backend(module: nn.Module) -> Backend:
    """Return ``module`` if it is a back-end with valid ``num_outputs`` and ``layouts``.

    Raises:
        InputError: Something is missing or invalid; the message names it.
    """
    name = type(module).__name__
    if not isinstance(module, Backend):
        raise InputError(f"backend {name}: does not derive from spooftrace.backends.Backend; {SEE}")
    required = {
        "num_outputs": "the number of its outputs",
        "layouts": 'for each of its streams the layouts that it takes, such as (("frames",),)',
    }
    missing = [f"{attribute} ({what})" for attribute, what in required.items() if not hasattr(module, attribute)]
    if missing:
        raise InputError(f"backend {name}: has no attribute {' and no '.join(missing)}; {SEE}")
    count, layouts = module.num_outputs, module.layouts
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InputError(f"backend {name}: num_outputs is {count!r}; it must be a whole number above 0; {SEE}")
    if not _is_list(layouts) or not all(_is_list(kinds) and set(kinds) <= set(LAYOUTS) for kinds in layouts):
        raise InputError(
            f"backend {name}: layouts is {layouts!r}; for each stream it must list some of {', '.join(LAYOUTS)}, such "
            f'as (("frames",),); {SEE}'
        )
    return module


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
