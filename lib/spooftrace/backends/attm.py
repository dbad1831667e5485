"""AttM-LSTM: attentive merging of the layers of WavLM, one LSTM layer."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from spooftrace.backends.base import Backend
from spooftrace.backends.lstm import LSTMProbe
from spooftrace.backends.parts.aggregation import AttentiveMerging
from spooftrace.backends.parts.shapes import check_shape


class AttMLSTM(Backend):
    """AttM + LSTM: layers (B, num_layers, T, input_dim) -> logits (B, num_outputs), class 1 = bona fide.

    51,275,794 parameters with the defaults, which are the published ones: 50,339,984 in the merging (9,440,256 of them
    without effect, see ``AttentiveMerging``) and 935,810 in the LSTM and the last layer.

    Streams: ``layers``; the published system takes the first 12 of WavLM-Large, without the encoder input; any T from 1
    on.

    Args:
        input_dim: Width of the layers.
        num_outputs: Number of outputs.
        num_layers: Number of layers.
        hidden_dim: Width of the LSTM.
        projection: "mlp" as in the official code, or "linear" as in Nes2Net's CtrSVDD code (12.6 million parameters),
            the counterpart of ``QAFStatic`` without its codec branch.

    Raises:
        ValueError: An unknown ``projection``, an input of another shape.

    Source: Pan et al., "Attentive merging of hidden embeddings from pre-trained speech model for anti-spoofing
    detection", Interspeech 2024; pandarialTJU/AttM_INTERSPEECH24, whose keys these are (``feat_merge.``, ``decoder.``).
    """

    layouts = (("layers",),)

    def __init__(
        self,
        input_dim: int = 1024,
        num_outputs: int = 2,
        num_layers: int = 12,
        hidden_dim: int = 192,
        projection: Literal["mlp", "linear"] = "mlp",
    ):
        super().__init__()
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.num_layers = num_layers
        self.feat_merge = AttentiveMerging(num_layers, input_dim, projection)
        self.decoder = LSTMProbe(input_dim, num_outputs, hidden_dim)

    def forward(self, layers: Tensor) -> Tensor:
        check_shape(self, layers, "layers", ("B", self.num_layers, "T", self.input_dim))
        return self.decoder(self.feat_merge(layers))  # (B, L, T, D) -> (B, T, D) -> (B, num_outputs)
