"""What SASTNet looks at: the numbers and the axes of the maps, the pair, and trained systems of all kinds."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers.small_backends import one_thread  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spooftrace.audio import read_audio
from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config, save_config
from spooftrace.datadir import DataDir
from spooftrace.extraction import collect, extract
from spooftrace.report.attention import (
    Attention,
    attend,
    difference,
    find_pair,
    over_time,
    relative_entropy,
    report_attention,
)
from spooftrace.system.experiment import load_experiment
from spooftrace.system.system import System
from spooftrace.system.weights import save_weights

SCRIPT = Path(__file__).resolve().parents[2] / "egs/codecfake_plus/local/attention.py"
DATA, DUMP = Path("data/eval"), Path("dump")
PAIR = ("p225_001", "p225_001_DAC24")
SIZES = {"encoder": [32, 1, 4], "decoder": [16, 1, 4], "fusion": [2, 4], "reduced_dim": 32}
# Two streams of 100 frames a second; LFCCs stand for Whisper's.
SASTNET = {"input_dim": 80, "num_outputs": 4, "semantic_dim": 60, "semantic_frames": 64, "image": [64, 48], **SIZES}
SYSTEM = {
    "streams": {"acoustic": {"class_path": "LogMel"}, "semantic": {"class_path": "LFCC"}},
    "backend": {"class_path": "SASTNet", "init_args": SASTNET},
    "task": {"class_path": "Attribution", "init_args": {"table": "utt2vq"}},
    "data": {"crop": 10240, "num_workers": 0},
    "trainer": {"max_epochs": 1, "monitor": "dev_error"},
}
NO_WHISPER = {
    "streams": {"mel": {"class_path": "LogMel"}},
    "backend": {"class_path": "SASTNet", "init_args": {**SASTNET, "semantic_dim": None}},
}


def rows_of_attention(shape):
    """Arrays (queries, keys) whose rows add up to 1."""
    weights = arrays.arrays(np.float64, shape, elements=st.floats(0, 1))
    return weights.map(lambda x: (x + 1e-9) / (x + 1e-9).sum(axis=1, keepdims=True))


@pytest.fixture
def corpus(recipe):
    """``data/eval`` with a bona fide utterance of 0.8 s, a shorter one, and a copy of each."""
    rng = np.random.default_rng(0)
    waves = {"p225_001": 0.1 * rng.standard_normal(12800), "p225_002": 0.1 * rng.standard_normal(6400)}
    copies = {f"{utt}_{codec}": np.convolve(waves[utt], np.ones(4) / 4, "same") for utt, codec in COPIES}
    tables = {name: {} for name in ("wav.scp", "utt2spk", "utt2label", "utt2dur")}
    for utt, wave in (waves | copies).items():
        soundfile.write(recipe / f"{utt}.flac", wave, 16000)
        tables["wav.scp"][utt], tables["utt2spk"][utt] = f"{utt}.flac", "p225"
        tables["utt2label"][utt] = "bonafide" if utt in waves else "spoof"
        tables["utt2dur"][utt] = f"{len(wave) / 16000:.4f}"
    return DataDir.write(DATA, tables)


COPIES = (("p225_001", "DAC24"), ("p225_001", "SpeechTokenizer_hubert_avg"), ("p225_002", "mini"))


@pytest.fixture
def make_exp(corpus, write_config):
    """Writes ``exp/<name>`` as a training leaves it, with random weights."""

    def make(name="sastnet_vq_s1", **changes):
        config = load_config([write_config(**{**SYSTEM, **changes})])
        torch.manual_seed(3)
        exp = Path("an exp") / name
        save_config(config, exp / "config.yaml")
        save_weights(System(config, {}).own_state(), exp / "model.safetensors")
        return exp

    return make


def maps_of(exp, utts=PAIR):
    return attend(load_experiment(exp), DATA, DUMP, utts)


@given(keys=st.integers(2, 9), data=st.data())
def test_relative_entropy(keys, data):
    found = relative_entropy(data.draw(rows_of_attention((3, keys))))
    assert -1e-12 <= found <= 1 + 1e-12
    assert relative_entropy(np.full((3, keys), 1 / keys)) == pytest.approx(1)
    assert relative_entropy(np.eye(keys)) == 0
    half = np.zeros((2, 2 * keys))
    half[0, :keys] = half[1, keys:] = 1 / keys
    assert relative_entropy(half) == pytest.approx(np.log(keys) / np.log(2 * keys))


@given(pair=st.tuples(rows_of_attention((4, 5)), rows_of_attention((4, 5))))
def test_difference(pair):
    assert 0 <= difference(*pair) <= 1 + 1e-12
    assert difference(*pair) == pytest.approx(difference(*reversed(pair)))
    assert difference(pair[0], pair[0]) == 0
    assert difference(np.eye(4), np.roll(np.eye(4), 1, axis=1)) == 1


def test_numbers_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="two or more keys"):
        relative_entropy(np.ones((3, 1)))
    with pytest.raises(ValueError, match="cannot be compared"):
        difference(np.ones((3, 2)), np.ones((2, 3)))


def test_maps_over_time():
    semantic, times, patches = 5, 4, 3
    acoustic = 1 + times * patches
    sa, cross = np.zeros((semantic, acoustic), np.float32), np.zeros((acoustic, semantic), np.float32)
    sa[2, 1 + 3 * patches + 1] = 1  # a patch of the last time
    sa[4, 0] = 1  # the class token
    cross[1 + patches : 1 + 2 * patches, 4] = 1  # the patches of the second time
    cross[0, 0] = 1
    found = Attention({"SA": sa, "AS": cross, "fusion": cross}, 1.0, patches, np.zeros((80, 2)), 1.0)
    expected = np.zeros((semantic, times))
    expected[2, 3] = acoustic / patches
    np.testing.assert_allclose(over_time("SA", found), expected)
    expected = np.zeros((times, semantic))
    expected[1, 4] = semantic
    np.testing.assert_allclose(over_time("AS", found), expected)
    even = Attention({"SA": np.full_like(sa, 1 / acoustic), "AS": cross}, 1.0, patches, np.zeros((80, 2)), 1.0)
    np.testing.assert_allclose(over_time("SA", even), 1, rtol=1e-6)


def labelled(*utts):
    labels = {utt: "bonafide" if utt.endswith("!") else "spoof" for utt in utts}
    labels = {utt.rstrip("!"): label for utt, label in labels.items()}
    return DataDir(Path("data/test"), {"utt2spk": dict.fromkeys(sorted(labels), "p"), "utt2label": labels})


def test_first_pair_by_name():
    codecfake = labelled("p225_003_DAC24", "p225_002!", "p225_002_SpeechTokenizer_hubert_avg", "p225_001!")
    assert find_pair(codecfake) == ("p225_002", "p225_002_SpeechTokenizer_hubert_avg")
    mini = labelled("klettres-ar-000!", "klettres-ar-000-rvq_time_q8", "klettres-ar-000-fac_freq_q8", "klettres-ar!")
    assert find_pair(mini) == ("klettres-ar-000", "klettres-ar-000-fac_freq_q8")
    for none in (labelled("a!", "b!"), labelled("p225_001!", "p225_0012", "p225_002_mini"), labelled("a-b", "a")):
        with pytest.raises(InputError, match="no copy UTT_CODEC or UTT-CODEC of a bona fide UTT"):
            find_pair(none)


def test_maps_are_those_of_the_model_in_scoring(make_exp):
    exp = make_exp()
    system = load_experiment(exp).system
    for utt, found in zip(PAIR, maps_of(exp), strict=True):
        wave = torch.from_numpy(read_audio(f"{utt}.flac", 16000)[:10240])[None]
        with torch.inference_mode():
            streams = [frontend(wave, torch.tensor([10240]))[0] for frontend in system.frontends.values()]
            expected = system.backend.attention_maps(*streams)
        assert found.maps.keys() == expected.keys() == {"SA", "AS", "fusion"}
        for name, one in expected.items():
            np.testing.assert_allclose(found.maps[name], one[0], atol=1e-6)
            np.testing.assert_allclose(found.maps[name].sum(axis=1), 1, rtol=1e-5)
        assert found.maps["SA"].shape == (32, 1 + 4 * 3) and found.maps["AS"].shape == (1 + 4 * 3, 32)
        assert (found.seconds, found.heard, found.patches) == (0.64, 0.64, 3)
        assert found.spectrogram.shape == (80, 65)


def test_cached_streams_give_the_same(make_exp):
    policy = {"crop": 10240, "num_workers": 0, "eval_crop": "full"}
    live = maps_of(make_exp("live", data=policy))
    exp = make_exp("cached", data={**policy, "cached": ["acoustic", "semantic"]})
    with pytest.raises(InputError, match="run stage 3"):
        maps_of(exp)
    for stream, node in load_config([exp / "config.yaml"]).streams.items():
        extract(node, DATA, DUMP / stream / "eval")
        collect(node, DATA, DUMP / stream / "eval", num_jobs=1)
    for one, other in zip(live, maps_of(exp), strict=True):
        for name in one.maps:
            np.testing.assert_allclose(one.maps[name], other.maps[name], atol=2e-3)  # stored in half precision
        assert one.seconds == other.seconds == 0.64


def test_a_short_utterance_is_shown_as_far_as_it_goes(make_exp):
    for policy in ("first", "full", "windows"):
        (found,) = maps_of(make_exp(policy, data={**SYSTEM["data"], "eval_crop": policy}), ["p225_002"])
        assert (found.heard, found.spectrogram.shape) == (0.4, (80, 41))


@pytest.mark.parametrize(("policy", "heard"), [("first", 0.5), ("windows", 0.5), ("full", 0.64)])
def test_a_crop_shorter_than_the_window_is_all_that_is_heard(make_exp, policy, heard):
    (found,) = maps_of(make_exp(data={"crop": 8000, "num_workers": 0, "eval_crop": policy}), PAIR[:1])
    assert (found.heard, found.seconds) == (heard, 0.64)


def test_report(make_exp):
    exp, figures = make_exp(), Path("the figures")
    lines = report_attention(exp, DATA, figures)
    assert lines[0].startswith(f"{exp}: attention over {PAIR[0]} and its copy {PAIR[1]}")
    bonafide, copy = maps_of(exp)
    header, *rows = [line.split("\t") for line in (figures / "sastnet_vq_s1_attention.tsv").read_text().splitlines()]
    assert header == ["map", "bonafide", "copy", "entropy_bonafide", "entropy_copy", "difference"]
    assert [row[:3] for row in rows] == [[name, *PAIR] for name in ("SA", "AS", "fusion")]
    for name, *_, first, second, apart in rows:
        assert float(first) == pytest.approx(relative_entropy(bonafide.maps[name]), abs=1e-6)
        assert float(second) == pytest.approx(relative_entropy(copy.maps[name]), abs=1e-6)
        assert float(apart) == pytest.approx(difference(bonafide.maps[name], copy.maps[name]), abs=1e-6)
        assert float(apart) > 0
    assert (figures / "sastnet_vq_s1_attention.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "changes",
    [
        {
            "streams": {"mel": {"class_path": "LogMel"}},
            "backend": {"class_path": "LinearProbe", "init_args": {"input_dim": 80, "num_outputs": 4}},
        },
        NO_WHISPER,
    ],
)
def test_other_systems_get_one_line(make_exp, changes):
    (line,) = report_attention(make_exp("s_vq_s1", **changes), DATA, Path("figures"))
    assert "s_vq_s1: not a SASTNet with semantic frames" in line
    assert not Path("figures").exists()


def test_bad_input(make_exp):
    exp = make_exp()
    with pytest.raises(InputError, match="no utterance 'p999_001'; name"):
        report_attention(exp, DATA, Path("figures"), ("p999_001", PAIR[1]))
    with pytest.raises(InputError, match=r"exp/none/model\.safetensors: no trained model there"):
        report_attention(Path("exp/none"), DATA, Path("figures"))
    (exp / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no trained model there"):
        report_attention(exp, DATA, Path("figures"))
    assert not Path("figures").exists()


def test_script(make_exp, monkeypatch, capsys):
    exp = make_exp()

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["attention.py", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return stopped.value.code, capsys.readouterr()

    code, printed = run(exp, DATA, "figures", "p225_002", "p225_002_mini")
    assert code == 0 and "p225_002 and its copy p225_002_mini" in printed.out
    code, printed = run(exp, DATA, "figures", "p225_002", "p225_009_mini")
    assert code == 1 and printed.err.startswith("attention.py: ") and printed.err.count("\n") == 1
    assert run(exp, DATA, "figures", "p225_002")[0] == 2
