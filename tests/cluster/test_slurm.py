"""utils/slurm.py on a real SLURM with one node: what users ask of the queue and what the queue does to their jobs."""

from __future__ import annotations

import os
import re
import subprocess
import time

import pytest

from cluster.launchers import Launcher, python_script

pytestmark = pytest.mark.slow


@pytest.fixture
def launch(slurm, tmp_path):
    launcher = Launcher(python_script("slurm.py"), tmp_path / "work here", **slurm)
    yield launcher
    launcher.end()


@pytest.fixture
def tool(slurm):
    """Runs one of SLURM's own programs and returns what it prints."""

    def run(*words: str) -> str:
        done = subprocess.run(words, env={**os.environ, **slurm}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.05)


def started(launch: Launcher, log: str) -> str:
    """The id of the job that writes this log, once its command has printed something."""
    wait_for(lambda: (launch.folder / log).exists() and launch.output(log))
    return re.search(r"^# Running on .*, job (\d+)_", launch.text(log), re.MULTILINE)[1]


# ---- what the queue is asked for ----


def test_memory_threads_and_time_reach_the_queue(launch):
    ask = (
        'echo "$SLURM_MEM_PER_NODE $SLURM_CPUS_PER_TASK $OMP_NUM_THREADS"; squeue -h -j $SLURM_JOB_ID -O TimeLimit,Name'
    )
    options = ["--mem", "300M", "--num-threads", "3", "--time", "1:30:00", "--name", "mine"]
    assert launch(*options, "x.log", "bash", "-c", ask).returncode == 0
    assert launch.output("x.log").split() == ["300", "3", "3", "1:30:00", "mine"]


def test_tasks_keep_their_numbers_in_the_queue(launch):
    assert launch("JOB=4:6", "log/x.JOB.log", "bash", "-c", "echo $SLURM_ARRAY_TASK_ID").returncode == 0
    assert [launch.output(f"log/x.{task}.log") for task in (4, 5, 6)] == ["4\n", "5\n", "6\n"]
    assert "# Running on " in launch.text("log/x.4.log") and "_4\n" in launch.text("log/x.4.log")
    # As with Kaldi, what was submitted lies in q; of what the queue said, only what is not empty is kept.
    assert [path.name for path in (launch.folder / "q").iterdir()] == ["x.sh"]


def test_running_tasks_never_share_a_gpu(launch):
    hold = "mkdir gpu$CUDA_VISIBLE_DEVICES && sleep 0.5 && rmdir gpu$CUDA_VISIBLE_DEVICES && echo $CUDA_VISIBLE_DEVICES"
    done = launch("--gpu", "1", "JOB=1:4", "x.JOB.log", "bash", "-c", hold)
    assert done.returncode == 0, done.stderr
    assert {launch.output(f"x.{task}.log") for task in (1, 2, 3, 4)} == {"0\n", "1\n"}


def test_a_task_without_gpu_sees_none(launch):
    show = ["bash", "-c", 'echo "${CUDA_VISIBLE_DEVICES-unset}"']
    assert launch("x.log", *show, CUDA_VISIBLE_DEVICES="0,1").returncode == 0
    assert launch.output("x.log") == "\n"


def test_an_array_above_the_limit_is_split(launch):
    done = launch("JOB=1:13", "x.JOB.log", "echo", "JOB")
    assert done.returncode == 0
    assert "the queue takes 10 tasks in one array, so 13 tasks go in 2 arrays" in done.stderr
    assert [launch.output(f"x.{task}.log") for task in range(1, 14)] == [f"{task}\n" for task in range(1, 14)]


def test_task_numbers_above_the_limit(launch):
    assert launch("JOB=98:101", "x.JOB.log", "echo", "JOB").returncode == 0
    assert [launch.output(f"x.{task}.log") for task in (98, 101)] == ["98\n", "101\n"]


def test_what_the_queue_refuses(launch):
    done = launch("--partition", "nowhere", "x.log", "touch", "ran")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert "sbatch took no job: " in done.stderr and "invalid partition" in done.stderr


def test_no_place_for_the_script(launch):
    (launch.folder / "q").write_text("a file where a folder is needed")
    done = launch("x.log", "touch", "ran")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert "cannot write what the queue is to run: " in done.stderr and "'q'" in done.stderr


# ---- jobs that wait for others ----


def test_chain_of_jobs(launch):
    first = launch.start("first.log", "bash", "-c", "echo on; sleep 2; echo one >> order")
    number = started(launch, "first.log")
    assert launch("--dependency", f"afterok:{number}", "second.log", "bash", "-c", "echo two >> order").returncode == 0
    assert launch.text("order") == "one\ntwo\n"
    assert first.wait() == 0


def test_a_job_that_can_never_start(launch, tool):
    first = launch.start("first.log", "bash", "-c", "echo on; sleep 2; exit 1")
    number = started(launch, "first.log")
    done = launch("--dependency", f"afterok:{number}", "second.log", "touch", "ran")
    assert first.wait() == 1
    assert done.returncode == 1 and "the job that it depends on has not ended as it should" in done.stderr
    assert not (launch.folder / "ran").exists()
    assert tool("squeue", "--noheader", "--name", "second") == "", "it does not stay in the queue"


# ---- what the queue does to jobs ----


def test_cancelled_job(launch, tool):
    process = launch.start("--retry", "1", "JOB=1:2", "x.JOB.log", "bash", "-c", "echo on; exec sleep 1000")
    tool("scancel", started(launch, "x.1.log"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "2 / 2 failed" in errors and "tasks 1 2: cancelled (job " in errors
    assert "again" not in errors, "whoever cancels a job does not want it to be tried again"


def test_one_cancelled_task(launch, tool):
    process = launch.start("JOB=1:2", "x.JOB.log", "bash", "-c", "echo on; sleep $((JOB == 1 ? 1000 : 1))")
    tool("scancel", started(launch, "x.1.log") + "_1")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 / 2 failed" in errors and "task 1: cancelled (job " in errors


def test_out_of_memory(launch):
    hoard = "x = bytearray(10**6 * 400); x[::4096] = b'1' * len(x[::4096]); import time; time.sleep(1000)"
    done = launch("--mem", "100M", "x.log", "python3", "-c", hoard)
    assert done.returncode == 1 and "out of memory; ask for more with --mem (job " in done.stderr


def test_lost_task(launch):
    """As when a node dies, but the queue still knows it; nothing of the task lives on."""
    kill_runner = "echo $$ > pid; kill -9 $(cut -d ' ' -f 4 /proc/$PPID/stat); sleep 1000"
    done = launch("x.log", "bash", "-c", kill_runner)
    assert done.returncode == 1 and "ended before its command had (job " in done.stderr
    wait_for(lambda: not os.path.exists(f"/proc/{launch.text('pid').strip()}"))


def test_retry_of_a_lost_task(launch):
    kill_runner = "[ -e tried ] && exit 0; touch tried; kill -9 $(cut -d ' ' -f 4 /proc/$PPID/stat); sleep 1000"
    done = launch("--retry", "1", "x.log", "bash", "-c", kill_runner)
    assert done.returncode == 0 and "trying the job again (1 of 1)" in done.stderr


def test_signal_to_the_command(launch, tool):
    command = "trap 'echo saved; exit 0' USR1; echo on; while :; do read -rt 0.1 <> fifo; done"
    os.mkfifo(launch.folder / "fifo")
    process = launch.start("x.log", "bash", "-c", command)
    tool("scancel", "--batch", "--signal=USR1", started(launch, "x.log"))
    process.communicate(timeout=60)
    assert process.returncode == 0 and launch.output("x.log") == "on\nsaved\n"


# Counts to 3 from where it has saved. It needs a second attempt: the first one only waits for what the queue will do.
TRAIN = """\
import pathlib, signal, time

saved = pathlib.Path("saved")
step = int(saved.read_text()) if saved.exists() else 0
print("from", step, flush=True)
signal.signal(signal.SIGUSR1, lambda *_: (saved.write_text("1"), print("warned", flush=True)))
while step == 0:
    time.sleep(0.1)
while step < 3:
    step += 1
    print(step)
"""


def test_preempted_job_is_queued_again_and_resumes(launch, tool):
    process = launch.start("--signal", "B:USR1@60", "--num-threads", "4", "x.log", "python3", "-c", TRAIN)
    started(launch, "x.log")
    cpus = tool("sinfo", "--noheader", "--partition", "cpu", "--format", "%c")
    tool("sbatch", "--partition=urgent", f"--cpus-per-task={cpus}", "--output=/dev/null", "--wrap", "true")
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    # The log keeps both attempts: what the first one saved when it was warned, and how the second went on from there.
    assert launch.output("x.log").split("\n") == ["from 0", "warned", "from 1", "2", "3", ""]
    assert launch.text("x.log").count("# Running on ") == 2
    assert "DUE TO PREEMPTION" in launch.text("q/x.1.out")


@pytest.mark.parametrize(
    ("message", "status", "said"),
    [
        ("Socket timed out on send/recv operation", 0, ""),  # it is waited for
        ("Invalid job id specified", 1, "left the queue without a record (job "),  # SLURM has forgotten the job
    ],
)
def test_what_squeue_may_say(launch, tmp_path, message, status, said):
    (tmp_path / "bin").mkdir()
    squeue = tmp_path / "bin" / "squeue"
    squeue.write_text(f"#!/bin/sh\necho asked >> asked\necho 'slurm_load_jobs error: {message}' >&2\nexit 1\n")
    squeue.chmod(0o755)
    done = launch("x.log", "sleep", "8", PATH=f"{squeue.parent}:{os.environ['PATH']}")
    assert done.returncode == status and said in done.stderr
    assert launch.text("asked").startswith("asked\n")
