"""Audio: reading and resampling, writing, silence, augmentation, the last steps of every generated corpus.

| module | does |
|---|---|
| ``reading`` | files to arrays: the one reader of all commands |
| ``decoding`` | files of every kind to blocks of samples; ``chunks``, ``flac``, ``ogg``, ``mpeg``: their true lengths |
| ``foreign`` | formats that need PyAV |
| ``levels``, ``notes`` | odd levels and wrong headers, counted and said at the end of a command |
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spooftrace.audio.reading import audio_info, read_audio
    from spooftrace.audio.writing import write_flac

__all__ = ["audio_info", "read_audio", "write_flac"]


def __getattr__(name: str) -> Any:
    # The command line needs ``notes`` for every command, and no numpy for it.
    if name in ("audio_info", "read_audio"):
        from spooftrace.audio import reading

        return getattr(reading, name)
    if name == "write_flac":
        from spooftrace.audio.writing import write_flac

        return write_flac
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
