"""Back-ends: features in, outputs out; one published model per file, with torch as the only dependency.

Every back-end derives from :class:`spooftrace.backends.Backend`, which declares the required and optional members. Many
back-ends for frames take layers, too, with ``aggregation`` (see ``spooftrace.backends.parts.aggregation``). Padding is
not masked: a batch holds crops of one length, or one utterance.

A ``class_path`` in a configuration is one of these names. In detection, output 0 is spoof and output 1 bona fide, as
published.
"""

from spooftrace.backends.aasist import AASIST
from spooftrace.backends.attm import AttMLSTM
from spooftrace.backends.base import Backend
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
    "Backend",
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
