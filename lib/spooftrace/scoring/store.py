"""Scores on the disk: what they are made from, the parts of an array job, and the finished files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spooftrace.archive import ArchiveReader, ArchiveWriter, is_whole
from spooftrace.arrayjob import Journal, fingerprint, other_journals, read_journals
from spooftrace.atomic import atomic_write

if TYPE_CHECKING:
    from spooftrace.tasks import Task

# The settings that a score depends on, for each data.eval_crop.
DECIDES = {"first": ("crop", "pad"), "full": (), "windows": ("crop", "pad", "eval_hop")}


def origin(
    system: Mapping[str, str], config: Mapping[str, Any], precision: str, directory: Path, dump: Path
) -> dict[str, Any]:
    """What scores are made from: the trained system, the policy, the list of audio files, the stored features.

    Args:
        system: ``fingerprint`` of the trained system's files.
        config: Its configuration, with the policy in force.
        precision: Of the front-ends.
        directory: The data directory.
        dump: Where stage 3 stored cached streams.
    """
    data = config["data"]
    features = {stream: dump / stream / directory.name / "feats.scp" for stream in data["cached"]}
    return {
        "system": dict(system),
        "policy": {key: data[key] for key in ("eval_crop", *DECIDES[data["eval_crop"]])},
        "precision": precision,
        "audio": fingerprint(directory, "wav.scp", "segments"),
        "features": {stream: scp.stat().st_mtime_ns if scp.exists() else 0 for stream, scp in features.items()},
    }


def is_complete(out: Path, made: Mapping[str, Any], embeddings: bool) -> bool:
    """Whether ``out`` holds scores of this origin, and embeddings if they are asked for."""
    description = _description(out)
    try:
        found = json.loads(description.read_text(encoding="utf-8"))
        if not out.exists() or {key: found.get(key) for key in made} != made:
            return False
    except (OSError, ValueError, AttributeError):  # none, or damaged
        return False
    return not embeddings or (found.get("embeddings", False) and is_whole(_embeddings(out)[1]))


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
        readers = [ArchiveReader(scp) for scp in scps if scp.exists() and is_whole(scp)]
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
    for path, lines in {out: task.format_scores(utts, values), **others}.items():
        with atomic_write(path) as file:
            file.writelines(f"{line}\n" for line in lines)
    with atomic_write(_description(out)) as file:
        content = {**made, "utterances": len(utts), "embeddings": embeddings is not None}
        if incomplete:
            content["incomplete"] = list(incomplete)
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")


def _description(out: Path) -> Path:
    return out.with_suffix(".json")


def _embeddings(out: Path) -> tuple[Path, Path]:
    return out.with_name("embeddings.ark"), out.with_name("embeddings.scp")
