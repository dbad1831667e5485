"""utils/slurm.py on a real SLURM with two nodes: what the queue does to jobs, and what becomes of them."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from cluster.launchers import SAVES, Launcher, Scenarios, no_environment, python_script, wait_for

pytestmark = pytest.mark.slow

scenario = Scenarios()


@pytest.fixture(scope="module")
def ends(slurm, tmp_path_factory):
    return scenario.run(python_script("slurm.py"), tmp_path_factory.mktemp("events"), **slurm)


@scenario
def a_node_fails(launch):
    """The job that may be queued again is, and comes to its end; of the other one the cause is named."""
    other_node = socket.gethostname().partition(".")[0] + "-2"
    (launch.folder / "other.conf").write_text(
        f"command sbatch --partition=both --nodelist={other_node}\noption requeue=no --no-requeue\n"
    )
    command = ["bash", "-c", "echo on; [ -e tried ] && exit 0; touch tried; exec sleep 1000"]
    again = launch.start("--config", "other.conf", "again.log", *command)
    launch.started("again.log")
    once = launch.start("--config", "other.conf", "--requeue", "no", "once.log", "bash", "-c", "echo on; sleep 1000")
    launch.started("once.log")
    launch.tool("scontrol", "update", f"nodename={other_node}", "state=down", "reason=test")
    _, errors = once.communicate(timeout=60)
    assert once.returncode == 1 and "slurm.py: its node failed (job " in errors
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert launch.text("again.log").count("# Running on ") == 2


@scenario
def a_warned_command_saves_and_goes_on(launch):
    process = launch.start("JOB=1:2", "x.JOB.log", "python3", "-c", SAVES, "JOB")
    job = launch.started("x.1.log")
    launch.started("x.2.log")
    launch.tool("scancel", "--batch", "--signal=USR1", f"{job}_1")
    wait_for(lambda: launch.output("x.1.log") == "on\nsaved\ngoes on\n")
    assert "# slurm.py: asks to be queued again, to go on from what it has saved\n" in launch.text("x.1.log")
    assert launch.text("x.1.log").count("# Running on ") == 2
    assert launch.output("x.2.log") == "on\n", "the other task has been left alone"
    launch.tool("scancel", f"{job}_2")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "failed tasks: 2\n" in errors and "task 2: cancelled (job " in errors


@scenario
def a_warned_command_that_may_not_go_on(launch):
    done = launch("--requeue", "no", "x.log", "python3", "-c", SAVES, "1", "warn")
    assert done.returncode == 1
    assert "# slurm.py: not queued again: " in done.stderr and "(does the job need --requeue yes?)" in done.stderr
    again = launch("--pick", "failed", "x.log", "python3", "-c", SAVES, "1", "warn")
    assert again.returncode == 0 and launch.output("x.log") == "goes on\n"


@scenario
def a_warned_command_that_ends_well(launch):
    command = "trap 'echo saved; exit 0' USR1; echo on; while :; do read -rt 0.1 <> fifo; done"
    os.mkfifo(launch.folder / "fifo")
    process = launch.start("x.log", "bash", "-c", command)
    launch.tool("scancel", "--batch", "--signal=USR1", launch.started("x.log"))
    process.communicate(timeout=60)
    assert process.returncode == 0 and launch.output("x.log") == "on\nsaved\n"


@scenario
def a_job_waits_for_another(launch):
    first = launch.start("first.log", "bash", "-c", "echo on; sleep 2; echo one >> order")
    job = launch.started("first.log")
    assert launch("--dependency", f"afterok:{job}", "second.log", "bash", "-c", "echo two >> order").returncode == 0
    assert launch.text("order") == "one\ntwo\n"
    assert first.wait() == 0


@scenario
def a_job_waits_for_one_that_fails(launch):
    first = launch.start("first.log", "bash", "-c", "echo on; sleep 2; exit 1")
    job = launch.started("first.log")
    done = launch("--dependency", f"afterok:{job}", "never.log", "touch", "ran")
    assert first.wait() == 1 and done.returncode == 1
    assert "slurm.py: job failed: the job that it depends on has not ended as it should (job " in done.stderr
    assert not (launch.folder / "ran").exists()
    assert launch.tool("squeue", "--noheader", "--name", "never") == "", "it does not stay in the queue"


@scenario
def more_is_asked_for_than_there_is(launch):
    processes = {
        "it asks for more time than its partition allows": ["--partition", "urgent", "--time", "2:00:00"],
        "its partition does not have as many nodes as it asks for": ["--num-nodes", "3"],
        "its partition does not have what it asks for": ["--num-threads", "1000"],
    }
    processes = {text: launch.start(*options, f"{text}.log", "touch", "ran") for text, options in processes.items()}
    for text, process in processes.items():
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1 and f"slurm.py: job failed: {text} (job " in errors
    assert not (launch.folder / "ran").exists()


@scenario
def a_job_is_cancelled(launch):
    process = launch.start("--retry", "1", "JOB=1:2", "x.JOB.log", "bash", "-c", "echo on; exec sleep 1000")
    launch.tool("scancel", launch.started("x.1.log"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "2 / 2 failed" in errors and "tasks 1 2: cancelled (job " in errors
    assert "again" not in errors, "a job that the user cancels is not tried again"


@scenario
def memory_runs_out(launch):
    hoard = "x = bytearray(10**6 * 400); x[::4096] = b'1' * len(x[::4096]); import time; time.sleep(1000)"
    done = launch("--mem", "100M", "x.log", "python3", "-c", hoard)
    assert done.returncode == 1 and "out of memory; ask for more with --mem (job " in done.stderr


@scenario
def a_task_is_lost(launch):
    """As when a node dies, but the queue still knows it; nothing of the task lives on."""
    kill_runner = "echo $$ > pid; kill -9 $(cut -d ' ' -f 4 /proc/$PPID/stat); sleep 1000"
    done = launch("x.log", "bash", "-c", kill_runner)
    assert done.returncode == 1 and "ended before its command had (job " in done.stderr
    wait_for(lambda: not os.path.exists(f"/proc/{launch.text('pid').strip()}"))


@scenario
def a_lost_task_is_tried_again(launch):
    kill_runner = "[ -e tried ] && exit 0; touch tried; kill -9 $(cut -d ' ' -f 4 /proc/$PPID/stat); sleep 1000"
    done = launch("--retry", "1", "x.log", "bash", "-c", kill_runner)
    assert done.returncode == 0 and "trying the job again (1 of 1)" in done.stderr


@scenario
def a_node_has_no_environment(launch):
    no_environment(launch, "sbatch")


def squeue_says(launch: Launcher, message: str) -> subprocess.CompletedProcess:
    squeue = launch.folder / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/sh\necho asked >> asked\necho 'slurm_load_jobs error: {message}' >&2\nexit 1\n")
    squeue.chmod(0o755)
    done = launch("x.log", "sleep", "8", PATH=f"{squeue.parent}:{os.environ['PATH']}")
    assert launch.text("asked").startswith("asked\n")
    return done


@scenario
def the_queue_does_not_answer(launch):
    assert squeue_says(launch, "Socket timed out on send/recv operation").returncode == 0, "it is waited for"


@scenario
def the_queue_has_forgotten_the_job(launch):
    done = squeue_says(launch, "Invalid job id specified")
    assert done.returncode == 1 and "left the queue without a record (job " in done.stderr


@pytest.mark.parametrize("name", scenario.names)
def test_what_happens(ends, name):
    ends[name].result()


# ---- preemption: one urgent job takes the node from all others ----

PREEMPTED = {
    # The queue warns the command, which saves its work and gives way at once.
    "warned": ["--signal", "B:USR1@60"],
    # The queue ends what srun has started, and says nothing to the script that waits for srun.
    "step": [],
    # The queue ends and starts the job as it likes; partition gpu leaves no time for anything else.
    "killed": ["--partition", "gpu"],
    "killed for good": ["--partition", "gpu", "--requeue", "no"],
}


@pytest.fixture(scope="module")
def preempted(slurm, tmp_path_factory):
    """Case -> the launcher, its exit status and what it said."""
    with Launcher(python_script("slurm.py"), tmp_path_factory.mktemp("preempted") / "work here", **slurm) as launch:
        processes = {}
        for case, options in PREEMPTED.items():
            srun = ["srun", "--ntasks", "1"] if case == "step" else []
            processes[case] = launch.start(*options, f"{case}.log", *srun, "python3", "-c", SAVES, case)
        for case in PREEMPTED:
            launch.started(f"{case}.log")
        cpus = launch.tool("sinfo", "--noheader", "--partition", "urgent", "--format", "%c")
        launch.tool("sbatch", "--partition=urgent", f"--cpus-per-task={cpus}", "--output=/dev/null", "--wrap", "true")
        ends = {case: process.communicate(timeout=150)[1] for case, process in processes.items()}
        yield {case: (launch, processes[case].returncode, ends[case]) for case in PREEMPTED}


@pytest.mark.parametrize("case", ["warned", "step", "killed"])
def test_preempted_job_goes_on(preempted, case):
    launch, status, errors = preempted[case]
    assert status == 0, errors
    lines = [line for line in launch.output(f"{case}.log").splitlines() if line in ("on", "saved", "goes on")]
    # The log keeps all attempts. On a slow machine the urgent job may still wait for its CPUs, and preempt the second.
    assert lines[:3] == ["on", "saved", "goes on"]
    assert launch.text(f"{case}.log").count("# Running on ") >= 2
    assert ("asks to be queued again" in launch.text(f"{case}.log")) == (case != "killed")


def test_preempted_job_that_may_not_go_on(preempted):
    _, status, errors = preempted["killed for good"]
    assert status == 1 and "slurm.py: stopped to make room for another job (job " in errors
