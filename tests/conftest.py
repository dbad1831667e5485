"""Fixtures of all tests."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from helpers.hostile import nothing_happens  # noqa: F401  # a fixture
from helpers.signals import give_children_default_signals
from hypothesis import settings
from miniature.speech import Speech

from spooftrace.archive import ArchiveWriter
from spooftrace.config import classes as config_classes
from spooftrace.datadir import DataDir

settings.register_profile("no deadline", deadline=None)  # a busy machine is slow, which is no failure
settings.load_profile("no deadline")


def pytest_configure():
    give_children_default_signals()


@pytest.fixture(scope="session")
def speech():
    """Real utterances and spoofed copies for the miniatures."""
    return Speech()


@pytest.fixture(autouse=True)
def allowed_modules(request, monkeypatch):
    """Configurations of a test may name classes of the miniatures and of the test's own module."""
    monkeypatch.setattr(config_classes, "_allowed", ["miniature", request.module.__name__])


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe folder, with a space in its name, as the current directory."""
    folder = tmp_path / "egs folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def make_data(recipe):
    """Makes ``data/<name>``: noise is bona fide, noise through a low-pass is spoof; lengths differ."""

    def make(name: str, count: int, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        tables: dict[str, dict[str, str]] = {key: {} for key in ("wav.scp", "utt2spk", "utt2label", "utt2dur")}
        folder = recipe / "audio" / name
        folder.mkdir(parents=True)
        for number in range(count):
            utt, samples = f"{name}_{number:03d}", 3200 + 400 * (number % 5)
            wave = 0.1 * rng.standard_normal(samples)
            if number % 2:
                wave = np.convolve(wave, np.ones(4) / 4, mode="same")
            soundfile.write(folder / f"{utt}.flac", wave, 16000)
            tables["wav.scp"][utt] = f"audio/{name}/{utt}.flac"
            tables["utt2spk"][utt] = "speaker"
            tables["utt2label"][utt] = "spoof" if number % 2 else "bonafide"
            tables["utt2dur"][utt] = f"{samples / 16000:.4f}"
        DataDir.write(Path("data") / name, tables)
        return Path("data") / name

    return make


@pytest.fixture
def write_config(recipe):
    """Writes a configuration; keyword arguments are laid over a small LFCC system."""

    def write(name: str = "system.yaml", **changes) -> Path:
        config = {
            "streams": {"lfcc": {"class_path": "LFCC"}},
            "backend": {"class_path": "LinearProbe", "init_args": {"input_dim": 60, "num_outputs": 2}},
            "task": {"class_path": "Detection", "init_args": {"class_weight": [0.5, 0.5]}},
            "data": {"crop": 3200, "batch_size": 4, "num_workers": 0, "cached": ["lfcc"], "eval_crop": "full"},
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}},
            "trainer": {"max_epochs": 3},
        }
        config.update(changes)
        Path(name).write_text(yaml.safe_dump(config), encoding="utf-8")
        return Path(name)

    return write


@pytest.fixture
def write_features():
    """Stores random features of a stream for a data directory, as stage 3 would."""

    def write(scp: Path, utts: list[str], dim: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        scp.parent.mkdir(parents=True, exist_ok=True)
        with ArchiveWriter(scp.with_suffix(".ark"), scp) as writer:
            for utt in utts:
                writer.write(utt, rng.standard_normal((int(rng.integers(5, 9)), dim), dtype=np.float32))

    return write


@pytest.fixture
def make_exp(write_config):
    """Writes ``exp/<name>`` as a training leaves it, with random weights; keyword arguments are those of a config."""
    import torch

    from spooftrace.config.loading import load_config, save_config
    from spooftrace.system.system import System
    from spooftrace.system.weights import save_weights

    def make(name: str = "live", **changes) -> Path:
        data = {"crop": 3200, "num_workers": 0, "eval_crop": "full"}
        config = load_config([write_config(**{"data": data, **changes})])
        torch.manual_seed(3)
        system = System(config, {})
        exp = Path("exp") / name
        save_config(config, exp / "config.yaml")
        save_weights(system.own_state(), exp / "model.safetensors", config.backend["class_path"])
        return exp

    return make
