"""A stored stream: ``dump/<stream>/<set>/`` with ``feats.scp``, ``feats.<job>.ark`` and descriptions of what they are.

``stream.<job>.json`` beside each part, and ``stream.json`` beside ``feats.scp``, say what was stored: the front-end's
settings and fingerprint, layout, precision, the data directory. ``feats.<job>.sums`` and ``feats.sums`` have the
checksum of every entry and the audio that it was made from (``spooftrace.extraction.sources``). A part that belongs to
something else, or to another division into jobs, is made anew; and as soon as that begins, ``feats.scp`` goes, because
it points into the archives that are replaced.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spooftrace.archive import is_whole, merge_scp, merge_sums, read_scp
from spooftrace.common.contents import record_files
from spooftrace.common.errors import InputError
from spooftrace.common.journal import fingerprint
from spooftrace.common.json_files import read_json_object, write_json
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir import DataDir
from spooftrace.datadir.sources import Source
from spooftrace.extraction.sources import compare

# Which axis of one stored utterance is time: frames (T, D), layers (L, T, D), codes (Q, T), wave (N,), vector (D,).
TIME_AXIS = {"frames": 0, "layers": 1, "codes": 1, "wave": 0, "vector": None}
# Of a description: where the audio was, not what was computed. The audio itself is compared by ``sources``.
PLACES = ("audio", "data")
# Whether a value of a description can be right, None where it is lacking: the file may be damaged, or of other origin.
VALUES: dict[str, Callable[[Any], bool]] = {
    "config": lambda value: isinstance(value, dict),
    "data": lambda value: value is None or (isinstance(value, str) and "\0" not in value),
    "dim": lambda value: type(value) is int and 0 < value < 1 << 31,
    "frame_rate": lambda value: type(value) in (int, float) and 0 <= value <= SAMPLE_RATE,
    "layout": lambda value: isinstance(value, str) and value in TIME_AXIS,
    "parameters": lambda value: value is None or type(value) is int,
}
MARGIN = 1.02  # keys and headers of the archives, and what the disk keeps for itself


class Part:
    """The files of one job of a stream."""

    def __init__(self, folder: Path, job: int) -> None:
        self.folder, self.job = folder, job
        self.ark, self.scp = folder / f"feats.{job}.ark", folder / f"feats.{job}.scp"
        self.sums = folder / f"feats.{job}.sums"
        self.description = folder / f"stream.{job}.json"

    def is_finished(self, made: Mapping[str, Any], sources: Mapping[str, Source]) -> bool:
        """Whether this part is there whole, made like this of this audio, and has exactly these utterances."""
        if not self.scp.exists() or not self._is_from(made, self.sums, sources):
            return False
        return is_whole(self.scp, beside=True) and _keys(self.scp) == set(sources)

    def begin(self, made: Mapping[str, Any], sources: Mapping[str, Source]) -> None:
        """Get ready to write: an interrupted part that was made like this stays, anything else goes."""
        (self.folder / "feats.scp").unlink(missing_ok=True)
        unfinished = Path(f"{self.sums}.part")
        if self.scp.exists() or not self._is_from(made, unfinished if unfinished.exists() else self.sums, sources):
            directory = Path(made["data"])
            if owner := another_owner(read_description(self.description), directory):
                raise InputError(belongs_to(self.folder, owner, directory, "an extraction of it is unfinished"))
            self.remove()
            write_description(self.description, made)

    def _is_from(self, made: Mapping[str, Any], sums: Path, sources: Mapping[str, Source]) -> bool:
        found = read_description(self.description)
        if not sums.exists():  # made before audio was recorded
            return found == made
        return _without(found, PLACES) == _without(made, PLACES) and compare(sums, sources).changed is None

    def remove(self) -> None:
        """Remove the description first, so that what a killed run leaves does not count as features of any data."""
        self.description.unlink(missing_ok=True)
        for old in self.folder.glob(f"*feats.{self.job}.*"):  # the star: temporary files, which begin with a dot
            old.unlink()


def origin(node: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """What a stored stream is made from: the settings of the front-end, and the list of audio files.

    Raises:
        InputError: the data directory has no ``wav.scp``.
    """
    if not (directory / "wav.scp").exists():
        raise InputError(f"{directory}/wav.scp: not there; run stage 1 (data preparation) first")
    return {"config": dict(node), "audio": fingerprint(directory, "wav.scp", "segments"), "data": directory.as_posix()}


def collect(node: Mapping[str, Any], directory: Path, folder: Path, num_jobs: int) -> None:
    """Join the parts of an array job into ``feats.scp``.

    Raises:
        InputError: A part is missing or was made from or with something else, or the parts have not exactly the
            utterances of the data directory.
    """
    parts = [Part(folder, job) for job in range(1, num_jobs + 1)]
    made: dict[str, Any] = {}
    for part in parts:
        description = read_description(part.description)
        wanted = {"config": dict(node), "num_jobs": num_jobs}
        if not part.scp.exists() or {key: description.get(key) for key in wanted} != wanted:
            raise InputError(f"{part.scp}: part {part.job} of the extraction is not finished; run stage 3 again")
        for key in made.keys() & _without(description, PLACES).keys():
            if made[key] != description[key]:
                raise InputError(
                    f"{part.description}: '{key}' is not what it is in {parts[0].description.name}: parts of different "
                    "runs; run stage 3 again"
                )
        made = description
    data = DataDir.read(directory)
    found = {utt for part in parts for utt in _keys(part.scp)}
    for problem, some in (
        (f"{folder}: has no features for", [utt for utt in data.utts if utt not in found]),
        (f"{directory}: lacks but {folder} has", sorted(found.difference(data.utts))),
    ):
        if some:
            raise InputError(f"{problem} {len(some)} utterances, first {some[0]}; run stage 3 again")
    for old in ("feats.scp", "stream.json", "feats.sums"):
        (folder / old).unlink(missing_ok=True)
    recorded = all(part.sums.exists() for part in parts)
    if recorded:
        merge_sums(folder / "feats.sums", [part.sums for part in parts])
        changed = compare(folder / "feats.sums", {utt: Source(*data.audio(utt)) for utt in data.utts}).changed
    else:  # made before audio was recorded
        current = origin(node, directory)["audio"]
        changed = None if made["audio"] == current else f"{directory}/wav.scp is another"
    if changed:
        raise InputError(f"{folder}: {changed}: the audio has changed since its features were made; run stage 3 again")
    count = merge_scp(folder / "feats.scp", [part.scp for part in parts])
    # The description comes last: it is what says that the stream is complete.
    files = record_files(folder, ["feats.scp"])
    write_description(
        folder / "stream.json",
        made | {"utterances": count, "files": files, "data": directory.as_posix(), "sums": recorded},
    )
    for job in _jobs(folder):
        if job > num_jobs:  # of an earlier run with more jobs
            Part(folder, job).remove()
    print(f"{folder}/feats.scp: {count:,} utterances")


def check_weights(made: Mapping[str, Any], folder: Path) -> None:
    """Refuse to store a set next to sets that other weights or another precision computed: one system would mix both.

    A model that was replaced in its folder has the same configuration as before.

    Args:
        made: What is about to be stored is described by.
        folder: ``dump/<stream>/<set>`` of it.

    Raises:
        InputError: Another set of the stream has the same configuration, but another fingerprint or precision.
    """
    for description in sorted(folder.parent.glob("*/stream.json")):
        other = read_description(description)
        same = description.parent != folder and other.get("config") == made["config"]
        if not same:
            continue
        if other.get("fingerprint") != made["fingerprint"]:
            raise InputError(
                f"{description.parent}: was made with other weights or another version of this stream than {folder} "
                "would be; remove it, or choose another --dump, and run stage 3 again"
            )
        if how(other) != how(made):
            raise InputError(
                f"{description.parent}: holds {how(other)}, and {folder} would hold {how(made)}; one system must not "
                "mix both: give the same options, or choose another --dump"
            )


def stored_bytes(shape: Sequence[int], floating: bool, compress: bool) -> int:
    """Size of one array without its header. Codes are 32-bit integers; a vector is too small to be compressed."""
    return math.prod(shape) * (2 if compress and floating and len(shape) > 1 else 4)


def check_room(folder: Path, sizes: Mapping[bool, int], compress: bool, what: str) -> None:
    """Print how much disk a stream takes, before it is taken, and refuse to begin where there is less.

    Args:
        folder: where the stream goes; what is there already counts as room.
        sizes: bytes of the whole stream, in full (False) and compressed (True).
        compress: which of both it will be.
        what: how much audio it is, for the message.

    Raises:
        InputError: the disk has too little room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    there = sum(file.stat().st_size for file in folder.glob("feats.*.ark*"))
    full, small = (f"{_readable(sizes[kind])} {name}" for kind, name in ((False, "in full"), (True, "compressed")))
    chosen, other = (small, full) if compress else (full, small)
    print(f"{folder}: {what}: {chosen} (it would be {other}); {_readable(free)} free", flush=True)
    if sizes[compress] * MARGIN > free + there:
        advice = "make room or choose another --dump" if compress else "make room, choose another --dump or --compress"
        raise InputError(f"{folder}: {chosen} do not fit into {_readable(free)} free; {advice}")


def read_description(path: Path) -> dict[str, Any]:
    """The content of a description; empty where there is none.

    Raises:
        InputError: It is not what stage 3 writes.
    """
    try:
        content = read_json_object(path)
    except FileNotFoundError:
        return {}
    except ValueError:
        raise InputError(f"{path}: not a description of a stream; remove it and run stage 3 again") from None
    for key, can_be_right in VALUES.items():
        if not can_be_right(content.get(key)):
            raise InputError(f"{path}: its '{key}' is not what stage 3 writes; remove it and run stage 3 again")
    if (content["frame_rate"] == 0) != (content["layout"] == "vector"):
        raise InputError(f"{path}: its 'frame_rate' does not go with its 'layout'; remove it and run stage 3 again")
    return content


def write_description(path: Path, content: Mapping[str, Any]) -> None:
    write_json(path, content)


def another_owner(made: Mapping[str, Any], directory: Path) -> Path | None:
    """The data directory that stored features were made of, if it is there and another than ``directory``."""
    owner = Path(made.get("data") or directory)
    try:
        return owner if owner.is_dir() and not owner.samefile(directory) else None
    except OSError:  # such as a name that is too long
        return None


def belongs_to(folder: Path, owner: Path, directory: Path, why: str) -> str:
    """The message where two data directories have the same last name."""
    return (
        f"{folder}: belongs to the data directory {owner}, which has the same last name as {directory} but other "
        f"audio ({why}); choose another --dump"
    )


def how(made: Mapping[str, Any]) -> str:
    """The precision in words, e.g. "bf16, compressed"."""
    return f"{made.get('precision', 'fp32')}{', compressed' if made.get('compress') else ''}"


def _without(made: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in made.items() if key not in keys}


def _keys(scp: Path) -> set[str]:
    return {key for key, _, _ in read_scp(scp)}


def _jobs(folder: Path) -> list[int]:
    names = (file.name.split(".")[1] for file in [*folder.glob("stream.*.json"), *folder.glob("feats.*.*")])
    return sorted({int(name) for name in names if name.isdigit()})


def _readable(size: float) -> str:
    """A number of bytes for readers.

    >>> _readable(1_500_000)
    '1.5 MB'
    """
    power = min(3, max(1, (len(str(int(size))) - 1) // 3))
    return f"{size / 1000**power:,.1f} {('kB', 'MB', 'GB')[power - 1]}"
