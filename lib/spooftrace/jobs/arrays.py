"""Trainings and scorings of a recipe as array jobs: a list of jobs for each step, and its launch.

The lists lie in a folder that the recipes of a sweep share. A line of the list STEP is a job: its log, a tab, its
command. The file ``failed`` holds the logs of jobs that failed; later steps leave out their experiments.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .plan import Experiment

MESSAGES = {"train": "stage 4: train {name} in {exp}", "score": "stage 5: score with {exp}"}
STEPS = ("train", "tune", "score", "join")  # in the order of their launch
FAILED = "failed"


@dataclass(frozen=True)
class Launching:
    """How the jobs of a recipe are launched.

    Attributes:
        jobs: Folder of the lists.
        recipe: Name of this recipe in a sweep; "" for a recipe that runs alone.
        train_cmd: Launcher of CPU jobs, with its options.
        cuda_cmd: Launcher of GPU jobs, with its options.
        local: Whether jobs run on this machine.
        nj: CPU jobs at a time.
        ngpu: GPUs of each node.
        num_nodes: Nodes of a training.
    """

    jobs: Path
    recipe: str
    train_cmd: Sequence[str]
    cuda_cmd: Sequence[str]
    local: bool
    nj: int
    ngpu: int
    num_nodes: int

    @property
    def here(self) -> str:
        """This recipe, seen from the recipe that launches the jobs."""
        return f"../{self.recipe}/" if self.recipe else ""

    def launcher(self, step: str) -> list[str]:
        """Return the launcher of a step, with its options."""
        if step == "join":
            return [*self.train_cmd, "--num-threads", "1"]
        if step == "score":
            return [*self.cuda_cmd, "--gpu", str(min(self.ngpu, 1))]
        nodes = ["--num-nodes", str(self.num_nodes)] if self.num_nodes > 1 else []
        return [*self.cuda_cmd, "--gpu", str(self.ngpu), *nodes]


def remaining(plan: Sequence[Experiment], launching: Launching) -> list[Experiment]:
    """Return the experiments of which no job has failed."""
    failed = _failed(launching.jobs)
    return [experiment for experiment in plan if launching.here + experiment.exp not in failed]


def add_jobs(step: str, plan: Sequence[Experiment], command: Sequence[str], launching: Launching) -> None:
    """Add a job to the list of a step for each experiment; a scoring on several GPUs is several jobs and a last one.

    Args:
        step: ``train`` or ``score``.
        plan: The experiments.
        command: The command, with the placeholders of ``fill``.
        launching: How jobs are launched.
    """
    for experiment in plan:
        message = MESSAGES[step].format(name=experiment.name, exp=experiment.exp)
        where = f"{launching.recipe}: " if launching.recipe else ""
        print(f"{time.strftime('%T')} {where}{message}", file=sys.stderr)
        words, log = list(fill(command, experiment)), f"{experiment.exp}/{step}"
        parts = launching.ngpu if step == "score" else 1
        if parts > 1:
            for job in range(1, parts + 1):
                _add(step, f"{log}.{job}.log", [*words, "--num-jobs", str(parts), "--job", str(job)], launching)
            _add("join", f"{log}.log", [*words, "--num-jobs", str(parts), "--collect"], launching)
        else:  # a system that starts from another one is trained after it
            _add("tune" if step == "train" and experiment.start else step, f"{log}.log", words, launching)


def fill(command: Sequence[str], experiment: Experiment) -> Iterator[str]:
    """Replace the placeholders in a command, the words EXP, DUMP, SEED, CONFIG and START.

    CONFIG becomes ``--config FILE`` for each configuration file, START the option that names the experiment from which
    this one starts, or nothing.
    """
    words = {"EXP": experiment.exp, "DUMP": experiment.dump, "SEED": str(experiment.seed)}
    for word in command:
        if word == "CONFIG":
            for config in experiment.configs:
                yield from ("--config", config)
        elif word == "START":
            if experiment.start:
                yield from ("--trainer.start_from", experiment.start)
        else:
            yield words.get(word, word)


def launch(launching: Launching) -> int:
    """Launch the jobs of all lists, step by step; returns 0, or the status of a launcher that did not run its jobs."""
    for step in STEPS:
        status = _launch_step(step, launching)
        if status > 1:  # stopped, or the jobs could not be launched
            return status
    return 0


def _add(step: str, log: str, words: Sequence[str], launching: Launching) -> None:
    Path(log).parent.mkdir(parents=True, exist_ok=True)  # spooftrace status lists experiments by their folders
    with open(launching.jobs / step, "a", encoding="utf-8") as file:
        file.write(f"{launching.here}{log}\t{shlex.join(words)}\n")


def _failed(jobs: Path) -> set[str]:
    """Return the experiments of which a job has failed, as the recipe that launches sees them."""
    path = jobs / FAILED
    return (
        {line.rpartition("/")[0] for line in path.read_text(encoding="utf-8").splitlines()} if path.exists() else set()
    )


def _launch_step(step: str, launching: Launching) -> int:
    """Launch one array with the jobs of a step whose experiments have not failed before."""
    path = launching.jobs / step
    if not path.exists():
        return 0
    failed = _failed(launching.jobs)
    lines = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    jobs = [(log, command) for log, command in lines if log.rpartition("/")[0] not in failed]
    path.unlink()
    if not jobs:
        return 0
    launcher = launching.launcher(step)
    if len(jobs) == 1 and not launching.recipe:
        log, command = jobs[0]
        status = _run([*launcher, log, *shlex.split(command)])
        bad = [log] if status == 1 else []
    else:
        if launching.local and not launching.ngpu:  # run.py assigns GPUs to jobs, but does not limit CPU jobs
            launcher += ["--num-threads", str(max(1, launching.nj // len(jobs))), "--max-jobs-run", str(launching.nj)]
        folder = _write_scripts(step, jobs, launching)
        status = _run([*launcher, f"JOB=1:{len(jobs)}", f"{folder}/{step}.JOB.log", "bash", f"{folder}/{step}.JOB.sh"])
        bad = [
            log for number, (log, _) in enumerate(jobs, 1) if not _succeeded(folder / f".{step}.{number}.log.status")
        ]
    if status == 1:
        with open(launching.jobs / FAILED, "a", encoding="utf-8") as file:
            file.writelines(f"{log}\n" for log in bad)
    return status


def _succeeded(record: Path) -> bool:
    """Return whether the launcher recorded that a task ended with exit code 0."""
    return record.exists() and record.read_text(encoding="ascii").strip() == "0"


def _write_scripts(step: str, jobs: Sequence[tuple[str, str]], launching: Launching) -> Path:
    """Write a numbered script for each job of an array, and a link to its log; returns their folder.

    The folder depends on the experiments: runs of other experiments, perhaps at the same time, have another one.
    """
    exps = list(dict.fromkeys(log.rpartition("/")[0] for log, _ in jobs))
    folder = Path("exp/log", f"{Path(exps[0]).name}.{zlib.crc32(' '.join(exps).encode())}")
    folder.mkdir(parents=True, exist_ok=True)
    for number, (log, command) in enumerate(jobs, 1):
        recipe = Path("..", Path(log).parts[1]) if launching.recipe else Path()
        if launching.recipe and recipe.name != launching.recipe:  # spooftrace status looks for links in each recipe
            _link(recipe / "exp/log" / folder.name, f"../../../{launching.recipe}/{folder}")
        # exec: bash would die of a signal at which the command saves its work.
        text = f"cd -- {shlex.quote(str(recipe))} && echo {shlex.quote(f'# {command}')} && exec {command}\n"
        (folder / f"{step}.{number}.sh").write_text(text, encoding="utf-8")
        _link(folder / f"{step}.{number}.log", f"../../../{log}")
        (folder / f".{step}.{number}.log.status").unlink(missing_ok=True)
    return folder


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _run(words: Sequence[str]) -> int:
    """Run a launcher to its end; a Ctrl-C is for the launcher, which stops its jobs."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(words, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        code = process.wait()
    except FileNotFoundError:
        print(f"run.sh: {words[0]}: no such launcher; correct cmd.sh", file=sys.stderr)
        return 127
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code
