"""Ends of the names of audio files, in lower case: the only list of them."""

from __future__ import annotations

LOSSLESS = (".flac", ".wav")  # formats of corpora: one that was converted from the first to the second is the same
MPEG = (".mp3", ".mp2", ".mp1", ".mpa", ".mpga", ".m2a")
LOSSY = (
    *MPEG,
    *".3gp .aac .ac3 .amr .gsm .m4a .mka .mkv .mov .mp4 .oga .ogg .opus .spx .weba .webm .wma".split(),
)
OTHER = tuple(".aif .aifc .aiff .ape .au .caf .rf64 .snd .sph .tta .voc .w64 .wave .wv".split())
AUDIO = frozenset((*LOSSLESS, *LOSSY, *OTHER))
