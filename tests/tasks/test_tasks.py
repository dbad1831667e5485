"""Attribution and parsing: targets, loss, score files, and the stages around them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from spooftrace.cli.main import main
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.evaluation.outputs import read_outputs
from spooftrace.system.weights import load_weights
from spooftrace.tasks import Attribution, MultiAttribution, Parsing

VQ = {0: "real", 1: "mvq", 2: "svq", 3: "sq"}
NAC = {0: "- - -", 1: "16 3.2 8", 2: "24 2 1", 3: "16 - 24"}


@pytest.fixture
def traced(make_data, write_config):
    """Data directories of four kinds of noise, and a function that trains a small system on them."""

    def widen(name: str, codecs_only: bool = False) -> None:
        data = DataDir.read(Path("data") / name)
        kinds = {utt: number % 4 for number, utt in enumerate(data.utts)}
        tables = dict(data.tables)
        tables["utt2vq"] = {utt: VQ[kind] for utt, kind in kinds.items()}
        tables["utt2nac"] = {utt: NAC[kind] for utt, kind in kinds.items()}
        tables["utt2codec"] = {utt: f"codec{kind}" if kind else "-" for utt, kind in kinds.items()}
        tables["utt2label"] = {utt: "spoof" if kind else "bonafide" for utt, kind in kinds.items()}
        DataDir.write(data.path, tables)
        kept = [utt for utt in data.utts if kinds[utt]]
        DataDir.write(
            data.path.with_name(f"{name}_codecs"),
            {key: {utt: table[utt] for utt in kept} for key, table in tables.items() if key != "spk2utt"},
        )

    for number, name in enumerate(("train", "dev")):
        make_data(name, 16, seed=number)
        widen(name)

    def train(exp: str, task: dict, outputs: int, suffix: str = "", status: int = 0, **trainer) -> None:
        monitor = "dev_rmse" if task["class_path"] == "Parsing" else "dev_error"
        config = write_config(
            f"{exp}.yaml",
            streams={"tiny": {"class_path": "miniature.frontend.Projection"}},
            backend={"class_path": "LinearProbe", "init_args": {"input_dim": 8, "num_outputs": outputs}},
            task=task,
            data={"crop": 3200, "batch_size": 4, "num_workers": 0},
            trainer={"max_epochs": 2, "monitor": monitor, **trainer},
        )
        words = ["train", "--config", str(config), "--train", f"data/train{suffix}", "--dev", f"data/dev{suffix}"]
        assert main([*words, "--exp", exp]) == status

    return train


def test_classes_are_in_the_published_order():
    assert Attribution("utt2vq").classes == ("real", "mvq", "svq", "sq")
    assert Attribution("utt2aux").classes == ("real", "none", "sem", "disent")
    assert Attribution("utt2codec", ["real", "mimi"]).target("mimi") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("utt2codec",), "utt2codec"),
        (("utt2vq", ["real", "real"]), "real, real"),
        (("utt2vq", None, [1.0, 2.0]), "2 class_weight for 4 classes"),
    ],
)
def test_invalid_classes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Attribution(*arguments)


def test_attribution_loss_is_weighted_cross_entropy():
    outputs, targets = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 2])
    weight = torch.tensor([0.2, 0.4, 0.4])
    own = -outputs.log_softmax(1)[torch.arange(2), targets]
    wanted = (own * weight[targets]).sum() / weight[targets].sum()
    assert torch.isclose(Attribution("utt2dec", class_weight=[0.2, 0.4, 0.4]).loss(outputs, targets), wanted)


def test_attribution_selects_by_macro_f1():
    # of class 0 all are right, of class 1 none: F1 is 2/3 and 0
    logits = np.array([[1, 0, 0], [1, 0, 0]], np.float32)
    assert math.isclose(Attribution("utt2dec").dev_metrics(logits, np.array([0, 1]))["dev_error"], 1 - 1 / 3)


def test_bona_fide_first_still_scores_higher_for_bona_fide():
    task = Attribution("utt2label")
    assert task.scores(torch.tensor([[3.0, 1.0], [-1.0, 2.0]])).tolist() == [3.0, -1.0]
    assert task.format_scores(["a"], np.array([0.5])) == ["a 0.5"]
    assert task.dev_metrics(np.array([3.0, -1.0]), np.array([0, 1])) == {"dev_eer": 0.0, "dev_error": 0.0}


def test_bin_is_selected_by_its_eer_under_its_name_and_that_of_earlier_versions():
    assert Attribution("utt2label").selects_by == ("dev_eer", "dev_error")
    assert Attribution("utt2dec").selects_by == ("dev_error",)


def test_parsing_learns_in_deviations_and_scores_in_units():
    task = Parsing()
    task.fit([(16.0, 2.0, 4.0), (24.0, 6.0, 8.0)])
    targets = torch.tensor([[24.0, 2.0, 8.0]])
    assert task.loss(torch.tensor([[1.0, -1.0, 1.0]]), targets) == 0
    assert task.loss(torch.zeros(1, 3), targets) == 3
    assert task.scores(torch.tensor([[1.0, -1.0, 1.0]])).tolist() == targets.tolist()


def test_unknown_values_are_ignored():
    task = Parsing()
    nan = float("nan")
    task.fit([(16.0, nan, 4.0), (24.0, 6.0, 8.0), (24.0, 2.0, 8.0)])
    outputs = torch.zeros(2, 3, requires_grad=True)
    loss = task.loss(outputs, torch.tensor([[nan, 4.0, nan], [24.0, nan, nan]]))
    loss.backward()
    assert math.isclose(loss.item(), 0.5, rel_tol=1e-6)  # only 24 kHz is off: by 1 / sqrt(2) deviations
    assert outputs.grad.isfinite().all()
    assert outputs.grad.count_nonzero() == 1


def test_a_constant_target_is_refused():
    with pytest.raises(InputError, match="khz is always 16"):
        Parsing().fit([(16.0, 2.0, 4.0), (16.0, 6.0, 8.0)])


def test_outputs_of_several_heads_are_concatenated():
    task = MultiAttribution({"utt2label": [0.9, 0.1], "utt2dec": None})
    outputs, targets = torch.tensor([[2.0, -1.0, 0.0, 3.0, 0.0]]), torch.tensor([[1, 2]])
    parts = [Attribution("utt2label", class_weight=[0.9, 0.1]), Attribution("utt2dec")]
    wanted = (parts[0].loss(outputs[:, :2], targets[:, 0]) + parts[1].loss(outputs[:, 2:], targets[:, 1])) / 2
    assert torch.isclose(task.loss(outputs, targets), wanted)
    scores = task.scores(outputs)
    assert scores.tolist() == [[3.0, 2.0, -1.0, 0.0, 3.0, 0.0]]  # log-odds of bona fide, then the logits
    assert task.other_files(["a"], scores.numpy()) == {"scores_dec.txt": ["utt\treal\ttime\tfreq", "a\t0.0\t3.0\t0.0"]}


def test_bona_fide_score_without_a_detection_head():
    task = MultiAttribution({"utt2aux": None, "utt2dec": None, "utt2vq": None})
    outputs = torch.randn(5, 11, generator=torch.Generator().manual_seed(1)).double()
    spoof = [1 - part.softmax(1)[:, 0] for part in outputs.split([4, 3, 4], 1)]
    official = 1 - (spoof[0] * spoof[1] * spoof[2]) ** (1 / 3)
    assert torch.allclose(task.scores(outputs)[:, 0].sigmoid(), official)
    sure = torch.full((1, 11), -200.0)
    assert task.scores(sure.index_fill(1, torch.tensor([0, 4, 7]), 200.0)).isfinite().all()
    assert task.scores(-sure.index_fill(1, torch.tensor([0, 4, 7]), 200.0)).isfinite().all()


def test_several_heads_through_the_stages(traced):
    heads = {"utt2label": [0.9, 0.1], "utt2vq": None}
    traced("multi", {"class_path": "MultiAttribution", "init_args": {"heads": heads}}, 6)
    assert main(["score", "--exp", "multi", "--data", "data/dev"]) == 0
    assert read_outputs("multi/dev/scores_vq.txt").columns == ("real", "mvq", "svq", "sq")
    assert main(["evaluate", "--data", "data/dev", "--scores", "multi/dev/scores.txt", "--out", "multi/m.json"]) == 0


def test_attribution_through_the_stages(traced, capsys):
    traced("vq", {"class_path": "Attribution", "init_args": {"table": "utt2vq"}}, 4)
    assert main(["score", "--exp", "vq", "--data", "data/dev"]) == 0
    found = read_outputs("vq/dev/scores.txt")
    assert found.columns == ("real", "mvq", "svq", "sq")
    command = ["evaluate", "--task", "attribution", "--data", "data/dev", "--scores", "vq/dev/scores.txt"]
    assert main([*command, "--labels", "utt2vq", "--out", "vq/dev/metrics.json"]) == 0
    assert json.loads(Path("vq/dev/metrics.json").read_text(encoding="utf-8"))["trials"] == 16
    epochs = [line.split("\t") for line in Path("vq/epochs.tsv").read_text(encoding="utf-8").splitlines()]
    assert epochs[0] == ["epoch", "train_loss", "dev_error", "dev_loss"]
    assert [row[0] for row in epochs[1:]] == ["1", "2"]


def test_parsing_through_the_stages(traced):
    traced("nac", {"class_path": "Parsing"}, 3, suffix="_codecs")
    weights = load_weights(Path("nac/model.safetensors"))
    assert torch.allclose(weights["task.mean"], torch.tensor([56 / 3, 2.6, 11.0]))
    assert main(["score", "--exp", "nac", "--data", "data/dev_codecs"]) == 0
    assert read_outputs("nac/dev_codecs/scores.txt").columns == ("khz", "kbps", "quantizers")
    command = ["evaluate", "--task", "parsing", "--data", "data/dev_codecs", "--scores", "nac/dev_codecs/scores.txt"]
    assert main([*command, "--train-data", "data/train_codecs", "--out", "nac/metrics.json"]) == 0


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("utt2vq", "mvq", "rvq", "data/train/utt2vq:2: train_001: class 'rvq' is not one of real, mvq, svq, sq"),
        ("utt2vq", "svq", "-", "data/train/utt2vq:3: train_002: class '-' is not one of"),
    ],
)
def test_a_label_outside_the_taxonomy_is_named(traced, capsys, table, old, new, message):
    path = Path("data/train") / table
    path.write_text(path.read_text(encoding="utf-8").replace(f" {old}\n", f" {new}\n"), encoding="utf-8")
    traced("vq", {"class_path": "Attribution", "init_args": {"table": table}}, 4, status=1)
    assert message in capsys.readouterr().err


def test_bona_fide_speech_and_unknown_codecs_cannot_be_parsed(traced, capsys):
    traced("a", {"class_path": "Parsing"}, 3, status=1)
    assert "data/train/utt2nac:1: train_000 is bona fide; only codec speech has parameters" in capsys.readouterr().err
    path = Path("data/train_codecs/utt2nac")
    path.write_text(path.read_text(encoding="utf-8").replace("24 2 1", "- - -"), encoding="utf-8")
    traced("b", {"class_path": "Parsing"}, 3, suffix="_codecs", status=1)
    error = capsys.readouterr().err
    assert "data/train_codecs/utt2nac:2: train_002: codec 'codec2' has no parameters; add 'codec2: {khz: ..." in error


def test_the_metric_of_another_task_cannot_select_epochs(traced, capsys):
    traced("a", {"class_path": "Parsing"}, 3, suffix="_codecs", status=1, monitor="dev_eer")
    assert "trainer.monitor dev_eer: the task Parsing has dev_rmse, dev_loss" in capsys.readouterr().err


def test_a_system_starts_from_the_front_end_of_another(traced):
    vq = {"class_path": "Attribution", "init_args": {"table": "utt2vq"}}
    traced("first", vq, 4)
    traced("second", vq, 4, start_from="first", max_epochs=1)
    traced("third", vq, 4, max_epochs=1)
    key = "frontends.tiny.linear.weight"
    first, second, third = (load_weights(Path(exp) / "model.safetensors")[key] for exp in ("first", "second", "third"))
    assert (second - first).abs().max() < 0.05  # one epoch away: four steps of 0.01
    assert not torch.equal(second, third)


def test_a_system_does_not_start_from_another_task(traced, capsys):
    traced("first", {"class_path": "Attribution", "init_args": {"table": "utt2vq"}}, 4)
    task = {"class_path": "Attribution", "init_args": {"table": "utt2label"}}
    traced("second", task, 2, status=1, start_from="first")
    error = capsys.readouterr().err
    assert "first: was trained for another task (utt2vq) than this system (utt2label)" in error
    traced("second", task, 2, status=1, start_from="nowhere")
    assert "trainer.start_from nowhere: no finished training there" in capsys.readouterr().err


def test_audio_files_are_traced(traced, capsys):
    files = ["audio/dev/dev_001.flac", "audio/dev/dev_002.flac"]
    traced("vq", {"class_path": "Attribution", "init_args": {"table": "utt2vq"}}, 4)
    traced("both", {"class_path": "MultiAttribution", "init_args": {"heads": {"utt2label": None, "utt2vq": None}}}, 6)
    traced("nac", {"class_path": "Parsing"}, 3, suffix="_codecs")
    capsys.readouterr()
    assert main(["trace", "--exp", "vq", *files]) == 0
    header, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header == ["class", "file"]
    assert [row[2] for row in rows] == files
    assert all(row[0] in ("real", "mvq", "svq", "sq") and 0.25 <= float(row[1]) <= 1 for row in rows)
    assert main(["trace", "--exp", "both", *files]) == 0
    assert capsys.readouterr().out.startswith("vq ")
    assert main(["trace", "--exp", "nac", *files]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["kHz", "kbit/s", "Q", "nearest", "codec", "file"]
    assert all(float(value) == pytest.approx(float(value)) for value in out[1].split()[:3])


def test_detect_and_trace_refuse_systems_of_the_other(traced, capsys):
    traced("vq", {"class_path": "Attribution", "init_args": {"table": "utt2vq"}}, 4)
    assert main(["detect", "--exp", "vq", "audio/dev/dev_001.flac"]) == 1
    assert "vq: does not tell bona fide speech from spoofs; use spooftrace trace" in capsys.readouterr().err
    traced("bin", {"class_path": "Attribution", "init_args": {"table": "utt2label"}}, 2)
    assert main(["trace", "--exp", "bin", "audio/dev/dev_001.flac"]) == 1
    assert "bin: tells bona fide speech from spoofs; use spooftrace detect" in capsys.readouterr().err
