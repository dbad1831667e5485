"""Whether a folder holds a training that is over, that can go on, or of another configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spooftrace.common.differences import difference_text, differences
from spooftrace.common.errors import InputError
from spooftrace.common.records import RUN, read_run
from spooftrace.config.settings import Config
from spooftrace.system.files import CONFIG, LENGTH, MODEL, is_described, last_checkpoint

# Settings that change no result.
WITHOUT_EFFECT = ("trainer.checkpoint_minutes", "data.num_workers")


def is_finished(exp: Path, config: Config) -> bool:
    """Whether ``exp`` holds the finished training of this configuration; says on stdout why one is finished anew.

    Raises:
        InputError: It holds a training of another configuration, which cannot become one of this by going on; or files
            are gone or damaged that cannot be made again.
    """
    from spooftrace.config.loading import load_config

    run, has_checkpoint = read_run(exp), last_checkpoint(exp).exists()
    if not run and not has_checkpoint:  # nothing is lost: whatever went wrong may have been the configuration
        return False
    if not (exp / CONFIG).exists():
        raise InputError(
            f"{exp}: {CONFIG} is gone, so what was trained there is not known; restore it, {_or_else(exp)}"
        )
    saved = load_config([exp / CONFIG])
    length = run.get("length") or length_of(saved)
    others = [
        difference_text(*change)
        for change in differences(saved.as_dict(), config.as_dict())
        if not _may_change(change[0])
    ]
    if others:
        raise InputError(f"{exp}: holds a training with another configuration: {'; '.join(others)}; {_otherwise(exp)}")
    as_long = length == length_of(config)
    problem = _problem_of_model(exp) if run else ""
    if run and as_long and not problem:
        return True
    if not has_checkpoint:
        what = problem or f"trained with {_lengths(length, config)}"
        raise InputError(
            f"{exp}: {what}, but there is no {last_checkpoint(exp).relative_to(exp)} to go on from; restore it, "
            f"{_or_else(exp)}"
        )
    before = length if run else length_of(saved)  # an interrupted training may have been made longer before
    _check_length(exp, before, config)
    if problem:
        print(f"{exp}: {problem}; made again from its checkpoints", flush=True)
    return False


def length_of(config: Config) -> dict[str, int | None]:
    """The settings that decide only when a training ends."""
    return {key: getattr(config.trainer, key) for key in LENGTH}


def _check_length(exp: Path, before: Mapping[str, Any], config: Config) -> None:
    """Refuse another length that the training would not have come by, had it been given from the start."""
    from spooftrace.training.saving import NEEDED, read_checkpoint
    from spooftrace.training.selection import end_of

    trainer = config.trainer
    if before == length_of(config):
        return
    if config.schedule.kind == "cosine" and before["max_epochs"] != trainer.max_epochs:
        change = difference_text("trainer.max_epochs", before["max_epochs"], trainer.max_epochs)
        raise InputError(
            f"{exp}: holds a training with another configuration: {change}; with schedule.kind cosine the learning "
            f"rate of every step depends on it, so this training cannot go on with another one; {_otherwise(exp)}"
        )
    history = read_checkpoint(last_checkpoint(exp), NEEDED)["epochs"]
    end = end_of(history, trainer)
    if end is not None and end < len(history):
        raise InputError(
            f"{exp}: {_lengths(before, config)}: with that this training would have ended after epoch {end}, but "
            f"{len(history)} are done; {_otherwise(exp)}"
        )


def _problem_of_model(exp: Path) -> str:
    """What is wrong with the trained model, in words; empty if nothing is."""
    if not (exp / MODEL).exists():
        return f"{MODEL} is gone"
    return "" if is_described(exp / MODEL) else f"{MODEL} is not the file that {RUN} describes"


def _may_change(key: str) -> bool:
    return key in WITHOUT_EFFECT or key in [f"trainer.{name}" for name in LENGTH]


def _lengths(before: Mapping[str, Any], config: Config) -> str:
    given = length_of(config)
    changed = [key for key in LENGTH if before[key] != given[key]]
    return ", ".join(difference_text(f"trainer.{key}", before[key], given[key]) for key in changed)


def _otherwise(exp: Path) -> str:
    return f"choose another folder (run.sh --tag) or remove {exp}"


def _or_else(exp: Path) -> str:
    return f"or remove {exp} to train anew"
