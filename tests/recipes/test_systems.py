"""Every published detector of conf/systems from stage 3 to 7, over miniature pretrained models and a miniature corpus.

The published configuration is what runs, so that streams, layouts, losses, schedules and augmentation meet as they
would on a benchmark; only the sizes of the table below are changed, by a ``conf/<system>.yaml`` as any recipe has.
Of two systems that differ in numbers only, one is run; tests/config/test_published_systems.py holds the numbers of
both.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from checkouts import ROOT, checkout, override, run
from miniature.models import CODEC_WIDTH, WIDTH, save_models

from spooftrace.config.loading import load_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SMALL = {"data": {"crop": 4000, "batch_size": 4, "num_workers": 0}, "trainer": {"max_epochs": 2}}
NARROW = {"backend": {"init_args": {"input_dim": WIDTH}}}
QAF = {"backend": {"init_args": {"input_dim": WIDTH, "codec_dim": CODEC_WIDTH}}}
SYSTEMS: dict[str, dict[str, Any]] = {
    "aasist": {},
    "attm_lstm": NARROW | {"trainer": {"min_epochs": 1, "backend_only_epochs": 1}},
    "attm_lstm_frozen": NARROW,
    "lcnn": NARROW,
    "lfcc_linear": {},
    "nes2net": NARROW,
    "nes2net_x": NARROW,
    "nes2net_x_selu": NARROW,
    "qaf_mean": QAF,
    "qaf_static": QAF,
    "qaf_static_frozen": QAF,
    "reduced_res2net": NARROW,
    "sls": NARROW,
    "w2v2_aasist": NARROW,
    "whisper_linear": NARROW,
    "whisper_nes2net_x": NARROW,
    "xls_r_linear": NARROW,
    "xls_r_lstm": NARROW,
}
NAMES = sorted(SYSTEMS)
SAME_BUT_FOR_NUMBERS = {"aasist_l": "aasist", "w2v2_aasist_df": "w2v2_aasist"}


@pytest.fixture(scope="module")
def finished(speech, tmp_path_factory) -> tuple[Path, str]:
    """Return the recipe after stage 7 with all systems, which train and score in parallel, and the output of run.sh."""
    folder = tmp_path_factory.mktemp("systems")
    recipe = checkout(folder / "a checkout", "asvspoof2019")
    importlib.import_module("miniature.asvspoof2019").lay_out(speech, folder / "a corpus")
    save_models(folder / "models")
    variables = {
        "ASVSPOOF2019": str(folder / "a corpus"), "SPOOFTRACE_MODELS": str(folder / "models"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    for name in NAMES:
        override(recipe, name, SMALL, SYSTEMS[name])

    options = ["--system", ",".join(NAMES), "--seed", "1234", "--nj", "2", "--stage", "1", "--allow_partial", "true"]
    return recipe, run(recipe, *options, **variables).stderr


def test_the_table_has_every_detector():
    """test_tracing_systems.py runs one system of each other kind for its task."""
    tasks = {
        path.stem: load_config([path]).task["class_path"].rpartition(".")[2]
        for path in (ROOT / "conf/systems").glob("*.yaml")
    }
    detectors = {name for name, task in tasks.items() if task == "Detection"}
    assert detectors == {*SYSTEMS, *SAME_BUT_FOR_NUMBERS, "s_bin"}


@pytest.mark.parametrize(("other", "run_here"), SAME_BUT_FOR_NUMBERS.items())
def test_what_is_not_run_differs_in_numbers_only(other, run_here):
    configs = [load_config([ROOT / f"conf/systems/{name}.yaml"]).as_dict() for name in (other, run_here)]
    assert without_numbers(configs[0]) == without_numbers(configs[1])


def without_numbers(node: Any) -> Any:
    """Reduce numbers to whether they are 0, because 0 often disables a feature."""
    if isinstance(node, dict):
        return {key: without_numbers(value) for key, value in node.items()}
    if isinstance(node, list):
        return [without_numbers(value) for value in node]
    return bool(node) if type(node) in (int, float) else node


@pytest.mark.parametrize("name", NAMES)
def test_stages_3_to_7(finished, name):
    recipe, said = finished
    exp = recipe / f"exp/{name}_s1234"
    assert (exp / "eval/metrics.json").exists(), said[-3000:]
    metrics = json.loads((exp / "eval/metrics.json").read_text(encoding="utf-8"))
    assert (metrics["bonafide"], metrics["spoof"]) == (8, 26)
    scores = [float(line.split()[1]) for line in (exp / "eval/scores.txt").read_text(encoding="utf-8").splitlines()]
    assert len(set(scores)) > 10, "the scores must follow the utterances"
    assert json.loads((exp / "run.json").read_text(encoding="utf-8"))["epochs"] == 2
    assert f"| {name} " in (recipe / "RESULTS.md").read_text(encoding="utf-8")


def test_the_report_shows_the_quantizer_weights(finished):
    recipe, _ = finished
    report = (recipe / "RESULTS.md").read_text(encoding="utf-8")
    for name in ("qaf_static_s1234", "qaf_static_frozen_s1234"):
        assert f"figures/{name}_quantizers.png" in report
        assert (recipe / f"figures/{name}_quantizers.png").exists()
    assert "qaf_mean_s1234_quantizers" not in report
