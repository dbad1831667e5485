"""Front-ends: waveform -> features. Importing this package loads torch, but no other large package."""

from spooftrace.frontends.base import FrontEnd
from spooftrace.frontends.encodec import EnCodec, EnCodecPackage
from spooftrace.frontends.huggingface import HuggingFace
from spooftrace.frontends.neural_codec import SmallCodec
from spooftrace.frontends.providers import S3PRL, Fairseq, TorchAudio
from spooftrace.frontends.speaker import ECAPA, XVector
from spooftrace.frontends.spectral import LFCC, LogMel
from spooftrace.frontends.waveform import Waveform
from spooftrace.frontends.whisper import Whisper
from spooftrace.frontends.whisper_layers import WhisperLayers
from spooftrace.frontends.whisper_pooled import WhisperPooled

__all__ = [
    "ECAPA",
    "LFCC",
    "S3PRL",
    "EnCodec",
    "EnCodecPackage",
    "Fairseq",
    "FrontEnd",
    "HuggingFace",
    "LogMel",
    "SmallCodec",
    "TorchAudio",
    "Waveform",
    "Whisper",
    "WhisperLayers",
    "WhisperPooled",
    "XVector",
]
