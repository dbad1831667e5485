"""A stored stream: ``dump/<stream>/<set>/`` with ``feats.scp``, ``feats.<job>.ark`` and descriptions of what they are.

``stream.<job>.json`` beside each part, and ``stream.json`` beside ``feats.scp``, say what was stored: the front-end's
settings and fingerprint, the audio it was made from, layout, precision. A part that belongs to something else, or to
another division into jobs, is made anew; and as soon as that begins, ``feats.scp`` goes, because it points into the
archives that are replaced.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from spooftrace.archive import is_whole, merge_scp, read_scp
from spooftrace.arrayjob import fingerprint
from spooftrace.atomic import atomic_write
from spooftrace.datadir import DataDir
from spooftrace.errors import InputError

# Which axis of one stored utterance is time: frames (T, D), layers (L, T, D), codes (Q, T), wave (N,), vector (D,).
TIME_AXIS = {"frames": 0, "layers": 1, "codes": 1, "wave": 0, "vector": None}
MARGIN = 1.02  # keys and headers of the archives, and what the disk keeps for itself


class Part:
    """The files of one job of a stream."""

    def __init__(self, folder: Path, job: int) -> None:
        self.folder, self.job = folder, job
        self.ark, self.scp = folder / f"feats.{job}.ark", folder / f"feats.{job}.scp"
        self.description = folder / f"stream.{job}.json"

    def is_finished(self, made: Mapping[str, Any], utts: Collection[str]) -> bool:
        """Whether this part is there whole, made like this, and has exactly these utterances."""
        if not (self.scp.exists() and read_description(self.description) == made):
            return False
        return is_whole(self.scp) and _keys(self.scp) == set(utts)

    def begin(self, made: Mapping[str, Any]) -> None:
        """Get ready to write: an interrupted part that was made like this stays, anything else goes."""
        (self.folder / "feats.scp").unlink(missing_ok=True)
        if read_description(self.description) != made or self.scp.exists():
            self.remove()
            write_description(self.description, made)

    def remove(self) -> None:
        """Remove the description first, so that what a killed run leaves is nobody's."""
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
    return {"config": dict(node), "audio": fingerprint(directory, "wav.scp", "segments")}


def is_complete(node: Mapping[str, Any], directory: Path, folder: Path, say: bool = False) -> bool:
    """Whether ``folder`` holds this stream for every utterance of the data directory; ``say`` prints that it does.

    It does not when an ark is missing or cut short: stage 3 then computes the part of it again.

    A stream that was stored with other ``--precision`` or ``--compress`` counts: hours of work are not thrown away for
    an option that was forgotten.
    """
    made, scp = read_description(folder / "stream.json"), folder / "feats.scp"
    if not (scp.exists() and _is_from(origin(node, directory), made) and _count_lines(scp) == made["utterances"]):
        return False
    if not is_whole(scp):
        return False
    if say:
        how = f"{made['precision']}{', compressed' if made['compress'] else ''}"
        print(f"{scp}: already extracted ({how}); to make it anew remove {folder}")
    return True


def collect(node: Mapping[str, Any], directory: Path, folder: Path, num_jobs: int) -> None:
    """Join the parts of an array job into ``feats.scp``.

    Raises:
        InputError: A part is missing or was made from or with something else, or the parts have not exactly the
            utterances of the data directory.
    """
    source = origin(node, directory)
    parts = [Part(folder, job) for job in range(1, num_jobs + 1)]
    made: dict[str, Any] = {}
    for part in parts:
        description = read_description(part.description)
        if not part.scp.exists() or not _is_from(source | {"num_jobs": num_jobs}, description):
            raise InputError(f"{part.scp}: part {part.job} of the extraction is not finished; run stage 3 again")
        for key in made.keys() & description.keys():
            if made[key] != description[key]:
                raise InputError(
                    f"{part.description}: '{key}' is not what it is in {parts[0].description.name}: parts of different "
                    "runs; run stage 3 again"
                )
        made = description
    utts = DataDir.read(directory).utts
    found = {utt for part in parts for utt in _keys(part.scp)}
    for problem, some in (
        (f"{folder}: has no features for", [utt for utt in utts if utt not in found]),
        (f"{directory}: lacks but {folder} has", sorted(found.difference(utts))),
    ):
        if some:
            raise InputError(f"{problem} {len(some)} utterances, first {some[0]}; run stage 3 again")
    # feats.scp comes last: it is what says that the stream is complete.
    (folder / "feats.scp").unlink(missing_ok=True)
    write_description(folder / "stream.json", made | {"utterances": len(utts)})
    count = merge_scp(folder / "feats.scp", [part.scp for part in parts])
    for job in _jobs(folder):
        if job > num_jobs:  # of an earlier run with more jobs
            Part(folder, job).remove()
    print(f"{folder}/feats.scp: {count:,} utterances")


def check_weights(made: Mapping[str, Any], folder: Path) -> None:
    """Refuse to store a set next to sets that other weights computed: one system would mix both.

    A model that was replaced in its folder has the same configuration as before.

    Args:
        made: What is about to be stored is described by.
        folder: ``dump/<stream>/<set>`` of it.

    Raises:
        InputError: Another set of the stream has the same configuration, but another fingerprint.
    """
    for description in sorted(folder.parent.glob("*/stream.json")):
        other = read_description(description)
        same = description.parent != folder and other.get("config") == made["config"]
        if same and other.get("fingerprint") != made["fingerprint"]:
            raise InputError(
                f"{description.parent}: was made with other weights or another version of this stream than {folder} "
                "would be; remove it, or choose another --dump, and run stage 3 again"
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
    """The content of a description; empty where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise InputError(f"{path}: not valid JSON; remove it and run stage 3 again") from None


def write_description(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")


def _is_from(source: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    return {key: made.get(key) for key in source} == source


def _keys(scp: Path) -> set[str]:
    return {key for key, _, _ in read_scp(scp)}


def _count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


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
