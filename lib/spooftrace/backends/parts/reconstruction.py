"""Losses of systems that reconstruct and classify their input: multi-decoder reconstruction, automatic weighting."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Hinge = Literal["each", "mean"]


def reconstruction_loss(errors: Tensor, targets: Tensor, margin: float = 0.1, hinge: Hinge = "each") -> Tensor:
    """Compute the error of the target's decoder plus a hinge on its margin to the other decoders.

    Args:
        errors: (B, N), mean squared error of each decoder. With N = 1 the loss is their mean.
        targets: (B,), index of the decoder of each item's class; not used with N = 1.
        margin: Difference by which the errors of the other decoders should exceed that of the target's decoder.
        hinge: ``each`` takes one hinge for each other decoder and then their mean, as in the official code; ``mean``
            takes one hinge on the mean error of the others, equation 2 of the paper. The two are equal with one other
            decoder, and where all hinges are active. ``each`` requires every other decoder to be worse; with
            ``mean`` one bad decoder is enough.

    Returns:
        Scalar, the mean over the batch.

    Source: Chen et al., arXiv 2506.07294, section III-D; SAST_Net/model_MAE.py in
    ResponsibleGenAI/CodecFake-Source-Tracing.

    >>> errors = torch.tensor([[0.50, 0.10, 2.00]])
    >>> [round(float(reconstruction_loss(errors, torch.tensor([0]), hinge=hinge)), 4) for hinge in ("each", "mean")]
    [0.75, 0.5]
    """
    if errors.size(1) == 1:
        return errors.mean()
    own = errors.gather(1, targets.unsqueeze(1))  # (B, N) -> (B, 1)
    is_other = torch.ones_like(errors, dtype=torch.bool).scatter(1, targets.unsqueeze(1), False)
    others = errors[is_other].view(len(errors), -1)  # -> (B, N - 1)
    if hinge == "mean":
        others = others.mean(dim=1, keepdim=True)  # -> (B, 1)
    return (own.squeeze(1) + F.relu(margin + own - others).mean(dim=1)).mean()


class AutomaticWeighting(nn.Module):
    """Sum of losses with learned weights: each loss L with parameter p counts as 0.5 / p^2 * L + log(1 + p^2).

    Source: Liebel and Körner, "Auxiliary Tasks in Multi-task Learning", arXiv 1805.06334.

    Args:
        names: Names of the losses.
    """

    def __init__(self, *names: str):
        super().__init__()
        self.names = names
        self.params = nn.Parameter(torch.ones(len(names)))

    def forward(self, *losses: Tensor) -> Tensor:
        squares = self.params.square()
        return (0.5 / squares * torch.stack(losses) + torch.log1p(squares)).sum()

    def weights(self) -> dict[str, float]:
        """Return the factor of each loss, by name."""
        return dict(zip(self.names, (0.5 / self.params.detach().square()).tolist(), strict=True))
