"""A small corpus of real recordings as data directories, and what tests of the stages share."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from spooftrace.archive import ArchiveWriter
from spooftrace.datadir import DataDir

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="module")
def root(request, speech, tmp_path_factory):
    """The miniature of the corpus that a module ``test_corpus_NAME`` is about, laid out."""
    name = request.module.__name__.removeprefix("test_corpus_")
    folder = tmp_path_factory.mktemp("a corpus")
    importlib.import_module(f"miniature.{name}").lay_out(speech, folder)
    return folder
