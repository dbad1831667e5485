"""Audio: reading, resampling, writing, silence, augmentation, post-processing of generated corpora.

| module | does |
|---|---|
| ``reading`` | reads files into arrays, for all commands |
| ``decoding`` | decodes files of all formats block by block; ``sources`` opens them |
| ``chunks``, ``flac``, ``ogg``, ``mpeg`` | determine the true length of the audio; ``spliced`` corrects headers |
| ``joined``, ``sample_width``, ``non_audio`` | refuse ambiguous files, and files that are not audio |
| ``pyav`` | reads formats that libsndfile does not support |
| ``levels``, ``notes`` | count odd levels and wrong headers, and print them at the end of a command |
| ``digest`` | hashes the content of audio files |
| ``silence`` | detects and removes silence |
| ``augment``, ``augment_options``, ``channels``, ``rawboost`` | augment training data |
| ``postprocessing`` | removes differences between the classes of generated corpora |
| ``writing`` | writes FLAC files |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spooftrace.audio.reading import audio_info, read_audio
    from spooftrace.audio.writing import write_flac

__all__ = ["audio_info", "read_audio", "write_flac"]


def __getattr__(name: str) -> Any:
    # Every command imports ``notes``, which does not need numpy; the other modules import numpy, which is slow.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "writing" if name == "write_flac" else "reading"
    return getattr(import_module(f"{__name__}.{module}"), name)
