"""Training: what it leaves behind, and that a killed run ends with the same weights and scores."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from spooftrace.cli import main
from spooftrace.config import build
from spooftrace.system import load_weights


def prepare(make_data, config: Path, *sets: str) -> None:
    for number, name in enumerate(sets):
        data = make_data(name, 14, seed=number)
        assert main(["extract", "--config", str(config), "--data", str(data)]) == 0
        assert main(["extract", "--config", str(config), "--data", str(data), "--collect"]) == 0


def train(config: Path, exp: str, *overrides: str) -> int:
    command = ["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp", exp]
    return main([*command, *overrides])


def test_train_score_evaluate(make_data, write_config, capsys):
    config = write_config()
    prepare(make_data, config, "train", "dev")
    assert train(config, "exp/lfcc_s1", "--seed_everything", "1", "--trainer.average_best", "2") == 0
    run = json.loads(Path("exp/lfcc_s1/run.json").read_text(encoding="utf-8"))
    assert run["system"] == "lfcc"
    assert run["seed"] == 1
    assert run["epochs"] == 3
    assert run["parameters"] == {"backend": 122, "trainable": 122, "total": 122}
    assert main(["score", "--exp", "exp/lfcc_s1", "--data", "data/dev"]) == 0
    lines = Path("exp/lfcc_s1/dev/scores.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines] == [f"dev_{number:03d}" for number in range(14)]
    out = "exp/lfcc_s1/dev/metrics.json"
    command = ["evaluate", "--data", "data/dev", "--scores", "exp/lfcc_s1/dev/scores.txt", "--out", out]
    assert main(command) == 0
    assert json.loads(Path(out).read_text(encoding="utf-8"))["trials"] == 14

    capsys.readouterr()
    assert train(config, "exp/lfcc_s1", "--seed_everything", "1", "--trainer.average_best", "2") == 0
    assert "already trained" in capsys.readouterr().out
    assert train(config, "exp/lfcc_s1", "--seed_everything", "2") == 1
    assert "another configuration" in capsys.readouterr().err


def test_same_seed_same_weights_other_seed_other_weights(make_data, write_config):
    config = write_config()
    prepare(make_data, config, "train", "dev")
    weights = []
    for exp, seed in (("exp/a_s1", "1"), ("exp/b_s1", "1"), ("exp/c_s2", "2")):
        assert train(config, exp, "--seed_everything", seed) == 0
        weights.append(load_weights(Path(exp) / "model.safetensors"))
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])
    assert not all(weights[0][key].equal(weights[2][key]) for key in weights[0])


def test_early_stopping_keeps_the_best_epoch(make_data, write_config):
    trainer = {"max_epochs": 40, "patience": 2, "monitor": "dev_loss"}
    # A huge learning rate makes things worse after the first epochs.
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 300.0}}
    config = write_config(trainer=trainer, optimizer=optimizer)
    prepare(make_data, config, "train", "dev")
    assert train(config, "exp/stop_s1") == 0
    run = json.loads(Path("exp/stop_s1/run.json").read_text(encoding="utf-8"))
    assert run["best_epoch"] == run["epochs"] - 2
    assert run["epochs"] < 40


ROOM = "spooftrace.backends"
SMALL = {"channels": [4, 4, 4, 4, 4, 4], "gat_dims": [8, 8]}
AASIST = {
    "streams": {"wave": {"class_path": "Waveform"}},
    "backend": {"class_path": "AASIST", "init_args": SMALL},
    "data": {"crop": 8000, "batch_size": 2, "num_workers": 1},
    "schedule": {"kind": "cosine", "final_lr": 1e-4},
    # Every batch is checkpointed, so that a kill lands inside an epoch.
    "trainer": {"max_epochs": 4, "average_best": 2, "checkpoint_minutes": 0.0},
}


@pytest.mark.slow
def test_killed_training_ends_with_the_same_weights(make_data, write_config):
    """AASIST has dropout, random crops and batch statistics: everything that a careless resume would change."""
    config = write_config(**AASIST)
    for number, name in enumerate(("train", "dev")):
        make_data(name, 14, seed=number)
    assert train(config, "exp/whole_s1") == 0

    command = [sys.executable, "-m", "spooftrace.cli", "train", "--config", str(config)]
    command += ["--train", "data/train", "--dev", "data/dev", "--exp", "exp/killed_s1"]
    last = Path("exp/killed_s1/checkpoints/last.ckpt")
    positions = []
    for kill in range(3):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None and (last.stat().st_mtime_ns if last.exists() else 0) == before:
            time.sleep(0.002)
        time.sleep(0.03 * kill)  # another place in the epoch each time
        process.kill()
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors.decode()
        state = torch.load(last, weights_only=True)
        positions.append((state["epoch"], state["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]["done"]))
    assert any(batches > 0 for _, batches in positions), f"no kill landed inside an epoch: {positions}"
    assert not Path("exp/killed_s1/run.json").exists(), "every run was killed before it could finish"
    assert train(config, "exp/killed_s1") == 0
    whole = load_weights(Path("exp/whole_s1/model.safetensors"))
    killed = load_weights(Path("exp/killed_s1/model.safetensors"))
    assert all(whole[key].equal(killed[key]) for key in whole)
    for exp in ("exp/whole_s1", "exp/killed_s1"):
        assert main(["score", "--exp", exp, "--data", "data/dev"]) == 0
    assert Path("exp/whole_s1/dev/scores.txt").read_bytes() == Path("exp/killed_s1/dev/scores.txt").read_bytes()


def step_twice(rank: int, port: int) -> None:
    """One of two processes; DDP waits for the gradient of every parameter in the second step."""
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(build({"class_path": f"{ROOM}.AASIST", "init_args": SMALL}))
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


@pytest.mark.slow
def test_dead_parameters_do_not_stop_ddp():
    """AASIST has weights that no output depends on, for official checkpoints; DDP is not told to look for such."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(step_twice, args=(port,), nprocs=2)


def test_interrupt_says_how_to_go_on(make_data, write_config, monkeypatch, capsys):
    config = write_config()
    prepare(make_data, config, "train", "dev")
    from spooftrace.learner import Learner

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Learner, "on_validation_epoch_end", interrupt)
    assert train(config, "exp/a_s1") == 130
    assert "run it again" in capsys.readouterr().err
    assert not Path("exp/a_s1/run.json").exists()


def test_divergence_is_named(make_data, write_config, capsys):
    config = write_config(optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 1e38}})
    prepare(make_data, config, "train", "dev")
    assert train(config, "exp/a_s1") == 1
    error = capsys.readouterr().err
    assert "the dev scores are not finite numbers; lower optimizer.init_args.lr" in error


def test_one_class_is_not_enough(make_data, write_config, capsys):
    config = write_config()
    prepare(make_data, config, "train", "dev")
    labels = Path("data/dev/utt2label")
    labels.write_text(labels.read_text(encoding="utf-8").replace("spoof", "bonafide"), encoding="utf-8")
    assert train(config, "exp/a_s1") == 1
    assert "data/dev/utt2label: all labels are the same" in capsys.readouterr().err


def test_damaged_checkpoint_is_named(make_data, write_config, capsys):
    config = write_config()
    prepare(make_data, config, "train", "dev")
    assert train(config, "exp/a_s1") == 0
    Path("exp/a_s1/run.json").unlink()
    last = Path("exp/a_s1/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:-100])
    assert train(config, "exp/a_s1") == 1
    assert "last.ckpt: damaged checkpoint; remove it" in capsys.readouterr().err
