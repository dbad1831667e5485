"""What training and scoring record in ``run.json`` and ``scores.json``, and how these files are read.

Earlier versions recorded less, so no field has to be there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from spooftrace.common.errors import InputError
from spooftrace.common.json_files import read_json_object
from spooftrace.common.record_forms import Count, Seconds, misfit

RUN, SCORES_RECORD = "run.json", "scores.json"


class Missing(TypedDict):
    """A :class:`spooftrace.datadir.incomplete.Gap`."""

    set: str
    what: str
    missing: Count
    of: Count


class Length(TypedDict):
    """The settings that decide when a training ends."""

    max_epochs: Count
    min_epochs: Count
    patience: Count | None


class Imported(TypedDict, total=False):
    """Where a checkpoint that was trained elsewhere comes from, as far as the report shows it."""

    file: str
    sha256: str
    release: str
    repository: str
    trained_on: str | None
    score: str
    assumed: list[str]


class RunRecord(TypedDict, total=False):
    """``run.json`` of a finished training, or of an imported system."""

    system: str
    seed: int | None
    git_commit: str | None
    versions: dict[str, str]
    command: str
    allowed_modules: list[str]
    length: Length
    model_sha256: str
    symptoms: dict[str, list[int]]
    epochs: Count
    best_epoch: Count
    best: dict[str, float]
    frontends: dict[str, dict[str, Any]]
    parameters: dict[str, Count | None]
    train_seconds: Seconds
    device: str
    imported: Imported
    incomplete: dict[str, list[Missing]]


class Written(TypedDict):
    """A file when it was written."""

    sha256: str
    lines: Count


class FilesRecord(TypedDict, total=False):
    """The part of a record that says which files it describes."""

    files: dict[str, Written]


class ScoresRecord(FilesRecord, total=False):
    """``scores.json`` of a scored set."""

    system: dict[str, str]
    policy: dict[str, int | float | str | None]
    precision: str
    features: dict[str, dict[str, Any]]
    frontends: dict[str, dict[str, Any]]
    utterances: Count
    embeddings: bool
    incomplete: list[Missing]


class TrainerSettings(TypedDict, total=False):
    """The part of a resolved configuration that a status depends on."""

    max_epochs: Count
    monitor: str


class SavedConfig(TypedDict, total=False):
    """``config.yaml`` of an experiment, as far as it is read without loading the classes that it names."""

    trainer: TrainerSettings


def read_run(exp: Path) -> dict[str, Any]:
    """What ``run.json`` says of a finished training; {} of one that is not.

    Raises:
        InputError: It is damaged, or a field is not what a training writes.
    """
    content = _read(exp / RUN, RunRecord, "remove it and run stage 4 (training) again")
    if content == {}:
        raise damaged_run(exp)
    return content or {}


def damaged_run(exp: Path) -> InputError:
    """The error of an experiment whose ``run.json`` is damaged."""
    return InputError(f"{exp / RUN}: damaged; remove it and run stage 4 (training) again")


def read_scores_record(path: Path) -> dict[str, Any]:
    """What ``scores.json`` says of the scores beside it; {} where there is none, as beside files of other programs.

    Raises:
        InputError: It is damaged, or a field is not what scoring writes.
    """
    return _read(path, ScoresRecord, "remove it and score this set again") or {}


def _read(path: Path, form: type, remedy: str) -> dict[str, Any] | None:
    """The content of a record; None where there is no such file."""
    try:
        content = read_json_object(path)
    except FileNotFoundError:
        return None
    except ValueError:
        raise InputError(f"{path}: damaged; {remedy}") from None
    if problem := misfit(content, form):
        raise InputError(f"{path}: damaged: {problem}; {remedy}")
    return content
