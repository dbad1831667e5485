"""SLURM, for utils/slurm.py. `contract` describes its command line, conf/cluster/slurm.conf its options."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from .contract import LauncherExit
from .scheduler import OUT_OF_MEMORY, State, ask

# States in which a task has ended; every other means that it waits, runs, or will do so again.
ENDED = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "cancelled",
    "COMPLETED": "ended, but its record did not arrive: its node must write to the same files as this machine",
    "DEADLINE": "could not run before its deadline",
    "FAILED": "ended before its command had",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": OUT_OF_MEMORY,
    "PREEMPTED": "stopped to make room for another job",
    "TIMEOUT": "stopped at its time limit; ask for more with --time",
}
# Reasons for which a task waits for ever.
STUCK = {
    "BadConstraints": "no node has what it asks for",
    "DependencyNeverSatisfied": "the job that it depends on has not ended as it should",
    "PartitionConfig": "its partition does not have what it asks for",
    "PartitionNodeLimit": "its partition does not have as many nodes as it asks for",
    "PartitionTimeLimit": "it asks for more time than its partition allows",
    "launch_failed_requeued_held": "its node could not start it",
}


class Slurm:
    """The `scheduler.Scheduler` that talks to sbatch, squeue, scancel and scontrol. Works without sacct."""

    launcher = "slurm.py"
    config = "slurm.conf"
    programs = ("squeue", "scancel", "scontrol")
    index = "SLURM_ARRAY_TASK_ID"

    def largest_index(self) -> int | None:
        done = ask("scontrol", "show", "config")
        match = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout if done else "", re.MULTILINE)
        return int(match[1]) - 1 if match and int(match[1]) > 1 else None

    def submit_words(self, name: str, indices: range, at_most: int | None, output: str) -> tuple[list[str], list[str]]:
        array = f"{indices[0]}-{indices[-1]}" + (f"%{at_most}" if at_most else "")
        pattern = output.replace("%", "%%") + ".%a.out"
        return [f"--job-name={name}"], [
            "--parsable",
            f"--array={array}",
            f"--output={pattern}",
            "--open-mode=append",  # what was said before a task was queued again is worth keeping
        ]

    def job_id(self, answer: str) -> str:
        return answer.strip().partition(";")[0]  # ID;CLUSTER

    def states(self, job_id: str) -> dict[int, State] | None:
        columns = "ArrayTaskID:16,State:24,Reason:64"
        done = ask("squeue", "--noheader", "--array", "--states=all", f"--jobs={job_id}", f"--Format={columns}")
        if done is None or done.returncode != 0:
            return {} if done and "Invalid job id" in done.stderr else None
        states = {}
        for line in done.stdout.splitlines():
            index, state, *reason = line.split(None, 2)
            if index.isdecimal():
                states[int(index)] = _state(state, " ".join(reason).strip().replace(" ", "_"))
        return states

    def fate(self, job_id: str, index: int) -> State:
        return State("left the queue without a record", vague=True)

    def cancel(self, ids: Sequence[str]) -> None:
        ask("scancel", "--quiet", *ids)

    def is_preempted(self) -> bool:
        done = ask("squeue", "--noheader", "--array", f"--jobs={_own_id()}", "--Format=PreemptTime")
        return done is not None and done.returncode == 0 and done.stdout.strip() not in ("", "N/A")

    def requeue(self) -> int:
        done = ask("scontrol", "requeue", _own_id())
        # scontrol is itself part of the job that SLURM now ends: a signal, which is a negative code, is an answer too.
        if done is None or done.returncode > 0:
            reason = "no answer" if done is None else " ".join((done.stderr or done.stdout).split())
            raise LauncherExit(f"{reason} (does the job need --requeue yes?)")
        return 0


def _own_id() -> str:
    """The task's id on its node. The number alone may stand for its whole array."""
    return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def _state(name: str, reason: str) -> State:
    if name in ENDED:
        return State(ENDED[name], cancelled=name == "CANCELLED", vague=name == "FAILED")
    if name == "PENDING" and reason in STUCK:
        return State(STUCK[reason], stuck=True)
    return State(f"{name.lower()} ({reason})" if reason not in ("None", "") else name.lower(), alive=True)
