"""Stands in for qsub, qstat, qdel, qacct and qconf: the same words in and out, but jobs are processes of this machine.

One file under five names. It knows what utils/sge.py uses; how Grid Engine deals with users, hosts and resources is not
imitated. As there, a deleted task is killed without warning, one process group only, a task whose output cannot be
written stays in the queue in an error state, and one that ends with 99 is queued again unless the site forbids that
($FORBID_RESCHEDULE). $FAKE_SGE holds a folder for each job.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

JOBS = Path(os.environ.get("FAKE_SGE", "/nowhere"))
SLOTS = 4
MOST_TASKS = 10  # in one array
COME_AGAIN = 99
VALUES = {"-S", "-j", "-N", "-t", "-tc", "-o", "-l", "-pe", "-q", "-P", "-hold_jid", "-wd"}  # options that have a value


def qsub(words):
    options, script = {}, None
    while words:
        word = words.pop(0)
        if word == "-pe":
            options[word] = [words.pop(0), words.pop(0)]
        elif word in VALUES:
            options[word] = words.pop(0)
        elif word in ("-V", "-cwd", "-terse"):
            options[word] = True
        elif word.startswith("-"):
            sys.exit(f'qsub: Unknown option "{word}"')
        else:
            script = word
    first, last = map(int, options["-t"].split("-"))
    if last > MOST_TASKS:
        sys.exit(f"job rejected: you tried to submit a job with more than {MOST_TASKS} tasks")
    JOBS.mkdir(exist_ok=True)
    number = 1
    while True:
        with contextlib.suppress(FileExistsError):
            (JOBS / str(number)).mkdir()
            break
        number += 1
    folder = JOBS / str(number)
    (folder / "script").write_bytes(Path(script).read_bytes())  # a later change of the file is too late
    (folder / "options").write_text(json.dumps(options))
    for task in range(first, last + 1):
        (folder / f"{task}.state").write_text("qw")
    if os.fork() == 0:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        serve(folder, number, options, list(range(first, last + 1)))
        os._exit(0)
    print(f"{number}.{first}-{last}:1")


def serve(folder, number, options, waiting):
    running, restarted = {}, set()
    while waiting or running:
        if not Path(options.get("-wd", "/")).exists():
            for task in waiting:
                (folder / f"{task}.state").write_text("Eqw")
            return
        while waiting and len(running) < int(options.get("-tc", SLOTS)):
            task = waiting.pop(0)
            if (folder / f"{task}.delete").exists():
                end(folder, task, 100, 137)
                continue
            try:
                with open(options["-o"].replace("$TASK_ID", str(task)), "ab") as output:
                    process = subprocess.Popen(
                        ["bash", str(folder / "script")],
                        stdout=output,
                        stderr=output,
                        env={
                            **os.environ,
                            "JOB_ID": str(number),
                            "SGE_TASK_ID": str(task),
                            "RESTARTED": str(int(task in restarted)),
                        },
                        start_new_session=True,
                    )
            except OSError:
                (folder / f"{task}.state").write_text("Eqw")
                continue
            (folder / f"{task}.state").write_text("r")
            running[task] = process
        for task, process in list(running.items()):
            if (folder / f"{task}.delete").exists() and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            if process.poll() == COME_AGAIN and "FORBID_RESCHEDULE" not in os.environ:
                (folder / f"{task}.state").write_text("Rq")
                restarted.add(task)
                waiting.append(task)
                del running[task]
            elif process.poll() is not None:
                code = process.returncode
                end(folder, task, 100 if code < 0 else 0, code if code >= 0 else 128 - code)
                del running[task]
        time.sleep(0.05)


def end(folder, task, failed, status):
    (folder / f"{task}.acct").write_text(f"taskid       {task}\nfailed       {failed}\nexit_status  {status}\n")
    (folder / f"{task}.state").unlink()


def qstat(_words):
    rows = []
    for path in sorted(JOBS.glob("*/*.state")):
        with contextlib.suppress(FileNotFoundError):
            rows.append(
                f"<job_list><JB_job_number>{path.parent.name}</JB_job_number><state>{path.read_text()}</state>"
                f"<tasks>{path.stem}</tasks></job_list>"
            )
    print(f"<?xml version='1.0'?><job_info><queue_info>{''.join(rows)}</queue_info><job_info></job_info></job_info>")


def qdel(words):
    for word in words:
        job, _, task = word.partition(".")
        for path in (JOBS / job).glob(f"{task or '*'}.state"):
            with contextlib.suppress(FileNotFoundError):
                if "E" in path.read_text():
                    path.unlink()
                else:
                    path.with_suffix(".delete").touch()


def qacct(words):
    path = JOBS / words[words.index("-j") + 1] / f"{words[words.index('-t') + 1]}.acct"
    sys.exit(print("=" * 62) or print(path.read_text()) or 0 if path.exists() else "error: job id not found")


def qconf(_words):
    print(f"max_aj_instances             2000\nmax_aj_tasks                 {MOST_TASKS}")


if __name__ == "__main__":
    {"qsub": qsub, "qstat": qstat, "qdel": qdel, "qacct": qacct, "qconf": qconf}[Path(sys.argv[0]).name](sys.argv[1:])
