"""Front-ends: waveform -> features. Importing this loads torch, and nothing heavier."""

from spooftrace.frontends.base import FrontEnd
from spooftrace.frontends.spectral import LFCC, LogMel
from spooftrace.frontends.waveform import Waveform
from spooftrace.frontends.whisper import Whisper

__all__ = ["LFCC", "FrontEnd", "LogMel", "Waveform", "Whisper"]
