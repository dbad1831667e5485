#!/usr/bin/env python3
"""Draw the spectrograms of one utterance and of its copies by every codec and vocoder of the mini corpus.

    python3 local/draw_codecs.py corpus --out ../../docs/images/codecs.png

The copies are made in the same way as those of the corpus. All panels have the same colour scale.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from pathlib import Path

import matplotlib.style
import numpy as np
import soundfile as sf
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from spooftrace.audio.writing import to_int16
from spooftrace.codecs.table import find_setting
from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.corpora import mini
from spooftrace.derive.listed_copies import load_synthesizer, resynthesize

N_FFT, HOP = 512, 128
RANGE = 70  # dB below the loudest point of the original that the colours span
COLUMNS = 4
COLOURS = 64


def read_original(archive: Path, utt: str) -> np.ndarray:
    """Read an utterance of the corpus as float64 (N,).

    Raises:
        InputError: The archive is missing or does not hold it.
    """
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(f"bonafide/{utt}.flac")
            assert content is not None  # only links and folders have no content
            return sf.read(io.BytesIO(content.read()))[0]
    except FileNotFoundError:
        raise InputError(f"{archive}: no such file; check the repository out again") from None
    except KeyError:
        raise InputError(f"{archive}: holds no utterance '{utt}'; {mini.TABLE} beside it lists them") from None


def spectrogram(wave: np.ndarray) -> np.ndarray:
    """Return the spectrogram in dB relative to full scale: (N,) -> (N_FFT / 2 + 1, frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, N_FFT)[::HOP]  # (frames, N_FFT)
    power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT), axis=1)) ** 2
    return 10 * np.log10(power.T + 1e-12)


def heading(attack: str) -> str:
    """Return the title of a panel: the attack, and for a codec its taxonomy, rate and bitrate."""
    if mini.SUBSETS[attack] == "vocoder":
        return f"{attack}\nvocoder"
    setting = find_setting(attack)
    codec = setting.codec
    return f"{attack}\n{codec.vq}, {codec.aux}, {codec.dec}, {codec.khz:g} kHz, {setting.kbps:.3g} kbit/s"


def draw(panels: dict[str, np.ndarray], path: Path) -> None:
    """Write the panels, heading -> int16 (N,), as one PNG; the first sets the scale of colours."""
    images = {name: spectrogram(wave / 32768) for name, wave in panels.items()}
    top = next(iter(images.values())).max()
    rows = -(-len(images) // COLUMNS)
    with matplotlib.style.context("default"):  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(2.7 * COLUMNS, 1.75 * rows), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(images) :]:
            axes.set_axis_off()
        for axes, (name, image) in zip(grid.flat, images.items(), strict=False):
            _panel(axes, name, image, top)
        figure.supxlabel("seconds", fontsize=8)
        figure.supylabel("kHz", fontsize=8)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", metadata={"Software": None})
        with atomic_write(path, "wb") as file:  # a palette is a third of the bytes
            Image.open(drawn).convert("RGB").quantize(COLOURS).save(file, format="png", optimize=True)


def _panel(axes: Axes, name: str, image: np.ndarray, top: float) -> None:
    extent = (0, image.shape[1] * HOP / SAMPLE_RATE, 0, SAMPLE_RATE / 2000)
    axes.imshow(image, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=top - RANGE, vmax=top)
    axes.set_title(name, fontsize=7)
    axes.tick_params(labelsize=6)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of the mini corpus")
    parser.add_argument("--utt", default="klettres-es-000", help="an utterance of the corpus (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="PNG to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        original = read_original(args.corpus / mini.ARCHIVE, args.utt)
        panels = {"bona fide": to_int16(original)}
        for attack in mini.SUBSETS:
            panels[heading(attack)] = resynthesize(original, load_synthesizer(attack), f"{args.utt}-{attack}")
    except InputError as error:
        print(f"draw_codecs.py: {error}", file=sys.stderr)
        return 1
    draw(panels, args.out)
    print(f"{args.out}: {args.utt} and {len(panels) - 1} copies, {args.out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
