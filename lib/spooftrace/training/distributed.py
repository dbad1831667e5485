"""Start and end the processes of a distributed training, one for each GPU.

``spooftrace train --ngpu 4`` starts four ranks through torchrun's API and waits for them. With ``--num-nodes 2``,
inside a SLURM job, ``srun`` first starts the command once on each node. Processes of another launcher (torchrun, or any
that sets RANK, LOCAL_RANK, WORLD_SIZE and so on) join their process group without a further launch.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys

from spooftrace.common.errors import InputError
from spooftrace.common.signals import status_of

RENDEZVOUS = "SPOOFTRACE_RENDEZVOUS"  # HOST:PORT of the rendezvous of all nodes, for the processes that srun starts
NODE_SECONDS = 60  # from the end of the first node until srun terminates the others
SHUTDOWN_SECONDS = 600  # to save a checkpoint; queues usually allow less before they kill a job


def leave_group() -> None:
    """Destroy the process group after the last collective operation.

    Otherwise Gloo's thread may abort the process at exit (https://github.com/pytorch/pytorch/issues/190489).
    """
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def start(num_gpus: int, num_nodes: int) -> int:
    """Run the command line of this process once for each GPU, or once on each node without GPUs.

    Args:
        num_gpus: GPUs of each node.
        num_nodes: Nodes of the training.

    Returns:
        Exit status: 0, that of the first process that failed, or that of a signal (:mod:`spooftrace.common.signals`).

    Raises:
        InputError: ``num_nodes`` exceeds the nodes of the SLURM job, or a process was killed.
    """
    if num_nodes > 1 and RENDEZVOUS not in os.environ:
        return _start_on_nodes(num_nodes)
    import torch
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the failed process has printed its own message
    count = max(1, num_gpus)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // count)))
    alone = num_nodes == 1
    config = LaunchConfig(
        min_nodes=num_nodes,
        max_nodes=num_nodes,
        nproc_per_node=count,
        run_id=os.environ.get("SLURM_JOB_ID", "train"),
        rdzv_backend="c10d",
        rdzv_endpoint=os.environ.get(RENDEZVOUS, "localhost:0"),
        local_addr="127.0.0.1" if alone else None,  # the host names of laptops often do not resolve
        max_restarts=0,
        monitor_interval=0.1,
        signals_to_handle="SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2",  # forwarded to the processes
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    try:
        elastic_launch(config, sys.executable)(*sys.argv)
    except SignalException as stopped:
        return status_of(stopped.sigval)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode
        name = signal.Signals(-failure.exitcode).name
        raise InputError(f"process {number} of {count * num_nodes} was killed by {name}") from None
    return 0


def _start_on_nodes(num_nodes: int) -> int:
    """Replace this process by ``srun``, which runs the same command on each node of the SLURM job."""
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise InputError(
            f"--num-nodes {num_nodes}: not inside a SLURM job; submit one (slurm.py --num-nodes {num_nodes}), or start "
            "spooftrace train with torchrun on each node"
        )
    available = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
    if available < num_nodes:
        raise InputError(
            f"--num-nodes {num_nodes}: the SLURM job has {available}; submit it with --num-nodes {num_nodes}"
        )
    port = 20000 + int(os.environ["SLURM_JOB_ID"]) % 10000  # below the ephemeral ports
    command = ["srun", f"--nodes={num_nodes}", f"--ntasks={num_nodes}", "--ntasks-per-node=1"]
    # Some sites set --kill-on-bad-exit=1, with which the failure of a node would kill the others before they save.
    command += ["--kill-on-bad-exit=0", f"--wait={NODE_SECONDS}"]
    if threads := os.environ.get("SLURM_CPUS_PER_TASK"):
        command.append(f"--cpus-per-task={threads}")  # job steps do not inherit it from the job
    os.environ[RENDEZVOUS] = f"{_first_node()}:{port}"
    sys.stdout.flush()
    os.execvp("srun", [*command, sys.executable, *sys.argv])


def _first_node() -> str:
    result = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ.get("SLURM_JOB_NODELIST", "")], capture_output=True, text=True
    )
    names = result.stdout.split()
    return names[0] if names else socket.gethostname()
