"""LSTM probe: one LSTM layer, its mean over time, one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parts.aggregation import Aggregation, make_aggregation
from spooftrace.backends.parts.shapes import to_frames


class LSTMProbe(Backend):
    """Frames (B, T, input_dim) -> (B, num_outputs): LSTM, mean over time, linear.

    935,810 parameters with the defaults: the classifier of AttM-LSTM on its own, as a small recurrent probe. Parameter
    names are those of class ``my_LSTM`` in pandarialTJU/AttM_INTERSPEECH24.

    Streams: ``frames``, or ``layers`` (B, num_layers, T, input_dim) with an ``aggregation``; any T from 1 on.

    Args:
        input_dim: Width of the frames.
        num_outputs: Number of outputs.
        hidden_dim: Width of the LSTM.
        aggregation, num_layers: How layers become frames, see ``backends.parts.aggregation``; None takes frames.

    Raises:
        ValueError: An unknown ``aggregation``, an input of another shape.
    """

    def __init__(
        self,
        input_dim: int = 1024,
        num_outputs: int = 2,
        hidden_dim: int = 192,
        aggregation: Aggregation | None = None,
        num_layers: int = 24,
    ):
        super().__init__()
        self.layouts = (("frames" if aggregation is None else "layers",),)
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.aggregation = make_aggregation(aggregation, num_layers, input_dim)
        self.lstm = nn.LSTM(input_dim, hidden_dim, batch_first=True)
        self.LL = nn.Linear(hidden_dim, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.lstm(to_frames(self, x))  # (B, T, D) -> (B, T, H)
        return self.LL(hidden.mean(dim=1))  # -> (B, H) -> (B, num_outputs)
