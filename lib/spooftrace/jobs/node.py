"""What a cluster's queue runs on a node: a script that finds its way there, and one task with its log and record.

The task is run by `local`, so logs, records, quoting and signals are those of run.py. What differs: a queue decides
which GPUs a task has and when it is killed, and may start it a second time.

**Saving and going on.** A queue that is about to take a node away can say so first, by SIGUSR1 or SIGUSR2 (sbatch
--signal, qsub -notify). A command that has been told, saves its work and exits with 75 (`GOES_ON`) is put back into the
queue: it has neither failed nor ended, so that there is no record of it. Without such a signal 75 is a failure, or a
command that always ends with it would run for ever.
"""

from __future__ import annotations

import math
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import contract, local, records
from .contract import Job, LauncherExit
from .launch import Signals
from .scheduler import Scheduler
from .sge import GridEngine
from .slurm import Slurm

GOES_ON = 75  # EX_TEMPFAIL of sysexits.h
TERMINATED = 128 + signal.SIGTERM
SIGNAL_SECONDS = 0.5  # a queue that ends a job may signal the command first and this process a moment later
SCHEDULERS: dict[str, Callable[[], Scheduler]] = {kind.launcher: kind for kind in (Slurm, GridEngine)}
START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from spooftrace.jobs import node; "
    "sys.exit(node.main(sys.argv[3:], sys.argv[2]))"
)


def script(job: Job, launcher: str, tasks: Sequence[int], index: str, values: Mapping[str, str]) -> str:
    """Bash text for a queue. ``index`` is bash arithmetic for the place in ``tasks`` of the one to run, from 0.

    ``values`` are the options for the queue that hold for the job.
    """
    options = [f"--{name.replace('_', '-')} {values[name]}" for name in ("num_threads", "gpu") if name in values]
    if not job.pipefail:
        options.append("--pipefail false")
    folder, python, library = (shlex.quote(path) for path in (_folder(), sys.executable, str(_library())))
    array = f'{job.name}="${{tasks[{index}]}}" ' if job.name else ""
    words = " ".join(shlex.quote(word) for word in (job.log, *job.words))
    return f"""\
#!/usr/bin/env bash
# Written by {launcher}; the queue runs it on a node, once for each task.
tasks=({" ".join(map(str, tasks))})
folder={folder}
python={python}
fail() {{ echo "{launcher}: node $(hostname) $1" >&2; exit 1; }}
cd "$folder" 2>/dev/null || fail "has no folder $folder: jobs need a file system that all nodes share"
[ -x "$python" ] || fail "has no $python: install the environment where all nodes see it"
exec "$python" -I -S -c {shlex.quote(START)} \\
  {library} {launcher} {" ".join(options)} {array}{words}
"""


def _library() -> Path:
    return Path(__file__).resolve().parents[2]


def _folder() -> str:
    """The current folder by the name that the user knows: an automounter's real names differ from node to node."""
    known = Path(os.environ.get("PWD", ""))
    return str(known if known.is_absolute() and known.exists() and known.samefile(".") else Path.cwd())


def main(arguments: Sequence[str], launcher: str) -> int:
    """Run one task; returns 0 or 1, or what tells the queue to take the task back.

    No other status, as some mean something to queues (100 to Grid Engine).
    """
    job = contract.parse(arguments, launcher)
    scheduler = SCHEDULERS[launcher]()

    def goes_on(code: int, warned: bool) -> bool:
        """Whether the queue will start the task once more, or has ended it itself: its exit code means nothing then."""
        if code == GOES_ON and warned:
            return True
        if code <= 128 and code != GOES_ON:
            return False  # no signal has ended it
        time.sleep(SIGNAL_SECONDS)
        # When SLURM preempts a job, it ends what srun has started long before the script that waits for srun; and a
        # warning ends a command that knows nothing of warnings.
        preempted = (warned or code in (GOES_ON, TERMINATED)) and scheduler.is_preempted()
        return preempted or pool.signals.stop is not None

    pool = local.Pool(
        job,
        launcher,
        slots=[_environment(job)],
        stop_seconds=math.inf,  # the queue knows how long it waits
        progress=False,
        place=_place(),
        keep_log=os.environ.get("SLURM_RESTART_COUNT", "0") != "0" or os.environ.get("RESTARTED", "0") != "0",
        goes_on=goes_on,
    )
    codes = pool.run(job.tasks)
    if codes:
        return 0 if list(codes.values()) == [0] else 1
    if pool.signals.stop is None:
        return _come_again(job.log_of(job.first), scheduler, pool.signals)
    name = signal.Signals(pool.signals.stop).name
    print(f"{launcher}: stopped by {name} on node {socket.gethostname()}", file=sys.stderr)
    return 1


def _come_again(log: Path, scheduler: Scheduler, signals: Signals) -> int:
    """Put a task back into the queue; one that the queue refuses has failed after all."""
    try:
        status = scheduler.requeue()
    except LauncherExit as error:
        if signals.stop is None:  # otherwise the queue was faster: it is ending the job, perhaps to queue it again
            _add_to_log(log, scheduler, f"not queued again: {error}; started again, it goes on from what it has saved")
            records.write_record(log, GOES_ON)
        return 1
    _add_to_log(log, scheduler, "asks to be queued again, to go on from what it has saved")
    return status


def _add_to_log(log: Path, scheduler: Scheduler, text: str) -> None:
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"# {scheduler.launcher}: {text}\n")


def _environment(job: Job) -> dict[str, str]:
    slot = {} if job.num_threads is None else {"OMP_NUM_THREADS": str(job.num_threads)}
    if job.gpu == 0:
        slot["CUDA_VISIBLE_DEVICES"] = ""  # without cgroups a job sees the GPUs of others
    return slot


def _place() -> str:
    number = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("JOB_ID", "?")
    task = os.environ.get("SLURM_ARRAY_TASK_ID") or os.environ.get("SGE_TASK_ID", "?")
    return f"{socket.gethostname()}, job {number}_{task}"
