"""Listed copies of recorded speech, by vocoders and codecs: same words, same speaker, same length, new waveform.

For corpora whose tables are prepared first and whose classes, bona fide included, end in the same final processing
(``spooftrace.audio.postprocessing``), as egs/mini does. Any other data directory: ``spooftrace.derive.recoding``.

A data directory lists copies by ``utt2source``: utterance -> audio file of the original. An utterance whose source is
its own file is an original. Which copies there are is a table, making them is a separate step that can be split into
jobs, stopped and repeated: it makes what is missing, each file whole or not at all.
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
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir import DataDir
from spooftrace.datadir.incomplete import carry_gaps
from spooftrace.derive.trim import file_name

MAX_LAG = 400  # samples; the vocoders and codecs delay by a few milliseconds at most

Attack = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Copy:
    """A copy to be made of the file ``source`` by ``attack``, to the file ``target``."""

    utt: str
    attack: str
    source: str
    target: str


def load_attack(name: str, codec: str | Path | None = None) -> Attack:
    """Load an attack (vocoder or codec): a function from float32 (N,) at 16 kHz to float32 (about N,), at any level.

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
        return _load_codec_attack(name, int(match[1]), codec)
    attacks: dict[str, Attack] = {
        "world": vocoders.world,
        "world24": lambda wave: vocoders.world(wave, coded_dims=24),
        "griffinlim": vocoders.griffin_lim,
    }
    if name in attacks:
        return attacks[name]
    try:
        setting = find_setting(name)
    except InputError as error:
        known = f"{', '.join(attacks)}, codec_qN (e.g. codec_q8)"
        raise InputError(f"attack '{name}': unknown; use one of {known} or a codec ({error})") from None
    return load_coder(setting).at(SAMPLE_RATE)


def _load_codec_attack(name: str, num_quantizers: int, path: str | Path | None) -> Attack:
    from spooftrace.codecs.codec import load_codec

    if path is None:
        raise InputError(f"attack '{name}': needs the codec's weights; give --codec FILE")
    codec = load_codec(path)
    if num_quantizers > codec.quantizer.num_quantizers or codec.sample_rate != SAMPLE_RATE:
        held = f"{codec.quantizer.num_quantizers} codebooks at {codec.sample_rate} Hz"
        raise InputError(
            f"attack '{name}': {path} has {held}; {SAMPLE_RATE} Hz and {num_quantizers} codebooks are needed"
        )
    return exact_copy(codec, num_quantizers)


def align(copy: np.ndarray, original: np.ndarray, max_lag: int = MAX_LAG) -> np.ndarray:
    """Shift ``copy`` (M,) to where it correlates best with ``original`` (N,), then cut or fill it to (N,)."""
    from scipy.signal import correlate

    # In float64, so that every processor finds the same lag: (M,), (N,) -> (M + N - 1,), lag 0 at N - 1
    correlation = correlate(np.float64(copy), np.float64(original), mode="full", method="fft")
    first = max(len(original) - 1 - max_lag, 0)
    lag = first + int(correlation[first : len(original) + max_lag].argmax()) - (len(original) - 1)
    copy = copy[lag:] if lag >= 0 else np.concatenate([np.zeros(-lag, copy.dtype), copy])
    return np.pad(copy[: len(original)], (0, max(len(original) - len(copy), 0)))


def resynthesize(wave: np.ndarray, attack: Attack, utt: str) -> np.ndarray:
    """The copy of ``wave`` (N,) as it goes to disk: aligned, equally long, through the corpus's final chain; int16."""
    return postprocess(align(attack(np.ascontiguousarray(wave, np.float32)), wave), utt, SAMPLE_RATE)


def list_copies(data: str | Path, out: str | Path, attacks: Sequence[str]) -> DataDir:
    """Write a data directory with a copy of every utterance of ``data`` by each of ``attacks``, audio still to be made.

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
    made = DataDir.write(out, tables)
    carry_gaps([data], out)
    return made


def planned_copies(folders: Iterable[str | Path]) -> list[Copy]:
    """All copies that data directories list, ordered by attack, so that every n-th of them is a fair share.

    Raises:
        InputError: A directory cannot be used, or wants a copy elsewhere than in its folder ``audio`` or the one beside
            it.
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
    """Refuse a target outside of the two folders for copies: the table may come from elsewhere."""
    for place in (folder / "audio", folder.absolute().parent / "audio"):
        if Path(target).resolve().is_relative_to(place.resolve()):  # where links really lead
            return
    raise InputError(
        f"{folder / 'wav.scp'}: the copy '{utt}' would be written to {target}; copies are only written to "
        f"{folder / 'audio'} and {folder.parent / 'audio'}"
    )


def _is_made(copy: Copy) -> bool:
    """Whether the file of a copy is there, and its original has not been replaced since it was written."""
    try:
        return Path(copy.target).stat().st_mtime_ns >= Path(copy.source).stat().st_mtime_ns
    except OSError:  # of an original that is gone nothing else can be made
        return Path(copy.target).is_file()


def make_copies(
    folders: Iterable[str | Path],
    codec: str | Path | None = None,
    job: int = 1,
    num_jobs: int = 1,
    loaded: Mapping[str, Attack] | None = None,
) -> tuple[int, int]:
    """Make the missing audio of the copies that data directories list.

    Args:
        folders: Data directories with ``utt2source``, ``utt2attack`` and ``wav.scp``.
        codec: Weights file for the attacks ``codec_qN``.
        job: Which share of the work to do, from 1.
        num_jobs: Number of shares.
        loaded: Attacks that are loaded already, by name.

    Returns:
        How many copies were made, and how many of this share were there already.

    Raises:
        InputError: An original is missing or damaged, an attack is unknown, a copy comes out silent or too loud.
    """
    share = planned_copies(folders)[job - 1 :: num_jobs]
    # Files appear whole or not at all, so one that is there is finished.
    missing = [copy for copy in share if not _is_made(copy)]
    attacks = dict(loaded or {})
    attacks |= {name: load_attack(name, codec) for name in sorted({copy.attack for copy in missing} - attacks.keys())}
    with Progress(f"making copies, job {job} of {num_jobs}", len(missing)) as progress:
        for copy in missing:
            write_flac(copy.target, resynthesize(read_audio(copy.source, SAMPLE_RATE), attacks[copy.attack], copy.utt))
            progress.advance()
    return len(missing), len(share) - len(missing)
