"""Fixtures of all tests."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from hostile import nothing_happens  # noqa: F401  # a fixture
from hypothesis import settings
from miniature.speech import Speech
from signals import give_children_default_signals

from spooftrace import config_classes
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
