"""utils/sge.py beyond the contract. Where there is no Grid Engine, programs of the same names stand in for its own."""

from __future__ import annotations

import os
import re
import subprocess
import time

import pytest

from cluster.launchers import Launcher, python_script

pytestmark = pytest.mark.slow


@pytest.fixture
def launch(sge, tmp_path):
    launcher = Launcher(python_script("sge.py"), tmp_path / "work here", **sge)
    yield launcher
    launcher.end()


@pytest.fixture
def tool(sge):
    """Runs one of Grid Engine's own programs and returns what it prints."""

    def run(*words: str) -> str:
        return subprocess.run(words, env={**os.environ, **sge}, capture_output=True, text=True, check=True).stdout

    return run


def test_tasks_keep_their_numbers_in_the_queue(launch):
    assert launch("JOB=4:6", "log/2x.JOB.log", "bash", "-c", "echo $SGE_TASK_ID").returncode == 0
    assert [launch.output(f"log/2x.{task}.log") for task in (4, 5, 6)] == ["4\n", "5\n", "6\n"]
    assert "# Running on " in launch.text("log/2x.4.log") and "_4\n" in launch.text("log/2x.4.log")
    assert [path.name for path in (launch.folder / "q").iterdir()] == ["2x.sh"]


def test_an_array_above_the_limit_is_split(launch, tool):
    limit = int(re.search(r"max_aj_tasks +(\d+)", tool("qconf", "-sconf"))[1])
    if limit > 20:
        pytest.skip(f"this Grid Engine takes {limit} tasks in one array")
    last = limit + 3
    done = launch(f"JOB=1:{last}", "x.JOB.log", "echo", "JOB")
    assert done.returncode == 0 and f"{last} tasks go in 2 arrays, one after the other" in done.stderr
    assert [launch.output(f"x.{task}.log") for task in range(1, last + 1)] == [f"{n}\n" for n in range(1, last + 1)]


def test_deleted_job(launch, tool):
    process = launch.start("N=1:2", "x.N.log", "bash", "-c", "echo $JOB_ID >> job.N; exec sleep 1000")
    deadline = time.monotonic() + 60
    while not (launch.folder / "job.1").exists() or not launch.text("job.1"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tool("qdel", launch.text("job.1").strip())
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "2 / 2 failed" in errors and re.search("task.*: (killed by|left) the queue.*: deleted, or ", errors)


def test_error_state(launch, tool):
    (launch.folder / "my.conf").write_text("command qsub -V -S /bin/bash -wd /no/such/folder\n")
    done = launch("--config", "my.conf", "x.log", "touch", "ran")
    assert done.returncode == 1 and "in error state Eqw (qstat -j says why)" in done.stderr
    assert not (launch.folder / "ran").exists()
    assert "Eqw" not in tool("qstat", "-xml"), "it does not stay in the queue"


def test_what_the_queue_refuses(launch):
    (launch.folder / "my.conf").write_text("command qsub --nonsense\n")
    done = launch("--config", "my.conf", "x.log", "touch", "ran")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert "qsub took no job: " in done.stderr and "--nonsense" in done.stderr
