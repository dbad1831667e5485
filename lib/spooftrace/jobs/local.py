"""The local launcher: a pool of tasks on this machine (utils/run.py). `contract` describes its command line.

Each task is one bash in a session of its own, so that a signal reaches everything the task has started. A single loop
starts tasks, looks after those that run, and passes on the signals that the launcher receives.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress

from . import contract, records
from .contract import Job, LauncherExit

POLL_SECONDS = 0.02
PROGRESS_SECONDS = 15.0  # between progress lines in a log
TERMINAL_SECONDS = 0.5  # between updates of the progress line on a terminal
STOP_SECONDS = 30.0  # from a forwarded signal to SIGKILL: time to save a checkpoint; SLURM's default too
LEFTOVER_SECONDS = 2.0  # for background processes to end when their task's command has ended
CANNOT_RUN = 126  # the shell's code for a command that exists but could not be run


def main(arguments: Sequence[str], launcher: str = "run.py") -> int:
    """Run a launcher's command line and return its exit status."""
    try:
        job = contract.parse(arguments, launcher)
        to_run, codes = records.pick_tasks(job)
        pool = Pool(job, launcher)
        codes.update(pool.run(to_run))
    except LauncherExit as error:
        if error.status == contract.SUCCESS:
            print(error, end="")
        else:
            print(f"{launcher}: {error}", file=sys.stderr)
        return error.status

    if len(codes) < len(job.tasks):
        by = signal.Signals(pool.stopped_by).name
        print(
            f"{launcher}: stopped by {by}, {len(codes)} / {len(job.tasks)} done, log is in {job.logs}; "
            "run the rest with --pick failed",
            file=sys.stderr,
        )
        return contract.STOPPED
    if any(codes.values()):
        print(records.failure_report(job, codes, launcher), file=sys.stderr)
        return contract.SOME_FAILED
    return contract.SUCCESS


class Pool:
    """Runs tasks, as many at a time as there are slots. A slot is what its task finds added to the environment."""

    def __init__(self, job: Job, launcher: str) -> None:
        self.job = job
        self.launcher = launcher
        self.slots = make_slots(job)
        self.running: list[Task] = []
        self.codes: dict[int, int] = {}
        self.stopped_by: int | None = None
        self.kill_now = False
        self._shown_before = False
        self._show_at = time.monotonic() + TERMINAL_SECONDS
        if not sys.stderr.isatty():
            self._show_at += PROGRESS_SECONDS

    def run(self, tasks: Sequence[int]) -> dict[int, int]:
        """Run tasks and return the exit code of each; a task that a signal to the launcher cut short has none."""
        # SIGINT is taken even where it is ignored, as for `run.py ... &` in a script: Ctrl-C must reach the tasks.
        # An ignored SIGHUP is respected: it means nohup.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._on_signal)
        adopt_orphans()
        waiting = list(tasks)
        try:
            while self.running or (waiting and self.stopped_by is None):
                while waiting and self.slots and self.stopped_by is None:
                    self._start(waiting.pop(0))
                if self.stopped_by is not None:
                    for task in self.running:
                        task.stop(self.stopped_by, 0 if self.kill_now else STOP_SECONDS)
                for task in [task for task in self.running if task.has_ended()]:
                    self._finish(task)
                self._show_progress(len(tasks))
                time.sleep(POLL_SECONDS)
        finally:
            for task in self.running:  # only after an error in the launcher itself
                task.send(signal.SIGKILL)
        return self.codes

    def _on_signal(self, signum: int, _frame: object) -> None:
        # Only a note for the loop: nothing can be half started or half finished when the loop reads it.
        # A further Ctrl-C means "now"; a further SIGHUP or SIGTERM means nothing, closing sessions often send several.
        self.kill_now = self.kill_now or (self.stopped_by is not None and signum == signal.SIGINT)
        self.stopped_by = self.stopped_by or signum

    def _start(self, number: int) -> None:
        try:
            self.running.append(Task(self.job, number, self.slots[0]))
            del self.slots[0]
        except OSError as error:  # its log cannot be written, say; the other tasks go on
            print(f"{self.launcher}: cannot start task {number}: {error}", file=sys.stderr)
            self.codes[number] = CANNOT_RUN

    def _finish(self, task: Task) -> None:
        self.running.remove(task)
        self.slots.append(task.slot)
        try:
            code = task.finish()
        except OSError as error:  # a full disk, say
            print(f"{self.launcher}: cannot record the end of task {task.number}: {error}", file=sys.stderr)
            code = CANNOT_RUN
        if code is not None:
            self.codes[task.number] = code

    def _show_progress(self, total: int) -> None:
        """How many tasks are done and what the oldest running one said last: a line that is rewritten on a terminal,
        a new line now and then elsewhere. Short jobs stay quiet."""
        terminal = sys.stderr.isatty()
        done = len(self.codes)
        now = time.monotonic()
        finished = done == total and self._shown_before
        if now < self._show_at and not (terminal and finished):
            return
        self._show_at = now + (TERMINAL_SECONDS if terminal else PROGRESS_SECONDS)
        self._shown_before = True
        text = f"{self.launcher}: {done}/{total} done"
        if self.running:
            text += f"; {self.running[0].log}: {records.last_line(self.running[0].log)}"
        if terminal:
            columns = shutil.get_terminal_size().columns - 1
            print("\r" + text[:columns].ljust(columns), end="\n" if finished else "", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


class Task:
    """One task, running from construction on. ``slot`` is added to its environment."""

    def __init__(self, job: Job, number: int, slot: dict[str, str]) -> None:
        self.number = number
        self.slot = slot
        self.log = job.log_of(number)
        self._threads = job.num_threads
        self._signal: int | None = None
        self._kill_at = math.inf
        self._started = time.monotonic()

        command = job.command_of(number)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        records.remove_record(self.log)
        self.log.write_bytes(os.fsencode(records.log_header(command)))
        pipefail = "-o" if job.pipefail else "+o"
        # bash reads the command from a file because the kernel allows one argument 128 KiB at most.
        with tempfile.TemporaryFile() as script, open(self.log, "ab") as output:
            script.write(os.fsencode(f"{{\n{command}\n}} </dev/null\n"))
            script.seek(0)
            self._process = subprocess.Popen(
                ["bash", pipefail, "pipefail"],
                stdin=script,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **slot},
                start_new_session=True,
            )

    def send(self, signum: int) -> bool:
        """Signal all of the task's processes; False if none is left. Signal 0 only asks."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signum)
            return True
        return False

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
            while os.waitpid(-self._process.pid, os.WNOHANG) != (0, 0):
                pass  # an orphan that has ended
        return self.send(0)

    def finish(self) -> int | None:
        """Complete the log of an ended task and return its exit code, which is also recorded.

        A task that was stopped has no exit code of its own, whatever its command made of the signal: None, no record.
        """
        code = self._process.returncode
        code = code if code >= 0 else 128 - code
        with open(self.log, "rb+") as log:
            if log.seek(0, os.SEEK_END) > 0:
                log.seek(-1, os.SEEK_END)
                if log.read() != b"\n":
                    log.write(b"\n")
            log.write(records.log_footer(code, time.monotonic() - self._started, self._threads).encode())
        if self._signal is not None:
            return None
        records.write_record(self.log, code)
        return code


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
