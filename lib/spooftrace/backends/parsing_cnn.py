"""The Euclidean CNN of codec parsing, and the layers that the hyperbolic models share with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spooftrace.backends.base import Backend

TARGETS = ("khz", "kbps", "quantizers")  # the outputs, in the order of ``spooftrace.tasks.Parsing``


class ParsingCNN(Backend):
    """Vector (B, input_dim) -> (B, num_outputs): convolutions over the vector, then a small network for each target.

    The "Baseline (Euclidean)" of codec source parsing. Parameters by the width of the vector: 2,248,143 for 192
    (ECAPA), 5,934,543 for 512 (x-vector, Whisper-base), 8,883,663 for 768 (the base models), 14,781,903 for 1280
    (MMS-1B, XLS-R-1B).

    Streams: ``vector``, the mean over time of a speech model's last layer or a speaker embedding.

    There is no official code. The paper gives two convolutions of 64 and 128 filters, kernel 3, flattened; and for each
    target layers of 120 and 30 units with ReLU, and a linear layer. Chosen here:

    * Each dimension of the vector is standardised by a batch norm without weights, because the scales of speech models
      differ by orders of magnitude and all are trained with one learning rate.
    * Each convolution keeps the length and is followed by ReLU and max pooling by two, which keeps the model near the
      size that the paper gives for HYDRA; without pooling it would have 35 million parameters for 768.
    * Dropout of 0.3 after the convolutions and each hidden layer. The paper mentions dropout without its place.

    Args:
        input_dim: Width of the vector, at least 4.
        num_outputs: Number of targets.
        dropout: Probability that training sets an activation to zero.

    Raises:
        ValueError: ``input_dim`` is too small, an input of another shape.

    Source: Chetia Phukan et al., "Towards Neural Audio Codec Source Parsing", arXiv 2506.12627, section "Baseline
    Modeling".
    """

    layouts = (("vector",),)

    def __init__(self, input_dim: int = 512, num_outputs: int = 3, dropout: float = 0.3):
        super().__init__()
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.encoder = VectorEncoder(input_dim, dropout)
        self.heads = TargetHeads(self.encoder.output_dim, (120, 30), num_outputs, dropout)

    def forward(self, x: Tensor) -> Tensor:
        check_vector(self, x, self.input_dim)
        shared = self.encoder(x)  # (B, D) -> (B, F)
        return self.heads([shared] * self.num_outputs)  # -> (B, num_outputs)


class VectorEncoder(nn.Module):
    """Convolutions of all codec parsing models: (B, input_dim) -> (B, 128 * (input_dim // 4))."""

    def __init__(self, input_dim: int, dropout: float):
        super().__init__()
        if input_dim < 4:
            raise ValueError(f"input_dim must be at least 4, not {input_dim}: the length is halved twice")
        self.output_dim = 128 * (input_dim // 4)
        self.standardise = standardisation(input_dim)
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, 64, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(64, 128, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.standardise(x).unsqueeze(1)  # (B, D) -> (B, 1, D)
        return self.convolutions(x)  # -> (B, 128 * (D // 4))


def standardisation(dim: int) -> nn.BatchNorm1d:
    """Batch norm without weights for vectors (B, dim), with cumulative averages.

    The vectors do not change in training, therefore the statistics are averages over all training batches. Exponential
    averages start at mean 0 and variance 1, and need hundreds of steps to converge for dimensions that hardly vary.
    """
    return nn.BatchNorm1d(dim, affine=False, momentum=None)


class TargetHeads(nn.Module):
    """One network per target: hidden layers of these widths with ReLU, then one output."""

    def __init__(self, input_dim: int, hidden_dims: tuple[int, ...], num_targets: int, dropout: float):
        super().__init__()
        widths = (input_dim, *hidden_dims)

        def head() -> nn.Sequential:
            hidden = [
                layer
                for before, after in zip(widths, hidden_dims, strict=False)
                for layer in (nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout))
            ]
            return nn.Sequential(*hidden, nn.Linear(widths[-1], 1))

        self.heads = nn.ModuleList(head() for _ in range(num_targets))

    def forward(self, inputs: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
        """Apply each network to the input (B, input_dim) of its target: (B, num_targets)."""
        return torch.cat([head(x) for head, x in zip(self.heads, inputs, strict=True)], dim=1)


def check_vector(backend: nn.Module, x: Tensor, dim: int) -> None:
    """Raise ``ValueError`` unless ``x`` holds one vector per utterance, (B, dim)."""
    if x.ndim != 2 or x.size(1) != dim or x.size(0) == 0:
        raise ValueError(f"{type(backend).__name__} takes vector (B, {dim}); got {tuple(x.shape)}")
