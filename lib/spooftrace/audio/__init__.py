"""Audio: reading and resampling, writing, silence, augmentation, the last steps of every generated corpus."""

from spooftrace.audio.reading import audio_info, read_audio
from spooftrace.audio.writing import write_flac

__all__ = ["audio_info", "read_audio", "write_flac"]
