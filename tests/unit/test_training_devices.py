"""Training on several devices, which here are processes of one machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spooftrace.backends import AASIST

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # each process loads torch and Lightning

SMALL = {"channels": [4, 4, 4, 4, 4, 4], "gat_dims": [8, 8]}
DEVICES = '''
"""spooftrace train where GPUs are processes; each writes down what it has in the end."""
import sys
import lightning
import torch
import spooftrace.system
from spooftrace.cli import main
from spooftrace.learner import Learner

Trainer = lightning.Trainer
lightning.Trainer = lambda **options: Trainer(**options | {"accelerator": "cpu"})
spooftrace.system.pick_device = lambda num_gpus: torch.device("cpu")
torch.cuda.get_device_name = lambda: "CPU"

def keep(learner):
    figures = {key: float(value) for key, value in learner.trainer.callback_metrics.items() if "step" not in key}
    torch.save({"weights": learner.system.state_dict(), "figures": figures}, f"{learner.global_rank}.pt")

Learner.on_train_end = keep
sys.exit(main(sys.argv[1:]))
'''


def step_twice(rank: int, port: int) -> None:
    """One of two processes; DDP waits for the gradient of every parameter in the second step."""
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(AASIST(**SMALL))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad])
    torch.manual_seed(rank)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(2, 8000)).square().sum().backward()
        optimizer.step()
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    other = weights.clone()
    torch.distributed.broadcast(other, src=0)
    assert other.equal(weights), "the processes hold different weights"
    torch.distributed.destroy_process_group()


def test_dead_parameters_do_not_stop_ddp():
    """AASIST has weights that no output depends on, for official checkpoints; DDP is not told to look for such."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(step_twice, args=(port,), nprocs=2)


def test_two_devices_train_one_model(make_data, write_config):
    config = write_config(
        streams={"tiny": {"class_path": "miniature.frontend.Projection"}},
        backend={"class_path": "LinearProbe", "init_args": {"input_dim": 8, "num_outputs": 2}},
        data={"crop": 3200, "batch_size": 4, "num_workers": 0},
        trainer={"max_epochs": 2, "backend_only_epochs": 1, "average_best": 2, "monitor": "train_loss"},
    )
    for number, name in enumerate(("train", "dev")):
        make_data(name, 14, seed=number)
    Path("devices.py").write_text(DEVICES, encoding="utf-8")
    command = ["devices.py", "train", "--config", str(config), "--train", "data/train", "--dev", "data/dev"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
    variables |= {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train"}  # as in a job of a cluster
    result = subprocess.run(
        [sys.executable, *command, "--exp", "exp", "--ngpu", "2"], capture_output=True, text=True, env=variables
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("training ") == result.stdout.count("exp: trained 2 epochs") == 1
    one, other = (torch.load(f"{rank}.pt", weights_only=True) for rank in range(2))
    assert one["figures"] == other["figures"]
    assert set(one["figures"]) == {"train_loss", "dev_eer", "dev_loss"}
    assert all(value.equal(other["weights"][key]) for key, value in one["weights"].items())
    first, second = (
        torch.load(f"exp/checkpoints/epoch00{epoch}.ckpt", weights_only=True)["state_dict"] for epoch in range(2)
    )
    moved = {key for key, value in second.items() if not value.equal(first[key])}
    assert {"system.frontends.tiny.linear.weight", "system.backend.out.weight"} <= moved
