"""Audio: reading and resampling, writing, silence, augmentation, the last steps of every generated corpus.

| module | does |
|---|---|
| ``reading`` | files to arrays: the one reader of all commands |
| ``decoding`` | files of every kind to blocks of samples; ``chunks``, ``flac``, ``ogg``, ``mpeg``: their true lengths |
| ``joined``, ``layout`` | files that hold several recordings, headers that contradict themselves: refused |
| ``foreign`` | formats that need PyAV |
| ``levels``, ``notes`` | odd levels and wrong headers, counted and printed at the end of a command |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spooftrace.audio.reading import audio_info, read_audio
    from spooftrace.audio.writing import write_flac

__all__ = ["audio_info", "read_audio", "write_flac"]


def __getattr__(name: str) -> Any:
    # Every command imports ``notes``; numpy, which the others need, takes long to import.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "writing" if name == "write_flac" else "reading"
    return getattr(import_module(f"{__name__}.{module}"), name)
