"""QAF-Static: the layers of WavLM beside the quantizer hierarchy of a neural codec."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.lstm import LSTMProbe
from spooftrace.backends.parts.aggregation import AttentiveMerging
from spooftrace.backends.parts.shapes import check_shape
from spooftrace.common.errors import InputError
from spooftrace.pretrained.checkpoint_file import read_checkpoint

CODEBOOK = re.compile(r"layers\.(\d+)\._?codebook\.embed$")  # transformers: quantizer.layers.0.codebook.embed
CODEBOOKS = "quantizer.codebooks"  # all in one tensor (Q, K, D), as ``spooftrace codec train`` writes them


class QAFStatic(Backend):
    """QAF-Static: layers (B, L, T, input_dim) and codes (B, Q, T') -> logits (B, num_outputs), class 1 = bona fide.

    SSL branch: attentive merging of the layers. Codec branch: the codes of each quantizer index a table of vectors,
    which may be trained; the Q vectors of a frame are summed with weights alpha = softmax over q of W / temperature,
    separately for each dimension ("static": the same for every utterance), and interpolated to the frame rate of the
    SSL branch. Then concatenation, a linear layer, one LSTM layer, its mean over time, a linear layer. The systems in
    the paper's table:

        AttM-LSTM                           AttMLSTM(projection="linear"), without a codec branch
        mean pooling (Method 1), codecF     QAFStatic(pooling="mean", tune_codec=False)
        QAF (Method 2), codecF and codecT   QAFStatic(tune_codec=False) and QAFStatic()

    14,029,970 parameters with the defaults, all trained: 4.4 % of WavLM-Large's 315,453,120, as published.

    Streams, in this order: ``layers`` (the first 12 of WavLM-Large, without the encoder input; frozen) and ``codes``
    (EnCodec at 24 kHz and 6 kbit/s: 8 quantizers, 75 frames per second); any T and T' from 1 on.

    There is no official code. Chosen here, where the paper gives no value:

    * Projection of the merging: one linear layer instead of the two of the official AttM code. Those have 40.9 million
      trained parameters, 13 % of WavLM-Large, while the paper gives 4.4 % for the whole model.
    * Width after the linear layer: 128, that of the codec. With the LSTM width 192 of the authors' AttM code, the total
      is the published 14 million, or 4.4 %.
    * Pooling of the LSTM: the mean over time, as in the authors' AttM code.
    * Initial W: zeros; training starts from mean pooling.
    * Temperature: 1, a plain softmax. Because W starts at zero, another value would only change how fast W takes
      effect.
    * Initial tables: the codec's codebooks (``codebooks``), because a frozen codec branch is meaningless otherwise.
      codecF freezes the tables, codecT trains them. W is trained in both: with a frozen W, Method 2 equals Method 1.
      The codec's encoder is not trained, because the choice of a code has no gradient.
    * From 75 to 50 frames per second: linear interpolation to the SSL branch's number of frames, which uses every codec
      frame. Both start at 0 and differ by less than a frame at the end.

    Args:
        input_dim: Width of the layers.
        num_outputs: Number of outputs.
        num_layers: Number of layers L.
        num_quantizers: Number of quantizers Q.
        codebook_size: Vectors per table.
        codec_dim: Width of a vector.
        pooling: "qaf", learned weights, or "mean" of the quantizers.
        tune_codec: Whether the tables are trained.
        temperature: Temperature of the softmax; above 1 the weights become more equal.
        fused_dim: Width after the concatenation and its linear layer.
        hidden_dim: Width of the LSTM.
        projection: Projection of the merging, see ``AttentiveMerging``.
        codebooks: File with the initial tables, see ``read_codebooks``. None draws random tables, which training
            replaces by the codebooks of a live codec stream.

    Raises:
        ValueError: An unknown ``pooling`` or ``projection``, a ``temperature`` that is not positive, ``codebooks`` that
            cannot be read or are of another size, inputs of another shape, or a code outside the tables.

    Source: Wu et al., "Quantizer-aware hierarchical neural codec modeling for speech deepfake detection",
    arXiv 2603.16914.
    """

    layouts = (("layers",), ("codes",))

    def __init__(
        self,
        input_dim: int = 1024,
        num_outputs: int = 2,
        num_layers: int = 12,
        num_quantizers: int = 8,
        codebook_size: int = 1024,
        codec_dim: int = 128,
        pooling: Literal["qaf", "mean"] = "qaf",
        tune_codec: bool = True,
        temperature: float = 1.0,
        fused_dim: int = 128,
        hidden_dim: int = 192,
        projection: Literal["linear", "mlp"] = "linear",
        codebooks: str | None = None,
    ):
        super().__init__()
        if pooling not in ("qaf", "mean"):
            raise ValueError(f"pooling must be qaf or mean, not {pooling}")
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.num_layers = num_layers
        self.num_quantizers = num_quantizers
        self.temperature = temperature
        self.merging = AttentiveMerging(num_layers, input_dim, projection)
        tables = torch.randn(num_quantizers, codebook_size, codec_dim)
        self.tables = nn.Parameter(tables, requires_grad=tune_codec)
        self.weights = nn.Parameter(torch.zeros(num_quantizers, codec_dim)) if pooling == "qaf" else None
        self.fusion = nn.Linear(input_dim + codec_dim, fused_dim)
        self.decoder = LSTMProbe(fused_dim, num_outputs, hidden_dim)
        self.needs_codebooks = codebooks is None
        if codebooks is not None:
            self.start_from(read_codebooks(codebooks, num_quantizers))

    def start_from(self, codebooks: Tensor) -> None:
        """Set the tables to ``codebooks`` (Q, K, D); raise ``ValueError`` for another size."""
        if codebooks.shape != self.tables.shape:
            raise ValueError(f"codebooks are {tuple(codebooks.shape)}, the tables {tuple(self.tables.shape)} (Q, K, D)")
        with torch.no_grad():
            self.tables.copy_(codebooks)

    def forward(self, layers: Tensor, codes: Tensor) -> Tensor:
        check_shape(self, layers, "layers", ("B", self.num_layers, "T", self.input_dim))
        check_shape(self, codes, "codes", (len(layers), len(self.tables), "T"))
        frames = self.merging(layers)  # (B, L, T, D) -> (B, T, D)
        codec = self.align(self.codec_frames(codes), frames.size(1))  # (B, Q, T') -> (B, T', D') -> (B, T, D')
        return self.decoder(self.fusion(torch.cat([frames, codec], dim=2)))  # (B, T, D + D') -> (B, T, E) -> outputs

    def codec_frames(self, codes: Tensor) -> Tensor:
        """Sum the vectors of the quantizers with their weights: codes (B, Q, T') -> (B, T', D')."""
        size = self.tables.size(1)
        if not codes.is_meta and not 0 <= int(codes.min()) <= int(codes.max()) < size:
            raise ValueError(f"codes from {int(codes.min())} to {int(codes.max())}, but the tables have {size} vectors")
        # Weigh the tables instead of the looked-up vectors, which avoids a tensor of (B, Q, T', D').
        vectors = (self.tables * self.alpha().unsqueeze(1)).flatten(0, 1)  # (Q, K, D') -> (Q * K, D')
        offsets = torch.arange(0, len(vectors), size, device=codes.device)  # (Q,), where each table begins
        index = codes.long().transpose(1, 2) + offsets  # (B, Q, T') -> (B, T', Q)
        summed = F.embedding_bag(index.flatten(0, 1), vectors, mode="sum")  # (B * T', Q) -> (B * T', D')
        return summed.unflatten(0, index.shape[:2])  # -> (B, T', D')

    def alpha(self) -> Tensor:
        """Return the weight of each quantizer in each dimension, (Q, D'); the sum over the quantizers is 1."""
        if self.weights is None:
            return torch.full_like(self.tables[:, 0], 1 / len(self.tables))
        return torch.softmax(self.weights / self.temperature, dim=0)

    def quantizer_weights(self) -> np.ndarray:
        """Return ``alpha`` as an array (Q, D') for reports; its mean over the dimensions ranks the quantizers."""
        return self.alpha().detach().cpu().numpy()

    @staticmethod
    def align(x: Tensor, num_frames: int) -> Tensor:
        """Interpolate linearly along time: (B, T', D') -> (B, num_frames, D')."""
        return F.interpolate(x.transpose(1, 2), size=num_frames, mode="linear").transpose(1, 2)


def read_codebooks(path: str, num_quantizers: int) -> Tensor:
    """Read the first codebooks of a residual vector quantizer from the weights of a codec.

    Args:
        path: ``model.safetensors`` or ``pytorch_model.bin`` of EnCodec in transformers' format, the encodec package's
            own ``.th`` file, or a file of ``spooftrace codec train``.
        num_quantizers: Number of codebooks.

    Returns:
        (Q, K, D) float32.

    Raises:
        ValueError: The file cannot be read, or does not have that many codebooks.
    """
    try:
        content = read_checkpoint(path)
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: no codebooks can be read from it: {reason}") from error
    state = content if isinstance(content, dict) else {}
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    codebooks = {int(m[1]): tensor for name, tensor in tensors.items() if (m := CODEBOOK.search(name))}
    codebooks |= dict(enumerate(tensors.get(CODEBOOKS, ())))
    if not codebooks.keys() >= set(range(num_quantizers)):
        raise ValueError(f"{path}: has {len(codebooks)} codebooks of a residual quantizer; {num_quantizers} are needed")
    return torch.stack([codebooks[q] for q in range(num_quantizers)]).float()
