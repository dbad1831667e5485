"""A stored stream: ``dump/<stream>/<set>/`` with ``feats.scp``, ``feats.<job>.ark`` and their descriptions.

``stream.<job>.json`` beside each shard, and ``stream.json`` beside ``feats.scp``, describe the stream: the settings and
fingerprint of the front-end, the layout, the precision, the data directory. ``feats.<job>.sums`` and ``feats.sums``
hold the checksum of every entry and identify its audio (``spooftrace.extraction.sources``). A shard with another
description, such as another number of jobs, is computed again. ``feats.scp`` is removed first, because it points into
the archives that are replaced.
"""

from __future__ import annotations

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

# The time axis of a stored utterance: frames (T, D), layers (L, T, D), codes (Q, T), wave (N,), vector (D,).
TIME_AXIS = {"frames": 0, "layers": 1, "codes": 1, "wave": 0, "vector": None}
# Fields of a description that locate the audio. ``sources`` compares the audio itself.
LOCATION = ("audio", "data")
# Check of each field of a description, whose value is None if the field is missing: the file may be damaged.
IS_VALID: dict[str, Callable[[Any], bool]] = {
    "config": lambda value: isinstance(value, dict),
    "data": lambda value: value is None or (isinstance(value, str) and "\0" not in value),
    "dim": lambda value: type(value) is int and 0 < value < 1 << 31,
    "frame_rate": lambda value: type(value) in (int, float) and 0 <= value <= SAMPLE_RATE,
    "layout": lambda value: isinstance(value, str) and value in TIME_AXIS,
    "parameters": lambda value: value is None or type(value) is int,
}


class Shard:
    """The files that one job of an array job writes for a stream.

    Args:
        folder: ``dump/<stream>/<set>``.
        job: Number of the job, counted from 1.
    """

    def __init__(self, folder: Path, job: int) -> None:
        self.folder, self.job = folder, job
        self.ark, self.scp = folder / f"feats.{job}.ark", folder / f"feats.{job}.scp"
        self.sums = folder / f"feats.{job}.sums"
        self.description = folder / f"stream.{job}.json"

    def is_finished(self, description: Mapping[str, Any], sources: Mapping[str, Source]) -> bool:
        """Return whether the shard is complete.

        Args:
            description: The expected description.
            sources: The expected utterances and their audio.

        Returns:
            Whether the shard is intact, matches the description and holds exactly these utterances.
        """
        if not self.scp.exists() or not self._matches(description, self.sums, sources):
            return False
        return is_whole(self.scp, beside=True) and _keys(self.scp) == set(sources)

    def begin(self, description: Mapping[str, Any], sources: Mapping[str, Source]) -> None:
        """Prepare the folder for writing: keep an interrupted shard that can be continued, and remove any other.

        Args:
            description: Description of the shard.
            sources: Utterance -> its audio.

        Raises:
            InputError: Another data directory of the same name is being extracted to this folder.
        """
        (self.folder / "feats.scp").unlink(missing_ok=True)
        unfinished = Path(f"{self.sums}.part")
        if self.scp.exists() or not self._matches(
            description, unfinished if unfinished.exists() else self.sums, sources
        ):
            directory = Path(description["data"])
            if owner := other_owner(read_description(self.description), directory):
                raise InputError(ownership_message(self.folder, owner, directory, "its extraction is unfinished"))
            self.remove()
            write_json(self.description, description)

    def _matches(self, description: Mapping[str, Any], sums: Path, sources: Mapping[str, Source]) -> bool:
        stored = read_description(self.description)
        if not sums.exists():  # written by an earlier version, which did not record the audio
            return stored == description
        same = _without(stored, LOCATION) == _without(description, LOCATION)
        return same and compare(sums, sources).changed is None

    def remove(self) -> None:
        """Remove the files, the description first: without it, leftovers of a killed run never count as a shard."""
        self.description.unlink(missing_ok=True)
        for old in self.folder.glob(f"*feats.{self.job}.*"):  # the star matches temporary files, which begin with a dot
            old.unlink()


def origin_of_stream(node: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Return the fields of a description that identify the front-end and the audio of a stream.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.

    Returns:
        ``config``, ``audio`` (hash of the list of audio files) and ``data`` (path of the data directory).

    Raises:
        InputError: The data directory has no ``wav.scp``.
    """
    if not (directory / "wav.scp").exists():
        raise InputError(f"{directory}/wav.scp: does not exist; run stage 1 (data preparation) first")
    return {"config": dict(node), "audio": fingerprint(directory, "wav.scp", "segments"), "data": directory.as_posix()}


def collect(node: Mapping[str, Any], directory: Path, folder: Path, num_jobs: int) -> None:
    """Join the shards of an array job into ``feats.scp``.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.
        folder: ``dump/<stream>/<set>``.
        num_jobs: Number of shards.

    Raises:
        InputError: A shard is missing or has another description, the audio has changed, or the shards do not hold
            exactly the utterances of the data directory.
    """
    shards = [Shard(folder, job) for job in range(1, num_jobs + 1)]
    description = _common_description(shards, {"config": dict(node), "num_jobs": num_jobs})
    data = DataDir.read(directory)
    stored = {utt for shard in shards for utt in _keys(shard.scp)}
    for problem, utts in (
        (f"{folder}: has no features for", [utt for utt in data.utts if utt not in stored]),
        (f"{directory}: lacks but {folder} has", sorted(stored.difference(data.utts))),
    ):
        if utts:
            raise InputError(f"{problem} {len(utts)} utterances, first {utts[0]}; run stage 3 again")
    for old in ("feats.scp", "stream.json", "feats.sums"):
        (folder / old).unlink(missing_ok=True)
    recorded = all(shard.sums.exists() for shard in shards)
    if recorded:
        merge_sums(folder / "feats.sums", [shard.sums for shard in shards])
        changed = compare(folder / "feats.sums", {utt: Source(*data.audio(utt)) for utt in data.utts}).changed
    else:  # written by an earlier version, which did not record the audio
        current = origin_of_stream(node, directory)["audio"]
        changed = None if description["audio"] == current else f"{directory}/wav.scp has changed"
    if changed:
        raise InputError(f"{folder}: {changed}: the audio has changed since the extraction; run stage 3 again")
    count = merge_scp(folder / "feats.scp", [shard.scp for shard in shards])
    # Written last, because the description marks the stream as complete.
    files = record_files(folder, ["feats.scp"])
    write_json(
        folder / "stream.json",
        description | {"utterances": count, "files": files, "data": directory.as_posix(), "sums": recorded},
    )
    for job in _jobs(folder):
        if job > num_jobs:  # left by an earlier run with more jobs
            Shard(folder, job).remove()
    print(f"{folder}/feats.scp: {count:,} utterances")


def _common_description(shards: Sequence[Shard], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description that all shards share."""
    common: dict[str, Any] = {}
    for shard in shards:
        description = read_description(shard.description)
        if not shard.scp.exists() or {key: description.get(key) for key in expected} != expected:
            raise InputError(f"{shard.scp}: shard {shard.job} of the extraction is not finished; run stage 3 again")
        for key in common.keys() & _without(description, LOCATION).keys():
            if common[key] != description[key]:
                raise InputError(
                    f"{shard.description}: '{key}' differs from {shards[0].description.name}: the shards are from "
                    "different runs; run stage 3 again"
                )
        common = description
    return common


def check_weights(description: Mapping[str, Any], folder: Path) -> None:
    """Check that the sets of a stream share weights and precision, because a system must not mix them.

    The configuration does not show this: a model may have been replaced in its folder.

    Args:
        description: Description of the stream about to be stored.
        folder: Its folder, ``dump/<stream>/<set>``.

    Raises:
        InputError: Another set of the stream has the same configuration, but another fingerprint or precision.
    """
    for path in sorted(folder.parent.glob("*/stream.json")):
        other = read_description(path)
        if path.parent == folder or other.get("config") != description["config"]:
            continue
        if other.get("fingerprint") != description["fingerprint"]:
            raise InputError(
                f"{path.parent}: was extracted with other weights or another version of this stream than {folder}; "
                "remove it, or choose another --dump, and run stage 3 again"
            )
        if precision_text(other) != precision_text(description):
            raise InputError(
                f"{path.parent}: stored as {precision_text(other)}, but {folder} as {precision_text(description)}; a "
                "system must not mix them: give the same options, or choose another --dump"
            )


def read_description(path: Path) -> dict[str, Any]:
    """Read a description.

    Args:
        path: ``stream.json`` or ``stream.<job>.json``.

    Returns:
        Its fields; empty if the file does not exist.

    Raises:
        InputError: The file was not written by stage 3, or is damaged.
    """
    try:
        content = read_json_object(path)
    except FileNotFoundError:
        return {}
    except ValueError:
        raise InputError(f"{path}: not a description of a stream; remove it and run stage 3 again") from None
    for key, is_valid in IS_VALID.items():
        if not is_valid(content.get(key)):
            raise InputError(f"{path}: the value of '{key}' is invalid; remove it and run stage 3 again")
    if (content["frame_rate"] == 0) != (content["layout"] == "vector"):
        raise InputError(f"{path}: 'frame_rate' does not match 'layout'; remove it and run stage 3 again")
    return content


def other_owner(description: Mapping[str, Any], directory: Path) -> Path | None:
    """Return the data directory of stored features, if it exists and is not ``directory``.

    Args:
        description: Description of the stored features.
        directory: The data directory to compare with.

    Returns:
        The other data directory, or ``None``.
    """
    owner = Path(description.get("data") or directory)
    try:
        return owner if owner.is_dir() and not owner.samefile(directory) else None
    except OSError:  # for example, the name is too long
        return None


def ownership_message(folder: Path, owner: Path, directory: Path, reason: str) -> str:
    """Return the error message for two data directories with the same last name.

    Args:
        folder: ``dump/<stream>/<set>``.
        owner: The data directory of the stored features.
        directory: The data directory to extract.
        reason: The difference between their audio.

    Returns:
        The message.
    """
    return (
        f"{folder}: belongs to the data directory {owner}, which has the same last name as {directory} but other "
        f"audio ({reason}); choose another --dump"
    )


def precision_text(description: Mapping[str, Any]) -> str:
    """Return the precision of stored features for messages, such as ``bf16, compressed``.

    Args:
        description: Their description.

    Returns:
        The text.
    """
    return f"{description.get('precision', 'fp32')}{', compressed' if description.get('compress') else ''}"


def _without(description: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in description.items() if key not in keys}


def _keys(scp: Path) -> set[str]:
    return {key for key, _, _ in read_scp(scp)}


def _jobs(folder: Path) -> list[int]:
    names = (file.name.split(".")[1] for file in [*folder.glob("stream.*.json"), *folder.glob("feats.*.*")])
    return sorted({int(name) for name in names if name.isdigit()})
