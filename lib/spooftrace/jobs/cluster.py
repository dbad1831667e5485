"""Runs the tasks of a job on a cluster: submits them as arrays, waits for their records, notices those that never end.

A task has ended when its record is there (`records`). Now and then the queue is asked as well, because a task that was
cancelled, ran out of memory or lost its node leaves no record. What depends on the kind of queue is in `slurm`, `sge`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from . import contract, launch, node, records
from .config import read_config
from .contract import CANNOT_RUN, Job, LauncherExit
from .guardian import Guardian
from .progress import Progress
from .scheduler import OUT_OF_MEMORY, Scheduler, State, ask

CONF = Path(__file__).resolve().parents[3] / "conf" / "cluster"
POLL_SECONDS = 1.0  # between looks for records, at most: short jobs are looked after more closely
LOOK_SECONDS = 3.0  # between questions to the queue
RECORD_SECONDS = 2.0  # for a record to arrive over the network after the queue has seen the task end
STOP_SECONDS = 60.0  # for cancelled jobs to leave the queue
KILLED = 128 + signal.SIGKILL
MEMORY_MESSAGE = re.compile(r"memory limit|oom[-_ ]?kill|out of memory", re.IGNORECASE)


@dataclass(frozen=True)
class Array:
    """Tasks submitted as one array; the queue numbers them from ``first``."""

    tasks: Sequence[int]
    first: int
    id: str = ""

    @cached_property
    def indices(self) -> dict[int, int]:
        """Task -> its number in the queue."""
        return {task: index for index, task in enumerate(self.tasks, self.first)}


def main(arguments: Sequence[str], scheduler: Scheduler) -> int:
    """Run a launcher's command line and return its exit status."""
    return launch.main(
        lambda: contract.parse(arguments, scheduler.launcher, configurable=True),
        lambda job, _: Queue(job, scheduler),
        scheduler.launcher,
    )


class Queue:
    """A job on a cluster: the `launch.Runner` of slurm.py and sge.py."""

    def __init__(self, job: Job, scheduler: Scheduler) -> None:
        self.job = job
        self.scheduler = scheduler
        self.config = read_config(Path(job.config) if job.config else CONF / scheduler.config)
        self._words = self.config.words(job)
        for program in (self.config.command[0], *scheduler.programs):
            if shutil.which(program) is None:
                raise LauncherExit(
                    f"{program} not found: use a machine that can submit jobs, or cmd_backend=local in cmd.sh"
                )
        self.codes: dict[int, int] = {}
        self.causes: dict[int, str] = {}
        self.final: set[int] = set()
        self.signals = launch.Signals()
        self._progress = Progress(scheduler.launcher)
        self._states: Mapping[int, State] = {}
        # As in Kaldi: log/x.JOB.log -> q/x.sh, exp/train.log -> exp/q/train.sh
        log = job.log_of(job.first)
        self.name = job.log if job.name is None else job.log.replace(f".{job.name}", "").replace(job.name, "")
        self.name = Path(self.name).name.removesuffix(".log") or "job"
        self.folder = log.parent.with_name("q") if log.parent.name == "log" else log.parent / "q"

    # ---- submission ----

    def run(self, tasks: Sequence[int]) -> dict[int, int]:
        """Run tasks and return the exit code of each; a task that a signal to the launcher cut short has none."""
        self.codes = {}
        self._total = len(tasks)
        ready = [task for task in tasks if self._forget(task)]
        with Guardian(self.scheduler.cancel) as guardian:
            for array in self._arrays(ready):
                if self.signals.stop is not None:
                    break
                array = self._submit(array)
                guardian.add(array.id)
                self._watch(array)
                guardian.remove(array.id)
                self._tidy(array)
        return self.codes

    def _forget(self, task: int) -> bool:
        """Make room for a task's log and empty what an earlier run left; False if that cannot be done."""
        log = self.job.log_of(task)
        self.causes.pop(task, None)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            records.remove_record(log)
            if log.exists():
                os.truncate(log, 0)  # and not removed: it may be a link
        except OSError as error:
            self.causes[task] = f"cannot start or write its log: {error}"
            self.codes[task] = CANNOT_RUN
            return False
        return True

    def _arrays(self, tasks: Sequence[int]) -> list[Array]:
        """Tasks keep their numbers in the queue where they follow each other and its limit allows that."""
        if not tasks:
            return []
        limit = self.scheduler.largest_index() if len(self.job.tasks) > 1 else None
        limit = limit or max(tasks)
        if list(tasks) == list(range(tasks[0], tasks[-1] + 1)) and tasks[-1] <= limit:
            return [Array(tasks, tasks[0])]
        parts = [Array(tasks[start : start + limit], 1) for start in range(0, len(tasks), limit)]
        if len(parts) > 1:
            print(
                f"{self.scheduler.launcher}: the queue takes {limit} tasks in one array, so {len(tasks)} tasks go in "
                f"{len(parts)} arrays, one after the other",
                file=sys.stderr,
            )
        return parts

    def _submit(self, array: Array) -> Array:
        path = self.folder / f"{self.name}.sh"
        index = f"{self.scheduler.index} - {array.first}"
        text = node.script(self.job, self.scheduler.launcher, array.tasks, index, self.config.values(self.job))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.fsencode(text))
            for task in array.tasks:
                self._output(array, task).unlink(missing_ok=True)
        except OSError as error:
            raise LauncherExit(f"cannot write what the queue is to run: {error}") from None
        indices = range(array.first, array.first + len(array.tasks))
        output = str((self.folder / self.name).absolute())
        before, after = self.scheduler.submit_words(self.name, indices, self.job.max_jobs_run, output)
        command = [*self.config.command, *before, *self._words, *after, str(path.absolute())]
        done = ask(*command)
        if done is None or done.returncode != 0:
            reason = "no answer" if done is None else " ".join((done.stderr or done.stdout).split())
            raise LauncherExit(f"{command[0]} took no job: {reason} (options come from {self.config.path})")
        number = self.scheduler.job_id(done.stdout)
        if not number.isdecimal():
            raise LauncherExit(f"{command[0]} did not say which job it made: {' '.join(done.stdout.split())}")
        return replace(array, id=number)

    def _output(self, array: Array, task: int) -> Path:
        """Where a task's messages from the queue go."""
        return self.folder / f"{self.name}.{array.indices[task]}.out"

    # ---- waiting ----

    def _watch(self, array: Array) -> None:
        left = dict(array.indices)
        expected: dict[Path, dict[str, int]] = {}  # folder -> name of a record -> its task
        for task in array.tasks:
            record = records.record_path(self.job.log_of(task))
            expected.setdefault(record.parent, {})[record.name] = task
        ended: dict[int, float] = {}
        self._states = {}
        started = time.monotonic()
        look_at = started + LOOK_SECONDS / 2
        while left:
            self._collect(left, expected)
            if self.signals.stop is not None:
                self._stop(array)
                self._collect(left, expected)
                break
            if left and time.monotonic() >= look_at:
                states = self.scheduler.states(array.id)
                look_at = time.monotonic() + LOOK_SECONDS
                if states is not None:
                    self._states = states
                    self._collect(left, expected)
                    self._give_up_on_the_lost(array, left, ended)
            self._progress.show(len(self.codes), self._total, lambda: self._summary(left))
            time.sleep(min(POLL_SECONDS, 0.1 + 0.05 * (time.monotonic() - started)))
        self._explain_kills(array)

    def _collect(self, left: dict[int, int], expected: Mapping[Path, Mapping[str, int]]) -> None:
        """Take the records that have arrived; removes their tasks from ``left``."""
        for folder, tasks in expected.items():
            names: set[str] = set()
            with suppress(OSError):  # the folder may vanish, or the network be away
                # Listing a folder makes NFS look again, where asking for one file may repeat an old answer for long.
                names.update(path.name for path in folder.iterdir())
            for task in [tasks[name] for name in tasks.keys() & names if tasks[name] in left]:
                code = records.read_record(self.job.log_of(task))
                if code is not None:
                    self.codes[task] = code
                    del left[task]

    def _give_up_on_the_lost(self, array: Array, left: dict[int, int], ended: dict[int, float]) -> None:
        """End the wait for tasks that left the queue without a record. ``ended``: task -> when that was first seen."""
        now = time.monotonic()
        for task, index in list(left.items()):
            state = self._states.get(index)
            if state is not None and state.alive:
                ended.pop(task, None)  # queued again, perhaps
                continue
            if now - ended.setdefault(task, now) < RECORD_SECONDS:
                continue
            state = state or self.scheduler.fate(array.id, index)
            if state.stuck:
                self.scheduler.cancel([f"{array.id}_{index}"])
            if state.cancelled:
                self.final.add(task)
            self.causes[task] = self._cause(array, task, state)
            self.codes[task] = CANNOT_RUN
            del left[task]

    def _cause(self, array: Array, task: int, state: State) -> str:
        path = self._output(array, task)
        messages = records.last_lines(path) if state.vague and path.exists() else []
        if any(MEMORY_MESSAGE.search(message) for message in messages):
            return f"{OUT_OF_MEMORY} (job {array.id})"
        return f"{state.text} (job {array.id})" + (f"; {path} ends: {messages[-1]}" if messages else "")

    def _explain_kills(self, array: Array) -> None:
        """Where the kernel kills only the command of a task, its record has the signal but not the reason."""
        killed = [task for task in array.tasks if self.codes.get(task) == KILLED]
        if killed:
            time.sleep(POLL_SECONDS)
            states = self.scheduler.states(array.id) or {}
            for task in killed:
                state = states.get(array.indices[task])
                known = state is not None and state.text == OUT_OF_MEMORY
                self.causes[task] = OUT_OF_MEMORY if known else "killed by signal 9, perhaps for want of memory"

    def _summary(self, left: Mapping[int, int]) -> str:
        """What the queue says of the tasks, and what the first one that runs said last."""
        counts = Counter(self._states[index].text for index in left.values() if index in self._states)
        parts = [f"{count} {text}" for text, count in counts.most_common()]
        logs = (self.job.log_of(task) for task in left)
        if log := next((log for log in logs if log.exists() and records.last_line(log)), None):
            parts.append(f"{log}: {records.last_line(log)}")
        return "; ".join(parts)

    # ---- the end ----

    def _stop(self, array: Array) -> None:
        """Cancel the array and wait until its tasks, which may be saving their work, are gone."""
        self.scheduler.cancel([array.id])
        give_up_at = time.monotonic() + STOP_SECONDS
        while not self.signals.at_once:
            states = self.scheduler.states(array.id)
            if states is not None and not any(state.alive or state.stuck for state in states.values()):
                break
            if time.monotonic() > give_up_at:
                print(f"{self.scheduler.launcher}: job {array.id} is still in the queue: cancel it", file=sys.stderr)
                break
            time.sleep(POLL_SECONDS)

    def _tidy(self, array: Array) -> None:
        """Remove the files for the queue's messages about tasks of which it had nothing to say."""
        for task in array.tasks:
            path = self._output(array, task)
            with suppress(OSError):
                if path.stat().st_size == 0:
                    path.unlink()
