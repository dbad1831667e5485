"""The processes that train one model together, one for each GPU, as torchrun starts them.

``spooftrace train --ngpu 4`` starts four of itself by torchrun's own means and waits for them. With ``--num-nodes 2``,
inside a job of SLURM, ``srun`` first starts one of it on each node. Processes that another launcher has started,
torchrun on the command line or any that sets RANK, LOCAL_RANK, WORLD_SIZE and the like, take their part as they are.
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

RENDEZVOUS = "SPOOFTRACE_RENDEZVOUS"  # HOST:PORT where the nodes of a job meet; set for what srun starts on each
NODE_SECONDS = 60  # for the other nodes to end when the first one has, before they are made to
SHUTDOWN_SECONDS = 600  # to save a checkpoint; a queue that ends the job has less patience


def leave_group() -> None:
    """Destroy the process group once all processes have finished their common work.

    Gloo's thread aborts a process that ends with the communication open (https://github.com/pytorch/pytorch/issues/190489).
    """
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def start(num_gpus: int, num_nodes: int) -> int:
    """Run the command that this process was started with once for each GPU, or once a node without any.

    Returns:
        Exit status: 0, that of the process that failed first, or of what a signal asks for (``stopping``).

    Raises:
        InputError: Several nodes are asked for outside of a job that has them, or a process was killed.
    """
    if num_nodes > 1 and RENDEZVOUS not in os.environ:
        return _start_on_nodes(num_nodes)
    import torch
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails has said so itself
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
        local_addr="127.0.0.1" if alone else None,  # names of laptops are often not to be found
        max_restarts=0,
        monitor_interval=0.1,
        signals_to_handle="SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2",  # passed on to the processes
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
    """The same command on each node of a SLURM job."""
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise InputError(
            f"--num-nodes {num_nodes}: not inside a SLURM job; submit one (slurm.py --num-nodes {num_nodes}), or start "
            "spooftrace train by torchrun on each node"
        )
    there = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
    if there < num_nodes:
        raise InputError(f"--num-nodes {num_nodes}: the SLURM job has {there}; submit it with --num-nodes {num_nodes}")
    port = 20000 + int(os.environ["SLURM_JOB_ID"]) % 10000  # below those that systems give to anyone who asks
    words = ["srun", f"--nodes={num_nodes}", f"--ntasks={num_nodes}", "--ntasks-per-node=1"]
    # Where a site says that a node that fails takes the others with it at once, none would be left to save.
    words += ["--kill-on-bad-exit=0", f"--wait={NODE_SECONDS}"]
    if threads := os.environ.get("SLURM_CPUS_PER_TASK"):
        words.append(f"--cpus-per-task={threads}")  # which steps do not take over from their job
    os.environ[RENDEZVOUS] = f"{_first_node()}:{port}"
    sys.stdout.flush()
    os.execvp("srun", [*words, sys.executable, *sys.argv])


def _first_node() -> str:
    done = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ.get("SLURM_JOB_NODELIST", "")], capture_output=True, text=True
    )
    return done.stdout.split()[0] if done.stdout.split() else socket.gethostname()
