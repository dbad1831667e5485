#!/usr/bin/env python3
"""Rebuild the bona fide half of the mini corpus from the Debian packages; a script for maintainers.

    python3 -m venv VENV && VENV/bin/pip install numpy scipy soundfile soxr rich imageio-ffmpeg
    cd egs/mini && PYTHONPATH=../../lib VENV/bin/python local/rebuild_bonafide.py --packages DIR --out DIR

Downloads missing packages with 'apt-get download', unpacks them without installing, and writes bonafide.tar,
bonafide.tsv, licences/ and SHA256SUMS. The archive is identical byte by byte for the same library versions; --compare
DIR prints the difference of another build from the committed one.

An utterance is one prompt, or several consecutive words of one voice, of 2.0 to 3.2 s. Every word is high-passed,
trimmed and scaled to the same level before joining, and the utterance receives the same post-processing as its spoofed
copies.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf
from packages import Source, all_sources, decode, fetch_and_unpack, find_ffmpeg

from spooftrace.audio.postprocessing import LEVEL, active_level, frame_power, high_pass, postprocess, trim_silence
from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.common.sample_rate import SAMPLE_RATE

PER_SOURCE = 7
SHORTEST, LONGEST = 2.0, 3.2  # seconds
COLUMNS = ("utt", "speaker", "split", "package", "licence", "duration", "files")
# The copyright files refer to this folder for the full texts of the licences.
COMMON_LICENCES = Path("/usr/share/common-licenses")


def words(source: Source, unpacked: Path, ffmpeg: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield ``(file name, samples)`` of the usable recordings of a source, in a fixed shuffled order."""
    files = source.files(unpacked)
    root = unpacked / source.package / "usr/share"
    for path in sorted(files, key=lambda path: (zlib.crc32(path.name.encode()), str(path))):
        wave = decode(path, ffmpeg)
        if len(wave) < 0.2 * SAMPLE_RATE or active_level(wave) < -60:
            continue
        wave = trim_silence(high_pass(wave - wave.mean()))
        if len(wave) >= 0.2 * SAMPLE_RATE:
            yield str(path.relative_to(root)), wave * 10 ** ((LEVEL - active_level(wave)) / 20)


def cut_at_pause(wave: np.ndarray) -> np.ndarray:
    """Shorten a wave to ``LONGEST`` at most, at its quietest frame, to avoid a cut within a word."""
    if len(wave) <= LONGEST * SAMPLE_RATE:
        return wave
    size = SAMPLE_RATE // 50
    first = round(SHORTEST * SAMPLE_RATE) // size
    power = frame_power(wave[: round(LONGEST * SAMPLE_RATE)], size)[first:]
    return wave[: (first + int(power.argmin()) + 1) * size]


def utterances(source: Source, unpacked: Path, ffmpeg: str) -> Iterator[tuple[str, list[str], np.ndarray]]:
    """Yield ``(utt, files, int16 samples)`` of the first ``PER_SOURCE`` utterances of a source."""
    count = 0
    files: list[str] = []
    waves: list[np.ndarray] = []
    for name, wave in words(source, unpacked, ffmpeg):
        files.append(name)
        waves.append(wave)
        if sum(map(len, waves)) < SHORTEST * SAMPLE_RATE:
            continue
        utt = f"{source.name}-{count:03d}"
        try:
            samples = postprocess(cut_at_pause(np.concatenate(waves)), utt)
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            yield utt, files, samples
            count += 1
        files, waves = [], []
        if count == PER_SOURCE:
            return
    raise InputError(f"{source.name}: speech for {count} of {PER_SOURCE} utterances only; take another source")


def flac(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file with nothing in its header that could differ between two builds."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    archive.addfile(info, io.BytesIO(content))


def copy_licences(unpacked: Path, out: Path) -> None:
    """Copy the copyright file of every package (the asterisk packages share one text) and the text of the GPL."""
    out.mkdir(parents=True, exist_ok=True)
    for package in sorted({source.package for _, source in all_sources()}):
        name = "asterisk-core-sounds" if package.startswith("asterisk") else package
        shutil.copyfile(unpacked / package / "usr/share/doc" / package / "copyright", out / f"{name}.copyright")
    shutil.copyfile(COMMON_LICENCES / "GPL-2", out / "GPL-2.txt")


def read_samples(archive: tarfile.TarFile, name: str) -> np.ndarray:
    """Read an audio file of an archive as int16 (N,)."""
    file = archive.extractfile(name)
    assert file is not None, name  # only links and folders have no content
    return sf.read(io.BytesIO(file.read()), dtype="int16")[0]


def compare(new: Path, old: Path) -> None:
    """Print the difference of two archives: their names, or the largest difference of samples."""
    with tarfile.open(new) as a, tarfile.open(old) as b:
        if a.getnames() != b.getnames():
            print(f"{new} and {old} hold different utterances")
            return
        largest = 0
        for name in a.getnames():
            x, y = (read_samples(tar, name) for tar in (a, b))
            if len(x) != len(y):
                print(f"{name}: {len(x)} samples here, {len(y)} in {old}")
                return
            largest = max(largest, int(np.abs(x.astype(int) - y.astype(int)).max()))
    print(f"same utterances, samples differ by {largest} of 32768 at most")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, metavar="DIR", help="folder of .deb files")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="egs/mini/corpus to replace the corpus")
    parser.add_argument("--ffmpeg", metavar="FILE", help="default: that of the PyPI package imageio-ffmpeg")
    parser.add_argument("--compare", type=Path, metavar="DIR", help="folder of another bonafide.tar")
    args = parser.parse_args()
    try:
        build(args.packages, args.out, find_ffmpeg(args.ffmpeg))
    except InputError as error:
        print(f"rebuild_bonafide.py: {error}", file=sys.stderr)
        return 1
    if args.compare:
        compare(args.out / "bonafide.tar", args.compare / "bonafide.tar")
    return 0


def build(packages: Path, out: Path, ffmpeg: str) -> None:
    unpacked = fetch_and_unpack(packages)
    rows, content = [], {}
    sources = list(all_sources())
    with Progress("building bona fide sources", len(sources)) as progress:
        for split, source in sources:
            for utt, files, samples in utterances(source, unpacked, ffmpeg):
                content[f"bonafide/{utt}.flac"] = flac(samples)
                duration = f"{len(samples) / SAMPLE_RATE:.4f}"
                rows.append((utt, source.name, split, source.package, source.licence, duration, ";".join(files)))
            progress.advance()
    copy_licences(unpacked, out / "licences")
    with atomic_write(out / "bonafide.tsv") as file:
        file.writelines("\t".join(row) + "\n" for row in [COLUMNS, *sorted(rows)])
    with (
        atomic_write(out / "bonafide.tar", "wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(content):
            add(tar, name, content[name])
    with atomic_write(out / "SHA256SUMS") as file:
        for name in ("bonafide.tar", "bonafide.tsv"):
            file.write(f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n")
    size = (out / "bonafide.tar").stat().st_size / 1e6
    seconds = sum(float(row[5]) for row in rows)
    print(f"{out / 'bonafide.tar'}: {len(rows)} utterances, {seconds / 60:.1f} min, {size:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
