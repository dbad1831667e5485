"""utils/slurm.py on a real SLURM with two nodes: what users ask of the queue."""

from __future__ import annotations

import socket

import pytest

from cluster.launchers import Launcher, python_script

pytestmark = pytest.mark.slow


@pytest.fixture
def launch(slurm, tmp_path):
    with Launcher(python_script("slurm.py"), tmp_path / "work here", **slurm) as launcher:
        yield launcher


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


def test_job_on_two_nodes(launch):
    show = ["srun", "--ntasks-per-node", "1", "bash", "-c", "echo $SLURM_PROCID $SLURMD_NODENAME $OMP_NUM_THREADS"]
    done = launch("--partition", "both", "--num-nodes", "2", "--num-threads", "2", "x.log", *show)
    assert done.returncode == 0, done.stderr
    node = socket.gethostname().partition(".")[0]
    assert sorted(launch.output("x.log").splitlines()) == [f"0 {node} 2", f"1 {node}-2 2"]


REFUSED = {
    "partition": (["--partition", "nowhere"], "invalid partition specified: nowhere"),
    "memory": (["--mem", "lots"], "Invalid --mem specification"),
    "GPUs": (["--gpu", "9"], "Requested node configuration is not available"),
    "an option of the file": (["--config", "my.conf"], "unrecognized option '--nonsense'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_queue_refuses(launch, case):
    options, message = REFUSED[case]
    (launch.folder / "my.conf").write_text("command sbatch --nonsense\n")
    done = launch(*options, "x.log", "touch", "ran")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert "sbatch took no job: " in done.stderr and message in done.stderr and ".conf)\n" in done.stderr
    assert not (launch.folder / "ran").exists()


def test_no_place_for_the_script(launch):
    (launch.folder / "q").write_text("a file where a folder is needed")
    done = launch("x.log", "touch", "ran")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert "cannot write what the queue is to run: " in done.stderr and "'q'" in done.stderr
