"""What a task leaves on disk, whichever launcher ran it: a log for people, a record for ``--pick``.

Logs have the format of Kaldi's run.pl. When the command of ``log/x.3.log`` has ended, its exit code is stored in
``log/.x.3.log.status``. That file is removed before the task starts and appears whole or not at all, so a task without
one never ended. Nothing is ever concluded from the text of a log.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .contract import Job

TAIL_LINES = 20
MOST_NUMBERS_SHOWN = 20

# ---- logs: the format of run.pl ----


def log_header(command: str, place: str = "") -> str:
    """``place`` says where a queue put the task; the line is Kaldi's queue.pl's."""
    where = f"# Running on {place}\n" if place else ""
    return "# " + command.replace("\n", "\n# ") + f"\n{where}# Started at {_date()}\n#\n"


def log_footer(code: int, seconds: float, threads: int | None) -> str:
    """``code`` is the shell's: 128 + N for a command that signal N ended."""
    ended = f"code {code}; signal {code - 128}" if 128 < code < 160 else f"code {code}"
    return (
        f"# Accounting: time={seconds:.0f} threads={threads or 1}\n"
        f"# Ended ({ended}) at {_date()}, elapsed time {seconds:.0f} seconds\n"
    )


def _date() -> str:
    return time.strftime("%a %b %e %H:%M:%S %Z %Y")


# ---- records and --pick ----


def record_path(log: Path) -> Path:
    return log.with_name(f".{log.name}.status")


def write_record(log: Path, code: int) -> None:
    """Store a task's exit code beside its log; after a crash the record is either whole or absent."""
    path = record_path(log)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="ascii") as file:
        file.write(f"{code}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_record(log: Path) -> int | None:
    """The exit code of a task that has ended; None if it has not. Deleting the log forgets the task."""
    try:
        return int(record_path(log).read_text(encoding="ascii")) if log.exists() else None
    except (FileNotFoundError, ValueError):
        return None


def remove_record(log: Path) -> None:
    record_path(log).unlink(missing_ok=True)


def set_aside(log: Path) -> None:
    """Keep the log of an attempt that failed as ``LOGFILE.bak``, as Kaldi's retry.pl does."""
    if log.exists():
        shutil.copyfile(log, log.with_name(log.name + ".bak"))  # not moved: it may be a link


def pick_tasks(job: Job) -> tuple[list[int], dict[int, int]]:
    """Split the tasks into those to run now and the exit codes of those that ``--pick`` leaves as they are.

    As in Kaldi, a task that failed earlier and that ``--pick incomplete`` leaves alone still counts as failed.
    """
    if job.pick == "all":
        return list(job.tasks), {}
    to_run, ended = [], {}
    for task in job.tasks:
        code = read_record(job.log_of(task))
        if code is None or (code != 0 and job.pick == "failed"):
            to_run.append(task)
        else:
            ended[task] = code
    return to_run, ended


# ---- what failed ----


def failure_report(job: Job, codes: Mapping[int, int], causes: Mapping[int, str], launcher: str) -> str:
    """How many of ``codes`` (task -> exit code) are not 0, which, why, and what the first of them printed last.

    ``causes`` says what is known beside the exit code: what the queue did to a task, say.
    """
    failed = sorted(task for task, code in codes.items() if code != 0)
    log = job.log_of(failed[0])
    if len(job.tasks) == 1 and failed[0] in causes and not log.is_file():
        return f"{launcher}: job failed: {causes[failed[0]]}"
    if len(job.tasks) == 1:
        lines = [f"{launcher}: job failed, log is in {log}"]
    else:
        lines = [
            f"{launcher}: {len(failed)} / {len(job.tasks)} failed, log is in {job.logs}",
            f"{launcher}: failed tasks: {numbers(failed)}",
        ]
    for cause in sorted({causes[task] for task in failed if task in causes}):
        tasks = [task for task in failed if causes.get(task) == cause]
        which = f"task{'s' if len(tasks) > 1 else ''} {numbers(tasks)}: " if len(job.tasks) > 1 else ""
        lines.append(f"{launcher}: {which}{cause}")
    end = last_lines(log) if log.is_file() or failed[0] not in causes else []
    if end:
        lines += [f"{launcher}: end of {log}:", *("  " + line for line in end)]
    return "\n".join(lines)


def numbers(tasks: Sequence[int]) -> str:
    """Task numbers for messages; only the first ones where there are many."""
    return " ".join(map(str, tasks[:MOST_NUMBERS_SHOWN])) + (" ..." if tasks[MOST_NUMBERS_SHOWN:] else "")


def last_line(log: Path) -> str:
    """What a running task said last, empty if nothing yet."""
    lines = [line for line in last_lines(log) if not line.startswith("#")]
    return lines[-1] if lines else ""


def last_lines(path: Path) -> list[str]:
    """The end of a text file as its reader would see it, or why there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 65536))
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        return [str(error)]
    # A progress bar rewrites its line with carriage returns; its last state is enough.
    return [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")[-TAIL_LINES - 1 :] if line]
