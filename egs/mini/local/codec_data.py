#!/usr/bin/env python3
"""Prepare the training and test data of the mini corpus's codecs as data directories; a script for maintainers.

    python3 local/codec_data.py --packages DIR --out DIR

Unpacks the Debian packages (see packages.py; G.722 needs ffmpeg), decodes the recordings of the train split and writes

  OUT/train     all of them, 16 kHz FLAC, for 'spooftrace codec train'
  OUT/train24   the same recordings for a codec at 24 kHz, at that rate if they have content above 8 kHz
  OUT/heldout   ten prompts of 4 to 7 s, left out of OUT/train, for 'local/check_codecs.py'
  OUT/unseen    prompts of three voices that no codec is trained on: Italian (dev), English (read for LibriVox, not in
                the corpus) and Spanish (eval)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile as sf
from packages import SPLITS, Source, decode, fetch_and_unpack, find_ffmpeg

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir import DataDir

HELD_OUT = "ast-en"
UNSEEN = ("ast-it", "librivox-en", "tuxpaint-es")
WIDE_RATE = 24000
NARROW = "ast"  # this family is coded by G.722, without content above 8 kHz
PROMPTS = 10
SECONDS = (4.0, 7.0)


def spread(utts: list[str], durations: dict[str, float]) -> list[str]:
    """Select ``PROMPTS`` utterances of ``SECONDS`` length, evenly over the sorted list; all of a shorter list."""
    if len(utts) <= PROMPTS:
        return utts
    fitting = [utt for utt in utts if SECONDS[0] < durations[utt] < SECONDS[1]]
    return [fitting[index * len(fitting) // PROMPTS] for index in range(PROMPTS)]


def store(source: Source, unpacked: Path, folder: Path, ffmpeg: str, rate: int = SAMPLE_RATE) -> dict[str, float]:
    """Decode a source to ``folder/SOURCE/UTT.flac``; returns utterance -> seconds."""
    durations = {}
    for path in source.files(unpacked):
        parent = "" if source.family in ("ktuberling", "tuxpaint") else f"{path.parent.name}-"
        utt = f"{source.name}-{parent}{path.stem}".replace(" ", "_")
        wave = decode(path, ffmpeg, rate)
        peak = float(np.abs(wave).max(initial=0))
        if len(wave) < 0.4 * rate or not np.isfinite(wave).all() or peak < 1e-3:
            continue
        with atomic_write(folder / source.name / f"{utt}.flac", "wb") as file:
            sf.write(file, wave * min(1.0, 0.97 / peak), rate, format="FLAC", subtype="PCM_16")
        durations[utt] = len(wave) / rate
    return durations


def write(
    out: Path, name: str, utts: list[str], speakers: dict[str, str], durations: dict[str, float], wide: bool = False
) -> None:
    """Write the data directory ``out/name``; with ``wide`` it lists recordings at 24 kHz if they exist."""
    folders = {spk: "audio24" if wide and not spk.startswith(NARROW) else "audio" for spk in speakers.values()}
    tables = {
        "utt2spk": {utt: speakers[utt] for utt in utts},
        "wav.scp": {utt: f"{out}/{folders[speakers[utt]]}/{speakers[utt]}/{utt}.flac" for utt in utts},
        "utt2dur": {utt: f"{durations[utt]:.3f}" for utt in utts},
    }
    DataDir.write(out / name, tables)
    print(f"{out / name}: {len(utts)} utterances, {sum(durations[utt] for utt in utts) / 60:.1f} min")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, metavar="DIR", help="folder of .deb files")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--ffmpeg", metavar="FILE", help="default: that of the PyPI package imageio-ffmpeg")
    args = parser.parse_args()
    try:
        ffmpeg = find_ffmpeg(args.ffmpeg)
        unpacked = fetch_and_unpack(args.packages, [Source(name) for name in UNSEEN])
        speakers: dict[str, str] = {}
        durations: dict[str, float] = {}
        names = [*SPLITS["train"], *UNSEEN]
        with Progress("decoding sources", len(names)) as progress:
            for name in names:
                source = Source(name)
                of_source = store(source, unpacked, args.out / "audio", ffmpeg)
                if name not in UNSEEN and source.family != NARROW:
                    store(source, unpacked, args.out / "audio24", ffmpeg, WIDE_RATE)
                durations |= of_source
                speakers |= dict.fromkeys(of_source, name)
                progress.advance()
    except InputError as error:
        print(f"codec_data.py: {error}", file=sys.stderr)
        return 1
    utts = sorted(durations)
    held_out = spread([utt for utt in utts if speakers[utt] == HELD_OUT], durations)
    unseen = [utt for name in UNSEEN for utt in spread([utt for utt in utts if speakers[utt] == name], durations)]
    train = [utt for utt in utts if utt not in held_out and speakers[utt] not in UNSEEN]
    for name, members in (("train", train), ("heldout", held_out), ("unseen", unseen)):
        write(args.out, name, members, speakers, durations)
    write(args.out, "train24", train, speakers, durations, wide=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
