"""Every published detector of conf/systems from stage 3 to 7, over miniature pretrained models and a miniature corpus.

The published configuration is what runs, so that streams, layouts, losses, schedules and augmentation meet as they
would on a benchmark; only the sizes of the table below are changed, by a ``conf/<system>.yaml`` as any recipe has.
"""

from __future__ import annotations

import importlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from checkouts import ROOT, checkout, override, run
from miniature.models import CODEC_WIDTH, WIDTH, save_models

from spooftrace.config import load_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SMALL = {"data": {"crop": 4000, "batch_size": 4, "num_workers": 0}, "trainer": {"max_epochs": 2}}
NARROW = {"backend": {"init_args": {"input_dim": WIDTH}}}
QAF = {"backend": {"init_args": {"input_dim": WIDTH, "codec_dim": CODEC_WIDTH}}}
SYSTEMS: dict[str, dict[str, Any]] = {
    "aasist": {},
    "aasist_l": {},
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
    "w2v2_aasist_df": NARROW,
    "whisper_linear": NARROW,
    "whisper_nes2net_x": NARROW,
    "xls_r_linear": NARROW,
    "xls_r_lstm": NARROW,
}
NAMES = sorted(SYSTEMS)
JOBS = 2  # runs of run.sh side by side, which share out the systems


@pytest.fixture(scope="module")
def finished(speech, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The recipe after stage 7, and what run.sh said about each system."""
    folder = tmp_path_factory.mktemp("systems")
    recipe = checkout(folder / "a checkout", "asvspoof2019")
    importlib.import_module("miniature.asvspoof2019").lay_out(speech, folder / "a corpus")
    save_models(folder / "models")
    variables = {
        "ASVSPOOF2019": str(folder / "a corpus"), "SPOOFTRACE_MODELS": str(folder / "models"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    for name in NAMES:
        override(recipe, name, SMALL, SYSTEMS[name])

    def stages(names: list[str], *options: str) -> subprocess.CompletedProcess[str]:
        return run(recipe, "--system", ",".join(names), "--seed", "1234", "--nj", "1", *options, **variables)

    prepared = stages(["lfcc_linear"], "--allow_partial", "true", "--stop_stage", "3")
    assert prepared.returncode == 0, prepared.stderr[-3000:]
    shares = [NAMES[job::JOBS] for job in range(JOBS)]
    with ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(lambda names: stages(names, "--stage", "3", "--stop_stage", "6"), shares))
    said = {name: result.stderr for names, result in zip(shares, results, strict=True) for name in names}
    report = stages(["lfcc_linear"], "--stage", "7")
    assert report.returncode == 0, report.stderr[-3000:]
    return recipe, said


def test_the_table_has_every_detector():
    """The others are run for their tasks in test_tracing_systems.py, one of each kind."""
    tasks = {
        path.stem: load_config([path])["task"]["class_path"].rpartition(".")[2]
        for path in (ROOT / "conf/systems").glob("*.yaml")
    }
    assert {name for name, task in tasks.items() if task == "Detection"} == {*SYSTEMS, "s_bin"}


@pytest.mark.parametrize("name", NAMES)
def test_stages_3_to_7(finished, name):
    recipe, said = finished
    exp = recipe / f"exp/{name}_s1234"
    assert (exp / "eval/metrics.json").exists(), said[name][-3000:]
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
