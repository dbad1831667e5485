"""egs/mini end to end, in a checkout whose path has a space, and user errors."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from checkouts import ROOT, checkout, run

from spooftrace.audit.findings import ALL_CUES, POOLED
from spooftrace.corpora import mini

WHISPER = ROOT / "tools/models/whisper-base/model.safetensors"
SYSTEMS = ["lfcc_linear"] + (["whisper_linear"] if WHISPER.exists() else [])
QUICK = ["--train_args", "--trainer.max_epochs 3", "--nj", "2"]
LFCC = ["--system", "lfcc_linear", *QUICK]

BONAFIDE = mini.SPLITS
COPIES = {name: BONAFIDE[one.split] * sum(turns.copies for turns in one.turns) for name, one in mini.SETS.items()}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the recipe after all its stages, started from another folder."""
    if not WHISPER.exists():
        print("no Whisper weights (tools/get_model.sh whisper-base): only the LFCC system is tested")
    recipe = checkout(tmp_path_factory.mktemp("mini") / "a checkout", "mini")
    result = run(recipe, "--system", ",".join(SYSTEMS), *QUICK, cwd=Path("/"))
    assert result.returncode == 0, result.stderr
    return recipe, result


def test_all_stages_end_in_a_table(finished):
    recipe, result = finished
    for system in SYSTEMS:
        exp = recipe / f"exp/{system}_s1234"
        metrics = json.loads((exp / "eval/metrics.json").read_text(encoding="utf-8"))
        assert (metrics["bonafide"], metrics["spoof"]) == (BONAFIDE["eval"], COPIES["eval"])
        assert 0 < metrics["eer"] < 0.5, "a trained detector is better than chance"
        assert set(metrics["by_attack"]) == {attack for turns in mini.OPEN for attack in turns.attacks}
        assert set(metrics["by_subset"]) == {"seen", "unseen_setting", "unseen_codec", "vocoder"}
        assert {cell["bonafide"] for cell in metrics["by_subset"].values()} == {BONAFIDE["eval"]}
        assert (exp / "model.safetensors").exists()
        assert f"| {system}" in result.stdout
    report = (recipe / "RESULTS.md").read_text(encoding="utf-8")
    assert all(system in report for system in SYSTEMS)
    assert "figures/det_eval.png" in report
    assert (recipe / "figures/det_eval.png").read_bytes().startswith(b"\x89PNG")


def test_no_single_cue_tells_copies_from_bona_fide_speech(finished):
    recipe, _ = finished
    assert (recipe / "data/audit/audit.png").read_bytes().startswith(b"\x89PNG")
    audit = json.loads((recipe / "data/audit/audit.json").read_text(encoding="utf-8"))
    assert audit["utterances"] == sum(BONAFIDE[name] + COPIES[name] for name in BONAFIDE)
    pooled = [one for one in audit["labels"]["utt2label"]["findings"] if one["part"] == POOLED]
    assert pooled
    assert [one["cue"] for one in pooled if one["telling"] and one["cue"] != ALL_CUES] == []


def test_synthesis_from_text_is_a_set_of_its_own(finished):
    recipe, result = finished
    made = recipe / "data/eval_tts/utt2attack"
    if not made.exists():
        assert "make_tts.py: not installed: espeak-ng, flite, hibari" in result.stderr
        pytest.skip("no program for speech synthesis is installed")
    assert (recipe / "exp/lfcc_linear_s1234/eval_tts/metrics.json").exists()
    assert "tts" not in (recipe / "data/eval/wav.scp").read_text(encoding="utf-8")


def test_a_second_run_changes_nothing(finished):
    recipe, _ = finished
    kept = [path for folder in ("data", "dump", "exp") for path in (recipe / folder).rglob("*") if path.is_file()]
    kept = [
        path for path in kept if path.suffix in (".flac", ".ark", ".safetensors", ".ckpt") or path.name == "scores.txt"
    ]
    before = {path: path.stat().st_mtime_ns for path in kept}
    result = run(recipe, *LFCC)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert result.stdout.count("already") >= 2


def test_single_stages(finished):
    recipe, _ = finished
    scores = recipe / "exp/lfcc_linear_s1234/eval/scores.txt"
    before = scores.read_bytes()
    scores.unlink()
    result = run(recipe, *LFCC, "--stage", "5", "--stop_stage", "5")
    assert result.returncode == 0, result.stderr
    assert scores.read_bytes() == before
    assert "stage 5" in result.stderr
    assert "stage 4" not in result.stderr
    assert "stage 6" not in result.stderr


def test_another_seed_is_another_row(finished):
    recipe, _ = finished
    result = run(recipe, *LFCC, "--seed", "7", "--stage", "4")
    assert result.returncode == 0, result.stderr
    assert (recipe / "exp/lfcc_linear_s7/eval/metrics.json").exists()
    assert "mean of 2" in (recipe / "RESULTS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stages", "3"], "unknown option --stages"),
        (["--stage=3"], "write '--stage 3'"),
        (["--system", "assist"], "no system 'assist'"),
        (["--stage", "4", "--stop_stage", "4", "--seed", "9", "--train_args", "--trainer.max_epoch 3"], "max_epoch"),
        (["--stage", "3", "--ngpu", "64"], "--gpu 64: not enough GPUs"),
        (["extra"], "unexpected argument 'extra'"),
    ],
)
def test_mistakes_in_the_command_line(finished, options, message):
    recipe, _ = finished
    if "--system" not in options:
        options = ["--system", "lfcc_linear", *options]
    result = run(recipe, *options)
    assert result.returncode != 0
    assert message in result.stderr


def test_help_needs_no_environment(tmp_path):
    recipe = checkout(tmp_path / "fresh", "mini")
    result = subprocess.run(
        ["bash", str(recipe / "run.sh"), "--help"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert result.returncode == 0
    assert "--stop_stage N" in result.stdout


def test_missing_corpus(tmp_path):
    recipe = checkout(tmp_path / "fresh", "mini")
    (recipe / "corpus/bonafide.tar").unlink()
    result = run(recipe, "--system", "lfcc_linear", "--stop_stage", "1")
    assert result.returncode != 0
    assert "corpus/bonafide.tar: no such file" in result.stderr
    assert not (recipe / "data/train/wav.scp").exists()


def test_corrupt_recording_and_lost_file(finished, tmp_path):
    recipe = checkout(tmp_path / "copy", "mini")
    shutil.copytree(finished[0] / "data", recipe / "data")
    first = (recipe / "data/eval/wav.scp").read_text(encoding="utf-8").split()[1]
    content = (recipe / first).read_bytes()
    (recipe / first).write_bytes(content[: len(content) // 2])
    result = run(recipe, "--system", "lfcc_linear", "--stage", "3", "--stop_stage", "3", "--nj", "2")
    assert result.returncode != 0
    assert first in result.stderr
    assert (recipe / "dump/lfcc/train/feats.1.scp").exists(), "what was finished is kept"
    assert not (recipe / "dump/lfcc/eval/feats.scp").exists()
    (recipe / first).write_bytes(content)
    result = run(recipe, "--system", "lfcc_linear", "--stage", "3", "--stop_stage", "3", "--nj", "2")
    assert result.returncode == 0, result.stderr

    (recipe / "data/train/utt2label").unlink()
    result = run(recipe, "--system", "lfcc_linear", "--stage", "4", "--stop_stage", "4")
    assert result.returncode != 0
    assert "data/train/utt2label: no such file" in result.stderr


def test_killed_extraction_is_continued(finished, tmp_path):
    recipe = checkout(tmp_path / "copy", "mini")
    shutil.copytree(finished[0] / "data", recipe / "data")
    options = ["--system", "lfcc_linear", "--stage", "3", "--stop_stage", "3", "--nj", "2"]
    process = subprocess.Popen(
        [str(recipe / "run.sh"), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not list(recipe.glob("dump/lfcc/train/*.part")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    assert not (recipe / "dump/lfcc/train/feats.scp").exists()
    result = run(recipe, *options)
    assert result.returncode == 0, result.stderr
    stored = (recipe / "dump/lfcc/train/feats.scp").read_text(encoding="utf-8").splitlines()
    assert len(stored) == BONAFIDE["train"] + COPIES["train"]
