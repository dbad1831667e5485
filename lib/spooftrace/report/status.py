"""How far the experiments are: a line each, from the small files that the stages leave behind.

Nothing is loaded and no training is disturbed. What is not known, such as the time left of a training whose log is
elsewhere, is shown as ``-``.

| column | from |
|---|---|
| state | the lock of a training that goes on, ``run.json``, the record of its job, ``checkpoints/`` |
| epochs, best | ``epochs.tsv``, ``config.yaml`` |
| an epoch, left | ``run.json``; before, the times of ``config.yaml`` (begin) and ``epochs.tsv`` (last epoch) |
| sets | ``scores.json`` and ``metrics.json`` of each set |
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spooftrace.common.english import duration
from spooftrace.common.epochs_table import read_epochs
from spooftrace.common.errors import InputError
from spooftrace.common.lock import holder
from spooftrace.common.record_forms import misfit
from spooftrace.common.records import SavedConfig, damaged_run, read_run
from spooftrace.common.text_table import text_table
from spooftrace.jobs.records import last_line, record_path
from spooftrace.training.train import LOCK

LOGS = "log"  # in the folder of all experiments: links to the logs of array jobs, with their records
UNKNOWN = "-"


@dataclass(frozen=True)
class Status:
    """What is known of an experiment; None is what is not.

    Args:
        name: Its folder's, with what tells this one from others of that name.
        state: ``trained``, ``imported``, ``training``, ``failed``, ``interrupted`` or ``not begun``.
        done: Epochs finished.
        of: Epochs at most.
        best: The best figure so far of what selects the epoch, with its name.
        epoch_seconds: What an epoch has taken on average.
        left_seconds: Until all epochs are done, for a training that goes on.
        sets: Test set -> ``evaluated`` or ``scored``.
        failures: Last lines of the logs of jobs that failed, ``LOG: LINE``.
    """

    name: str
    state: str
    done: int
    of: int | None = None
    best: str | None = None
    epoch_seconds: float | None = None
    left_seconds: float | None = None
    sets: Mapping[str, str] | None = None
    failures: Sequence[str] = ()

    def cells(self) -> list[str]:
        """The columns of the table."""
        state = f"interrupted in epoch {self.done + 1}" if self.state == "interrupted" else self.state
        kinds = {kind: [name for name, found in (self.sets or {}).items() if found == kind] for kind in KINDS}
        sets = "; ".join(f"{kind} {' '.join(names)}" for kind, names in kinds.items() if names)
        epochs = UNKNOWN if self.state == "imported" else f"{self.done}/{self.of or '?'}"
        times = [duration(seconds, UNKNOWN) for seconds in (self.epoch_seconds, self.left_seconds)]
        return [self.name, state, epochs, self.best or UNKNOWN, *times, sets or UNKNOWN]


HEADER = ["experiment", "state", "epochs", "best", "an epoch", "left", "sets"]
KINDS = {"evaluated": "metrics*.json", "scored": "scores.json"}  # what a set's folder then holds; the last stage first


def table(exps: Sequence[Path]) -> str:
    """The experiments in each folder of ``exps``, or the one that it is, as text; under each its failed jobs.

    Where there are several folders, what they differ by is part of the names, and one without experiments is a line.

    Raises:
        InputError: There is no experiment, or one of its files is damaged.
    """
    found, empty = [], []
    for exp, label in zip(exps, _labels(exps), strict=True):
        try:
            experiments = list(_experiments(exp, label))
        except InputError as error:
            empty.append(str(error))
        else:
            found += [_status(folder, name, failures) for folder, name, failures in experiments]
    if not found:
        raise InputError("; ".join(empty))
    lines = text_table(HEADER, [status.cells() for status in found], left=None, rule=False).split("\n")
    below: list[list[str]] = [[], *([f"  failed: {failure}" for failure in status.failures] for status in found)]
    return "\n".join([*(text for line, more in zip(lines, below, strict=True) for text in (line, *more)), *empty])


def verify_experiments(exps: Sequence[Path], dump: Path | None = None) -> None:
    """Read the files of experiments again and name those that changed since they were written.

    Args:
        exps: Experiments, or folders of experiments.
        dump: Folder of the stored streams; by default ``dump/`` beside that of the experiments.

    Raises:
        InputError: There is no experiment, or a file has changed.
    """
    from spooftrace.scoring.verifying import verify

    pairs = zip(exps, _labels(exps), strict=True)
    experiments = {folder: name for exp, label in pairs for folder, name, _ in _experiments(exp, label)}
    verify(experiments, {dump or _shared_folder(exp.resolve()).parent / "dump" for exp in exps})


def _labels(exps: Sequence[Path]) -> list[str]:
    """What precedes the names of experiments: for egs/a/exp and egs/b/exp ``a/`` and ``b/``, for one folder nothing."""
    shared = [_shared_folder(exp.resolve()) for exp in exps]
    owners = [folder.parent if folder.name == "exp" else folder for folder in shared]
    common = os.path.commonpath(owners)
    return ["".join(f"{part}/" for part in owner.relative_to(common).parts) for owner in owners]


def _shared_folder(exp: Path) -> Path:
    """The folder that an experiment shares with others; a folder of experiments itself."""
    return exp.parent if (exp / "config.yaml").is_file() else exp


def _experiments(exp: Path, label: str) -> Iterator[tuple[Path, str, list[str]]]:
    """Folders of experiments, with their names, which begin with ``label``, and what their failed jobs said last."""
    if not exp.is_dir():
        raise InputError(f"{exp}: no such folder; give the one that experiments are in")
    if exp.name in ("", ".."):
        exp = exp.resolve()  # for the names to be shown
    shared = _shared_folder(exp)
    folders = [exp] if shared != exp else sorted(path for path in exp.iterdir() if path.is_dir() and path.name != LOGS)
    if not folders:
        raise InputError(f"{exp}: no experiments there; run stage 4 (training) first")
    failed: dict[Path, list[Path]] = {}
    for log in [*(shared / LOGS).glob("*/*.log"), *(log for folder in folders for log in folder.glob("*.log"))]:
        target = log.resolve()
        if _has_failed(log) and target not in failed.setdefault(target.parent, []):
            failed[target.parent].append(target)
    for folder in folders:
        name = label + folder.name
        logs = sorted(failed.get(folder.resolve(), []))
        yield folder, name, [f"{name}/{log.name}: {last_line(log) or 'nothing was printed'}" for log in logs]


def _has_failed(log: Path) -> bool:
    """Whether the job with this log, which may be a link, ended with an error and has not been started since."""
    record = record_path(log)
    try:
        # Another launcher, which keeps its record elsewhere, may have run the job again: then the log is newer.
        return int(record.read_text(encoding="ascii")) != 0 and record.stat().st_mtime >= log.stat().st_mtime
    except (OSError, ValueError):  # not ended, or being written
        return False


def _status(folder: Path, name: str, failures: Sequence[str]) -> Status:
    config, finished = _settings(folder / "config.yaml"), _finished(folder)
    epochs = read_epochs(folder / "epochs.tsv")
    trainer = config.get("trainer", {})
    done, of, monitor = len(epochs), trainer.get("max_epochs"), trainer.get("monitor")
    figures = [epoch[monitor] for epoch in epochs if monitor in epoch and not math.isnan(epoch[monitor])]
    best = f"{monitor} {min(figures):.4f}" if figures else None
    sets = _sets(folder)
    if "imported" in finished:
        return Status(name, "imported", done, of, best, sets=sets, failures=failures)
    # One that is being made longer has the new length in config.yaml, and run.json of the shorter one.
    if finished and all(trainer.get(key) == value for key, value in finished["length"].items()):
        done = finished["epochs"]
        each = finished["train_seconds"] / done if done else None
        return Status(name, "trained", done, of, best, each, None, sets, failures)
    each = _epoch_seconds(folder)
    if holder(folder / LOCK):
        left = None
        if each is not None and of is not None:
            left = max(0.0, (of - done) * each - (time.time() - (folder / "epochs.tsv").stat().st_mtime))
        return Status(name, "training", done, of, best, each, left, sets, failures)
    if any(failure.startswith(f"{name}/train.log:") for failure in failures):
        state = "failed"
    elif epochs or (folder / "checkpoints/last.ckpt").exists() or (folder / "train.log").exists():
        state = "interrupted"
    else:
        state = "not begun"
    return Status(name, state, done, of, best, each, None, sets, failures)


def _settings(path: Path) -> dict[str, Any]:
    """A resolved configuration, unchecked; {} where there is none yet."""
    from spooftrace.config.yaml_text import read_yaml

    content = (read_yaml(path) if path.is_file() else None) or {}
    if problem := misfit(content, SavedConfig):
        raise InputError(f"{path}: not a configuration: {problem}; restore the file, or remove the experiment")
    return content


def _finished(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says of a finished training or an imported system; {} without one.

    Raises:
        InputError: It is damaged.
    """
    content = read_run(folder)
    if not content or "imported" in content:  # the figures of an imported system are not known
        return content
    if "epochs" not in content or "train_seconds" not in content:
        raise damaged_run(folder)
    return {"length": {}, **content}


def _epoch_seconds(folder: Path) -> float | None:
    """Mean time of an epoch since this training was started or resumed, if its log says how many that were."""
    log = folder / "train.log"
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        begun = max(number for number, line in enumerate(lines) if line.startswith("training "))
        count = sum(line.startswith("epoch ") for line in lines[begun:])
        return ((folder / "epochs.tsv").stat().st_mtime - (folder / "config.yaml").stat().st_mtime) / count
    except (OSError, ValueError, ZeroDivisionError):  # a file is not there, or no epoch has ended yet
        return None


def _sets(folder: Path) -> dict[str, str]:
    """Set -> how far it is."""
    found = {}
    for path in sorted(folder.iterdir()):
        kind = next((kind for kind, pattern in KINDS.items() if any(path.glob(pattern))), None)
        if path.is_dir() and kind:
            found[path.name] = kind
    return found
