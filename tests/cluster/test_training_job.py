"""A training on two nodes of a real SLURM gets notice: it saves, is queued again, and ends as if undisturbed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from miniature.training import SYSTEM, train_command

from cluster.launchers import REPOSITORY, python_script
from spooftrace.cli.main import main

pytestmark = pytest.mark.slow
EPOCHS = 60


def test_notice_requeue_resume_on_two_nodes(slurm, make_data, write_config):
    config = write_config(
        **SYSTEM,
        data={"crop": 3200, "batch_size": 4, "num_workers": 0},
        trainer={"max_epochs": EPOCHS, "monitor": "dev_loss"},
    )
    for seed, name in enumerate(("train", "dev")):
        make_data(name, 14, seed=seed)
    command = train_command(config, "--exp")
    assert main([*command, "one"]) == 0

    spooftrace = [sys.executable, "-m", "spooftrace.cli", *command, "two", "--num_nodes", "2"]
    environment = {**os.environ, **slurm, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY / "tests")}
    words = [*python_script("slurm.py"), "--partition", "both", "--num-nodes", "2", "two/train.log", *spooftrace]
    job = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    log, deadline = Path("two/train.log"), time.monotonic() + 120
    while not (log.exists() and "\nepoch   2 " in log.read_text()):
        assert time.monotonic() < deadline and job.poll() is None, log.read_text()
        time.sleep(0.05)
    number = re.search(r", job (\d+)_", log.read_text())[1]
    subprocess.run(["scancel", "--batch", "--signal=USR1", number], env=environment, check=True)
    _, errors = job.communicate(timeout=300)
    assert job.returncode == 0, errors + log.read_text()

    text = log.read_text()
    assert text.count("stopped by SIGUSR1") == 1 and text.count("# Running on ") == 2
    assert [int(epoch) for epoch in re.findall(r"^epoch +(\d+) ", text, re.MULTILINE)] == list(range(1, EPOCHS + 1))
    weights = [torch.load(f"{exp}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for exp in ("one", "two")]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-4, atol=1e-5)
