"""Decide whether the training in a folder is finished, can be resumed, or has another configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spooftrace.common.differences import difference_text, differences
from spooftrace.common.errors import InputError
from spooftrace.common.records import RUN, read_run
from spooftrace.config.settings import Config
from spooftrace.system.files import CONFIG, LENGTH, MODEL, is_described, last_checkpoint

# Settings that do not change the results.
WITHOUT_EFFECT = ("trainer.checkpoint_minutes", "data.num_workers")


def is_finished(exp: Path, config: Config) -> bool:
    """Whether ``exp`` holds the finished training of this configuration.

    If the model of a finished training is missing or damaged, the reason for writing it again is printed.

    Args:
        exp: Folder of the experiment.
        config: Configuration of the training to start or resume.

    Returns:
        False if the training has to be started or resumed.

    Raises:
        InputError: The folder holds a training with another configuration, which resuming cannot turn into this one;
            or files are missing or damaged that cannot be restored from checkpoints.
    """
    from spooftrace.config.loading import load_config

    run, has_checkpoint = read_run(exp), last_checkpoint(exp).exists()
    if not run and not has_checkpoint:  # a failed start, perhaps due to the configuration: nothing to lose
        return False
    if not (exp / CONFIG).exists():
        raise InputError(
            f"{exp}: {CONFIG} is missing, so the configuration of this training is unknown; restore it, "
            f"{_or_remove(exp)}"
        )
    saved = load_config([exp / CONFIG])
    length = run.get("length") or length_of(saved)
    conflicts = [
        difference_text(*change)
        for change in differences(saved.as_dict(), config.as_dict())
        if not _may_change(change[0])
    ]
    if conflicts:
        raise InputError(
            f"{exp}: holds a training with another configuration: {'; '.join(conflicts)}; {_other_folder(exp)}"
        )
    same_length = length == length_of(config)
    problem = _model_problem(exp) if run else ""
    if run and same_length and not problem:
        return True
    if not has_checkpoint:
        reason = problem or f"trained with {_length_changes(length, config)}"
        raise InputError(
            f"{exp}: {reason}, but there is no {last_checkpoint(exp).relative_to(exp)} to resume from; restore it, "
            f"{_or_remove(exp)}"
        )
    _check_length(exp, length, config)
    if problem:
        print(f"{exp}: {problem}; writing it again from the checkpoints", flush=True)
    return False


def length_of(config: Config) -> dict[str, int | None]:
    """The settings that determine only when a training ends."""
    return {key: getattr(config.trainer, key) for key in LENGTH}


def _check_length(exp: Path, before: Mapping[str, Any], config: Config) -> None:
    """Refuse a new length with which the epochs so far would have been trained differently."""
    from spooftrace.training.saving import NEEDED, read_checkpoint
    from spooftrace.training.selection import end_of

    trainer = config.trainer
    if before == length_of(config):
        return
    if config.schedule.kind == "cosine" and before["max_epochs"] != trainer.max_epochs:
        change = difference_text("trainer.max_epochs", before["max_epochs"], trainer.max_epochs)
        raise InputError(
            f"{exp}: holds a training with another configuration: {change}; with schedule.kind cosine the learning "
            f"rate of every step depends on it, so this training cannot be resumed with another value; "
            f"{_other_folder(exp)}"
        )
    history = read_checkpoint(last_checkpoint(exp), NEEDED)["epochs"]
    end = end_of(history, trainer)
    if end is not None and end < len(history):
        raise InputError(
            f"{exp}: {_length_changes(before, config)}: this training would have ended after epoch {end}, but "
            f"{len(history)} epochs are finished; {_other_folder(exp)}"
        )


def _model_problem(exp: Path) -> str:
    """Why the trained model cannot be used; empty if it can."""
    if not (exp / MODEL).exists():
        return f"{MODEL} is missing"
    return "" if is_described(exp / MODEL) else f"{MODEL} is not the file that {RUN} describes"


def _may_change(key: str) -> bool:
    return key in WITHOUT_EFFECT or key in [f"trainer.{name}" for name in LENGTH]


def _length_changes(before: Mapping[str, Any], config: Config) -> str:
    given = length_of(config)
    changed = [key for key in LENGTH if before[key] != given[key]]
    return ", ".join(difference_text(f"trainer.{key}", before[key], given[key]) for key in changed)


def _other_folder(exp: Path) -> str:
    return f"choose another folder (run.sh --tag) or remove {exp}"


def _or_remove(exp: Path) -> str:
    return f"or remove {exp} to train anew"
