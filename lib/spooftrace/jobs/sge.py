"""Grid Engine, for utils/sge.py. `contract` describes its command line, conf/cluster/sge.conf its options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from .scheduler import State, ask

# What the letters of a state mean; the first that a state has counts.
LETTERS = {"d": "being deleted", "h": "on hold", "s": "suspended", "S": "suspended", "T": "suspended"}
LETTERS |= {"R": "restarted", "r": "running", "t": "starting", "q": "waiting"}
COME_AGAIN = 99  # the exit status with which a job asks to be queued again


class GridEngine:
    """The `scheduler.Scheduler` that talks to qsub, qstat and qdel, and to qacct and qconf where they are."""

    launcher = "sge.py"
    config = "sge.conf"
    programs = ("qstat", "qdel")
    index = "SGE_TASK_ID"

    def largest_index(self) -> int | None:
        done = ask("qconf", "-sconf")
        match = re.search(r"^max_aj_tasks\s+(\d+)", done.stdout if done else "", re.MULTILINE)
        return int(match[1]) or None if match else None  # 0: no limit

    def submit_words(self, name: str, indices: range, at_most: int | None, output: str) -> tuple[list[str], list[str]]:
        name = re.sub(r"\W", "_", name)
        limit = ["-tc", str(at_most)] if at_most else []
        # -t is always given: a task without a number would be asked for in another way.
        array = ["-t", f"{indices[0]}-{indices[-1]}", *limit]
        return ["-N", f"j{name}" if name[0].isdecimal() else name], ["-terse", *array, "-o", f"{output}.$TASK_ID.out"]

    def job_id(self, answer: str) -> str:
        return answer.strip().splitlines()[-1].partition(".")[0]  # ID.FIRST-LAST:STEP, after what the site may say

    def states(self, job_id: str) -> dict[int, State] | None:
        done = ask("qstat", "-u", "*", "-g", "d", "-xml")
        if done is None or done.returncode != 0:
            return None
        try:
            jobs = ElementTree.fromstring(done.stdout).iter("job_list")
        except ElementTree.ParseError:
            return None
        return {
            int(job.findtext("tasks", "0")): _state(job.findtext("state", ""))
            for job in jobs
            if job.findtext("JB_job_number") == job_id
        }

    def fate(self, job_id: str, index: int) -> State:
        done = ask("qacct", "-j", job_id, "-t", str(index))
        if done is None or done.returncode != 0:  # what has just ended may be missing
            return State("left the queue without a record: deleted, or its node failed", vague=True)
        fields = dict(re.findall(r"^(\S+)\s+(.*?)\s*$", done.stdout, re.MULTILINE))
        failed, status = fields.get("failed", "0"), fields.get("exit_status", "?")
        if status == str(COME_AGAIN):
            return State("saved, but not queued again: over its --time, or not allowed to be; run it again to go on")
        killed = "killed by the queue: deleted, or over a limit" if failed.startswith("100") else "ended by the queue"
        return State(f"{killed} (qacct: failed {failed}, exit_status {status})", vague=True)

    def cancel(self, ids: Sequence[str]) -> None:
        ask("qdel", *(name.replace("_", ".") for name in ids))

    def is_preempted(self) -> bool:
        return False  # what makes room for others is suspended, not ended

    def requeue(self) -> int:
        return COME_AGAIN


def _state(letters: str) -> State:
    if "E" in letters:
        return State(f"in error state {letters} (qstat -j says why)", stuck=True)
    return State(next((text for letter, text in LETTERS.items() if letter in letters), letters), alive=True)
