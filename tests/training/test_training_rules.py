"""Rules of a training: selection, early stopping, schedules, front-ends that are trained from a later epoch on."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from spooftrace.backends import QAFStatic
from spooftrace.cli.main import main
from spooftrace.common.errors import InputError
from spooftrace.system.weights import load_weights
from spooftrace.training.initialise import start_from_others
from spooftrace.training.learner import Learner


def epoch_weights(exp: str, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(Path(exp, f"checkpoints/epoch{epoch:03d}.ckpt"), weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], part: str = "") -> bool:
    return all(value.equal(other[key]) for key, value in one.items() if part in key)


def stop_in_step(monkeypatch, number: int) -> None:
    """Press Ctrl-C in a training step, counted from 0 over all epochs."""
    original = Learner.training_step

    def step(self, batch, batch_idx):
        if self.global_step == number:
            raise KeyboardInterrupt
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", step)


def test_front_end_joins_in_after_the_epochs_of_the_back_end(live):
    live("a", {"max_epochs": 4, "backend_only_epochs": 2, "average_best": 4, "monitor": "dev_loss"})
    first, second, third, fourth = (epoch_weights("a", epoch) for epoch in range(4))
    assert same(first, second, "frontends")
    assert not same(first, second, "backend.out.weight")
    assert not same(second, third, "frontends")
    assert not same(third, fourth, "frontends")


@pytest.mark.parametrize("step", [1, 7])  # 3 steps an epoch: alone in epoch 1, together in epoch 3
def test_interrupted_run_ends_the_same(live, monkeypatch, step):
    settings = {"max_epochs": 3, "backend_only_epochs": 2, "monitor": "train_loss", "average_best": 2}
    settings |= {"checkpoint_minutes": 0.0}  # after every step
    schedule = {"kind": "warmup_decay", "epochs": 2, "factor": 0.5}
    whole = live("whole", settings, schedule=schedule, train_crop="first", rawboost=2)
    with monkeypatch.context() as patch:
        stop_in_step(patch, step)
        live("cut", settings, status=130, schedule=schedule, train_crop="first", rawboost=2)
    cut = live("cut", settings, schedule=schedule, train_crop="first", rawboost=2)
    assert same(load_weights(Path("whole/model.safetensors")), load_weights(Path("cut/model.safetensors")))
    assert whole["best"] == cut["best"]
    assert whole["best_epoch"] == cut["best_epoch"]


def test_stops_when_the_training_loss_rises(live):
    run = live("a", {"max_epochs": 40, "monitor": "train_loss", "patience": 1}, lr=3.0)
    assert run["epochs"] < 40
    assert run["best_epoch"] == run["epochs"] - 1
    assert same(
        {key.removeprefix("system."): value for key, value in epoch_weights("a", run["best_epoch"] - 1).items()},
        load_weights(Path("a/model.safetensors")),
    )


def test_training_loss_is_the_mean_of_its_batches(live, monkeypatch):
    losses = []
    original = Learner.training_step

    def step(self, batch, batch_idx):
        losses.append(float(original(self, batch, batch_idx).detach()))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", step)
    run = live("a", {"max_epochs": 1, "monitor": "train_loss"})
    assert len(losses) == 3
    assert run["best"]["train_loss"] == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_patience_waits_for_min_epochs(live):
    settings = {"max_epochs": 40, "monitor": "train_loss", "patience": 1}
    short = live("short", settings, lr=3.0)["epochs"]
    assert short < 40
    assert live("long", {**settings, "min_epochs": short + 2}, lr=3.0)["epochs"] >= short + 2


@pytest.fixture
def dev_losses(monkeypatch):
    """Return a function that sets the dev loss of each epoch."""

    def script(*losses: float) -> None:
        monkeypatch.setattr(Learner, "_dev_figures", lambda self, scored: {"dev_loss": losses[self.current_epoch]})

    return script


PATIENT = {"max_epochs": 9, "min_epochs": 4, "monitor": "dev_loss", "patience": 2, "checkpoint_minutes": 0.0}


@pytest.mark.parametrize("step", [None, 7, 13])  # whole; interrupted in epoch 3 and in epoch 5
def test_a_better_epoch_renews_the_patience(live, dev_losses, monkeypatch, step):
    """Without min_epochs the training would end after epoch 3, but epoch 4 is better."""
    dev_losses(3, 4, 5, 2, 1, 6, 7, 8, 9)
    if step is not None:
        with monkeypatch.context() as patch:
            stop_in_step(patch, step)
            live("a", PATIENT, status=130)
    run = live("a", PATIENT)
    assert (run["epochs"], run["best_epoch"], run["best"]) == (7, 5, {"dev_loss": 1})


@pytest.mark.parametrize("settings", [{"patience": 2}, {"max_epochs": 3}])
def test_killed_after_the_last_epoch_trains_no_other(live, dev_losses, settings):
    dev_losses(3, 4, 5, 0)
    settings = {"max_epochs": 4, "monitor": "dev_loss", **settings}
    before = live("a", settings)
    Path("a/run.json").unlink()
    Path("a/model.safetensors").unlink()
    after = live("a", settings)
    for run in before, after:
        assert (run["epochs"], run["best_epoch"], run["best"]) == (3, 1, {"dev_loss": 3})
    assert Path("a/model.safetensors").exists()


def test_last_epoch_is_the_model(live, capsys):
    run = live("a", {"max_epochs": 3, "monitor": "last_epoch"})
    assert (run["epochs"], run["best_epoch"], run["best"]) == (3, 3, {})
    state = torch.load("a/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert same(
        {key.removeprefix("system."): value for key, value in state.items()}, load_weights(Path("a/model.safetensors"))
    )
    assert "the model is that of the last one" in capsys.readouterr().out


def test_rates_of_a_schedule_reach_the_weights(live):
    schedule = {"kind": "staircase", "epochs": 1, "factor": 0.0}  # the second epoch has a learning rate of 0
    live("a", {"max_epochs": 2, "average_best": 2, "monitor": "dev_loss"}, schedule=schedule)
    assert same(epoch_weights("a", 0), epoch_weights("a", 1), "linear")


def test_dev_set_with_and_without_augmentation(live, capsys):
    def figures(exp: str, **data) -> dict[str, float]:
        live(exp, {"max_epochs": 1, "monitor": data.pop("monitor", "dev_loss")}, rawboost=2, **data)
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch   1"))
        words = line.split()[2:]
        return dict(zip(words[::2], map(float, words[1::2]), strict=True))

    plain, augmented = figures("plain"), figures("augmented", augment_dev=True)
    both = figures("both", augment_dev="both", monitor="dev_loss_augmented")
    assert plain["dev_loss"] != augmented["dev_loss"]
    assert set(both) == {"train_loss", "dev_loss", "dev_eer", "dev_loss_augmented", "dev_eer_augmented"}
    assert (both["dev_loss"], both["dev_loss_augmented"]) == (plain["dev_loss"], augmented["dev_loss"])


def test_first_crops_are_augmented_and_do_not_move(live, monkeypatch):
    """RawBoost also applies to published systems that crop the first 4 s."""
    seen = []
    original = Learner.training_step

    def step(self, batch, batch_idx):
        seen.append(dict(zip(batch[0]["utt"], batch[0]["wave"], strict=True)))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", step)
    for exp, settings in (("first", {}), ("boosted", {"rawboost": 2}), ("random", {"train_crop": "random"})):
        live(exp, {"max_epochs": 2}, **{"train_crop": "first", "crop": 1600, **settings})
    epochs = [{utt: wave for batch in seen[i : i + 3] for utt, wave in batch.items()} for i in range(0, 18, 3)]

    def moved(one, other) -> list[bool]:
        return [not one[utt].equal(other[utt]) for utt in one.keys() & other.keys()]

    assert not any(moved(epochs[0], epochs[1]))  # first
    assert all(moved(epochs[0], epochs[2])) and all(moved(epochs[2], epochs[3]))  # boosted
    assert all(moved(epochs[4], epochs[5]))  # random


def test_corrected_configuration_is_accepted(live, monkeypatch, capsys):
    """A run that failed before its first checkpoint does not block its folder."""
    labels = Path("data/dev/utt2label")
    right = labels.read_text(encoding="utf-8")
    labels.write_text(right.replace("spoof", "bonafide"), encoding="utf-8")
    live("a", {"max_epochs": 1}, status=1)
    assert not Path("a/config.yaml").exists()
    labels.write_text(right, encoding="utf-8")
    live("a", {"max_epochs": 1}, status=1, lr=1e30)
    assert "lower optimizer.init_args.lr" in capsys.readouterr().err
    live("a", {"max_epochs": 1})
    live("a", {"max_epochs": 1}, status=1, lr=0.5)
    assert "another configuration: optimizer.init_args.lr 0.01 (now 0.5);" in capsys.readouterr().err


def test_missing_and_unknown_labels_are_named(live, capsys):
    labels = Path("data/train/utt2label")
    lines = labels.read_text(encoding="utf-8").splitlines(keepends=True)
    labels.write_text("".join(lines[:3] + lines[5:]), encoding="utf-8")
    live("a", {"max_epochs": 1}, status=1)
    error = capsys.readouterr().err
    assert "data/train/utt2label: lacks utterance 'train_003' of utt2spk and 1 more" in error
    labels.write_text("".join(lines).replace("train_004 bonafide", "train_004 genuine"), encoding="utf-8")
    live("a", {"max_epochs": 1}, status=1)
    assert "data/train/utt2label:5: 'train_004' has 'genuine', expected bonafide or spoof" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        (["--num-nodes", "2"], {}, "--num-nodes 2: not inside a SLURM job; submit one"),
        (["--num_nodes", "2"], {"SLURM_JOB_ID": "7"}, "the SLURM job has 1; submit it with --num-nodes 2"),
        (["--num_nodes", "3"], {}, "data.batch_size 4 cannot be shared out evenly over 3 processes"),
        (["--num_nodes", "0"], {}, "--ngpu 0 --num-nodes 0: at least 0 and 1"),
        (["--ngpu", "-1"], {}, "--ngpu -1 --num-nodes 1: at least 0 and 1"),
    ],
)
def test_nodes_that_are_not_there(write_config, tmp_path, monkeypatch, capsys, options, variables, said):
    for name in ("srun", "scontrol"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    command = ["train", "--config", str(write_config()), "--train", "data/train", "--dev", "data/dev", "--exp", "exp"]
    assert main([*command, *options]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_batches_are_shared_out_evenly(live, capsys):
    live("a", {"max_epochs": 1}, status=1, num_gpus=3)
    assert "data.batch_size 4 cannot be shared out evenly over 3 processes" in capsys.readouterr().err


class Codec(torch.nn.Module):
    """The interface of a codec front-end that training uses."""

    finetune = False

    def __init__(self, *shape: int) -> None:
        super().__init__()
        vectors = torch.arange(float(torch.Size(shape).numel())).reshape(shape)  # (Q, K, D)
        self.codebooks = tuple(SimpleNamespace(embed=table) for table in vectors)


def qaf(frontends: dict[str, torch.nn.Module]) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Return a system with a small QAF-Static back-end, and its configuration."""
    arguments = {"input_dim": 8, "num_layers": 2, "num_quantizers": 2, "codebook_size": 4, "codec_dim": 3}
    system = SimpleNamespace(backend=QAFStatic(**arguments), frontends=frontends)
    return system, SimpleNamespace(trainer=SimpleNamespace(start_from=None))


def test_code_tables_start_from_the_codec():
    system, config = qaf({"codec": Codec(2, 4, 3)})
    start_from_others(system, config)
    assert system.backend.tables.flatten().tolist() == list(range(24))
    assert system.backend.tables.requires_grad


def test_code_tables_without_a_codec_are_refused():
    with pytest.raises(InputError, match=r"QAFStatic .* data.cached, .* backend.init_args.codebooks"):
        start_from_others(*qaf({}))
    with pytest.raises(InputError, match="stream 'codec' does not fit QAFStatic: codebooks are"):
        start_from_others(*qaf({"codec": Codec(2, 5, 3)}))
