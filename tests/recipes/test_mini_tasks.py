"""Codec tracing and codec parsing in egs/mini: --task from stage 2 on, with a subset of the corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkouts import checkout, run
from miniature.models import WIDTH, save_models

from spooftrace.cli.main import main
from spooftrace.corpora import mini
from spooftrace.datadir import DataDir
from spooftrace.datadir.edit import restrict

pytestmark = pytest.mark.slow

KEPT = 8  # bona fide utterances per split, enough for a copy by every attack
QUICK = ["--stage", "2", "--nj", "2", "--train_args"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Return the recipe in its state after stage 1, with fewer utterances."""
    recipe = checkout(tmp_path_factory.mktemp("mini") / "a checkout", "mini")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(recipe)
        for data in mini.write_data_dirs("corpus", "data").values():
            sources = data.table("utt2source")
            kept = sorted(set(sources.values()))[:KEPT]
            DataDir.write(data.path, restrict(data.tables, [utt for utt, source in sources.items() if source in kept]))
        assert main(["codec", "resynthesize", *(f"data/{name}" for name in mini.SETS)]) == 0
    return recipe


def metrics_of(recipe: Path, exp: str, test: str) -> dict:
    return json.loads((recipe / "exp" / exp / test / "metrics.json").read_text(encoding="utf-8"))


def test_which_kind_of_quantizer(prepared):
    result = run(prepared, "--task", "vq", "--system", "lfcc_linear", *QUICK, "--trainer.max_epochs 5")
    assert result.returncode == 0, result.stderr[-3000:]
    for test in ("dev_codecs", "eval_codecs", "eval_codecs_trim"):
        metrics = metrics_of(prepared, "lfcc_linear_vq_s1234", test)
        assert (metrics["task"], metrics["label_table"]) == ("attribution", "utt2vq")
        assert metrics["model_classes"] == ["real", "mvq", "svq", "sq"]
        assert metrics["by_class"].keys() == {"real", "mvq", "svq", "sq"}
        assert 0 <= metrics["macro_f1"] <= 1
    assert (
        metrics["trials"] == metrics["known_trials"] == sum(1 for _ in (prepared / "data/eval_codecs/wav.scp").open())
    )
    attacks = set(DataDir.read(prepared / "data/eval_codecs").table("utt2attack").values())
    assert attacks.isdisjoint({*mini.VOCODERS, *mini.UNSEEN_VOCODER}), "which have no quantizer"
    assert "lfcc_linear_vq" in (prepared / "RESULTS.md").read_text(encoding="utf-8")


def test_parameters_of_the_codec(prepared, tmp_path):
    save_models(tmp_path / "models")
    options = f"--trainer.max_epochs 5 --backend.init_args.input_dim {WIDTH}"
    result = run(
        prepared,
        "--task",
        "parse",
        "--system",
        "parse_linear",
        *QUICK,
        options,
        SPOOFTRACE_MODELS=str(tmp_path / "models"),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    parsed = DataDir.read(prepared / "data/eval_parse")
    assert "bonafide" not in parsed.table("utt2label").values()
    assert "8" in {nac.split()[0] for nac in parsed.table("utt2nac").values()}, "copies at 8 kHz are among them"
    metrics = metrics_of(prepared, "parse_linear_s1234", "eval_parse")
    assert metrics["task"] == "parsing"
    assert metrics["closed_set"]["trials"] + metrics["open_set"]["trials"] == len(parsed.utts)
    assert "training_mean" in metrics
    assert "parse_linear" in (prepared / "RESULTS.md").read_text(encoding="utf-8")
