"""Audio in: reading and resampling (``reading``), and the last steps of every generated corpus (``chain``)."""

from spooftrace.audio.reading import audio_info, read_audio

__all__ = ["audio_info", "read_audio"]
