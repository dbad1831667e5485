"""What every launcher does around its tasks: pick them, run them, try failed ones again, say what came of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from . import contract, records
from .contract import Job, LauncherExit


class Runner(Protocol):
    """Runs the tasks of a job, here (`local.Pool`) or on a cluster (`cluster.Queue`)."""

    signals: Signals
    causes: Mapping[int, str]
    """Task -> why it failed, where more is known than an exit code."""
    final: Collection[int]
    """Tasks that failed and are not to be tried again."""

    def run(self, tasks: Sequence[int]) -> dict[int, int]:
        """The exit code of each task; one that a signal to the launcher cut short has none."""


class Signals:
    """The signals that this process receives from now on, for a loop to look at.

    A handler only makes a note, so that nothing is half started or half finished when the loop reads it.
    """

    def __init__(self, *notices: int) -> None:
        self.stop: int | None = None  # SIGINT, SIGTERM or SIGHUP: end everything
        self.at_once = False  # and do not wait
        self._notices: list[int] = []
        # SIGINT is taken even where it is ignored, as for `run.py ... &` in a script: Ctrl-C must reach the tasks.
        # An ignored SIGHUP is respected: it means nohup.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._on_stop)
        for signum in notices:
            signal.signal(signum, lambda received, _frame: self._notices.append(received))

    def _on_stop(self, signum: int, _frame: object) -> None:
        # A further Ctrl-C means "now"; a further SIGHUP or SIGTERM means nothing, closing sessions often send several.
        self.at_once = self.at_once or (self.stop is not None and signum == signal.SIGINT)
        self.stop = self.stop or signum

    def notices(self) -> list[int]:
        """The other signals asked for that came since the last call."""
        count = len(self._notices)
        taken, self._notices[:count] = self._notices[:count], []
        return taken


def main(parse: Callable[[], Job], make_runner: Callable[[Job, str], Runner], launcher: str) -> int:
    """Run a launcher's command line and return its exit status."""
    try:
        job = parse()
        to_run, codes = records.pick_tasks(job)
        runner = make_runner(job, launcher)
        codes.update(runner.run(to_run))
        for attempt in range(1, job.retry + 1):
            failed = [task for task in to_run if codes.get(task) and task not in runner.final]
            if not failed or runner.signals.stop is not None:
                break
            which = f"tasks {records.numbers(failed)}" if len(job.tasks) > 1 else "the job"
            print(f"{launcher}: trying {which} again ({attempt} of {job.retry})", file=sys.stderr)
            for task in failed:
                records.set_aside(job.log_of(task))
                del codes[task]
            codes.update(runner.run(failed))
    except LauncherExit as error:
        if error.status == contract.SUCCESS:
            print(error, end="")
        else:
            print(f"{launcher}: {error}", file=sys.stderr)
        return error.status

    if len(codes) < len(job.tasks):
        by = signal.Signals(runner.signals.stop).name
        print(
            f"{launcher}: stopped by {by}, {len(codes)} / {len(job.tasks)} done, log is in {job.logs}; "
            "run the rest with --pick failed",
            file=sys.stderr,
        )
        return contract.STOPPED
    if any(codes.values()):
        print(records.failure_report(job, codes, runner.causes, launcher), file=sys.stderr)
        return contract.SOME_FAILED
    return contract.SUCCESS
