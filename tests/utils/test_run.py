"""utils/run.py: its pool of local tasks and what signals do to them. What it shares with the other launchers is tested
in tests/cluster/test_contract.py.
"""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import time

import pytest
from cluster.launchers import REPOSITORY, Fifo, Launcher, python_script

from spooftrace.jobs import contract, local, records


@pytest.fixture
def run(tmp_path):
    return Launcher(python_script("run.py"), tmp_path / "work here")


# ---- records ----


@pytest.mark.parametrize("text", ["", "0 1", "ok"])
def test_damaged_record_means_not_ended(tmp_path, text):
    log = tmp_path / "x.log"
    log.touch()
    records.record_path(log).write_text(text)
    assert records.read_record(log) is None


# ---- the local pool ----


def test_runs_tasks_at_the_same_time(run):
    wait_for_the_other = "touch JOB; for i in {1..500}; do [ -e $((3 - JOB)) ] && exit 0; sleep 0.01; done; exit 1"
    assert run("--max-jobs-run", "2", "JOB=1:2", "x.JOB.log", "bash", "-c", wait_for_the_other).returncode == 0


ENVIRONMENT = ["bash", "-c", 'echo "${CUDA_VISIBLE_DEVICES-unset} ${OMP_NUM_THREADS-unset}"']


def test_threads_are_exported(run):
    run("--num-threads", "3", "x.log", *ENVIRONMENT, CUDA_VISIBLE_DEVICES="0")
    assert run.output("x.log") == "0 3\n"


def test_environment_is_left_alone_by_default(run):
    run("x.log", *ENVIRONMENT, CUDA_VISIBLE_DEVICES="5,6", OMP_NUM_THREADS="7")
    assert run.output("x.log") == "5,6 7\n"


def test_no_gpu_hides_all(run):
    run("--gpu", "0", "x.log", *ENVIRONMENT, CUDA_VISIBLE_DEVICES="5,6", OMP_NUM_THREADS="1")
    assert run.output("x.log") == " 1\n"


def test_running_tasks_never_share_a_gpu(run):
    # mkdir fails when another running task holds the same GPU.
    hold = "ids=$CUDA_VISIBLE_DEVICES; mkdir ${ids//,/ } && sleep 0.1 && rmdir ${ids//,/ } && echo $ids"
    done = run("--gpu", "2", "JOB=1:6", "x.JOB.log", "bash", "-c", hold, CUDA_VISIBLE_DEVICES="4,7,GPU-8f,1,9")
    assert done.returncode == 0, done.stderr
    assert {run.output(f"x.{task}.log") for task in range(1, 7)} == {"4,7\n", "GPU-8f,1\n"}


@pytest.mark.parametrize(("visible", "found"), [("4,7", "4 7"), ("", "none"), ("-1", "none")])
def test_more_gpus_than_there_are(run, visible, found):
    done = run("--gpu", "3", "x.log", "touch", "ran", CUDA_VISIBLE_DEVICES=visible)
    assert done.returncode == 255 and "--gpu 3: not enough GPUs" in done.stderr and f"({found})" in done.stderr
    assert list(run.folder.iterdir()) == []


def test_gpus_from_nvidia_smi(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\n[ $1 = -L ] && echo 'GPU 0: NVIDIA A (UUID: GPU-1)\nGPU 1: NVIDIA A (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert local.visible_gpus() == ["0", "1"]
    tool.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local.visible_gpus() == []


SLOTS = {  # on 10 CPUs and 4 GPUs: options -> tasks at the same time
    "as many as CPUs": (["JOB=1:50"], 10),
    "no more than tasks": (["JOB=1:3"], 3),
    "a few more than CPUs all start": (["JOB=1:13"], 13),
    "40 % more do not": (["JOB=1:14"], 10),
    "limit": (["--max-jobs-run", "4", "JOB=1:50"], 4),
    "limit above the CPUs": (["--max-jobs-run", "30", "JOB=1:50"], 30),
    "threads": (["--num-threads", "3", "JOB=1:50"], 3),
    "threads and limit": (["--num-threads", "3", "-tc", "30", "JOB=1:50"], 3),
    "more threads than CPUs": (["--num-threads", "64", "JOB=1:50"], 1),
    "one GPU each": (["--gpu", "1", "JOB=1:50"], 4),
    "three GPUs each": (["--gpu", "3", "JOB=1:50"], 1),
    "GPUs and limit": (["--gpu", "1", "-tc", "3", "JOB=1:50"], 3),
    "GPUs and threads": (["--gpu", "1", "--num-threads", "5", "JOB=1:50"], 2),
    "GPUs hidden": (["--gpu", "0", "JOB=1:50"], 10),
}


@pytest.mark.parametrize("case", SLOTS)
def test_slots(monkeypatch, case):
    words, count = SLOTS[case]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(10)), raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert len(local.make_slots(contract.parse([*words, "x.JOB.log", "true"], "run.py"))) == count


def test_a_log_that_vanishes(run):
    done = run("JOB=1:2", "log.JOB/x.log", "bash", "-c", "[ JOB = 1 ] || rm -r log.JOB")
    assert done.returncode == 1
    assert "cannot record the end of task 2: " in done.stderr and "1 / 2 failed" in done.stderr


def test_progress_line_on_a_terminal(run):
    reader, terminal = pty.openpty()
    command = "for step in 1 2 3 4 5; do echo step $step of JOB; sleep 0.2; done"
    words = [*run.command, "JOB=1:2", "x.JOB.log", "bash", "-c", command]
    assert subprocess.run(words, cwd=run.folder, stderr=terminal).returncode == 0
    os.close(terminal)
    shown = os.read(reader, 4096).decode()
    os.close(reader)
    assert "\rrun.py: 0/2 done; x.1.log: step " in shown
    assert shown.rstrip().endswith("\rrun.py: 2/2 done")
    assert shown.count("\n") == 1


def test_short_jobs_are_quiet(run):
    assert run("JOB=1:3", "x.JOB.log", "true").stderr == ""


def test_progress_lines_in_a_log(run):
    impatient = "import sys; from spooftrace.jobs import local, progress; "
    impatient += "progress.PROGRESS_SECONDS = progress.TERMINAL_SECONDS = 0.2; "
    impatient += "sys.exit(local.main(['x.log', 'bash', '-c', 'echo half done; sleep 1']))"
    done = subprocess.run([sys.executable, "-c", impatient], cwd=run.folder, capture_output=True, text=True)
    assert done.returncode == 0
    assert "run.py: 0/1 done; x.log: half done\n" in done.stderr


# ---- signals ----

TWO_PROCESSES = "exec 9>fifo; echo ready >&9; sleep 1000 & sleep 1000; wait"


@pytest.fixture
def fifo(run):
    fifo = Fifo(run.folder / "fifo")
    yield fifo
    os.close(fifo.reader)


@pytest.fixture
def impatient(run):
    """run.py that waits for half a second where it usually waits much longer."""
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY / 'lib')!r}); from spooftrace.jobs import local; "
        "local.STOP_SECONDS = local.LEFTOVER_SECONDS = 0.5; sys.exit(local.main(sys.argv[1:]))"
    )
    run.command = [sys.executable, "-c", code]
    return run


def test_tasks_may_finish_their_work_when_stopped(run, fifo):
    script = "trap 'sleep 0.2; echo saved; exit 0' TERM; exec 9>fifo; echo ready >&9; while :; do sleep 0.05; done"
    run("x.log", "true")  # the record of this earlier success must not survive
    process = run.start("x.log", "bash", "-c", script)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2 and "saved\n" in run.output("x.log")
    # It exited with 0, but it was cut short: it has to run again.
    assert run("--pick", "incomplete", "x.log", "echo", "again").returncode == 0
    assert run.output("x.log") == "again\n"


def test_commands_may_finish_their_work_after_their_bash_has_ended(run, fifo):
    save = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), print('saved'), exit(0))); "
    save += "open('fifo', 'w').write('ready'); f = open('fifo', 'w'); time.sleep(1000)"
    process = run.start("x.log", sys.executable, "-c", save)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2 and "saved\n" in run.output("x.log")


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
def test_warnings_reach_the_command(run, fifo, name):
    script = f"trap 'echo warned; exit 0' {name[3:]}; exec 9<>fifo; echo ready >&9; while :; do sleep 0.05; done"
    process = run.start("x.log", "bash", "-c", script)
    fifo.wait_until_ready(1)
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=20)
    assert process.returncode == 0 and run.output("x.log").endswith("warned\n")


def test_what_ignores_the_signal_is_killed(impatient, fifo):
    process = impatient.start("x.log", "bash", "-c", "trap '' TERM; " + TWO_PROCESSES)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2


def test_second_interrupt_kills_at_once(run, fifo):
    process = run.start("x.log", "bash", "-c", "trap '' INT; " + TWO_PROCESSES)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # two signals at once would be taken for one
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=local.STOP_SECONDS / 2)
    fifo.wait_until_gone()
    assert process.returncode == 2


def test_interrupt_reaches_a_launcher_in_the_background(run, fifo):
    # A script's `run.py ... &` starts with SIGINT ignored.
    ignore = f"trap '' INT; exec {shlex.quote(sys.executable)} {shlex.quote(run.command[-1])} \"$@\""
    run.command = ["bash", "-c", ignore, "x"]
    process = run.start("x.log", "bash", "-c", TWO_PROCESSES)
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    fifo.wait_until_gone()
    assert process.returncode == 2


def test_nohup_is_respected(run, fifo):
    run.command = ["nohup", *run.command]
    process = run.start("x.log", "bash", "-c", "exec 9>fifo; echo ready >&9; sleep 0.3; echo survived")
    fifo.wait_until_ready(1)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=20)
    assert process.returncode == 0 and run.output("x.log") == "survived\n"


def test_background_processes_do_not_outlive_their_task(impatient, fifo):
    assert impatient("x.log", "bash", "-c", "exec 9>fifo; echo ready >&9; sleep 1000 & exit 0").returncode == 0
    fifo.wait_until_ready(1)
    fifo.wait_until_gone()


def test_background_processes_may_end_by_themselves(run):
    assert run("x.log", "bash", "-c", "{ sleep 0.3; echo late; } & exit 0").returncode == 0
    assert run.output("x.log") == "late\n"
