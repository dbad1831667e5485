"""Stage 5: the audio of a score, and its independence of batches, jobs and killed runs."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers.small_backends import BACKENDS, EVERY, make, make_inputs, one_thread  # noqa: F401
from safetensors.torch import load_file, save_file
from torch import nn

from spooftrace.archive import ArchiveReader
from spooftrace.audio import read_audio
from spooftrace.cli.main import main
from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config
from spooftrace.datadir import DataDir
from spooftrace.extraction import collect, extract
from spooftrace.scoring.scorer import LastLinear, _check_last_layer
from spooftrace.system.experiment import load_experiment
from spooftrace.system.packing import InPrecision
from spooftrace.system.system import System
from spooftrace.system.weights import load_weights, save_weights

EVAL = Path("data/eval")
LIVE = {"crop": 3200, "num_workers": 0, "eval_crop": "full"}
AASIST = {
    "streams": {"wave": {"class_path": "Waveform"}},
    "backend": {"class_path": "AASIST", "init_args": BACKENDS["AASIST"][1]},
}


@pytest.fixture
def cached(make_data, make_exp):
    """Return a system with stored LFCCs of the 12 utterances of ``data/eval``."""
    make_data("eval", 12)
    exp = make_exp("lfcc", data={**LIVE, "cached": ["lfcc"]})
    node = load_config([exp / "config.yaml"]).streams["lfcc"]
    extract(node, EVAL, Path("dump/lfcc/eval"))
    collect(node, EVAL, Path("dump/lfcc/eval"), num_jobs=1)
    return exp


@pytest.fixture
def live(make_data, make_exp):
    """Return the same system with LFCCs computed on the fly."""
    make_data("eval", 12)
    return make_exp()


def score(exp: Path, *options: str) -> int:
    return main(["score", "--exp", str(exp), "--data", "data/eval", *options])


def read(exp: Path) -> dict[str, float]:
    lines = (exp / "eval/scores.txt").read_text(encoding="utf-8").splitlines()
    return {utt: float(value) for utt, value in map(str.split, lines)}


def score_of(system: System, wave: np.ndarray) -> float:
    with torch.inference_mode():
        outputs = system({"wave": torch.from_numpy(wave)[None], "wave_len": torch.tensor([len(wave)])})
        return float(system.task.scores(outputs))


def count_forwards(monkeypatch, most: int | None = None) -> list[str]:
    """Return the list of utterances that a system computes from now on; interrupt it after ``most`` batches."""
    forward, seen, batches = System.forward, [], []

    def counting(self, batch):
        batches.append(batch)
        if most is not None and len(batches) > most:
            raise KeyboardInterrupt
        seen.extend(batch["utt"])
        return forward(self, batch)

    monkeypatch.setattr(System, "forward", counting)
    return seen


def one_line(capsys, *parts: str) -> None:
    error = capsys.readouterr().err
    assert all(part in error for part in parts), error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("kind", "policy"), [("live", "first"), ("live", "full"), ("cached", "windows")])
def test_scores_do_not_depend_on_the_batch_size(request, kind, policy):
    exp, found = request.getfixturevalue(kind), []
    for size in "1", "5":
        shutil.rmtree(exp / "eval", ignore_errors=True)
        assert score(exp, "--data.eval_crop", policy, "--data.crop", "2000", "--data.eval_batch_size", size) == 0
        found.append(read(exp))
    assert len(found[0]) == 12
    assert found[1] == pytest.approx(found[0], abs=1e-5)


def test_each_policy_scores_what_it_says(live):
    data, system = DataDir.read(EVAL), load_experiment(live).system
    waves = {utt: read_audio(*data.audio(utt)[:1]) for utt in data.utts}
    assert score(live, "--data.crop", "3600", "--data.eval_crop", "first") == 0
    padded = {utt: wave[np.arange(3600) % len(wave)] for utt, wave in waves.items()}
    first = {utt: score_of(system, wave[:3600]) for utt, wave in padded.items()}
    assert read(live) == pytest.approx(first, abs=1e-5)

    assert score(live) == 0
    assert read(live) == pytest.approx({utt: score_of(system, wave) for utt, wave in waves.items()}, abs=1e-5)

    assert score(live, "--data.crop", "3600", "--data.eval_crop", "windows", "--data.eval_hop", "700") == 0
    mean = {}
    for utt, wave in waves.items():
        room = len(wave) - 3600
        starts = [*range(0, room, 700), room] if room > 0 else [0]
        wave = wave if room > 0 else padded[utt]
        mean[utt] = np.mean([score_of(system, wave[start : start + 3600]) for start in starts])
    assert read(live) == pytest.approx(mean, abs=1e-5)


def test_windows_average_scores_and_not_outputs(make_data, make_exp):
    """The cosine of the mean output would differ."""
    make_data("eval", 4)
    loss = {"class_path": "spooftrace.tasks.losses.OCSoftmax", "init_args": {"dim": 8}}
    exp = make_exp(
        backend={"class_path": "LinearProbe", "init_args": {"input_dim": 60, "num_outputs": 8}},
        task={"class_path": "Detection", "init_args": {"loss": loss}},
        data={**LIVE, "crop": 1600, "eval_crop": "windows", "eval_hop": 1600},
    )
    assert score(exp) == 0
    system, data = load_experiment(exp).system, DataDir.read(EVAL)
    wave = read_audio(data.audio("eval_000")[0])  # 3200 samples
    expected = (score_of(system, wave[:1600]) + score_of(system, wave[1600:])) / 2
    assert read(exp)["eval_000"] == pytest.approx(expected, abs=1e-6)


def test_another_policy_model_or_list_is_scored_anew(live, capsys):
    description = live / "eval/scores.json"

    def policy() -> dict:
        return json.loads(description.read_text(encoding="utf-8"))["policy"]

    assert score(live) == 0
    assert policy() == {"eval_crop": "full"}
    whole = read(live)
    assert score(live, "--data.eval_batch_size", "3") == 0
    assert "already scored" in capsys.readouterr().out
    assert score(live, "--data.eval_crop", "windows", "--data.eval_hop", "800", "--data.crop", "1600") == 0
    assert policy() == {"eval_crop": "windows", "crop": 1600, "eval_hop": 800, "pad": "repeat"}
    assert read(live) != whole
    assert score(live) == 0
    assert read(live) == whole

    wav = EVAL / "wav.scp"
    wav.write_text(wav.read_text(encoding="utf-8").replace("eval_000.flac", "eval_001.flac"), encoding="utf-8")
    assert score(live) == 0
    assert read(live)["eval_000"] == whole["eval_001"]
    weights = load_weights(live / "model.safetensors")
    save_weights({key: value + 1 for key, value in weights.items()}, live / "model.safetensors")
    before = read(live)
    assert score(live) == 0
    assert read(live) != before


def test_only_the_policy_can_be_changed(live, capsys):
    assert score(live, "--backend.init_args.num_outputs", "3") == 1
    one_line(capsys, "'--backend.init_args.num_outputs': the system stays as it was trained", "--data.eval_crop")
    assert score(live, "--data.eval_crop", "last") == 1
    one_line(capsys, "data.eval_crop")
    assert score(live, "--data.eval_hop", "100") == 1
    one_line(capsys, "data.eval_hop")
    assert main(["detect", "--exp", str(live), "--data.pad", "zero", "audio/eval/eval_000.flac"]) == 1
    one_line(capsys, "'--data.pad': the system stays as it was trained")


SMALL_BATCHES = ("--embeddings", "--data.eval_batch_size", "2")


def files(exp: Path) -> dict[str, bytes]:
    folder = exp / "eval"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("kind", ["cached", "live"])
def test_a_killed_run_goes_on(request, kind, monkeypatch):
    exp = request.getfixturevalue(kind)
    assert score(exp, *SMALL_BATCHES) == 0
    whole = files(exp)
    assert sorted(whole) == ["embeddings.ark", "embeddings.scp", "scores.json", "scores.txt"]
    shutil.rmtree(exp / "eval")
    with monkeypatch.context() as patch:
        done = count_forwards(patch, most=3)
        assert score(exp, *SMALL_BATCHES) == 130
    assert not (exp / "eval/scores.txt").exists()
    (journal,) = exp.glob("eval/.scores/*.journal")
    with open(journal, "a", encoding="utf-8") as file:
        file.write("eval_0")  # a line cut in the middle
    rest = count_forwards(monkeypatch)
    assert score(exp, *SMALL_BATCHES) == 0
    assert files(exp) == whole
    assert sorted(done + rest) == sorted(read(exp))


def test_a_run_that_the_system_kills_goes_on(live):
    assert score(live, *SMALL_BATCHES) == 0
    whole = files(live)
    shutil.rmtree(live / "eval")
    forward, calls = System.forward, []

    def killed(self, batch):
        calls.append(batch)
        if len(calls) > 3:
            os.kill(os.getpid(), signal.SIGKILL)  # no file is closed or flushed
        return forward(self, batch)

    child = os.fork()
    if child == 0:
        System.forward = killed
        os._exit(score(live, *SMALL_BATCHES))
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (live / "eval/scores.txt").exists()
    assert score(live, *SMALL_BATCHES) == 0
    assert files(live) == whole


def test_an_array_job_gives_the_files_of_a_single_one(cached, monkeypatch, capsys):
    jobs = (*SMALL_BATCHES, "--num-jobs", "4")
    assert score(cached, *SMALL_BATCHES) == 0
    whole = files(cached)
    shutil.rmtree(cached / "eval")
    for job in "1", "3", "4":
        assert score(cached, *jobs, "--job", job) == 0
    with monkeypatch.context() as patch:
        count_forwards(patch, most=1)
        assert score(cached, *jobs, "--job", "2") == 130
    capsys.readouterr()
    assert score(cached, *jobs, "--collect") == 1
    one_line(capsys, "shard 2 of 4 is not finished", "have no score, first 'eval_")
    seen = count_forwards(monkeypatch)
    assert score(cached, *jobs, "--job", "3") == 0
    assert "shard 3 of 4 is already scored" in capsys.readouterr().out
    assert score(cached, *jobs, "--job", "2") == 0
    assert len(seen) == 2  # the batches that the killed job had not finished
    assert score(cached, *jobs, "--collect") == 0
    assert files(cached) == whole
    assert score(cached, *jobs, "--job", "1") == 0
    assert "already scored" in capsys.readouterr().out
    assert score(cached, *jobs, "--job", "5") == 1
    one_line(capsys, "--job 5: must be between 1 and --num-jobs 4")


def test_another_number_of_jobs_goes_on(live, monkeypatch):
    assert score(live, "--data.eval_batch_size", "2") == 0
    whole = files(live)
    shutil.rmtree(live / "eval")
    for job in "1", "2":
        assert score(live, "--data.eval_batch_size", "2", "--num-jobs", "3", "--job", job) == 0
    seen = count_forwards(monkeypatch)
    assert score(live, "--data.eval_batch_size", "2") == 0
    assert len(seen) == 4
    assert files(live) == whole


def test_parts_of_other_scores_count_for_nothing(live, monkeypatch):
    with monkeypatch.context() as patch:
        count_forwards(patch, most=2)
        assert score(live, *SMALL_BATCHES) == 130
    seen = count_forwards(monkeypatch)
    assert score(live, *SMALL_BATCHES, "--data.eval_crop", "first") == 0
    assert len(seen) == 12
    vectors = ArchiveReader(live / "eval/embeddings.scp")
    assert score(live) == 0  # the embeddings belong to the earlier scores
    assert list(vectors) == sorted(read(live))
    assert not list((live / "eval").glob("embeddings.*"))


@EVERY
@pytest.mark.parametrize("frames", [50, 131])
def test_embedding_is_what_the_last_linear_layer_gets(name, frames):
    backend = make(name).eval().requires_grad_(False)
    last = LastLinear(backend)
    outputs = backend(*make_inputs(name, 3, frames))
    embeddings = last.input(3)
    layers = [m for m in backend.modules() if isinstance(m, nn.Linear) and m.out_features == backend.num_outputs]
    if not layers:  # one layer per output
        with pytest.raises(InputError, match="and no single embedding"):
            _check_last_layer(backend)
        return
    _check_last_layer(backend)
    layer = layers[-1]
    assert embeddings.shape == (3, layer.in_features)
    if name != "SLS":  # whose later layers are not linear
        torch.testing.assert_close(layer(embeddings), outputs, atol=1e-5, rtol=1e-4)


def test_embeddings_belong_to_their_utterances(make_data, make_exp):
    make_data("eval", 6)
    exp = make_exp(**AASIST)
    assert score(exp, "--embeddings") == 0
    weights, vectors = load_weights(exp / "model.safetensors"), ArchiveReader(exp / "eval/embeddings.scp")
    assert list(vectors) == sorted(read(exp))
    for utt, value in read(exp).items():
        bonafide = vectors[utt] @ weights["backend.out_layer.weight"].numpy()[1]
        assert bonafide + float(weights["backend.out_layer.bias"][1]) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("loss", ["OCSoftmax", "AMSoftmax", "P2SGrad"])
def test_embeddings_of_margin_losses_are_what_is_compared_with_the_directions(make_data, make_exp, loss):
    make_data("eval", 4)
    exp = make_exp(
        backend={"class_path": "LinearProbe", "init_args": {"input_dim": 60, "num_outputs": 8}},
        task={
            "class_path": "Detection",
            "init_args": {"loss": {"class_path": f"spooftrace.tasks.losses.{loss}", "init_args": {"dim": 8}}},
        },
    )
    assert score(exp, "--embeddings") == 0
    vectors, task = ArchiveReader(exp / "eval/embeddings.scp"), load_experiment(exp).task
    embeddings = torch.from_numpy(np.stack([vectors[utt] for utt in read(exp)]))
    assert task.scores(embeddings).tolist() == pytest.approx(list(read(exp).values()), abs=1e-6)


def test_a_system_is_built_once_for_all_sets(make_data, live, monkeypatch):
    make_data("other", 3)
    built, init = [], System.__init__
    monkeypatch.setattr(System, "__init__", lambda self, *arguments: built.append(1) or init(self, *arguments))
    assert main(["score", "--exp", str(live), "--data", "data/eval", "data/other"]) == 0
    assert (live / "other/scores.txt").exists()
    assert len(built) == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda exp: (exp / "model.safetensors").unlink(), "run stage 4"),
        (lambda exp: (exp / "model.safetensors").write_bytes(b"\0" * 40), "not a readable model file"),
        (lambda exp: save_weights({"backend.fc1.bias": torch.ones(1)}, exp / "model.safetensors"), "do not fit"),
        (lambda exp: Path("dump/lfcc/eval/feats.scp").unlink(), "run stage 3"),
        (lambda exp: Path("data/eval/utt2spk").unlink(), "utt2spk"),
    ],
)
def test_what_is_missing_is_named(cached, capsys, damage, message):
    damage(cached)
    capsys.readouterr()
    assert score(cached) == 1
    one_line(capsys, message)


def test_weights_of_another_system_are_named(live, make_exp, capsys):
    other = make_exp("aasist", **AASIST)
    shutil.copy(other / "model.safetensors", live / "model.safetensors")
    assert score(live) == 1
    expected = "exp/live/model.safetensors", "do not fit config.yaml beside it"
    one_line(capsys, *expected, "they are weights of spooftrace.backends.AASIST")


@pytest.mark.parametrize("words", [["score", "--data", "data/eval"], ["detect", "audio/eval/eval_000.flac"]])
def test_an_experiment_that_is_not_there(make_data, capsys, words):
    make_data("eval", 1)
    assert main([*words, "--exp", "exp/absent"]) == 1
    one_line(capsys, "exp/absent/model.safetensors: no trained model there; run stage 4")


def test_sets_of_one_name_do_not_overwrite_each_other(live, capsys):
    shutil.copytree(EVAL, "data/more/eval")
    assert score(live, "--data", "data/eval", "data/more/eval") == 1
    one_line(capsys, "data/eval and data/more/eval have the same last name", "--out")
    assert not (live / "eval").exists()
    assert score(live, "--data", "data/eval", "data/eval") == 0


def test_a_score_that_is_no_number_names_its_utterance(live, monkeypatch, capsys):
    forward = System.forward

    def overflow(self, batch):
        wrong = torch.tensor([utt == "eval_004" for utt in batch["utt"]])
        return forward(self, batch).masked_fill(wrong.unsqueeze(1), float("nan"))

    monkeypatch.setattr(System, "forward", overflow)
    assert score(live, "--data.eval_batch_size", "3") == 1
    one_line(capsys, "data/eval: utterance 'eval_004': the score is not finite; its audio is valid", "NaN")
    monkeypatch.setattr(System, "forward", forward)
    assert score(live, "--data.eval_batch_size", "3") == 0


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_no_numbers_are_not_blamed_on_the_audio(live, value, capsys):
    weights = load_file(live / "model.safetensors")
    name = next(name for name, weight in weights.items() if weight.is_floating_point())
    save_file(weights | {name: torch.full_like(weights[name], float(value))}, live / "model.safetensors")
    assert score(live) == 1
    one_line(capsys, "the score is not finite; the model has NaN or infinite weights", "model.safetensors")


def test_an_utterance_below_the_receptive_field(make_data, make_exp, capsys):
    make_data("eval", 4)
    exp = make_exp(**{**AASIST, "backend": {"class_path": "AASIST"}})  # needs 2,315 samples
    wave = read_audio("audio/eval/eval_002.flac")
    soundfile.write("audio/eval/eval_002.flac", wave[:2000], 16000)
    capsys.readouterr()
    assert score(exp) == 1
    one_line(
        capsys, "utterance 'eval_002' (2,000 samples (0.125 s))", "at least 2315 samples", "--data.eval_crop windows"
    )
    assert score(exp, "--data.eval_crop", "windows") == 0
    assert len(read(exp)) == 4
    capsys.readouterr()
    assert score(exp, "--data.eval_crop", "windows", "--data.crop", "1000") == 1
    one_line(capsys, "--data.crop 1000 is too short for this system")
    assert main(["detect", "--exp", str(exp), "audio/eval/eval_001.flac", "audio/eval/eval_002.flac"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("spooftrace detect: error: audio/eval/eval_002.flac (2,000 samples (0.125 s)): AASIST")


def test_a_crop_below_the_receptive_field_stops_the_training(make_data, write_config, capsys):
    make_data("eval", 4)
    data = {"crop": 1000, "num_workers": 0, "batch_size": 2}
    config = write_config(**{**AASIST, "backend": {"class_path": "AASIST"}}, data=data)
    words = ["--config", str(config), "--train", str(EVAL), "--dev", str(EVAL), "--exp", "exp/short"]
    assert main(["train", *words]) == 1
    one_line(capsys, "(1,000 samples (0.062 s))", "at least 2315 samples", "--data.crop 1000 is too short")


def test_reduced_precision_is_of_the_front_end_only(live, capsys):
    assert score(live, "--precision", "fp16") == 1
    one_line(capsys, "--precision fp16: this processor has no instructions for it")

    class Front(nn.Linear):
        def forward(self, wave, wave_len):
            return super().forward(wave).unsqueeze(2), wave_len

    torch.manual_seed(0)
    front = Front(30, 20)
    wave, wave_len = torch.randn(2, 30), torch.tensor([30, 30])
    exact, _ = front(wave, wave_len)
    features, lengths = InPrecision(front, "bf16", torch.device("cpu"))(wave, wave_len)
    assert features.dtype == torch.float32
    assert lengths is wave_len
    assert not torch.equal(features, exact)
    torch.testing.assert_close(features, exact, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("kind", ["cached", "live"])
def test_detect_gives_the_scores_of_the_stages(request, kind, capsys):
    exp, audio = request.getfixturevalue(kind), ["audio/eval/eval_003.flac", "audio/eval/eval_001.flac"]
    for policy in [], ["--data.eval_crop", "windows", "--data.crop", "1600"]:
        assert score(exp, *policy) == 0
        capsys.readouterr()
        assert main(["detect", "--exp", str(exp), *policy, *audio]) == 0
        shown = [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]
        assert [name for _, name in shown] == audio
        found = [float(value) for value, _ in shown]
        assert found == pytest.approx([read(exp)["eval_003"], read(exp)["eval_001"]], abs=1e-3)
    assert main(["detect", "--exp", str(exp), "absent.wav"]) == 1
    one_line(capsys, "absent.wav: no such audio file")
