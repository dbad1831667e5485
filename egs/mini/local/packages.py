"""The Debian packages of the mini corpus: their speech, how to unpack and how to decode it.

A *source* is the contribution of one speaker to one package, as far as is known: the packages credit voices by
language, not by file. Sources of the same split may share a voice, sources of different splits must not. These are
deliberately in the same split: ``ast-en`` and ``ast-es`` (both Allison Smith), ``tuxpaint-be`` and ``ktuberling-ru``
(speaker embeddings nearly as similar as two halves of one source). Excluded are recordings that clip (klettres ml), are
broken (klettres tn) or noisy (ktuberling gl), have a 4 kHz band (ktuberling es fi it nds nl pt sv), or are identical
(ktuberling sr*).
"""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE

SPLITS = {
    "train": (
        "ast-en ast-es ast-fr ast-ru klettres-da klettres-de klettres-en klettres-en_GB klettres-fr klettres-hu "
        "klettres-ru ktuberling-da ktuberling-de ktuberling-en ktuberling-fr ktuberling-ru tuxpaint-be tuxpaint-ca "
        "tuxpaint-da tuxpaint-el tuxpaint-fr tuxpaint-ru"
    ).split(),
    "dev": "ast-it klettres-it klettres-lt klettres-nl klettres-uk ktuberling-lt ktuberling-uk".split(),
    "eval": (
        "klettres-ar klettres-cs klettres-es klettres-he klettres-nb klettres-pt_BR ktuberling-nn ktuberling-sl "
        "ktuberling-wa tuxpaint-bg tuxpaint-es tuxpaint-ro"
    ).split(),
}

# The prompts of Asterisk that are signals, noises or effects.
NOT_SPEECH = {"ascending-2tone", "beep", "beeperr", "confbridge-join", "confbridge-leave", "descending-2tone"}
NOT_SPEECH |= {"tt-monkeys", "tt-weasels"}


@dataclass(frozen=True)
class Source:
    """A voice of a package, e.g. ``klettres-cs``."""

    name: str

    @property
    def family(self) -> str:
        return self.name.split("-", 1)[0]

    @property
    def language(self) -> str:
        return self.name.split("-", 1)[1]

    @property
    def package(self) -> str:
        """Name of the Debian package."""
        if self.family == "ast":
            return f"asterisk-core-sounds-{self.language}-g722"
        return {
            "klettres": "klettres-data",
            "ktuberling": "ktuberling-data",
            "librivox": "pocketsphinx-testdata",
            "tuxpaint": "tuxpaint-stamps-default",
        }[self.family]

    @property
    def licence(self) -> str:
        """SPDX identifier of the audio, as the package's copyright file states it."""
        if self.family == "ast":
            return "CC-BY-3.0" if self.language in ("it", "ru") else "CC-BY-SA-3.0"
        return "GPL-2.0-only" if self.family == "tuxpaint" else "GPL-2.0-or-later"

    def files(self, unpacked: Path) -> list[Path]:
        """Return the recordings of the source in the folder of unpacked packages, sorted by path."""
        share = unpacked / self.package / "usr/share"
        if self.family == "ast":
            paths = [*share.glob(f"asterisk/sounds/{self.language}_*/**/*.g722")]
            paths = [path for path in paths if path.stem not in NOT_SPEECH and path.parent.name != "silence"]
        elif self.family == "klettres":
            paths = [*share.glob(f"klettres/{self.language}/*/*.ogg")]
        elif self.family == "ktuberling":
            paths = [path for path in share.glob(f"ktuberling/sounds/{self.language}/*") if path.suffix != ".xml"]
        elif self.family == "librivox":
            paths = [*share.glob("pocketsphinx/test/data/librivox/*.wav")]
        else:
            paths = [*share.glob(f"tuxpaint/stamps/**/*_desc_{self.language}.ogg")]
        if not paths:
            raise InputError(f"{share}: no recordings of {self.name}; unpack {self.package} of Debian 12 there")
        return sorted(paths)


def all_sources() -> Iterator[tuple[str, Source]]:
    """Yield ``(split, source)`` of the whole corpus, in a fixed order."""
    for split, names in SPLITS.items():
        for name in names:
            yield split, Source(name)


def fetch_and_unpack(folder: Path, more: Sequence[Source] = ()) -> Path:
    """Download missing packages of the corpus and of ``more`` sources to ``folder`` and unpack them.

    Each package is unpacked to ``folder/unpacked/PACKAGE``. Nothing is installed, and no root rights are needed. The
    Debian 12 (bookworm) archive must be configured in apt.

    Returns:
        The folder of unpacked packages.

    Raises:
        InputError: Apt-get cannot download a package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted({source.package for source in [*(source for _, source in all_sources()), *more]}):
        target = folder / "unpacked" / package
        if target.is_dir():
            continue
        if not list(folder.glob(f"{package}_*.deb")):
            command = ["apt-get", "download", package]
            if subprocess.run(command, cwd=folder, check=False).returncode:
                raise InputError(f"{folder}: 'apt-get download {package}' failed; put the .deb file there yourself")
        deb = sorted(folder.glob(f"{package}_*.deb"))[-1]
        partial = target.with_name(target.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", str(deb), str(partial)], check=True)
        partial.rename(target)
    return folder / "unpacked"


def decode(path: Path, ffmpeg: str, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Decode a recording as float32 mono at ``rate`` Hz, G.722 with ffmpeg and other formats with libsndfile.

    ``read_audio`` would warn about klettres-ar, whose Ogg files all lack the mark that ends a stream.
    """
    if path.suffix != ".g722":
        wave, own_rate = sf.read(path, dtype="float32", always_2d=True)  # (N, C)
        return soxr.resample(wave.mean(1), own_rate, rate, quality="HQ")
    command = [ffmpeg, "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", str(rate), "-"]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return np.frombuffer(result.stdout, dtype="<i2").astype(np.float32) / 32768


def find_ffmpeg(given: str | None) -> str:
    """Return the given path of ffmpeg, or that of the PyPI package imageio-ffmpeg."""
    if given:
        return given
    try:
        imageio_ffmpeg = importlib.import_module("imageio_ffmpeg")
    except ImportError:
        raise InputError("G.722 needs ffmpeg: give --ffmpeg PATH, or pip install imageio-ffmpeg in your venv") from None
    return imageio_ffmpeg.get_ffmpeg_exe()
