"""A small corpus of real recordings as data directories, and what tests of the stages share."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from miniature.preparing import Silence, prepare

from spooftrace.archive import ArchiveWriter
from spooftrace.cli import main

ROOT = Path(__file__).resolve().parents[2]


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

    from spooftrace.config import load_config, save_config
    from spooftrace.system import System, save_weights

    def make(name: str = "live", **changes) -> Path:
        data = {"crop": 3200, "num_workers": 0, "eval_crop": "full"}
        config = load_config([write_config(**{"data": data, **changes})])
        torch.manual_seed(3)
        system = System(config, {})
        exp = Path("exp") / name
        save_config(config, exp / "config.yaml")
        save_weights(system.own_state(), exp / "model.safetensors")
        return exp

    return make


@pytest.fixture(scope="module")
def root(request, speech, tmp_path_factory):
    """The miniature of the corpus that a module ``test_corpus_NAME`` is about, laid out."""
    name = request.module.__name__.removeprefix("test_corpus_")
    folder = tmp_path_factory.mktemp("a corpus")
    importlib.import_module(f"miniature.{name}").lay_out(speech, folder)
    return folder


@pytest.fixture
def live(make_data, write_config):
    """Trains a small system whose front-end is trained, too; gives run.json of the experiment."""
    for number, name in enumerate(("train", "dev")):
        make_data(name, 14, seed=number)

    def train(
        exp: str, trainer: dict, status: int = 0, lr: float = 0.01, schedule=None, num_gpus: int = 0, **data
    ) -> dict:
        config = write_config(
            f"{exp}.yaml",
            streams={"tiny": {"class_path": "miniature.frontend.Projection"}},
            backend={"class_path": "LinearProbe", "init_args": {"input_dim": 8, "num_outputs": 2}},
            data={"crop": 3200, "batch_size": 4, "num_workers": 0, **data},
            optimizer={"class_path": "torch.optim.Adam", "init_args": {"lr": lr}},
            schedule=schedule or {"kind": "constant"},
            trainer=trainer,
        )
        command = ["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp", exp]
        assert main([*command, "--ngpu", str(num_gpus)]) == status
        return json.loads(Path(exp, "run.json").read_text(encoding="utf-8")) if status == 0 else {}

    return train


@pytest.fixture(scope="module")
def lay_out(tmp_path_factory):
    """Copies of the official layout of a corpus, and the data directories that come of it."""
    official = {}

    def make(corpus, root):
        if corpus not in official:
            folder = tmp_path_factory.mktemp(corpus)
            importlib.import_module(f"miniature.{corpus}").lay_out(Silence(), folder / "a corpus")
            if corpus == "codecfake_wu":
                shutil.rmtree(folder / "a corpus/valle")  # not named by its files
                table = folder / "a corpus/datalist.csv"
                table.write_text("".join(line for line in table.open() if "valle" not in line))
            official[corpus] = (
                folder / "a corpus",
                prepare(corpus, folder / "a corpus", folder / "data", "--allow-partial"),
            )
        shutil.copytree(official[corpus][0], root)
        return official[corpus]

    return make
