"""Checkpoints on a full disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spooftrace.cli.main import main
from spooftrace.training.saving import WholeCheckpoints

# spooftrace train on a disk that is full from the second epoch on; argument 1 is the file that fills it.
FULL = """
import sys
from spooftrace.cli.main import main
from spooftrace.training.learner import Learner

begin = Learner.on_train_epoch_start

def fill(learner):
    begin(learner)
    if learner.current_epoch == 1:
        with open(sys.argv[1], "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

Learner.on_train_epoch_start = fill
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def disk(recipe):
    """Mount a disk of one megabyte as ``exp``."""
    Path("exp").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "exp"], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be had: {mounted.stderr.strip()}")
    yield Path("exp")
    subprocess.run(["umount", "-l", str(recipe / "exp")], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("minutes", "named"), [("0", "checkpoints/last.ckpt"), ("30", "epochs.tsv")], ids=["in an epoch", "at its end"]
)
def test_full_disk_loses_nothing(disk, make_data, write_config, minutes, named):
    config = write_config()
    for number, name in enumerate(("train", "dev")):
        data = str(make_data(name, 14, seed=number))
        assert main(["extract", "--config", str(config), "--data", data]) == 0
        assert main(["extract", "--config", str(config), "--data", data, "--collect"]) == 0
    command = ["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp", "exp/a"]
    command += ["--trainer.checkpoint_minutes", minutes]
    call = [sys.executable, "-c", FULL, "exp/filler", *command]
    result = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.returncode == 1
    path = disk.resolve() / "exp/a" / named
    assert f"No space left on device: '{path.relative_to(disk.resolve())}'" in result.stderr
    assert "Traceback" not in result.stderr
    last = torch.load("exp/a/checkpoints/last.ckpt", weights_only=True)
    assert (last["epoch"], len(last["epochs"])) == (0, 1)
    assert not list(Path("exp/a/checkpoints").glob("*.tmp"))

    (disk / "filler").unlink()
    assert main(command) == 0
    assert Path("exp/a/run.json").exists()


def test_error_of_writing_names_the_checkpoint(tmp_path):
    """A limit on the file size raises the same kind of error and needs no disk."""
    script = """
import resource, sys
import torch
from spooftrace.training.saving import WholeCheckpoints
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    WholeCheckpoints().save_checkpoint({"state_dict": torch.ones(100_000)}, sys.argv[1])
except OSError as error:
    print(error)
"""
    path = tmp_path / "a folder/last.ckpt"
    WholeCheckpoints().save_checkpoint({"state_dict": torch.zeros(2)}, path)
    result = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert result.stdout == f"[Errno 27] File too large: '{path}'\n", result.stderr
    assert torch.load(path, weights_only=True)["state_dict"].tolist() == [0, 0]
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
