"""Scores on disk: their origin, the shards of an array job, and the finished files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spooftrace.archive import ArchiveReader, ArchiveWriter, is_whole
from spooftrace.common.atomic import atomic_write
from spooftrace.common.contents import changed_file, record_files
from spooftrace.common.errors import InputError
from spooftrace.common.journal import Journal, other_journals, read_journals
from spooftrace.common.json_files import write_json
from spooftrace.common.records import read_scores_record
from spooftrace.config.settings import Config
from spooftrace.datadir.sources import origin_of_audio
from spooftrace.extraction.belonging import check, describe

if TYPE_CHECKING:
    from spooftrace.tasks import Task

# The settings that determine a score, for each data.eval_crop.
CROP_SETTINGS = {"first": ("crop", "pad"), "full": (), "windows": ("crop", "pad", "eval_hop")}


def origin_of_scores(
    system: Mapping[str, str], config: Config, precision: str, directory: Path, dump: Path,
    frontends: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the origin of scores: the trained system, the scoring options and the audio.

    For streams computed on the fly, the audio is identified by its list and the size and time of every file, which
    reveals a replaced file. For stored features it is the audio that they were computed from, after a comparison with
    the data directory.

    Args:
        system: ``fingerprint`` of the files of the trained system.
        config: Its configuration, including overrides.
        precision: Precision of the front-ends.
        directory: The data directory.
        dump: Folder of stored streams.
        frontends: Fingerprints of the frozen front-ends from ``run.json``; scoring refuses others.

    Returns:
        The fields of ``scores.json`` that identify the scores.

    Raises:
        InputError: Features are missing or were computed from other audio.
    """
    data = config.data
    features, audio = {}, {}
    for stream in data.cached:
        folder = dump / stream / directory.name
        check(config.streams[stream], directory, folder)
        features[stream] = describe(folder, directory)
        audio = features[stream].pop("audio")
    if len(features) < len(config.streams):
        audio = origin_of_audio(directory)
    return {
        "system": dict(system),
        "policy": {key: getattr(data, key) for key in ("eval_crop", *CROP_SETTINGS[data.eval_crop])},
        "precision": precision,
        "audio": audio,
        "features": features,
        "frontends": dict(frontends or {}),
    }


def is_complete(out: Path, origin: Mapping[str, Any], embeddings: bool) -> bool:
    """Return whether a score file and its companions are complete; print a line for damaged ones.

    Args:
        out: The score file.
        origin: The expected origin.
        embeddings: Whether embeddings are required.

    Returns:
        Whether ``out`` has this origin, none of its files has changed since it was written, and the record of them is
        intact.
    """
    try:
        record = read_scores_record(_description(out))
    except InputError:
        print(f"{_description(out)}: damaged; the set is scored again")
        return False
    if not out.exists() or {key: record.get(key) for key in origin} != origin:
        return False
    if problem := changed_file(out.parent, record):
        print(f"{problem}; the set is scored again")
        return False
    if "files" not in record:  # written by an earlier version, which recorded only the number of scores
        with open(out, "rb") as file:
            if sum(1 for _ in file) < record.get("utterances", 0):
                return False
    return not embeddings or (record.get("embeddings", False) and is_whole(_embeddings(out)[1], beside=True))


class Shards:
    """The shards of an array job, in a folder beside the score file; shards of another origin are ignored.

    Args:
        out: The score file.
        origin: Origin of the scores.
    """

    def __init__(self, out: Path, origin: Mapping[str, Any]) -> None:
        self.folder = out.with_name(f".{out.stem}")
        self.origin = dict(origin)

    def journal(self, job: int, num_jobs: int) -> Journal:
        """Return the journal of the scores of a job.

        Args:
            job: Number of the job, counted from 1.
            num_jobs: Number of jobs.

        Returns:
            The journal.
        """
        return Journal(self.folder, job, num_jobs, self.origin)

    def archive(self, job: int, num_jobs: int) -> ArchiveWriter:
        """Open the archive of the embeddings of a job, to continue it.

        Args:
            job: Number of the job, counted from 1.
            num_jobs: Number of jobs.

        Returns:
            The archive.
        """
        journal = self.journal(job, num_jobs).path
        if journal not in self._journals():  # the origin of an archive without a journal is unknown
            for old in self.folder.glob(f"{journal.stem}.*"):
                old.unlink()
            with self.journal(job, num_jobs):
                pass
        return ArchiveWriter(journal.with_suffix(".ark"), journal.with_suffix(".scp"), resume=True)

    def scores(self) -> dict[str, str]:
        """Return utterance -> its score, or several scores, as text."""
        return dict(read_journals(self.folder, self.origin))

    def embeddings(self) -> dict[str, ArchiveReader]:
        """Return utterance -> the archive of its embedding, for archives that are finished."""
        scps = [journal.with_suffix(".scp") for journal in self._journals()]
        readers = [ArchiveReader(scp, beside=True) for scp in scps if scp.exists() and is_whole(scp, beside=True)]
        return {utt: reader for reader in readers for utt in reader}

    def done(self, archive: ArchiveWriter | None) -> set[str]:
        """Return the utterances that have a score and, with an ``archive``, an embedding."""
        scores = set(self.scores())
        return scores if archive is None else scores & (archive.keys | self.embeddings().keys())

    def remove(self) -> None:
        """Remove all shards."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _journals(self) -> list[Path]:
        others = other_journals(self.folder, self.origin)
        return [path for path in sorted(self.folder.glob("*.journal")) if path not in others]


def write(
    out: Path,
    origin: Mapping[str, Any],
    utts: Sequence[str],
    scores: Mapping[str, str],
    embeddings: Mapping[str, ArchiveReader] | None,
    task: Task,
    incomplete: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the finished files, ``scores.json`` last, and remove embeddings of earlier scores.

    Args:
        out: The score file.
        origin: Origin of the scores.
        utts: The utterances, sorted.
        scores: Utterance -> its scores as text.
        embeddings: Utterance -> the archive of its embedding, or ``None`` for no embeddings.
        task: The task, which formats the lines of the score file.
        incomplete: Gaps of the data directory (:mod:`spooftrace.datadir.incomplete`).
    """
    _description(out).unlink(missing_ok=True)
    ark, scp = _embeddings(out)
    for old in (scp, ark):
        old.unlink(missing_ok=True)
    if embeddings is not None:
        with ArchiveWriter(ark, scp) as archive:
            for utt in utts:
                archive.write(utt, embeddings[utt][utt])
    rows = np.array([scores[utt].split() for utt in utts], np.float32)  # (U, K)
    values = rows[:, 0] if rows.shape[1] == 1 else rows
    others = {out.with_name(name): lines for name, lines in task.other_files(utts, values).items()}
    texts = {out: task.format_scores(utts, values), **others}
    for path, lines in texts.items():
        with atomic_write(path) as file:
            file.writelines(f"{line}\n" for line in lines)
    written = [*texts, *(() if embeddings is None else (ark, scp))]
    content = {
        **origin, "utterances": len(utts), "embeddings": embeddings is not None,
        "files": record_files(out.parent, [path.name for path in written]),
    }  # fmt: skip
    if incomplete:
        content["incomplete"] = list(incomplete)
    write_json(_description(out), content)


def _description(out: Path) -> Path:
    return out.with_suffix(".json")


def _embeddings(out: Path) -> tuple[Path, Path]:
    return out.with_name("embeddings.ark"), out.with_name("embeddings.scp")
