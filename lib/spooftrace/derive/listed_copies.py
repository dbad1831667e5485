"""Listed copies of recorded speech by vocoders and codecs: same words, speaker and length, new waveform.

For corpora like egs/mini: the tables are written first, and all classes, bona fide included, receive the same
post-processing (``spooftrace.audio.postprocessing``). Copies of other data directories: ``spooftrace.derive.recoding``.

A data directory lists copies in ``utt2source``: utterance -> audio file of the original. An utterance whose source is
its own file is an original. Making the audio of the listed copies is a separate step. It can be split into jobs, killed
and repeated: it makes the missing files, and writes each file atomically.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spooftrace.audio import read_audio, write_flac
from spooftrace.audio.postprocessing import postprocess
from spooftrace.codecs.providers import exact_copy, load_coder
from spooftrace.codecs.table import find_setting
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir import DataDir
from spooftrace.datadir.incomplete import carry_gaps
from spooftrace.derive.trim import file_name

MAX_LAG = 400  # samples; the vocoders and codecs delay by a few milliseconds at most

# A vocoder or codec: float32 (N,) at 16 kHz -> float32 (about N,) at any level.
Synthesizer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Copy:
    """A copy to be made of the file ``source`` by ``attack``, to the file ``target``."""

    utt: str
    attack: str
    source: str
    target: str


def load_synthesizer(name: str, codec: str | Path | None = None) -> Synthesizer:
    """Load the vocoder or codec of an attack.

    Args:
        name: ``world``; ``world24``, WORLD with an envelope of 24 coefficients; ``griffinlim``, from 80 mel bands; a
            codec of ``conf/codecs.yaml``, ``NAME`` or ``NAME_qN``; or ``codec_qN``, the codec in the file ``codec``.
        codec: Weights file for ``codec_qN``.

    Raises:
        InputError: The attack is unknown, or its weights are missing or unfit.
    """
    from spooftrace.codecs import vocoders

    match = re.fullmatch(r"codec_q([1-9]\d*)", name)
    if match:
        return _load_codec(name, int(match[1]), codec)
    vocoder_functions: dict[str, Synthesizer] = {
        "world": vocoders.world,
        "world24": lambda wave: vocoders.world(wave, coded_dims=24),
        "griffinlim": vocoders.griffin_lim,
    }
    if name in vocoder_functions:
        return vocoder_functions[name]
    try:
        setting = find_setting(name)
    except InputError as error:
        known = f"{', '.join(vocoder_functions)}, codec_qN (e.g. codec_q8)"
        raise InputError(f"attack '{name}': unknown; use one of {known} or a codec ({error})") from None
    return load_coder(setting).at(SAMPLE_RATE)


def _load_codec(name: str, num_quantizers: int, path: str | Path | None) -> Synthesizer:
    from spooftrace.codecs.weights import load_codec

    if path is None:
        raise InputError(f"attack '{name}': needs the codec's weights; give --codec FILE")
    codec = load_codec(path)
    if num_quantizers > codec.config["num_quantizers"] or codec.sample_rate != SAMPLE_RATE:
        held = f"{counted(codec.config['num_quantizers'], 'codebook')} at {codec.sample_rate} Hz"
        raise InputError(
            f"attack '{name}': {path} has {held}; {SAMPLE_RATE} Hz and {num_quantizers} codebooks are needed"
        )
    return exact_copy(codec, num_quantizers)


def align(copy: np.ndarray, original: np.ndarray, max_lag: int = MAX_LAG) -> np.ndarray:
    """Shift ``copy`` (M,) to its best correlation with ``original`` (N,), then cut or pad it to (N,)."""
    from scipy.signal import correlate

    # float64 gives the same lag on every processor: (M,), (N,) -> (M + N - 1,), lag 0 at N - 1
    correlation = correlate(np.float64(copy), np.float64(original), mode="full", method="fft")
    first = max(len(original) - 1 - max_lag, 0)
    lag = first + int(correlation[first : len(original) + max_lag].argmax()) - (len(original) - 1)
    copy = copy[lag:] if lag >= 0 else np.concatenate([np.zeros(-lag, copy.dtype), copy])
    return np.pad(copy[: len(original)], (0, max(len(original) - len(copy), 0)))


def resynthesize(wave: np.ndarray, synthesizer: Synthesizer, utt: str) -> np.ndarray:
    """Return the copy of ``wave`` (N,) as it is stored: aligned, of equal length, post-processed; int16 (N,)."""
    return postprocess(align(synthesizer(np.ascontiguousarray(wave, np.float32)), wave), utt, SAMPLE_RATE)


def list_copies(data: str | Path, out: str | Path, attacks: Sequence[str]) -> DataDir:
    """Write a data directory with a copy of every utterance of ``data`` by each of ``attacks``, without audio.

    The copies are ``UTT-ATTACK`` in ``out/audio/ATTACK/``; speakers and durations are those of the originals.

    Raises:
        InputError: ``data`` cannot be used, or cuts its utterances out of longer recordings.
    """
    original = DataDir.read(data)
    if "segments" in original.tables:
        raise InputError(f"{original.path / 'segments'}: copies need one audio file per utterance; cut the files first")
    wav = original.table("wav.scp")
    copies = [
        Copy(f"{u}-{s}", s, wav[u], f"{out}/audio/{s}/{file_name(f'{u}-{s}')}") for u in original.utts for s in attacks
    ]
    origin = {f"{u}-{s}": u for u in original.utts for s in attacks}
    tables = {
        "wav.scp": {copy.utt: copy.target for copy in copies},
        "utt2source": {copy.utt: copy.source for copy in copies},
        "utt2attack": {copy.utt: copy.attack for copy in copies},
        "utt2label": {copy.utt: "spoof" for copy in copies},
    }
    for name in ("utt2spk", "utt2dur"):
        if name in original.tables:
            tables[name] = {utt: original.tables[name][source] for utt, source in origin.items()}
    directory = DataDir.write(out, tables)
    carry_gaps([data], out)
    return directory


def planned_copies(folders: Iterable[str | Path]) -> list[Copy]:
    """Return all copies that data directories list, sorted by attack: every n-th copy is a balanced shard.

    Raises:
        InputError: A directory cannot be used, or lists a target outside of its own folder ``audio`` and the folder
            ``audio`` beside it.
    """
    copies = []
    for folder in folders:
        data = DataDir.read(folder)
        wav, attacks = data.table("wav.scp"), data.table("utt2attack")
        for utt, source in data.table("utt2source").items():
            if source != wav[utt]:
                _check_target(Path(folder), utt, wav[utt])
                copies.append(Copy(utt, attacks[utt], source, wav[utt]))
    return sorted(copies, key=lambda copy: (copy.attack, copy.utt))


def _check_target(folder: Path, utt: str, target: str) -> None:
    """Refuse a target outside of the two folders for copies: the table may be foreign."""
    for place in (folder / "audio", folder.absolute().parent / "audio"):
        if Path(target).resolve().is_relative_to(place.resolve()):  # after resolving links
            return
    raise InputError(
        f"{folder / 'wav.scp'}: the copy '{utt}' would be written to {target}; copies are only written to "
        f"{folder / 'audio'} and {folder.parent / 'audio'}"
    )


def _is_current(copy: Copy) -> bool:
    """Whether the file of a copy exists and is newer than its original."""
    try:
        return Path(copy.target).stat().st_mtime_ns >= Path(copy.source).stat().st_mtime_ns
    except OSError:  # the original is missing: the copy cannot be made again
        return Path(copy.target).is_file()


def make_copies(
    folders: Iterable[str | Path],
    codec: str | Path | None = None,
    job: int = 1,
    num_jobs: int = 1,
    loaded: Mapping[str, Synthesizer] | None = None,
) -> tuple[int, int]:
    """Make the missing audio of the copies that data directories list.

    Args:
        folders: Data directories with ``utt2source``, ``utt2attack`` and ``wav.scp``.
        codec: Weights file for the attacks ``codec_qN``.
        job: Number of this shard, from 1.
        num_jobs: Number of shards.
        loaded: Vocoders and codecs that are already loaded, by attack.

    Returns:
        The number of copies made, and the number of copies of this shard that existed before.

    Raises:
        InputError: An original is missing or damaged, an attack is unknown, a copy comes out silent or too loud.
    """
    shard = planned_copies(folders)[job - 1 :: num_jobs]
    missing = [copy for copy in shard if not _is_current(copy)]  # files are written atomically: no file is incomplete
    synthesizers = dict(loaded or {})
    for name in sorted({copy.attack for copy in missing} - synthesizers.keys()):
        synthesizers[name] = load_synthesizer(name, codec)
    with Progress(f"making copies, job {job} of {num_jobs}", len(missing)) as progress:
        for copy in missing:
            wave = read_audio(copy.source, SAMPLE_RATE)
            write_flac(copy.target, resynthesize(wave, synthesizers[copy.attack], copy.utt))
            progress.advance()
    return len(missing), len(shard) - len(missing)
