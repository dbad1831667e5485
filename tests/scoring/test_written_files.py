"""Files that were edited, cut or damaged after a stage wrote them are computed again, and --verify reports them."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from spooftrace.archive import ArchiveReader
from spooftrace.cli.main import main

EVAL = Path("data/eval")


@pytest.fixture
def exp(make_data, make_exp):
    """Return a system with embeddings, stored features, scores and metrics of 6 utterances."""
    make_data("eval", 6)
    exp = make_exp("lfcc", data={"crop": 3200, "num_workers": 0, "eval_crop": "full", "cached": ["lfcc"]})
    assert main(["extract", "--config", "system.yaml", "--data", "data/eval"]) == 0
    assert score(exp) == 0 and evaluate(exp) == 0
    return exp


def score(exp: Path) -> int:
    return main(["score", "--exp", str(exp), "--data", "data/eval", "--embeddings"])


def evaluate(exp: Path) -> int:
    out = str(exp / "eval/metrics.json")
    return main(["evaluate", "--data", "data/eval", "--scores", str(exp / "eval/scores.txt"), "--out", out])


def verify(*options: str) -> int:
    return main(["status", "--verify", *options])


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:-2]))


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"eval_999 0.5\n")


def another_score(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(".", ".9", 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (cut, "has 4 lines, but 6 were written"),
        (extend, "has 7 lines, but 6 were written"),
        (lambda path: path.write_text(path.read_text()[:-3]), "has 5 lines, but 6 were written"),
        (another_score, "is not what was written"),
        (lambda path: path.write_bytes(b""), "has 0 lines, but 6 were written"),
    ],
    ids=["cut", "extended", "half a line", "edited", "emptied"],
)
def test_a_changed_score_file_is_named_and_scored_again(exp, capsys, damage, what):
    path = exp / "eval/scores.txt"
    sound = path.read_bytes()
    damage(path)
    capsys.readouterr()
    assert evaluate(exp) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"exp/lfcc/eval/scores.txt: {what} (by its scores.json); score this set" in error
    assert score(exp) == 0
    out = capsys.readouterr().out
    assert f"exp/lfcc/eval/scores.txt: {what}; the set is scored again" in out and "already scored" not in out
    assert path.read_bytes() == sound
    assert evaluate(exp) == 0


def test_a_copy_in_another_folder_is_not_checked(exp, tmp_path):
    shutil.copy(exp / "eval/scores.txt", tmp_path / "mine.txt")
    another_score(tmp_path / "mine.txt")
    assert main(["evaluate", "--data", "data/eval", "--scores", str(tmp_path / "mine.txt")]) == 0


@pytest.mark.parametrize("name", ["embeddings.scp", "embeddings.ark"])
def test_changed_embeddings_are_computed_again(exp, capsys, name):
    path = exp / "eval" / name
    sound = path.read_bytes()
    content = bytearray(sound)
    if name.endswith("ark"):
        content[40] ^= 1  # the value stays finite
    else:
        content = content[: content.index(b"\n") + 1]
    path.write_bytes(content)
    capsys.readouterr()
    assert score(exp) == 0
    assert "the set is scored again" in capsys.readouterr().out
    assert path.read_bytes() == sound


def test_scores_of_an_earlier_version_are_counted(exp, capsys):
    description = exp / "eval/scores.json"
    content = json.loads(description.read_text(encoding="utf-8"))
    del content["files"]
    description.write_text(json.dumps(content), encoding="utf-8")
    assert evaluate(exp) == 0
    cut(exp / "eval/scores.txt")
    capsys.readouterr()
    assert evaluate(exp) == 1
    assert "scores.txt: has 4 lines, but 6 utterances were scored" in capsys.readouterr().err
    assert score(exp) == 0
    assert "already scored" not in capsys.readouterr().out


def test_metrics_of_other_scores_are_not_reported(exp, capsys):
    report = ["report", "--exp", "exp", "--out", "RESULTS.md", "--figures", "figures", "--title", "x"]
    assert main(report) == 0
    another_score(exp / "eval/scores.txt")
    capsys.readouterr()
    assert main(report) == 1
    assert "eval/metrics.json: belongs to other scores than the folder has now; evaluate" in capsys.readouterr().err


def test_verify_finds_nothing_in_what_was_just_written(exp, capsys):
    capsys.readouterr()
    assert verify() == 0
    assert capsys.readouterr().out == "1 experiment and 1 stored stream: all files are unchanged\n"


def test_verify_works_from_any_folder(exp, capsys, monkeypatch):
    folder = Path.cwd()
    monkeypatch.chdir(folder.parent)
    assert verify(f"{folder.name}/exp") == 0
    assert "1 stored stream:" in capsys.readouterr().out


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda exp: flip(exp / "model.safetensors", -1), "was scored with another model.safetensors"),
        (lambda exp: cut(exp / "eval/scores.txt"), "scores.txt: has 4 lines, but 6 were written"),
        (lambda exp: (exp / "eval/scores.txt").unlink(), "scores.txt: is gone"),
        (lambda exp: flip(exp / "eval/embeddings.ark", 40), "embeddings.ark: is not what was written"),
        (lambda exp: edit(exp / "eval/metrics.json", '"scores_sha256": "', '"scores_sha256": "0'), "metrics.json: was"),
        (lambda exp: (exp / "eval/metrics.json").write_text("{"), "metrics.json: damaged"),
        (lambda exp: (exp / "run.json").write_text('{"model_sha256": "0"}'), "is not the model that was trained"),
        (lambda exp: flip(Path("dump/lfcc/eval/feats.1.ark"), -1), "feats.1.ark: key 'eval_00"),
        (lambda exp: cut(Path("dump/lfcc/eval/feats.scp")), "feats.scp: has 4 lines, but 6 were written"),
        (lambda exp: Path("dump/lfcc/eval/feats.1.ark").unlink(), "no such ark"),
        (lambda exp: os.truncate("dump/lfcc/eval/feats.1.ark", 9000), "the file ends"),
        (lambda exp: Path("dump/lfcc/eval/feats.sums").unlink(), "recorded no checksums"),
    ],
)
def test_verify_names_what_is_not_what_was_written(exp, capsys, damage, named):
    damage(exp)
    capsys.readouterr()
    assert verify() == 1
    said = capsys.readouterr()
    assert any(named in line for line in said.out.splitlines()), said.out
    assert said.err.count("\n") == 1 and re.search(r"\d faults? listed above", said.err)


@pytest.mark.parametrize("frontends", [3, [], {"lfcc": 3}])
def test_records_of_strangers_are_one_line(exp, capsys, frontends):
    for name, change in (("run.json", {"frontends": frontends}), ("eval/scores.json", {"files": [1], "system": 3})):
        path = exp / name
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**found, **change}), encoding="utf-8")
    capsys.readouterr()
    assert main(["score", "--exp", str(exp), "--data", "data/eval"]) == 1
    assert f"{exp}/run.json: damaged: frontends" in capsys.readouterr().err
    assert main(["status", "exp", "--verify"]) == 1
    assert f"{exp}/eval/scores.json: damaged" in capsys.readouterr().out


def test_nan_in_a_stored_feature_is_refused_by_name(exp, capsys):
    ark = Path("dump/lfcc/eval/feats.1.ark")
    content = bytearray(ark.read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    ark.write_bytes(content)
    utt = next(line.split()[0] for line in ark.with_suffix(".scp").read_text(encoding="utf-8").splitlines()[-1:])
    shutil.rmtree(exp / "eval")
    capsys.readouterr()
    assert score(exp) == 1
    error = capsys.readouterr().err
    assert f"feats.1.ark: key '{utt}' at offset" in error and "the array has NaN or infinite values" in error
    assert ArchiveReader("dump/lfcc/eval/feats.scp").shape(utt)
