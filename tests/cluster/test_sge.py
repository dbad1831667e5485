"""utils/sge.py beyond the contract. Where there is no Grid Engine, programs of the same names stand in for its own."""

from __future__ import annotations

import re

import pytest

from cluster.launchers import SAVES, Launcher, Scenarios, no_environment, python_script

pytestmark = pytest.mark.slow


@pytest.fixture
def launch(sge, tmp_path):
    with Launcher(python_script("sge.py"), tmp_path / "work here", **sge) as launcher:
        yield launcher


def test_tasks_keep_their_numbers_in_the_queue(launch):
    assert launch("JOB=4:6", "log/2x.JOB.log", "bash", "-c", "echo $SGE_TASK_ID").returncode == 0
    assert [launch.output(f"log/2x.{task}.log") for task in (4, 5, 6)] == ["4\n", "5\n", "6\n"]
    assert "# Running on " in launch.text("log/2x.4.log") and "_4\n" in launch.text("log/2x.4.log")
    assert [path.name for path in (launch.folder / "q").iterdir()] == ["2x.sh"]


def test_an_array_above_the_limit_is_split(launch):
    limit = int(re.search(r"max_aj_tasks +(\d+)", launch.tool("qconf", "-sconf"))[1])
    if limit > 20:
        pytest.skip(f"this Grid Engine takes {limit} tasks in one array")
    last = limit + 3
    done = launch(f"JOB=1:{last}", "x.JOB.log", "echo", "JOB")
    assert done.returncode == 0 and f"{last} tasks go in 2 arrays, one after the other" in done.stderr
    assert [launch.output(f"x.{task}.log") for task in range(1, last + 1)] == [f"{n}\n" for n in range(1, last + 1)]


def test_what_the_queue_refuses(launch):
    (launch.folder / "my.conf").write_text("command qsub --nonsense\n")
    done = launch("--config", "my.conf", "x.log", "touch", "ran")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert "qsub took no job: " in done.stderr and "--nonsense" in done.stderr


# ---- what the queue does to jobs ----

scenario = Scenarios()


@pytest.fixture(scope="module")
def ends(sge, tmp_path_factory):
    return scenario.run(python_script("sge.py"), tmp_path_factory.mktemp("events"), **sge)


@scenario
def a_job_is_deleted(launch):
    process = launch.start("N=1:2", "x.N.log", "bash", "-c", "echo on; exec sleep 1000")
    launch.tool("qdel", launch.started("x.1.log"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "2 / 2 failed" in errors and re.search("task.*: (killed by|left) the queue.*: deleted, or ", errors)


@scenario
def a_job_is_in_error_state(launch):
    (launch.folder / "my.conf").write_text("command qsub -V -S /bin/bash -wd /no/such/folder\n")
    done = launch("--config", "my.conf", "x.log", "touch", "ran")
    assert done.returncode == 1 and "sge.py: job failed: in error state Eqw (qstat -j says why)" in done.stderr
    assert not (launch.folder / "ran").exists()
    assert "Eqw" not in launch.tool("qstat", "-xml"), "it does not stay in the queue"


@scenario
def a_warned_command_saves_and_goes_on(launch):
    done = launch("JOB=1:2", "x.JOB.log", "python3", "-c", SAVES, "JOB", "warn")
    assert done.returncode == 0, done.stderr
    assert launch.output("x.1.log") == launch.output("x.2.log") == "on\nsaved\ngoes on\n"
    assert launch.text("x.1.log").count("# Running on ") == 2
    assert "# sge.py: asks to be queued again, to go on from what it has saved\n" in launch.text("x.1.log")


@scenario
def a_warned_command_may_not_go_on(launch):
    if "FAKE_SGE" not in launch.env:
        pytest.skip("this Grid Engine may well queue jobs again")
    done = launch("x.log", "python3", "-c", SAVES, "1", "warn", FORBID_RESCHEDULE="yes")
    assert done.returncode == 1
    assert "saved, but not queued again: over its --time, or not allowed to be; run it again to go on" in done.stderr


@scenario
def a_node_has_no_environment(launch):
    no_environment(launch, "qsub -V -cwd -S /bin/bash -j y")


@pytest.mark.parametrize("name", scenario.names)
def test_what_happens(ends, name):
    ends[name].result()
