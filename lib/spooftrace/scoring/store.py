"""Scores on the disk: what they are made from, the parts of an array job, and the finished files."""

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

# The settings that a score depends on, for each data.eval_crop.
DECIDES = {"first": ("crop", "pad"), "full": (), "windows": ("crop", "pad", "eval_hop")}


def origin(
    system: Mapping[str, str], config: Config, precision: str, directory: Path, dump: Path,
    frontends: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What scores are made from: the trained system, the policy, the audio.

    The audio that a system computes from is its list and the state of every file: a file that is replaced is noticed.
    That of stored features is the audio that they were made from, which was compared with that of the data directory.

    Args:
        system: ``fingerprint`` of the trained system's files.
        config: Its configuration, with the policy in force.
        precision: Of the front-ends.
        directory: The data directory.
        dump: Where stage 3 stored cached streams.
        frontends: Fingerprints of the frozen front-ends, as ``run.json`` has them; scoring refuses others.

    Raises:
        InputError: Features are not there, or of other audio.
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
        "policy": {key: getattr(data, key) for key in ("eval_crop", *DECIDES[data.eval_crop])},
        "precision": precision,
        "audio": audio,
        "features": features,
        "frontends": dict(frontends or {}),
    }


def is_complete(out: Path, made: Mapping[str, Any], embeddings: bool) -> bool:
    """Whether ``out`` holds scores of this origin, and embeddings if they are asked for; prints why it does not.

    It does not when one of its files was changed after it was written, or the record of them is damaged.
    """
    try:
        found = read_scores_record(_description(out))
    except InputError:
        print(f"{_description(out)}: damaged; the set is scored again")
        return False
    if not out.exists() or {key: found.get(key) for key in made} != made:
        return False
    if problem := changed_file(out.parent, found):
        print(f"{problem}; the set is scored again")
        return False
    if "files" not in found:  # of an earlier version, which recorded only how many scores there were
        with open(out, "rb") as file:
            if sum(1 for _ in file) < found.get("utterances", 0):
                return False
    return not embeddings or (found.get("embeddings", False) and is_whole(_embeddings(out)[1], beside=True))


class Parts:
    """The parts of an array job, in a folder beside ``out``; those of another origin count for nothing."""

    def __init__(self, out: Path, made: Mapping[str, Any]) -> None:
        self.folder = out.with_name(f".{out.stem}")
        self.origin = dict(made)

    def journal(self, job: int, num_jobs: int) -> Journal:
        """The record of a job's scores."""
        return Journal(self.folder, job, num_jobs, self.origin)

    def archive(self, job: int, num_jobs: int) -> ArchiveWriter:
        """The archive of a job's embeddings, to be continued."""
        journal = self.journal(job, num_jobs).path
        if journal not in self._journals():  # what an archive without a journal was made from is not known
            for old in self.folder.glob(f"{journal.stem}.*"):
                old.unlink()
            with self.journal(job, num_jobs):
                pass
        return ArchiveWriter(journal.with_suffix(".ark"), journal.with_suffix(".scp"), resume=True)

    def scores(self) -> dict[str, str]:
        """Utterance -> its score, or several, as text."""
        return dict(read_journals(self.folder, self.origin))

    def embeddings(self) -> dict[str, ArchiveReader]:
        """Utterance -> the archive that holds its embedding, for archives that are finished."""
        scps = [journal.with_suffix(".scp") for journal in self._journals()]
        readers = [ArchiveReader(scp, beside=True) for scp in scps if scp.exists() and is_whole(scp, beside=True)]
        return {utt: reader for reader in readers for utt in reader}

    def done(self, archive: ArchiveWriter | None) -> set[str]:
        """Utterances that have a score and, where they go into ``archive``, an embedding."""
        scores = set(self.scores())
        return scores if archive is None else scores & (archive.keys | self.embeddings().keys())

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _journals(self) -> list[Path]:
        others = other_journals(self.folder, self.origin)
        return [path for path in sorted(self.folder.glob("*.journal")) if path not in others]


def write(
    out: Path,
    made: Mapping[str, Any],
    utts: Sequence[str],
    scores: Mapping[str, str],
    embeddings: Mapping[str, ArchiveReader] | None,
    task: Task,
    incomplete: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the finished files, ``scores.json`` last; embeddings of other scores go.

    Args:
        out: The score file.
        made: What ``origin`` gave.
        utts: The utterances, sorted.
        scores: Of each utterance, as text.
        embeddings: The archive that holds each utterance's, or None for none.
        task: Writes the lines of the score file.
        incomplete: What the data directory lacks (:mod:`spooftrace.datadir.incomplete`).
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
        **made, "utterances": len(utts), "embeddings": embeddings is not None,
        "files": record_files(out.parent, [path.name for path in written]),
    }  # fmt: skip
    if incomplete:
        content["incomplete"] = list(incomplete)
    write_json(_description(out), content)


def _description(out: Path) -> Path:
    return out.with_suffix(".json")


def _embeddings(out: Path) -> tuple[Path, Path]:
    return out.with_name("embeddings.ark"), out.with_name("embeddings.scp")
