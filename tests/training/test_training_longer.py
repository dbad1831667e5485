"""Trainings whose settings change between runs, and experiments with missing or damaged files."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spooftrace.common.errors import InputError
from spooftrace.config.settings import Training
from spooftrace.system.devices import pick_device
from spooftrace.system.weights import load_weights
from spooftrace.training.learner import Learner
from spooftrace.training.selection import best_epochs, end_of, epochs_without_better

SHORT = {"max_epochs": 2, "monitor": "dev_loss", "average_best": 2}


def model(exp: str) -> bytes:
    return Path(exp, "model.safetensors").read_bytes()


def last_line(capsys) -> str:
    """Return the only line of the error."""
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_longer_training_equals_one_that_was_long_from_the_start(live, capsys):
    schedule = {"kind": "staircase", "epochs": 2, "factor": 0.5}
    live("whole", SHORT | {"max_epochs": 4}, schedule=schedule)
    live("short", SHORT, schedule=schedule)
    before = model("short")
    more = {"max_epochs": 4, "checkpoint_minutes": 0.5}
    run = live("short", SHORT | more, schedule=schedule, num_workers=1)
    assert model("short") == model("whole") != before
    assert Path("short/epochs.tsv").read_bytes() == Path("whole/epochs.tsv").read_bytes()
    assert run["epochs"] == 4 and run["length"]["max_epochs"] == 4
    capsys.readouterr()
    live("short", SHORT | more, schedule=schedule)
    assert "already trained" in capsys.readouterr().out
    live("short", SHORT, status=1, schedule=schedule)
    assert (
        "trainer.max_epochs 4 (now 2): this training would have ended after epoch 2, but 4 epochs are finished"
        in last_line(capsys)
    )


@pytest.fixture
def rising(monkeypatch):
    """Return a function that sets the dev loss of each epoch."""
    losses = (3, 4, 5, 2, 6, 7, 8, 9)
    monkeypatch.setattr(Learner, "_dev_figures", lambda self, scored: {"dev_loss": losses[self.current_epoch]})


def test_more_patience_after_an_early_stop(live, rising):
    settings = {"max_epochs": 8, "monitor": "dev_loss"}
    assert live("whole", settings | {"patience": 3})["epochs"] == 7
    run = live("a", settings | {"patience": 2})
    assert (run["epochs"], run["best_epoch"]) == (3, 1)
    run = live("a", settings | {"patience": 3})
    assert (run["epochs"], run["best_epoch"]) == (7, 4)
    assert model("a") == model("whole")


def test_length_that_a_schedule_depends_on_stays(live, capsys):
    cosine = {"kind": "cosine", "final_lr": 0.001}
    live("a", SHORT, schedule=cosine)
    before = model("a")
    live("a", SHORT | {"max_epochs": 3}, status=1, schedule=cosine)
    error = last_line(capsys)
    assert "trainer.max_epochs 2 (now 3); with schedule.kind cosine the learning rate of every step depends on" in error
    assert model("a") == before
    live("a", SHORT | {"checkpoint_minutes": 1.0}, schedule=cosine)


def test_settings_that_differ_are_named(live, capsys):
    live("a", SHORT)
    live("a", SHORT | {"average_best": 1}, status=1, lr=0.5, crop=1600)
    error = last_line(capsys)
    assert "data.crop 3200 (now 1600); optimizer.init_args.lr 0.01 (now 0.5); trainer.average_best 2 (now 1);" in error


def test_model_that_is_gone_or_damaged_is_made_again(live, capsys):
    live("a", SHORT)
    before, path = model("a"), Path("a/model.safetensors")
    path.unlink()
    live("a", SHORT)
    assert "model.safetensors is missing" in capsys.readouterr().out
    assert model("a") == before
    path.write_bytes(before[:-3] + bytes(3))  # still valid numbers
    with pytest.raises(InputError, match=r"not the file that run\.json beside it describes"):
        load_weights(path)
    live("a", SHORT)
    assert model("a") == before

    path.unlink()
    shutil.rmtree("a/checkpoints")
    capsys.readouterr()
    live("a", SHORT, status=1)
    assert (
        "model.safetensors is missing, but there is no checkpoints/last.ckpt to resume from; restore it"
        in last_line(capsys)
    )
    live("b", SHORT)
    Path("b/checkpoints/last.ckpt").unlink()
    capsys.readouterr()
    live("b", SHORT | {"max_epochs": 3}, status=1)
    assert "trained with trainer.max_epochs 2 (now 3), but there is no checkpoints/last.ckpt" in last_line(capsys)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 4):
        content[place] ^= 0xFF
    path.write_bytes(content)


def without(key: str):
    def damage(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        del state[key]
        torch.save(state, path)

    return damage


def other_weights(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    weights = state["state_dict"]
    weights["system.backend.out.weight"] = torch.zeros(2, 7)
    torch.save(state, path)


DAMAGES = {
    "empty": (lambda path: path.write_bytes(b""), "damaged checkpoint"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "damaged checkpoint"),
    "zeros": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "damaged checkpoint"),
    "flipped": (flip, "damaged checkpoint"),
    "text": (lambda path: path.write_text("no checkpoint", encoding="utf-8"), "damaged checkpoint"),
    "list": (lambda path: torch.save([1, 2], path), "not a checkpoint of spooftrace train: it lacks "),
    "no loops": (without("loops"), "it lacks loops"),
    "no weights": (without("state_dict"), "it lacks state_dict"),
    "another system": (other_weights, "checkpoint of another system: 1 weights do not fit, first backend.out.weight"),
}


def test_damaged_checkpoints_are_named(live, capsys):
    live("a", SHORT)
    Path("a/run.json").unlink()
    last, best = Path("a/checkpoints/last.ckpt"), Path("a/checkpoints/epoch001.ckpt")
    whole = last.read_bytes()
    for damage, problem in DAMAGES.values():
        damage(last)
        capsys.readouterr()
        live("a", SHORT, status=1)
        error = last_line(capsys)
        assert f"a/checkpoints/last.ckpt: {problem}" in error or ("last.ckpt" in error and problem in error)
        assert "remove it to start this training anew" in error
        last.write_bytes(whole)
    content = best.read_bytes()
    flip(best)
    live("a", SHORT, status=1)
    assert "epoch001.ckpt: damaged checkpoint" in last_line(capsys)
    best.unlink()
    live("a", SHORT, status=1)
    assert "epoch001.ckpt: the weights of one of the best epochs so far are gone" in last_line(capsys)
    best.write_bytes(content)
    live("a", SHORT)


def test_starting_removes_what_killed_trainings_have_half_written(live):
    for name in (".run.json.0123456789ab.tmp", "checkpoints/.last.ckpt.0123456789ab.tmp", "checkpoints/.x.ab12.tmp"):
        path = Path("a", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("a/.calibration.json.0123456789ab.tmp").touch()  # may belong to a running command
    live("a", SHORT)
    assert [path.name for path in Path("a").rglob("*.tmp")] == [".calibration.json.0123456789ab.tmp"]


@pytest.mark.parametrize("damage", ["", "{", "[1]", "{}"])
def test_damaged_run_is_named(tmp_path, damage):
    from spooftrace.common.records import read_run

    (tmp_path / "run.json").write_text(damage, encoding="utf-8")
    with pytest.raises(InputError, match=r"run\.json: damaged; remove it and run stage 4"):
        read_run(tmp_path)


def test_epochs_are_chosen_by_all_figures_so_far():
    nan, inf = float("nan"), float("inf")
    history = [{"loss": value} for value in (nan, 3.0, 1.0, 1.0 + 1e-9, inf, 2.0)]
    assert best_epochs(history, "loss", 1) == [3]
    assert best_epochs(history, "loss", 2) == [3, 4]  # the earlier of equal epochs
    assert best_epochs(history, "loss", 9) == [3, 4, 6, 2, 1, 5]
    assert best_epochs(history, "last_epoch", 1) == [6]
    assert [epochs_without_better(history[:done], "loss") for done in range(7)] == [0, 1, 0, 0, 1, 2, 3]
    settings = Training(monitor="loss", max_epochs=9, patience=2)
    assert end_of(history, settings) == 5
    assert end_of(history, replace(settings, min_epochs=6)) == 6
    assert end_of(history, replace(settings, patience=None)) is None
    assert end_of(history, replace(settings, max_epochs=1)) == 1


@pytest.mark.parametrize(
    ("cuda", "count", "said"),
    [
        (None, 0, "is built for CPUs only"),
        ("12.4", 0, "finds no GPU here with CUDA_VISIBLE_DEVICES=''; see what nvidia-smi says"),
        ("12.4", 1, "1 GPU\\(s\\) are available here; use --ngpu 1"),
    ],
)
def test_missing_gpus_are_explained(monkeypatch, cuda, count, said):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match=f"--ngpu 2: .*{said}"):
        pick_device(2)
    assert pick_device(0).type == "cpu"


def test_moved_and_interrupted_training_ends_the_same(live, rising, monkeypatch, tmp_path):
    """Rename it inside an epoch, copy and link it after an epoch, and move it between the last epoch and run.json."""
    settings = {"max_epochs": 4, "monitor": "dev_loss", "average_best": 2, "checkpoint_minutes": 0.0}
    whole = live("whole", settings)
    assert [path.name for path in sorted(Path("whole/checkpoints").glob("epoch*"))] == [
        "epoch000.ckpt",
        "epoch003.ckpt",
    ]
    original = Learner.training_step

    def interrupt(exp: str, number: int) -> None:
        def step(self, batch, batch_idx):
            if self.global_step == number:
                raise KeyboardInterrupt
            return original(self, batch, batch_idx)

        with monkeypatch.context() as patch:
            patch.setattr(Learner, "training_step", step)
            live(exp, settings, status=130)

    interrupt("a", 4)  # of 3 steps an epoch
    Path("a").rename("b c")
    interrupt("b c", 6)
    shutil.copytree("b c", tmp_path / "elsewhere")
    shutil.rmtree("b c")
    Path("d").symlink_to(tmp_path / "elsewhere")
    interrupt("d", 10)
    (tmp_path / "elsewhere").rename("e")
    run = live("e", settings)
    assert model("e") == model("whole")
    assert Path("e/epochs.tsv").read_bytes() == Path("whole/epochs.tsv").read_bytes()
    assert (run["best"], run["best_epoch"]) == (whole["best"], whole["best_epoch"])
    files = [path for path in Path("e").rglob("*") if path.is_file() and path.name != "run.json"]
    assert len(files) > 5
    assert not [path for path in files if str(Path.cwd()).encode() in path.read_bytes()]

    Path("e/run.json").unlink()
    Path("e/model.safetensors").unlink()
    Path("e").rename("f")
    again = live("f", settings)
    assert (again["epochs"], again["best"]) == (whole["epochs"], whole["best"])
    assert model("f") == model("whole")
