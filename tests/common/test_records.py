"""Records of an experiment in which a field has a wrong type are refused by the name of the field, by every reader."""

import json
from pathlib import Path

import pytest

from spooftrace.cli.main import main
from spooftrace.common.contents import changed_file, check_scores
from spooftrace.common.epochs_table import read_epochs
from spooftrace.common.errors import InputError
from spooftrace.common.records import read_run, read_scores_record

RUN = {
    "system": "sls", "seed": 3, "git_commit": "0123456789ab", "versions": {"python": "3.11.7"}, "command": "spooftrace",
    "allowed_modules": [], "length": {"max_epochs": 3, "min_epochs": 0, "patience": None}, "model_sha256": "0" * 64,
    "symptoms": {"equal_dev_scores": [1]}, "epochs": 3, "best_epoch": 2, "best": {"dev_loss": float("nan")},
    "frontends": {"lfcc": {}}, "parameters": {"backend": 3, "trainable": 3, "total": None}, "train_seconds": 12,
    "device": "CPU, 1 threads", "incomplete": {"dev": [{"set": "dev", "what": "trials", "missing": 1, "of": 4}]},
}  # fmt: skip


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_what_a_training_writes_is_read(tmp_path):
    write(tmp_path / "run.json", RUN)
    assert read_run(tmp_path).keys() == RUN.keys()


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("length", 3, "length must be a mapping, not 3"),
        ("length", {"max_epochs": 3}, "length.min_epochs is missing"),
        ("length", RUN["length"] | {"patience": "5"}, "length.patience must be a whole number or null, not '5'"),
        ("epochs", True, "epochs must be a whole number, not true"),
        ("best_epoch", -1, "best_epoch must be between 0 and"),
        ("train_seconds", float("inf"), "train_seconds must be between 0 and"),
        ("train_seconds", float("nan"), "train_seconds must be between 0 and"),
        ("seed", [1], "seed must be a whole number or null, not a list"),
        ("model_sha256", 0, "model_sha256 must be text, not 0"),
        ("versions", ["torch"], "versions must be a mapping, not a list"),
        ("best", {"dev_eer": "low"}, "best.dev_eer must be a number, not 'low'"),
        ("frontends", {"lfcc": 3}, "frontends.lfcc must be a mapping, not 3"),
        ("parameters", {"total": 1.5}, "parameters.total must be a whole number or null, not 1.5"),
        ("incomplete", {"dev": [{"set": "dev"}]}, "incomplete.dev[0].what is missing"),
        ("imported", {"assumed": "all"}, "imported.assumed must be a list, not 'all'"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(tmp_path, field, value, problem):
    write(tmp_path / "run.json", RUN | {field: value})
    with pytest.raises(InputError) as refusal:
        read_run(tmp_path)
    assert f"{tmp_path}/run.json: damaged: {problem}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("command", [["status"], ["report", "--title", "x", "--figures", "figures", "--out", "a.md"]])
def test_commands_name_the_field(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    write(Path("exp/sls_s1/run.json"), RUN | {"parameters": 3})
    metrics = {
        "task": "detection", "data": "eval", "primary": "eer", "eer": 0.1, "eer_convention": "plain", "trials": 4,
        "bonafide": 2, "spoof": 2, "by_attack": {}, "mean_over_attacks": {},
    }  # fmt: skip
    write(Path("exp/sls_s1/eval/metrics.json"), metrics)
    where = ["--exp", "exp"] if command[0] == "report" else ["exp"]
    assert main([*command, *where]) == 1
    error = capsys.readouterr().err
    assert "run.json: damaged: parameters must be a mapping, not 3" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "files",
    [[1], 3, {"scores.txt": None}, {"scores.txt": {"sha256": "0" * 64}}, {"scores.txt": {"sha256": 1, "lines": 1}}],
)
def test_damaged_records_of_files_do_not_count_as_unchanged(tmp_path, files):
    (tmp_path / "scores.txt").write_text("utt1 0.5\n", encoding="utf-8")
    assert "the record of its files is damaged: files" in changed_file(tmp_path, {"files": files})
    write(tmp_path / "scores.json", {"files": files})
    with pytest.raises(InputError, match=r"scores\.json: damaged: files"):
        check_scores(tmp_path / "scores.txt")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("utterances", "many"),
        ("embeddings", "no"),
        ("policy", []),
        ("system", {"model.safetensors": 3}),
        ("incomplete", 1),
    ],
)
def test_fields_of_scores_are_named(tmp_path, field, value):
    path = write(tmp_path / "scores.json", {field: value})
    with pytest.raises(InputError, match=rf"scores\.json: damaged: {field}"):
        read_scores_record(path)


def test_scores_with_a_damaged_record_are_made_again(make_data, make_exp, capsys):
    make_data("eval", 4)
    command = ["score", "--exp", str(make_exp()), "--data", "data/eval"]
    assert main(command) == 0
    record = Path("exp/live/eval/scores.json")
    whole = json.loads(record.read_text(encoding="utf-8"))
    for files in ([1], {name: {"sha256": "0"} for name in whole["files"]}):
        write(record, whole | {"files": files})
        capsys.readouterr()
        assert main(command) == 0
        assert "scores.json: damaged; the set is scored again" in capsys.readouterr().out
        assert json.loads(record.read_text(encoding="utf-8")) == whole


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x80\x02\xff\tloss\n", "it is no UTF-8 text"),
        (b"epoch\tepoch\n1\t2\n", ":1: there are two columns 'epoch'"),
        (b"epoch\tloss\n1\t0.5\n2\n", ":3: not 2 numbers"),
        (b"epoch\tloss\n1\thigh\n", ":2: not 2 numbers"),
    ],
)
def test_damaged_tables_of_epochs_are_named(tmp_path, content, problem):
    path = tmp_path / "epochs.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"epochs.tsv.*{problem}"):
        read_epochs(path)
