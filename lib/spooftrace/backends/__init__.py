"""Back-ends: features in, outputs out; one published model a file, torch and nothing else.

The contract. A back-end is an ``nn.Module`` whose ``forward`` takes one batch of each of its streams, in the order of
the configuration, and returns (B, num_outputs) raw outputs, logits as a rule: no loss, and no softmax unless the
published system ends in one (SLS). Its attributes:

    num_outputs  number of outputs, a constructor argument
    layouts      for each stream, which layouts it may have, e.g. (("layers",), ("codes",))
    input_dim    width of the frames, layers or vectors of the first stream, where there are any

The layouts are ``wave`` (B, N) float32 at 16 kHz, ``frames`` (B, T, D), ``layers`` (B, L, T, D), ``codes`` (B, Q, T)
integers and ``vector`` (B, D). Many back-ends for frames take layers, too, with ``aggregation`` (see
``spooftrace.backends.parts.aggregation``). An input of another shape, or shorter than the model's receptive field,
raises a ValueError that says what would fit. Padding is not masked: batches hold crops of one length, or one utterance.

Names are what ``class_path`` in a configuration says. For detection the published class order is index 0 spoof,
index 1 bona fide.
"""

from spooftrace.backends.aasist import AASIST
from spooftrace.backends.attm import AttMLSTM
from spooftrace.backends.hydra import HYDRA
from spooftrace.backends.hyperbolic import HyperbolicCNN
from spooftrace.backends.lcnn import LCNN
from spooftrace.backends.linear import LinearProbe
from spooftrace.backends.lstm import LSTMProbe
from spooftrace.backends.mio import MiO
from spooftrace.backends.nes2net import Nes2Net, Nes2NetX
from spooftrace.backends.parsing_cnn import ParsingCNN
from spooftrace.backends.qaf import QAFStatic
from spooftrace.backends.reduced_res2net import ReducedRes2Net
from spooftrace.backends.sastnet import SASTNet
from spooftrace.backends.sls import SLS
from spooftrace.backends.w2v2_aasist import W2V2AASIST

__all__ = [
    "AASIST",
    "HYDRA",
    "LCNN",
    "SLS",
    "W2V2AASIST",
    "AttMLSTM",
    "HyperbolicCNN",
    "LSTMProbe",
    "LinearProbe",
    "MiO",
    "Nes2Net",
    "Nes2NetX",
    "ParsingCNN",
    "QAFStatic",
    "ReducedRes2Net",
    "SASTNet",
]
