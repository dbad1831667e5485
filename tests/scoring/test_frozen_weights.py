"""Scores require the pretrained weights of the training, although the model file does not contain them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spooftrace.cli.main import main
from spooftrace.common.provenance import file_sha256


@pytest.fixture
def live(make_data, write_config, tmp_path):
    """Train a system on a live, frozen, tiny random wav2vec 2.0, and return the folder of that model."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    large = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True, "conv_dim": [16] * 7}
    folder = tmp_path / "model"
    Wav2Vec2Model(Wav2Vec2Config(**sizes, **large, num_conv_pos_embedding_groups=4)).save_pretrained(folder)
    make_data("train", 8)
    write_config(
        streams={"ssl": {"class_path": "HuggingFace", "init_args": {"model": str(folder), "normalize": True}}},
        backend={"class_path": "LinearProbe", "init_args": {"input_dim": 32}},
        data={"crop": 3200, "batch_size": 4, "num_workers": 0},
        trainer={"max_epochs": 1},
    )
    words = ["--train", "data/train", "--dev", "data/train", "--exp", "exp/x"]
    assert main(["train", "--config", "system.yaml", *words]) == 0
    return folder


def score() -> int:
    return main(["score", "--exp", "exp/x", "--data", "data/train"])


@pytest.mark.parametrize("name", ["encoder.layer_norm.bias", "feature_extractor.conv_layers.0.conv.weight"])
def test_other_weights_are_refused_by_name(live, capsys, name):
    sound = live / "model.safetensors"
    shutil.copy(sound, live / "kept")
    weights = load_file(sound)
    weights[name] = weights[name] + 1e-3
    save_file(weights, sound, metadata={"format": "pt"})
    capsys.readouterr()
    assert score() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "exp/x: the pretrained model of stream 'ssl' has other weights than" in error
    assert main(["detect", "--exp", "exp/x", "audio/train/train_000.flac"]) == 1
    assert "stream 'ssl' has other weights" in capsys.readouterr().err
    shutil.move(live / "kept", sound)
    assert score() == 0
    run, scores = (json.loads(Path("exp/x", name).read_text()) for name in ("run.json", "train/scores.json"))
    assert scores["frontends"] == run["frontends"] and len(run["frontends"]["ssl"]["weights_sha256"]) == 64


def test_the_model_is_hashed_once(recipe, make_exp, make_data, monkeypatch):
    """The fingerprint is computed once and also compared with run.json, because hashing a large model takes seconds."""
    exp = make_exp(data={"crop": 3200, "num_workers": 0, "cached": []})
    make_data("eval", 2)
    digest = file_sha256(exp / "model.safetensors")
    (exp / "run.json").write_text(json.dumps({"model_sha256": digest}), encoding="utf-8")
    hashed = []

    def count(path):
        hashed.append(Path(path).name)
        return file_sha256(path)

    for module in ("common.journal", "system.files"):
        monkeypatch.setattr(f"spooftrace.{module}.file_sha256", count)
    assert main(["score", "--exp", str(exp), "--data", "data/eval"]) == 0
    assert hashed.count("model.safetensors") == 1
    (exp / "run.json").write_text(json.dumps({"model_sha256": "0" * 64}), encoding="utf-8")
    assert main(["score", "--exp", str(exp), "--data", "data/eval", "--out", "again"]) == 1
