"""The systems of source tracing and codec parsing from stage 1 to 7, over miniature pretrained models and corpora.

As in test_systems.py the published configurations are what runs, and only sizes are changed. Systems that differ in the
table of their classes only are run for one of them; tests/config/test_published_systems.py builds them all.
"""

from __future__ import annotations

import importlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkouts import ROOT, checkout, override, run
from miniature.models import WIDTH, save_models

from spooftrace.config.loading import load_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SMALL = {"data": {"crop": 4000, "batch_size": 8, "num_workers": 0}, "trainer": {"max_epochs": 2}}
NARROW = {"input_dim": WIDTH}
MAE = {"encoder": [16, 1, 4], "decoder": [16, 1, 4], "reduced_dim": 24}
OF_WAVES = {"input_dim": WIDTH, "image": [96, 64], **MAE}
OF_SPECTRA = {"image": [96, 80], **MAE}
WITH_WHISPER = {"semantic_dim": WIDTH, "semantic_frames": 32, "fusion": [1, 4]}
SIZES: dict[str, dict[str, Any]] = {  # backend.init_args
    "s_vq": NARROW,
    "sastnet_vq": {**OF_WAVES, **WITH_WHISPER},
    "w2v2_mmae_aux": OF_WAVES,
    "smae_aux": OF_SPECTRA,
    "d_dec": NARROW,
    "m2": NARROW,
    "parse_linear": {},  # the width of a vector is an option below
    "nacsp_cnn": {},
    "nacsp_hyperbolic": {"hidden_dim": 32},
    "hydra": {"hidden_dim": 32},
    "mio": {"other_dim": WIDTH},
    "aasist_parsing": {},
}
# speechbrain, which provides the x-vector, is optional.
POOLED = {"class_path": "WhisperPooled", "init_args": {"model": "openai/whisper-base", "padding": "none"}}
OTHERS: dict[str, dict[str, Any]] = {
    "mio": {"streams": {"whisper": {"init_args": {"padding": "none"}}, "xvector": POOLED}},
}


@dataclass(frozen=True)
class Run:
    """A run of a run.sh that trains these experiments (names without the seed) and scores these sets."""

    recipe: str
    options: str
    experiments: str
    sets: str
    figures: str = ""

    def __str__(self) -> str:
        return f"{self.recipe} {self.options}"


RUNS = [
    Run(
        "codecfake_plus",
        "--task vq --system s,sastnet --analysis silence,content,attention",
        "s_vq_le250 sastnet_vq_le250",
        "test_vq_le250 test_vq_gt250 test_vq_le250_trim test_vq_gt250_trim",
        "sastnet_vq_le250_s1234_attention.png",
    ),
    Run(
        "codecfake_plus",
        "--task aux --system w2v2_mmae,smae --tuned false",
        "w2v2_mmae_aux_pretrained smae_aux",
        "test_aux cors_test cosg_all cosg_known",
        "confusion_utt2aux_cosg_all.png",
    ),
    Run("codecfake_plus", "--task dec --system d --analysis content", "d_dec_le250", "test_dec_le250 test_dec_gt250"),
    Run("codecfake_plus", "--task bin --system m2", "m2", "test_vq cors_test cosg_all", "det_cosg_all.png"),
    Run(
        "st_codecfake",
        "--task parse --ptm wav2vec2_base,whisper_base --system nacsp_cnn,hydra,mio",
        "nacsp_cnn_wav2vec2_base nacsp_cnn_whisper_base hydra_wav2vec2_base hydra_whisper_base mio",
        "eval_parse",
    ),
    Run(
        "codecfake",
        "--task parse --ptm wav2vec2_base --system parse_linear,nacsp_hyperbolic,aasist_parsing",
        "parse_linear_wav2vec2_base nacsp_hyperbolic_wav2vec2_base aasist_parsing",
        "eval_parse",
    ),
]
CORPORA = {"codecfake_plus": "codecfake_plus", "st_codecfake": "st_codecfake", "codecfake": "codecfake_wu"}


@pytest.fixture(scope="module")
def finished(speech, tmp_path_factory) -> dict[Run, tuple[Path, subprocess.CompletedProcess[str]]]:
    """Return the recipe folder and the result of each run; two run at a time, each in a separate checkout."""
    folder = tmp_path_factory.mktemp("systems")
    save_models(folder / "models")
    variables = {"SPOOFTRACE_MODELS": str(folder / "models"), "OMP_NUM_THREADS": "1"}
    for corpus in CORPORA.values():
        variables[corpus.upper()] = str(folder / "the corpora" / corpus)
        importlib.import_module(f"miniature.{corpus}").lay_out(speech, folder / "the corpora" / corpus)

    def finish(number: int) -> tuple[Path, subprocess.CompletedProcess[str]]:
        recipe = checkout(folder / f"checkout {number}", RUNS[number].recipe)
        for name, sizes in SIZES.items():
            override(recipe, name, SMALL, {"backend": {"init_args": sizes}}, OTHERS.get(name, {}))
        options = [*RUNS[number].options.split(), "--stage", "1", "--nj", "1", "--allow_partial", "true"]
        if "parse" in options:
            options += ["--train_args", f"--backend.init_args.input_dim {WIDTH}"]
        return recipe, run(recipe, *options, **variables)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(RUNS, pool.map(finish, range(len(RUNS))), strict=True))


@pytest.mark.parametrize("one", RUNS, ids=str)
def test_stages_1_to_7(finished, one):
    recipe, result = finished[one]
    assert result.returncode == 0, result.stderr[-3000:]
    names = [f"{name}_s1234" for name in one.experiments.split()]
    assert sorted(path.name for path in (recipe / "exp").glob("*_s1234")) == sorted(names)
    report = (recipe / "RESULTS.md").read_text(encoding="utf-8")
    for name, test in product(names, one.sets.split()):
        exp = recipe / "exp" / name
        assert json.loads((exp / "run.json").read_text(encoding="utf-8"))["epochs"] == 2
        scores = (exp / test / "scores.txt").read_text(encoding="utf-8").splitlines()
        # In the miniature several codecs share their audio, so some of the scores are equal.
        assert len({line.split(maxsplit=1)[1] for line in scores}) > len(scores) / 4, "they must follow the utterances"
        task = one.options.split()[1]
        own = exp / test / f"metrics_{task}.json"  # of a system with several heads
        metrics = own if own.exists() else exp / test / "metrics.json"
        check(json.loads(metrics.read_text(encoding="utf-8")), task)
        assert f"| {name.removesuffix('_s1234')} " in report
    for figure in one.figures.split():
        assert (recipe / "figures" / figure).read_bytes().startswith(b"\x89PNG")


def check(metrics: dict[str, Any], task: str) -> None:
    """Check the metrics of this task, over all utterances that can be evaluated."""
    if task == "bin":
        assert metrics["bonafide"] > 0 and metrics["spoof"] > 0 and 0 <= metrics["eer"] <= 1
    elif task == "parse":
        assert metrics["task"] == "parsing"
        assert metrics["closed_set"]["trials"] > 0
        assert "training_mean" in metrics, "what the recipe names as the training set"
    else:
        assert (metrics["task"], metrics["label_table"]) == ("attribution", f"utt2{task}")
        assert metrics["trials"] == metrics["known_trials"] > 0
        assert 0 <= metrics["macro_f1"] <= 1


def test_every_kind_of_system_is_run():
    """Cover every back-end with every task but detection; unit tests build the streams of the others."""
    kinds = {}
    for path in (ROOT / "conf/systems").glob("*.yaml"):
        config = load_config([path]).as_dict()
        kinds[path.stem] = tuple(config[part]["class_path"].rpartition(".")[2] for part in ("backend", "task"))
    run_here = {kinds[name] for name in SIZES}
    assert {kind for kind in kinds.values() if kind[1] != "Detection"} <= run_here


def test_sastnet_starts_from_the_baseline_of_the_same_task_seed_and_data(finished):
    recipe, _ = finished[RUNS[0]]
    config = yaml.safe_load((recipe / "exp/sastnet_vq_le250_s1234/config.yaml").read_text(encoding="utf-8"))
    assert config["trainer"]["start_from"] == "exp/s_vq_le250_s1234"
    recipe, _ = finished[RUNS[1]]
    config = yaml.safe_load((recipe / "exp/w2v2_mmae_aux_pretrained_s1234/config.yaml").read_text(encoding="utf-8"))
    assert config["trainer"]["start_from"] is None


@pytest.mark.parametrize("one", RUNS[-2:], ids=str)
def test_the_grid_is_one_array_of_jobs(finished, one):
    recipe, _ = finished[one]
    names = one.experiments.split()
    for step in ("train", "score"):
        (first,) = (recipe / "exp/log").glob(f"*/{step}.1.log")
        logs = {path.resolve().parent.name for path in first.parent.glob(f"{step}.*.log")}
        assert logs == {f"{name}_s1234" for name in names}
