"""Reports about official files, and imported systems against the official computation from waveform to score.

No official weights are to be had here: the models are tiny, with random weights under the official names.
"""

import re
import sys
import types

import numpy as np
import pytest
import soundfile
import torch
import transformers
from helpers.official_files import AASIST_L, Whole, randomised, recording, saved, tiny, with_ssl
from torch import nn
from torch.nn import functional as F

from spooftrace.backends import AASIST, W2V2AASIST, Nes2NetX
from spooftrace.cli import main as cli
from spooftrace.common.errors import InputError
from spooftrace.common.provenance import file_sha256
from spooftrace.official.importing import import_system
from spooftrace.official.known_files import KNOWN_FILES

ASVSPOOF5 = "8f10fe1d1ce3ac62c19f00b86dfaf79f86f464301d23e08726b16b02edbb601c"
MEL_LCNN = "d8b240a5d50782cf39780bb0ed4c75652cc405fb7aa0aeb1b433bf38faba5f43"


def imported(capsys, system, path, exp, *words):
    """Run the command and return its output."""
    assert cli.main(["import-checkpoint", system, str(path), "--out", str(exp), *words]) == 0
    return capsys.readouterr().out


def score_of(exp, file, capsys):
    assert cli.main(["detect", "--exp", str(exp), str(file)]) == 0
    return float(capsys.readouterr().out.splitlines()[-1].split()[0])


def test_the_table_of_known_files():
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in KNOWN_FILES)
    assert KNOWN_FILES[ASVSPOOF5].trained_on == "ASVspoof 5" and KNOWN_FILES[ASVSPOOF5].system == "aasist"


def test_files_are_known_by_their_sha256_and_not_by_their_shape(tmp_path, capsys, monkeypatch):
    """Two files of AASIST's shape, of which one stands in the table as the baseline of ASVspoof 5."""
    state = randomised(AASIST()).state_dict()
    path = saved(tmp_path, state, "best.pth")
    printed = imported(capsys, "aasist", path, tmp_path / "unknown")
    assert "trained on: unknown (not recorded in the file)\n" in printed and "2019 LA" not in printed
    assert "best.pth: shape of AASIST (clovaai/aasist), 297,866 parameters" in printed
    monkeypatch.setitem(KNOWN_FILES, file_sha256(path), KNOWN_FILES[ASVSPOOF5])
    printed = imported(capsys, "aasist", path, tmp_path / "known")
    assert "trained on: ASVspoof 5\n" in printed and "2019" not in printed and "order of the classes" not in printed
    assert "AASIST, baseline of ASVspoof 5 (asvspoof-challenge/asvspoof5 @fe23d3053a08, Baseline-AASIST/" in printed
    monkeypatch.setitem(KNOWN_FILES, file_sha256(path), KNOWN_FILES[MEL_LCNN])
    with pytest.raises(InputError, match=r"Mel-LCNN, .* of Codecfake .*: not a system that import-checkpoint supports"):
        import_system("aasist", path, tmp_path / "other")


@pytest.mark.parametrize("title", ["Nes2Net-X, ASVspoof 5", "Nes2Net-X, ASVspoof 2019 and 2021"])
def test_training_data_of_a_shape_is_unknown(tmp_path, capsys, title):
    family = "wavlm" if title.endswith("5") else "wav2vec2"
    state = randomised(Nes2NetX(input_dim=768)).state_dict()
    official = {f"Nested_Res2Net_TDNN.{name}": tensor for name, tensor in state.items()}
    path = saved(tmp_path, with_ssl(tiny(family, True, width=768), official))
    printed = imported(capsys, "nes2net_x", path, tmp_path / "exp")
    assert f"shape of {title} (" in printed and "trained on: unknown (not recorded in the file)\n" in printed


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("prefix", "container"), [("module.", "net"), ("_orig_mod.", "ema"), ("model.", "state_dict"), ("cm.", "params")]
)
def test_a_wrapped_file_scores_as_the_bare_one(tmp_path, capsys, kind, prefix, container):
    backend = randomised(AASIST(**AASIST_L))
    state = {
        f"{prefix}{name}": tensor.to(kind)
        for name, tensor in backend.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    content = {container: {**state, "total_ops": torch.zeros(1, dtype=torch.float64)}, "epoch": 7}
    printed = imported(capsys, "aasist_l", saved(tmp_path, content), tmp_path / "exp")
    assert f"in the file: weights under {container}\n" in printed and "not read: epoch\n" in printed
    assert f"prefix of every name, removed: {prefix}\n" in printed or f"taken out of the names: {prefix}\n" in printed
    assert f"of type {str(kind)[6:]}, taken over as float32\n" in printed and "1 counted by thop\n" in printed
    assert "assumed: num_batches_tracked: 0 in" in printed
    backend.load_state_dict({name.removeprefix(prefix): tensor.float() for name, tensor in state.items()}, strict=False)
    file, wave = recording(tmp_path)
    tiled = wave.repeat(13)[:64600]
    with torch.no_grad():
        expected = backend(tiled[None])[0, 1]
    assert score_of(tmp_path / "exp", file, capsys) == pytest.approx(float(expected), abs=1e-3)  # as printed


def test_quantised_weights_are_refused(tmp_path):
    state = AASIST(**AASIST_L).state_dict() | {"out_layer.weight": torch.ones(2, 160, dtype=torch.int8)}
    with pytest.raises(InputError, match=r"1 tensor of type int8, first backend\.out_layer\.weight: quantised"):
        import_system("aasist_l", saved(tmp_path, state), tmp_path / "exp")


@pytest.fixture(scope="module")
def xls_r(tmp_path_factory):
    """A random model of XLS-R's kind, as wide as the official one, in a models folder."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(3)
    config = transformers.Wav2Vec2Config(
        hidden_size=1024, num_hidden_layers=5, num_attention_heads=16, intermediate_size=16, conv_dim=[16] * 7,
        num_conv_pos_embeddings=8, do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True,
    )  # fmt: skip
    network = transformers.Wav2Vec2Model(config).eval()
    network.save_pretrained(folder / "wav2vec2-xls-r-300m")
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / "wav2vec2-xls-r-300m")
    return folder, network


@pytest.mark.parametrize(("rms", "samples"), [(0.0009, 70000), (0.00005, 20000)])
def test_codecfake_at_any_level(tmp_path, capsys, monkeypatch, xls_r, rms, samples):
    """Official computation: crop or tile, transformers' feature extractor, hidden_states[5], softmax of output 0."""
    folder, network = xls_r
    monkeypatch.setenv("SPOOFTRACE_MODELS", str(folder))
    backend = randomised(W2V2AASIST())
    module = types.ModuleType("model")  # as in the authors' scripts, which save the whole wrapped module
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "model", module)
        patched.setattr(Whole, "__module__", "model")
        module.Whole = Whole
        path = saved(tmp_path, nn.DataParallel(Whole(backend.state_dict())), "anti-spoofing_feat_model.pt")
    made = import_system("w2v2_aasist", path, tmp_path / "exp")
    assert "prefix of every name, removed: module." in made.notes and made.mapped == len(backend.state_dict())
    wave = (np.random.default_rng(5).standard_normal(samples) * rms).astype(np.float32)
    soundfile.write(tmp_path / "quiet.wav", wave, 16000, subtype="FLOAT")
    official = np.tile(wave, 64600 // samples + 1)[:64600]
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    values = extractor(official, sampling_rate=16000, return_tensors="pt").input_values
    fairseq = F.layer_norm(torch.from_numpy(official), (64600,))[None]
    expected, wrong = (log_odds(network, backend, wave) for wave in (values, fairseq))
    score = score_of(tmp_path / "exp", tmp_path / "quiet.wav", capsys)
    # Printed to 0.001; the rounding of float32 grows through norms of a random network.
    assert score == pytest.approx(expected, abs=0.01)
    assert abs(score - wrong) > 0.05


def log_odds(network, backend, wave):
    with torch.no_grad():
        hidden = network(wave, output_hidden_states=True).hidden_states[5]
        probability = F.softmax(backend(hidden).double(), dim=1)[0, 0]
    return float(torch.log(probability / (1 - probability)))
