"""Copies of a data directory through codecs or channels: ``data/x`` -> ``data/x_NAME``, at any rate, with segments.

An array job like ``spooftrace.derive.trim``: job ``J`` of ``N`` writes its shard of ``OUT/audio/NAME`` and records it
in ``OUT/.recoding``; collecting checks that every copy exists and writes the tables. A copy is named ``UTT-NAME`` and
has the speaker, rate and length of the original.

Copies through a codec are spoofed speech of that codec (``utt2label``, ``utt2attack``, ``utt2vq``, ``utt2aux``,
``utt2dec``, ``utt2codec``, ``utt2nac``). They get the level of the original, which would otherwise identify them.
Copies through a channel keep their label; only ``utt2cond`` names the channel.

A copy is rejected if it cannot be made, or if it is empty, shorter than a frame, silent, not finite or of another
length. Rejected copies are in no table. ``OUT/rejected.txt`` lists them with the reason, and the next run tries them
again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spooftrace.audio import audio_info, read_audio, write_flac
from spooftrace.codecs.coder import Coder, resample
from spooftrace.codecs.providers import load_coder, own_weights
from spooftrace.codecs.table import CodecSetting
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.journal import ArrayJob, fingerprint
from spooftrace.datadir import DataDir
from spooftrace.datadir.directory import known_files
from spooftrace.datadir.edit import carry_notes
from spooftrace.datadir.incomplete import REJECTED as REJECTED_COPIES
from spooftrace.datadir.incomplete import Gap, replace_gaps
from spooftrace.datadir.sources import current_records, stamp
from spooftrace.datadir.tables import write_text
from spooftrace.derive.durations import seconds_text
from spooftrace.derive.listed_copies import align
from spooftrace.derive.trim import NOT_CARRIED_OVER, file_name

RECORD = ".recoding"
REJECTED = "rejected"  # the record of a copy that was not made: "rejected <reason>"; otherwise "<samples> <rate>"
SILENT = 0.01  # RMS relative to the original: a copy below -40 dB is silent
SLACK = 0.2  # seconds that a channel may add by its delay and the padding of its last frame
MAX_DELAY = 0.1  # seconds


class Rejected(ValueError):
    """A copy cannot be made or used; the message is the reason."""


@dataclass(frozen=True)
class Recoder:
    """A codec or channel that utterances are sent through.

    Attributes:
        name: Suffix of the copies.
        load: Loads the coder.
        labels: Tables of the copies -> value.
        match_level: Whether copies get the level of the original.
        weights: Identifier of the weights.
    """

    name: str
    load: Callable[[], Coder]
    labels: dict[str, str]
    match_level: bool
    weights: str = ""


def codec_recoder(setting: CodecSetting, model: str | Path | None = None) -> Recoder:
    """Return the recoder of a codec of the table, with the weights ``model`` or those that the table names."""
    file = Path(model) if model else own_weights(setting.codec)
    # Identify a file by its content: after the codec has been retrained its copies are made again.
    weights = fingerprint(file.parent, file.name).get(file.name, str(model or setting.codec.model))
    return Recoder(setting.name, lambda: load_coder(setting, model), setting.labels, True, weights)


def channel_recoder(name: str) -> Recoder:
    """Return the recoder of a channel of ``spooftrace.derive.channels``."""

    def load() -> Coder:
        from spooftrace.derive.channels import load_channel

        return load_channel(name)

    return Recoder(name, load, {"utt2cond": name}, False)


def recode(wave: np.ndarray, rate: int, coder: Coder, match_level: bool = True) -> np.ndarray:
    """Send a recording through a coder; the copy has its rate and length.

    Args:
        wave: (N,) float32, full scale = 1.
        rate: Sampling rate in Hz. The wave is converted to the rate of the coder and back (soxr HQ).
        coder: The codec or channel.
        match_level: Give the copy the RMS of ``wave``.

    Returns:
        (N,) float32, clipped to full scale.

    Raises:
        Rejected: The recording is silent or shorter than one frame, or the copy is silent, has NaN or infinite samples,
            or differs in length by more than a frame.
    """
    sent = resample(wave, rate, coder.rate)
    if len(sent) < coder.frame:
        have, need = len(wave) / rate, coder.frame / coder.rate
        raise Rejected(f"{have:.4f} s of audio, less than one frame ({need:.4f} s)")
    if not sent.any():
        raise Rejected("the original is silent")
    decoded = np.asarray(coder.copy(np.ascontiguousarray(sent, np.float32)), np.float32)
    longest = len(sent) + (round(SLACK * coder.rate) if coder.delays else coder.frame)
    if not len(sent) - coder.frame <= len(decoded) <= longest:
        raise Rejected(f"the copy has {counted(len(decoded), 'sample')} instead of {len(sent):,}")
    if not np.isfinite(decoded).all():
        raise Rejected("the copy has NaN or infinite samples")
    copy = resample(decoded, coder.rate, rate)
    if coder.delays:
        copy = align(copy, wave, round(MAX_DELAY * rate))
    copy = np.pad(copy[: len(wave)], (0, max(len(wave) - len(copy), 0)))  # (about N,) -> (N,)
    if _rms(copy) < SILENT * _rms(wave):
        raise Rejected("the copy is silent")
    if match_level:
        copy = copy * (_rms(wave) / _rms(copy))
    return np.clip(copy, -1, 1 - 2**-15).astype(np.float32)


def recode_shard(directory: Path, out: Path, recoders: Sequence[Recoder], job: int = 1, num_jobs: int = 1) -> None:
    """Make the copies of one shard. A killed run is continued.

    Args:
        directory: The data directory.
        out: The new data directory. Only ``audio`` and the record are written here.
        recoders: Codecs or channels; each makes a copy of every utterance.
        job: Number of this shard, from 1.
        num_jobs: Number of shards.

    Raises:
        InputError: A codec cannot be loaded, ``out`` is not such a copy, or the shard does not exist.
    """
    data = DataDir.read(directory)
    data.table("wav.scp")
    if known_files(out) and not (out / RECORD).is_dir():
        raise InputError(f"{out}: exists and is no copy of a data directory; choose another --out")
    work = _array_job(directory, out, recoders, job, num_jobs)
    existing, _ = _recorded(out, work, data)
    # Sorted by recoder: each job loads one or two codecs, not all of them.
    pairs = work.shard([(recoder, utt) for recoder in recoders for utt in data.utts])
    copies = {f"{utt}-{recoder.name}": (recoder, utt) for recoder, utt in pairs}
    waiting = [copy for copy in copies if copy not in existing]
    maker = _CopyMaker(data, out)
    if waiting:  # load the first codec before any file is written or removed: it may be unusable
        maker.load(copies[waiting[0]][0])
    work.remove_stale(out / "utt2spk")  # marks the directory as incomplete until its files are replaced
    if any(audio_path(out, copies[copy][0].name, copy).exists() for copy in waiting):
        (out / "utt2spk").unlink(missing_ok=True)  # its original was replaced
    records = work.run(str(out), list(copies), existing, lambda copy: maker.make(copy, *copies[copy]))
    failed = sum(record.startswith(REJECTED) for record in records.values())
    existed = len(copies) - len(waiting)
    print(f"{out}: shard {job} of {num_jobs}: {len(waiting) - failed:,} made, {existed:,} existed, {failed:,} rejected")


class _CopyMaker:
    """Makes copies, with the coder of one recoder in memory."""

    def __init__(self, data: DataDir, out: Path) -> None:
        self.data, self.out = data, out
        self._loaded: tuple[str, Coder] | None = None

    def load(self, recoder: Recoder) -> Coder:
        """Return the coder of a recoder."""
        if self._loaded is None or self._loaded[0] != recoder.name:
            self._loaded = (recoder.name, recoder.load())
        return self._loaded[1]

    def make(self, copy: str, recoder: Recoder, utt: str) -> str:
        """Write the copy of an utterance and return its record."""
        coder = self.load(recoder)
        source = stamp(self.data.audio(utt)[0])
        try:
            rate, wave = _original(self.data, utt)
            result = recode(wave, rate, coder, recoder.match_level)
        except (ValueError, RuntimeError) as error:  # unreadable audio, Rejected, or an error of the coder
            return f"{REJECTED} {error} {source}"
        write_flac(audio_path(self.out, recoder.name, copy), result, rate)
        return f"{len(result)} {rate} {source}"


def collect(directory: Path, out: Path, recoders: Sequence[Recoder]) -> DataDir:
    """Make ``out`` a data directory of the copies, and list the rejected ones in ``rejected.txt``.

    Returns:
        The new data directory.

    Raises:
        InputError: Copies are still to be made, or all were rejected.
    """
    data = DataDir.read(directory)
    copied, rejected = _recorded(out, _array_job(directory, out, recoders), data)
    origin = {f"{utt}-{recoder.name}": (utt, recoder) for recoder in recoders for utt in data.utts}
    missing = [copy for copy in origin if copy not in copied and copy not in rejected]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InputError(
            f"{out}: {counted(len(missing), 'copy')} {verb} not made, first '{missing[0]}'; run the jobs first"
        )
    _list_rejected(out / "rejected.txt", {copy: rejected[copy] for copy in origin if copy in rejected})
    if not copied:
        (out / "utt2spk").unlink(missing_ok=True)
        raise InputError(f"{out}: no copy could be made; the reasons are in {out / 'rejected.txt'}")
    names = [name for name in data.tables if name not in (*NOT_CARRIED_OVER, "spk2utt")]
    copies = {copy: origin[copy] for copy in sorted(origin) if copy in copied}
    tables = {name: {copy: data.tables[name][utt] for copy, (utt, _) in copies.items()} for name in names}
    tables["wav.scp"] = {copy: str(audio_path(out, recoder.name, copy)) for copy, (_, recoder) in copies.items()}
    tables["utt2source"] = {copy: data.audio(utt)[0] for copy, (utt, _) in copies.items()}
    tables["utt2dur"] = {copy: seconds_text(*copied[copy]) for copy in copies}
    for name in recoders[0].labels:
        tables[name] = {copy: recoder.labels[name] for copy, (_, recoder) in copies.items()}
    result = DataDir.write(out, tables)
    carry_notes([directory], out)
    if rejected:
        replace_gaps(out, [REJECTED_COPIES], [Gap(out.resolve().name, REJECTED_COPIES, len(rejected), len(origin))])
    lost = f"; {len(rejected):,} rejected, see {out / 'rejected.txt'}" if rejected else ""
    print(f"{out}: {counted(len(copies), 'copy')} of {counted(len(data.utts), 'utterance')}{lost}")
    return result


def audio_path(out: Path, recoder: str, copy: str) -> Path:
    """Return the path of a copy."""
    return out / "audio" / recoder / file_name(copy)


def _original(data: DataDir, utt: str) -> tuple[int, np.ndarray]:
    path, start, end = data.audio(utt)
    _, rate, _ = audio_info(path)
    return rate, read_audio(path, rate, start, end)


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def _array_job(directory: Path, out: Path, recoders: Sequence[Recoder], job: int = 1, num_jobs: int = 1) -> ArrayJob:
    names = {"routes": [recoder.name for recoder in recoders], "weights": [recoder.weights for recoder in recoders]}
    return ArrayJob(out / RECORD, names | fingerprint(directory, "wav.scp", "segments"), job, num_jobs)


def _recorded(out: Path, work: ArrayJob, data: DataDir) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Return copy -> (samples, rate) of existing copies, and copy -> reason of rejected ones.

    Records of utterances whose audio was replaced are left out.
    """
    existing = {path.name for path in (out / "audio").glob("*/*.flac")}
    copied: dict[str, tuple[int, int]] = {}
    rejected: dict[str, str] = {}
    sources = {f"{utt}-{recoder}": data.audio(utt)[0] for recoder in work.origin["routes"] for utt in data.utts}
    for copy, (word, *rest) in current_records(work.records(), sources).items():
        if word == REJECTED:
            rejected[copy] = " ".join(rest)
        elif file_name(copy) in existing:
            copied[copy] = (int(word), int(rest[0]))
    return copied, rejected


def _list_rejected(path: Path, reasons: dict[str, str]) -> None:
    write_text(path, "".join(f"{copy} {reason}\n" for copy, reason in sorted(reasons.items())))
