"""The local launcher: a pool of tasks on this machine (utils/run.py). `contract` describes its command line.

Each task is one bash in a session of its own, so that a signal reaches everything the task has started. A single loop
starts tasks, looks after those that run, and passes on the signals that the launcher receives.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from . import contract, launch, records
from .contract import CANNOT_RUN, Job, LauncherExit
from .guardian import Guardian
from .progress import Progress

POLL_SECONDS = 0.02
STOP_SECONDS = 30.0  # from a forwarded signal to SIGKILL: time to save a checkpoint; SLURM's default too
LEFTOVER_SECONDS = 2.0  # for background processes to end when their task's command has ended


def main(arguments: Sequence[str], launcher: str = "run.py") -> int:
    """Run a launcher's command line and return its exit status."""
    return launch.main(lambda: contract.parse(arguments, launcher), Pool, launcher)


class Pool:
    """Runs tasks, as many at a time as there are slots. A slot is what its task finds added to the environment.

    SIGINT, SIGTERM and SIGHUP end the tasks, with ``stop_seconds`` to save their work; SIGUSR1 and SIGUSR2, with which
    queues announce the end of a job, are passed on. Without ``progress`` nothing is shown.

    ``goes_on`` gets the exit code of each task that has ended, and whether such an announcement was passed on to it. If
    it says True the task has not really ended, and there is no record of it.
    """

    final: Collection[int] = ()

    def __init__(
        self,
        job: Job,
        launcher: str,
        slots: list[dict[str, str]] | None = None,
        stop_seconds: float | None = None,
        progress: bool = True,
        place: str = "",
        keep_log: bool = False,
        goes_on: Callable[[int, bool], bool] = lambda code, warned: False,
    ) -> None:
        self.job = job
        self.launcher = launcher
        self.slots = make_slots(job) if slots is None else slots
        self.running: list[Task] = []
        self.codes: dict[int, int] = {}
        self.causes: dict[int, str] = {}
        self.signals = launch.Signals(signal.SIGUSR1, signal.SIGUSR2)
        self._stop_seconds = STOP_SECONDS if stop_seconds is None else stop_seconds
        self._progress = Progress(launcher) if progress else None
        self._log = {"place": place, "keep_log": keep_log}
        self._goes_on = goes_on

    def run(self, tasks: Sequence[int]) -> dict[int, int]:
        """Run tasks and return the exit code of each; a task that was cut short, or that goes on later, has none."""
        adopt_orphans()
        waiting = list(tasks)
        self.codes = {}
        with Guardian(kill_groups) as self._guardian:
            try:
                while self.running or (waiting and self.signals.stop is None):
                    while waiting and self.slots and self.signals.stop is None:
                        self._start(waiting.pop(0))
                    self._pass_signals_on()
                    for task in [task for task in self.running if task.has_ended()]:
                        self._finish(task)
                    if self._progress:
                        self._progress.show(len(self.codes), len(tasks), self._last_words)
                    time.sleep(POLL_SECONDS)
            finally:
                for task in self.running:  # only after an error in the launcher itself
                    task.send(signal.SIGKILL)
        return self.codes

    def _pass_signals_on(self) -> None:
        for signum in self.signals.notices():
            for task in self.running:
                task.warn(signum)
        if self.signals.stop is not None:
            for task in self.running:
                task.stop(self.signals.stop, 0 if self.signals.at_once else self._stop_seconds)

    def _last_words(self) -> str:
        """What the oldest running task said last."""
        return f"{self.running[0].log}: {records.last_line(self.running[0].log)}" if self.running else ""

    def _start(self, number: int) -> None:
        self.causes.pop(number, None)
        try:
            task = Task(self.job, number, self.slots[0], **self._log)
        except OSError as error:  # its log cannot be written, say; the other tasks go on
            self.causes[number] = f"cannot start or write its log: {error}"
            self.codes[number] = CANNOT_RUN
        else:
            self.running.append(task)
            self._guardian.add(str(task.group))
            del self.slots[0]

    def _finish(self, task: Task) -> None:
        self.running.remove(task)
        self._guardian.remove(str(task.group))
        self.slots.append(task.slot)
        try:
            code = task.finish(self._goes_on)
        except OSError as error:  # a full disk, say
            print(f"{self.launcher}: cannot record the end of task {task.number}: {error}", file=sys.stderr)
            code = CANNOT_RUN
        if code is not None:
            self.codes[task.number] = code


class Task:
    """One task, running from construction on. ``slot`` is added to its environment.

    The log begins with the command and ``place``; with ``keep_log`` it goes on after what an earlier attempt wrote.
    """

    def __init__(self, job: Job, number: int, slot: dict[str, str], place: str = "", keep_log: bool = False) -> None:
        self.number = number
        self.slot = slot
        self.log = job.log_of(number)
        self._threads = job.num_threads
        self._warned = False
        self._signal: int | None = None
        self._kill_at = math.inf
        self._started = time.monotonic()

        command = job.command_of(number)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        records.remove_record(self.log)
        with open(self.log, "ab" if keep_log else "wb") as output:
            output.write(os.fsencode(records.log_header(command, place)))
        pipefail = "-o" if job.pipefail else "+o"
        # bash reads the command from a file because the kernel allows one argument 128 KiB at most.
        with tempfile.TemporaryFile() as script, open(self.log, "ab") as output:
            # The trap keeps bash waiting for the command when a signal that the command may handle reaches both.
            script.write(os.fsencode(f"trap : USR1 USR2\n{{\n{command}\n}} </dev/null\n"))
            script.seek(0)
            self._process = subprocess.Popen(
                ["bash", pipefail, "pipefail"],
                stdin=script,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **slot},
                start_new_session=True,
            )
        self.group = self._process.pid

    def send(self, signum: int) -> bool:
        """Signal all of the task's processes; False if none is left. Signal 0 only asks."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signum)
            return True
        return False

    def warn(self, signum: int) -> None:
        """Pass on the announcement that the task's time is nearly over."""
        self._warned = True
        self.send(signum)

    def stop(self, signum: int, seconds: float) -> None:
        """Pass on a signal, once; SIGKILL follows after ``seconds``."""
        if self._signal is None:
            self._signal = signum
            self.send(signum)
        self._kill_at = min(self._kill_at, time.monotonic() + seconds)

    def has_ended(self) -> bool:
        """True once the command and whatever it left running are gone; kills what overstays."""
        bash_ended = self._process.poll() is not None
        # On SIGTERM and SIGHUP bash ends at once and the command may still be saving its work. Otherwise bash waits for
        # the command, and what then remains was put in the background.
        if bash_ended and self._signal in (None, signal.SIGINT):
            self._kill_at = min(self._kill_at, time.monotonic() + LEFTOVER_SECONDS)
        if time.monotonic() >= self._kill_at:
            self.send(signal.SIGKILL)
            return bash_ended
        return bash_ended and not self._anything_left()

    def _anything_left(self) -> bool:
        with suppress(ChildProcessError):
            while os.waitpid(-self.group, os.WNOHANG) != (0, 0):
                pass  # an orphan that has ended
        return self.send(0)

    def finish(self, goes_on: Callable[[int, bool], bool]) -> int | None:
        """Complete the log of an ended task and return its exit code, which is also recorded.

        A task that was stopped has no exit code of its own, whatever its command made of the signal: None, no record.
        Nor has one that ``goes_on``.
        """
        code = self._process.returncode
        code = code if code >= 0 else 128 - code
        with open(self.log, "rb+") as log:
            if log.seek(0, os.SEEK_END) > 0:
                log.seek(-1, os.SEEK_END)
                if log.read() != b"\n":
                    log.write(b"\n")
            log.write(records.log_footer(code, time.monotonic() - self._started, self._threads).encode())
        if self._signal is not None or goes_on(code, self._warned):
            return None
        records.write_record(self.log, code)
        return code


def kill_groups(groups: list[str]) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(int(group), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of processes that outlive theirs (Linux).

    They stay in their group as zombies until their new parent waits for them. In a container that may be a process 1
    that never does, and a task would seem to have something left.
    """
    with suppress(AttributeError):  # no prctl outside Linux
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def make_slots(job: Job) -> list[dict[str, str]]:
    """One dictionary of environment variables for each task that may run at the same time.

    ``--gpu N`` deals the GPUs out, N to a slot, so that no two running tasks share one.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    tasks = len(job.tasks)
    slots: list[dict[str, str]] = [{} for _ in range(min(tasks, job.max_jobs_run or tasks))]
    if job.gpu:
        gpus = visible_gpus()
        if job.gpu > len(gpus):
            found = " ".join(gpus) or "none"
            raise LauncherExit(f"--gpu {job.gpu}: not enough GPUs in CUDA_VISIBLE_DEVICES or nvidia-smi -L ({found})")
        shares = [gpus[start : start + job.gpu] for start in range(0, len(gpus) - job.gpu + 1, job.gpu)]
        slots = [{"CUDA_VISIBLE_DEVICES": ",".join(share)} for share in shares[: len(slots)]]
    elif job.max_jobs_run is None and tasks >= 1.4 * cpus:
        slots = slots[:cpus]  # fewer tasks than that all start, rather than leave a few for a second round
    if job.gpu == 0:
        slots = [{"CUDA_VISIBLE_DEVICES": ""} for _ in slots]
    if job.num_threads is not None:
        slots = slots[: max(1, cpus // job.num_threads)]
        for slot in slots:
            slot["OMP_NUM_THREADS"] = str(job.num_threads)
    return slots


def visible_gpus() -> list[str]:
    """The ids this launcher may hand out: its own CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return []
    return re.findall(r"^GPU (\d+):", listing.stdout.decode(errors="replace"), re.MULTILINE)
