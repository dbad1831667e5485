"""Training on several devices, simulated by processes on the same machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from miniature.training import SYSTEM, train_command

from spooftrace.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # each process loads torch and Lightning

DEVICES = '''
"""spooftrace train where GPUs are processes; at step STOP_AT the second one tells their parent to end."""
import os
import signal
import sys
import time
import lightning
import torch
import spooftrace.system.devices
import spooftrace.training.train
from spooftrace.cli.main import main
from spooftrace.training.callbacks import KeepLast

Trainer = lightning.Trainer
lightning.Trainer = lambda **options: Trainer(**options | {"accelerator": "cpu"})
spooftrace.system.devices.pick_device = lambda num_gpus: torch.device("cpu")
torch.cuda.get_device_name = lambda: "CPU"
# The first process ends the others. They must not time out while they wait for it.
spooftrace.training.train.OTHERS_SECONDS = 3600.0

def stop(self, trainer, learner, batch, batch_idx):
    if trainer.global_step == int(os.environ.get("STOP_AT", -1)) and trainer.global_rank == 1:
        os.kill(os.getppid(), signal.SIGUSR1)
        while not self.signals.received:  # which the parent passes on
            time.sleep(0.01)

KeepLast.on_train_batch_start = stop
sys.exit(main(sys.argv[1:]))
'''


def test_two_devices_train_as_one(make_data, write_config):
    """Losses and weights are the same, even if the queue sends its warning in the middle of an epoch."""
    config = write_config(
        **SYSTEM,
        task={"class_path": "Detection", "init_args": {"class_weight": [0.1, 0.9]}},
        data={"crop": 3200, "batch_size": 4, "eval_batch_size": 3, "num_workers": 1},
        trainer={"max_epochs": 3, "backend_only_epochs": 1, "average_best": 2, "monitor": "dev_loss"},
    )
    make_data("train", 14, seed=1)
    make_data("dev", 13, seed=2)  # five batches of three, to make the shares unequal
    command = train_command(config, "--exp")
    assert main([*command, "one"]) == 0

    Path("devices.py").write_text(DEVICES, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
    environment |= {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train"}  # as in a job of a cluster

    def train_on_two(**more: str) -> subprocess.CompletedProcess:
        words = [sys.executable, "devices.py", *command, "two", "--ngpu", "2"]
        return subprocess.run(words, capture_output=True, text=True, env=environment | more)

    stopped = train_on_two(STOP_AT="4")
    assert stopped.returncode == 75, stopped.stderr
    assert stopped.stderr.count("stopped by SIGUSR1 in epoch 2 after batch 2, which is saved") == 1
    assert not Path("two/run.json").exists()

    done = train_on_two()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training ") == done.stdout.count("two: trained 3 epochs") == 1
    one, two = (
        [list(map(float, line.split())) for line in Path(f"{name}/epochs.tsv").read_text().splitlines()[1:]]
        for name in ("one", "two")
    )
    for alone, together in zip(one, two, strict=True):
        assert together == pytest.approx(alone, rel=1e-5)
    weights = [torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for name in ("one", "two")]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-5, atol=1e-6)


def test_what_all_processes_find_wrong_is_said_once(make_data, write_config):
    config = write_config(
        **SYSTEM,
        data={"crop": 3200, "batch_size": 4},
    )
    for name in ("train", "dev"):
        make_data(name, 4)
    Path("data/dev/utt2label").unlink()
    Path("devices.py").write_text(DEVICES, encoding="utf-8")
    command = train_command(config, "--exp", "exp")
    done = subprocess.run(
        [sys.executable, "devices.py", *command, "--ngpu", "2"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")},
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "utt2label" in done.stderr
