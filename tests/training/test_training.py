"""Training: its files, and identical weights and scores after a killed run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spooftrace.cli.main import main
from spooftrace.system.weights import load_weights


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


def test_parameters_of_stored_front_ends_are_counted(make_data, write_config, monkeypatch, capsys):
    """A frozen front-end counts the same stored or live; the number is unknown for streams of earlier versions."""
    stream = {"tiny": {"class_path": "miniature.frontend.Projection", "init_args": {"finetune": False}}}
    backend = {"class_path": "LinearProbe", "init_args": {"input_dim": 8, "num_outputs": 2}}
    data = {"crop": 3200, "batch_size": 4, "num_workers": 0}
    trainer = {"max_epochs": 1}
    live = write_config("live.yaml", streams=stream, backend=backend, data=data, trainer=trainer)
    stored = write_config("s.yaml", streams=stream, backend=backend, data=data | {"cached": ["tiny"]}, trainer=trainer)
    sets = [str(make_data(name, 14)) for name in ("train", "dev")]  # in a single command, as each draws other weights
    assert main(["extract", "--config", str(stored), "--data", *sets]) == 0
    counted = []
    for config, exp in ((live, "exp/live_s1"), (stored, "exp/stored_s1")):
        assert train(config, exp) == 0
        counted.append(json.loads(Path(exp, "run.json").read_text(encoding="utf-8"))["parameters"])
    assert counted[0] == counted[1]
    assert counted[0]["total"] > counted[0]["trainable"] == counted[0]["backend"] == 18
    assert capsys.readouterr().out.count(f"training 18 of {counted[0]['total']:,} parameters") == 2

    description = Path("dump/tiny/train/stream.json")
    made = json.loads(description.read_text(encoding="utf-8"))
    assert made.pop("parameters") == counted[0]["total"] - 18
    description.write_text(json.dumps(made), encoding="utf-8")
    assert train(stored, "exp/old_s1") == 0
    assert json.loads(Path("exp/old_s1/run.json").read_text(encoding="utf-8"))["parameters"]["total"] is None
    assert "training 18 of an unknown number of parameters" in capsys.readouterr().out


def test_same_seed_same_weights_other_seed_other_weights(make_data, write_config):
    config = write_config()
    prepare(make_data, config, "train", "dev")
    weights = []
    for exp, seed in (("exp/a_s1", "1"), ("exp/b_s1", "1"), ("exp/c_s2", "2")):
        assert train(config, exp, "--seed_everything", seed) == 0
        weights.append(load_weights(Path(exp) / "model.safetensors"))
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])
    assert not all(weights[0][key].equal(weights[2][key]) for key in weights[0])


def test_fine_tuned_experiment_scores_without_the_pretrained_model(make_data, write_config):
    import transformers

    pretrained = Path("pretrained/tiny")
    sizes = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
        "conv_dim": [4] * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
    }  # fmt: skip
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**sizes)).save_pretrained(pretrained)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(pretrained)
    stream = {"class_path": "HuggingFace", "init_args": {"model": str(pretrained), "finetune": True}}
    config = write_config(
        streams={"ssl": stream},
        backend={"class_path": "LinearProbe", "init_args": {"input_dim": 16, "num_outputs": 2}},
        data={"crop": 3200, "batch_size": 4, "num_workers": 0},
        trainer={"max_epochs": 1},
    )
    for number, name in enumerate(("train", "dev")):
        make_data(name, 8, seed=number)
    assert train(config, "exp/a_s1") == 0
    scores = []
    for _ in range(2):
        assert main(["score", "--exp", "exp/a_s1", "--data", "data/dev"]) == 0
        scores.append(Path("exp/a_s1/dev/scores.txt").read_bytes())
        shutil.rmtree("exp/a_s1/dev")
        shutil.rmtree(pretrained, ignore_errors=True)
    assert scores[0] == scores[1]


def test_early_stopping_keeps_the_best_epoch(make_data, write_config):
    trainer = {"max_epochs": 40, "patience": 2, "monitor": "dev_loss"}
    # A huge learning rate makes things worse after the first epochs.
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 300.0}}
    config = write_config(trainer=trainer, optimizer=optimizer)
    prepare(make_data, config, "train", "dev")
    gap = {"set": "dev", "what": "audio files missing from the corpus", "missing": 3, "of": 17}
    Path("data/dev/incomplete.json").write_text(json.dumps([gap]), encoding="utf-8")
    assert train(config, "exp/stop_s1") == 0
    run = json.loads(Path("exp/stop_s1/run.json").read_text(encoding="utf-8"))
    assert run["incomplete"] == {"dev": [gap]}
    assert run["best_epoch"] == run["epochs"] - 2
    assert run["epochs"] < 40


AASIST = {
    "streams": {"wave": {"class_path": "Waveform"}},
    "backend": {"class_path": "AASIST", "init_args": {"channels": [4, 4, 4, 4, 4, 4], "gat_dims": [8, 8]}},
    "data": {"crop": 8000, "batch_size": 2, "num_workers": 1},
    "schedule": {"kind": "cosine", "final_lr": 1e-4},
    "trainer": {"max_epochs": 2, "average_best": 2, "checkpoint_minutes": 0.0},  # a checkpoint after every step
}
KILLED = '''
"""spooftrace train, killed in a training step, or when a checkpoint is written but not yet in its place."""
import os, signal, sys
from spooftrace.cli.main import main
from spooftrace.training.learner import Learner

place, number = sys.argv[1], int(sys.argv[2])
training_step, replace, checkpoints = Learner.training_step, os.replace, []

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def step(learner, batch, batch_idx):
    if place == "step" and learner.global_step == number:
        die()
    return training_step(learner, batch, batch_idx)

def put(source, target):
    if str(target).endswith("last.ckpt"):
        checkpoints.append(target)
        if place == "checkpoint" and len(checkpoints) == number:
            die()
    replace(source, target)

Learner.training_step, os.replace = step, put
sys.exit(main(sys.argv[3:]))
'''


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_training_ends_with_the_same_weights(make_data, write_config):
    """AASIST has dropout, random crops and batch statistics, which an incorrect resume would change."""
    config = write_config(**AASIST)
    for number, name in enumerate(("train", "dev")):
        make_data(name, 14, seed=number)
    assert train(config, "exp/whole_s1") == 0

    command = ["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp", "exp/killed_s1"]
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on them
    # 7 steps an epoch. The third checkpoint of the second run is that of the epoch's end.
    for place, number, done in (("step", 4, 4), ("checkpoint", 3, 6)):
        call = [sys.executable, "-c", KILLED, place, str(number), *command]
        result = subprocess.run(call, capture_output=True, text=True, env=threads)
        assert result.returncode == -signal.SIGKILL, result.stderr
        state = torch.load("exp/killed_s1/checkpoints/last.ckpt", weights_only=True)
        loader = state["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]
        assert (state["epoch"], loader["done"]) == (0, done)
    assert train(config, "exp/killed_s1") == 0
    whole = load_weights(Path("exp/whole_s1/model.safetensors"))
    killed = load_weights(Path("exp/killed_s1/model.safetensors"))
    assert all(whole[key].equal(killed[key]) for key in whole)
    for exp in ("exp/whole_s1", "exp/killed_s1"):
        assert main(["score", "--exp", exp, "--data", "data/dev"]) == 0
    assert Path("exp/whole_s1/dev/scores.txt").read_bytes() == Path("exp/killed_s1/dev/scores.txt").read_bytes()


def test_interrupt_says_how_to_go_on(make_data, write_config, monkeypatch, capsys):
    config = write_config()
    prepare(make_data, config, "train", "dev")
    from spooftrace.training.learner import Learner

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
    assert "last.ckpt: damaged checkpoint (" in capsys.readouterr().err
