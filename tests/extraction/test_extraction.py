"""Stage 3: stored features equal live ones, killed jobs are continued, mistakes are reported."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tolerance import assert_equal_up_to_rounding
from safetensors.torch import load_file, save_file

from spooftrace.archive import ArchiveReader
from spooftrace.batching.build import make_batches, open_streams
from spooftrace.cli.main import main
from spooftrace.common.progress import Progress
from spooftrace.config.loading import load_config
from spooftrace.pretrained.finding import find_folder
from spooftrace.system.system import System


def extract(config: Path, data: Path, *options: str) -> int:
    return main(["extract", "--config", str(config), "--data", str(data), *options])


WHISPER = {"class_path": "Whisper", "init_args": {"model": "openai/whisper-base", "layer": 1, "padding": "none"}}
needs_whisper = pytest.mark.skipif(
    find_folder("openai/whisper-base") is None, reason="no Whisper weights; run tools/get_model.sh whisper-base"
)


@pytest.fixture(scope="module")
def random_xls_r(tmp_path_factory):
    """Save a tiny random model of the XLS-R architecture, and return its folder."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    large = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True, "conv_dim": [16] * 7}
    folder = tmp_path_factory.mktemp("random model")
    Wav2Vec2Model(Wav2Vec2Config(**sizes, **large, num_conv_pos_embedding_groups=4)).save_pretrained(folder)
    return {"model": str(folder), "normalize": True}


@pytest.mark.parametrize(
    ("name", "node", "dim"),
    [
        ("lfcc", {"class_path": "LFCC"}, 60),
        ("logmel", {"class_path": "LogMel"}, 80),
        ("random_xls_r", {"class_path": "HuggingFace"}, 32),
        pytest.param("whisper", WHISPER, 512, marks=needs_whisper),
    ],
)
def test_cached_and_live_give_the_same_outputs(make_data, write_config, request, name, node, dim):
    data = make_data("eval", 9)
    if name == "random_xls_r":
        node = {**node, "init_args": request.getfixturevalue(name)}
    backend = {"class_path": "LinearProbe", "init_args": {"input_dim": dim}}
    cached = write_config(streams={name: node}, backend=backend, data={"cached": [name], "eval_crop": "full"})
    assert extract(cached, data) == extract(cached, data, "--collect") == 0
    outputs, weights = [], None
    for overrides in ([], ["--data.cached", "[]"]):
        config = load_config([cached], overrides)
        streams = open_streams(config, Path("dump"), data)
        system = System(config, {name: stream.shape for name, stream in streams.items()}).eval()
        weights = weights or system.backend.state_dict()
        system.backend.load_state_dict(weights)
        batches = make_batches("dev", config, system, data, Path("dump"))
        with torch.inference_mode():
            groups = [group for batch in batches for group in batch]
            found = {u: row for group in groups for u, row in zip(group["utt"], system(group), strict=True)}
        outputs.append(torch.stack([found[utt] for utt in sorted(found)]))
    assert outputs[0].shape == (9, 2)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-4 if name == "whisper" else 1e-5)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend": {"class_path": "SLS"}}, "stream 'lfcc' has the layout frames, but backend SLS takes layers"),
        (
            {"streams": {"lfcc": {"class_path": "LFCC"}, "logmel": {"class_path": "LogMel"}}},
            "backend LinearProbe takes 1 streams, but the configuration has 2: lfcc, logmel",
        ),
    ],
)
def test_streams_that_do_not_fit_the_backend(make_data, write_config, capsys, changes, message, stored):
    make_data("train", 4)
    cached = list(changes.get("streams", ["lfcc"])) if stored else []
    config = write_config(**changes, data={"crop": 3200, "num_workers": 0, "cached": cached})
    if stored:
        assert extract(config, Path("data/train")) == extract(config, Path("data/train"), "--collect") == 0
    words = ["--train", "data/train", "--dev", "data/train", "--exp", "exp/x"]
    assert main(["train", "--config", str(config), *words]) == 1
    assert message in capsys.readouterr().err


def test_a_fine_tuned_model_trains_and_scores(make_data, write_config, random_xls_r):
    make_data("train", 8)
    make_data("dev", 6, seed=1)
    node = {"class_path": "HuggingFace", "init_args": {**random_xls_r, "finetune": True, "frozen_layers": 0}}
    backend = {"class_path": "LinearProbe", "init_args": {"input_dim": 32}}
    config = write_config(
        streams={"ssl": node}, backend=backend, data={"crop": 3200, "batch_size": 4, "num_workers": 0},
        trainer={"max_epochs": 2},
    )  # fmt: skip
    assert main(["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp", "exp/x"]) == 0
    assert main(["score", "--exp", "exp/x", "--data", "data/dev"]) == 0
    assert len(Path("exp/x/dev/scores.txt").read_text(encoding="utf-8").splitlines()) == 6
    start = load_file(Path(random_xls_r["model"]) / "model.safetensors")
    trained = load_file("exp/x/model.safetensors")
    name = "encoder.layers.1.attention.q_proj.weight"
    assert not torch.equal(trained[f"frontends.ssl.{name}"], start[name]), "the layers are trained"
    name = "feature_extractor.conv_layers.0.conv.weight"
    assert torch.equal(trained[f"frontends.ssl.{name}"], start[name]), "the convolutions stay as they were"


def test_parts_are_joined_and_a_second_run_does_nothing(make_data, write_config, capsys):
    data, config = make_data("eval", 7), write_config()
    for job in "123":
        assert extract(config, data, "--job", job, "--num-jobs", "3") == 0
    assert extract(config, data, "--num-jobs", "3", "--collect") == 0
    reader = ArchiveReader("dump/lfcc/eval/feats.scp")
    assert sorted(reader) == [f"eval_{number:03d}" for number in range(7)]
    before = Path("dump/lfcc/eval/feats.1.ark").stat().st_mtime_ns
    capsys.readouterr()
    assert extract(config, data) == 0
    assert "already extracted" in capsys.readouterr().out
    assert Path("dump/lfcc/eval/feats.1.ark").stat().st_mtime_ns == before


def test_more_jobs_than_utterances(make_data, write_config):
    data, config = make_data("eval", 2), write_config()
    for job in "1234":
        assert extract(config, data, "--job", job, "--num-jobs", "4") == 0
    assert extract(config, data, "--num-jobs", "4", "--collect") == 0
    assert len(ArchiveReader("dump/lfcc/eval/feats.scp")) == 2


def test_another_setting_or_other_audio_is_extracted_anew(make_data, write_config):
    data, config = make_data("eval", 3), write_config()
    assert extract(config, data) == extract(config, data, "--collect") == 0
    old = np.array(ArchiveReader("dump/lfcc/eval/feats.scp")["eval_000"])
    other = write_config("other.yaml", streams={"lfcc": {"class_path": "LFCC", "init_args": {"cmn": True}}})
    assert extract(other, data) == extract(other, data, "--collect") == 0
    assert not np.array_equal(old, ArchiveReader("dump/lfcc/eval/feats.scp")["eval_000"])
    (data / "wav.scp").write_text("".join(f"eval_00{n} audio/eval/eval_000.flac\n" for n in range(3)), encoding="utf-8")
    assert extract(other, data) == extract(other, data, "--collect") == 0
    reader = ArchiveReader("dump/lfcc/eval/feats.scp")
    same = [torch.from_numpy(np.array(reader[utt])) for utt in ("eval_000", "eval_002")]
    assert_equal_up_to_rounding(*same, sums=512)  # terms of a transform; kernels may depend on the position in a batch


def test_missing_part_is_named(make_data, write_config, capsys):
    data, config = make_data("eval", 4), write_config()
    assert extract(config, data, "--job", "1", "--num-jobs", "2") == 0
    assert extract(config, data, "--num-jobs", "2", "--collect") == 1
    assert "shard 2 of the extraction is not finished; run stage 3 again" in capsys.readouterr().err
    assert not Path("dump/lfcc/eval/feats.scp").exists()


def test_corrupt_audio_is_named_and_what_was_done_is_kept(make_data, write_config, capsys):
    data, config = make_data("eval", 6), write_config(data={"cached": ["lfcc"], "eval_batch_size": 1})
    broken = Path("audio/eval/eval_000.flac")  # one of the shortest, hence among the last
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    assert extract(config, data) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "audio/eval/eval_000.flac" in error
    kept = Path("dump/lfcc/eval/feats.1.scp.part").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in kept] == ["eval_004", "eval_003", "eval_002", "eval_001"]
    broken.write_bytes(content)
    assert extract(config, data) == extract(config, data, "--collect") == 0
    assert len(ArchiveReader("dump/lfcc/eval/feats.scp")) == 6


def test_another_number_of_jobs_begins_anew_and_leaves_nothing_behind(make_data, write_config):
    data, config = make_data("eval", 7), write_config()
    for job in "123":
        assert extract(config, data, "--job", job, "--num-jobs", "3") == 0
    for job in "12":
        assert extract(config, data, "--job", job, "--num-jobs", "2") == 0
    assert extract(config, data, "--num-jobs", "2", "--collect") == 0
    folder = Path("dump/lfcc/eval")
    assert len(ArchiveReader(folder / "feats.scp")) == 7
    assert not list(folder.glob("*.3.*"))


def test_an_interrupted_part_of_another_division_gives_no_key_twice(make_data, write_config):
    data, config = make_data("eval", 8), write_config(data={"cached": ["lfcc"], "eval_batch_size": 1})
    broken = Path("audio/eval/eval_000.flac")
    content = broken.read_bytes()
    broken.write_bytes(content[:500])
    assert extract(config, data) == 1  # leaves an interrupted shard 1 of 1, with utterances of the later shard 2 of 2
    broken.write_bytes(content)
    for job in "12":
        assert extract(config, data, "--job", job, "--num-jobs", "2") == 0
    assert extract(config, data, "--num-jobs", "2", "--collect") == 0
    assert len(ArchiveReader("dump/lfcc/eval/feats.scp")) == 8


def test_a_stream_made_anew_is_not_complete_meanwhile(make_data, write_config):
    data, config = make_data("eval", 4), write_config()
    assert extract(config, data) == extract(config, data, "--collect") == 0
    other = write_config("other.yaml", streams={"lfcc": {"class_path": "LFCC", "init_args": {"cmn": True}}})
    assert extract(other, data, "--job", "1", "--num-jobs", "2") == 0
    # Its lines would point into a new archive, at offsets with the same keys.
    assert not Path("dump/lfcc/eval/feats.scp").exists()


def test_a_feats_scp_that_lacks_utterances_is_collected_again(make_data, write_config, capsys):
    data, config = make_data("eval", 5), write_config()
    assert extract(config, data) == extract(config, data, "--collect") == 0
    scp = Path("dump/lfcc/eval/feats.scp")
    scp.write_text("".join(scp.read_text(encoding="utf-8").splitlines(True)[:3]), encoding="utf-8")
    capsys.readouterr()
    assert extract(config, data) == 0
    assert "already extracted" not in capsys.readouterr().out
    assert extract(config, data, "--collect") == 0
    assert len(ArchiveReader(scp)) == 5


@pytest.mark.parametrize("size", [None, 0, 3000])
def test_an_ark_that_is_gone_or_cut_short_is_made_again(make_data, write_config, capsys, size):
    data, config = make_data("eval", 6), write_config()
    for options in (["--job", "1"], ["--job", "2"], ["--collect"]):
        assert extract(config, data, *options, "--num-jobs", "2") == 0
    ark, other = (Path(f"dump/lfcc/eval/feats.{job}.ark") for job in (1, 2))
    content, untouched = ark.read_bytes(), other.stat().st_mtime_ns
    assert len(content) > 3000
    ark.unlink()
    if size is not None:
        ark.write_bytes(content[:size])
    capsys.readouterr()
    for options in (["--job", "1"], ["--job", "2"], ["--collect"]):
        assert extract(config, data, *options, "--num-jobs", "2") == 0
    assert "already extracted" not in capsys.readouterr().out
    assert ark.read_bytes() == content and other.stat().st_mtime_ns == untouched


def test_sets_of_other_weights_are_not_mixed(make_data, write_config, random_xls_r, tmp_path, capsys):
    sets = [make_data("train", 2), make_data("eval", 2)]
    model = tmp_path / "model"
    shutil.copytree(random_xls_r["model"], model)
    node = {"class_path": "HuggingFace", "init_args": {"model": str(model), "normalize": True}}
    config = write_config(streams={"xls_r": node}, data={"cached": ["xls_r"]})
    assert extract(config, sets[0]) == extract(config, sets[0], "--collect") == 0
    weights = load_file(model / "model.safetensors")
    weights["encoder.layer_norm.bias"] += 1
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert extract(config, sets[1]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "dump/xls_r/train: " in error and "other weights" in error
    shutil.rmtree("dump/xls_r/train")
    assert extract(config, sets[1]) == 0


def test_parts_of_different_precision_are_not_joined(make_data, write_config, capsys):
    data, config = make_data("eval", 4), write_config()
    assert extract(config, data, "--job", "1", "--num-jobs", "2") == 0
    assert extract(config, data, "--job", "2", "--num-jobs", "2", "--compress") == 0
    assert extract(config, data, "--num-jobs", "2", "--collect") == 1
    assert "stream.2.json: 'compress' differs from stream.1.json" in capsys.readouterr().err


def test_other_segments_are_other_audio(make_data, write_config):
    data, config = make_data("eval", 2), write_config()
    (data / "utt2dur").unlink()
    segments = "eval_000 eval_000 0.00 0.10\neval_001 eval_001 {} 0.20\n"
    (data / "segments").write_text(segments.format("0.05"), encoding="utf-8")
    assert extract(config, data) == extract(config, data, "--collect") == 0
    frames = ArchiveReader("dump/lfcc/eval/feats.scp").shape("eval_001")[0]
    (data / "segments").write_text(segments.format("0.00"), encoding="utf-8")
    assert extract(config, data) == extract(config, data, "--collect") == 0
    assert ArchiveReader("dump/lfcc/eval/feats.scp").shape("eval_001")[0] > frames


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--job", "3", "--num-jobs", "2"], "--job 3: must be between 1 and --num-jobs 2"),
        (["--batch-seconds", "0"], "--batch-seconds 0.0: must be above 0"),
        (["--precision", "fp16"], "--precision fp16: this processor has no instructions for it; use --precision fp32"),
    ],
)
def test_impossible_options(make_data, write_config, capsys, options, message):
    assert extract(write_config(), make_data("eval", 2), *options) == 1
    assert message in capsys.readouterr().err


def test_the_log_tells_speed_and_what_is_left(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with Progress("extracting", total=10, audio=7300.0) as progress:
        progress.skip(2, 100.0)
        now = 120.0
        progress.advance(1, 40.0)
    # 20 s of computation for 40 s of audio, and 7,160 s of audio are left.
    assert "extracting: 3 of 10, RTF 0.500, 59 min 40 s left" in capsys.readouterr().err


def test_fine_tuned_streams_cannot_be_cached(make_data, write_config, capsys, monkeypatch):
    from spooftrace.frontends import LFCC

    monkeypatch.setattr(LFCC, "finetune", True, raising=False)
    original = LFCC.__init__

    def finetuned(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.finetune = True

    monkeypatch.setattr(LFCC, "__init__", finetuned)
    assert extract(write_config(), make_data("eval", 2)) == 1
    assert "take it out of data.cached" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_extraction_goes_on(make_data, write_config):
    data = make_data("eval", 40)
    config = write_config(data={"cached": ["lfcc"], "eval_batch_size": 1})
    command = [sys.executable, "-m", "spooftrace.cli", "extract", "--config", str(config), "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    folder = Path("dump/lfcc/eval")
    while process.poll() is None and not list(folder.glob("*.part")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "feats.1.scp").exists()
    assert extract(config, data, "--collect") == 1
    assert extract(config, data) == extract(config, data, "--collect") == 0
    killed = {key: np.array(array) for key, array in ArchiveReader(folder / "feats.scp").items()}
    assert main(["extract", "--config", str(config), "--data", str(data), "--dump", "whole"]) == 0
    whole = ArchiveReader("whole/lfcc/eval/feats.1.scp")
    assert sorted(killed) == sorted(whole)
    assert all(np.array_equal(killed[key], whole[key]) for key in whole)
