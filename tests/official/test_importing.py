"""Official checkpoints become experiments, with random weights under the official names."""

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml
from helpers.official_files import AASIST_L, Whole, fairseq_names, randomised, recording, saved, tiny, with_ssl

from spooftrace.backends import AASIST, LCNN, SLS, Nes2NetX
from spooftrace.cli import main as cli
from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config
from spooftrace.official import OFFICIAL_CHECKPOINTS, SYSTEMS
from spooftrace.official.importing import import_system
from spooftrace.official.matching import looks_like
from spooftrace.system.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def aasist_l():
    return randomised(AASIST(**AASIST_L))


@pytest.fixture(scope="module")
def network():
    """A self-supervised model as wide as those whose number of heads is known without settings."""
    return tiny("wav2vec2", True, width=768)


def detected(exp, file, capsys):
    """The score that the command line prints."""
    config = yaml.safe_load((exp / "config.yaml").read_text())
    config["data"] |= {"eval_crop": "full", "num_workers": 0}
    (exp / "config.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["detect", "--exp", str(exp), str(file)]) == 0
    return float(capsys.readouterr().out.splitlines()[-1].split()[0])


def test_a_file_becomes_an_experiment_that_scores(tmp_path, capsys, aasist_l):
    file, wave = recording(tmp_path)
    exp = tmp_path / "an exp" / "aasist_l_official"
    words = ["import-checkpoint", "aasist_l", saved(tmp_path, aasist_l.state_dict()), "--out", exp]
    assert cli.main([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"official\.pth: shape of AASIST-L \(clovaai/aasist\), 85,306 parameters\nsha256: [0-9a-f]{64}\n", printed
    )
    assert "tensors: 229 imported, 0 left out\n" in printed and "2019 LA" not in printed
    assert "trained on: unknown (not recorded in the file)\n" in printed
    assert "not in the file, assumed: order of the classes: as in clovaai/aasist\n" in printed
    with torch.no_grad():
        expected = aasist_l(wave.unsqueeze(0))[0, 1]
    assert detected(exp, file, capsys) == pytest.approx(float(expected), abs=1e-3)  # as printed
    assert {path.name for path in exp.iterdir()} >= {"config.yaml", "model.safetensors", "run.json"}
    made = json.loads((exp / "run.json").read_text())
    assert (made["system"], made["seed"], made["parameters"]["total"]) == ("aasist_l", None, 85_306)
    assert made["imported"]["repository"] == "clovaai/aasist" and made["imported"]["file"] == "official.pth"


def test_an_option_may_stand_between_the_words(tmp_path, aasist_l):
    path = saved(tmp_path, aasist_l.state_dict())
    assert cli.main(["import-checkpoint", "aasist_l", "--out", str(tmp_path / "exp"), str(path)]) == 0
    assert (tmp_path / "exp" / "model.safetensors").exists()


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_self_supervised_model_comes_with_the_file(tmp_path, capsys, network, monkeypatch, prefix):
    monkeypatch.setenv("SPOOFTRACE_MODELS", str(tmp_path / "no models"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    backend = randomised(Nes2NetX(input_dim=768))
    official = {f"Nested_Res2Net_TDNN.{name}": tensor for name, tensor in backend.state_dict().items()}
    path = saved(tmp_path, with_ssl(network, official, prefix))
    made = import_system("nes2net_x", path, tmp_path / "exp")
    assert made.checkpoint.title == "Nes2Net-X, ASVspoof 2019 and 2021" and made.needs is None
    assert made.dropped == {
        "quantizer.vars": "for pre-training only", "project_q.weight": "for pre-training only",
        "masked_spec_embed": "masks frames in pre-training",
    }  # fmt: skip
    assert "dilation: 2 (as in the official recipe)" in made.assumed
    path.unlink()
    exp = (tmp_path / "exp").rename(tmp_path / "moved elsewhere")
    file, wave = recording(tmp_path)
    with torch.no_grad():
        expected = backend(network(wave.unsqueeze(0)).last_hidden_state)[0, 1]
    assert detected(exp, file, capsys) == pytest.approx(float(expected), abs=1e-3)


def test_layers_up_to_the_last_one_that_is_used(tmp_path, network):
    backend = SLS(input_dim=768)
    made = import_system("sls", saved(tmp_path, with_ssl(network, backend.state_dict())), tmp_path / "exp")
    assert set(made.dropped.values()) >= {"after the last layer that is used"}
    arguments = load_config([tmp_path / "exp" / "config.yaml"]).streams["ssl"]["init_args"]
    assert (arguments["output"], arguments["layers"], arguments["normalize"]) == ("layers", [1, 2], False)


def test_a_pickled_module_with_bona_fide_first(tmp_path, monkeypatch, capsys):
    backend = randomised(LCNN())
    module = types.ModuleType("model")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "model", module)
        patched.setattr(Whole, "__module__", "model")
        module.Whole = Whole
        path = saved(tmp_path, Whole(backend.state_dict()), "anti-spoofing_feat_model.pt")
    words = ["import-checkpoint", "lcnn", str(path), "--out", str(tmp_path / "exp")]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert "needs: facebook/wav2vec2-xls-r-300m, which is not in the file" in printed
    assert "score: the log-odds of bona fide; the official code writes their probability" in printed
    state = load_weights(tmp_path / "exp" / "model.safetensors")
    for name, tensor in backend.state_dict().items():
        ours = state[f"backend.{name}"]
        assert torch.equal(ours.flip(0) if name.startswith("fc_mu.") else ours, tensor), name
    config = load_config([tmp_path / "exp" / "config.yaml"]).as_dict()
    assert config["task"]["init_args"]["score"] == "difference"
    assert (
        config["streams"]["ssl"]["init_args"] | {"layers": [5], "normalize": True, "finetune": False}
        == (config["streams"]["ssl"]["init_args"])
    )


def refused(tmp_path, system, state, message):
    path = saved(tmp_path, state)
    with pytest.raises(InputError, match=message) as error:
        import_system(system, path, tmp_path / "exp")
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["official.pth"]  # Nothing half-made is left.


def test_another_system_is_named(tmp_path, network, aasist_l):
    refused(tmp_path, "sls", aasist_l.state_dict(), "not sls: it holds no self-.*; it looks like aasist_l$")
    refused(tmp_path, "aasist", aasist_l.state_dict(), r"93 tensors missing, unknown or .*; it looks like aasist_l$")
    sls = with_ssl(network, SLS(input_dim=768).state_dict())
    refused(tmp_path, "w2v2_aasist", sls, r"official\.pth: not w2v2_aasist: .*, first \S+; it looks like sls$")
    refused(tmp_path, "aasist", sls, "not aasist: it holds a self-supervised model of fairseq, .* it looks like sls$")
    refused(
        tmp_path, "attm_lstm", {"conv.weight": torch.ones(2)}, "holds no self-supervised model, attm_lstm is of unilm$"
    )
    stray = with_ssl(tiny("wav2vec2", True, width=768, layers=1), {"stray": torch.ones(1)})  # too few layers for SEA
    refused(tmp_path, "sls", stray, "not sls: .*; changed, damaged")
    refused(tmp_path, "sls", fairseq_names(network, True), "a self-supervised model alone, no sls; import it without")
    with pytest.raises(InputError, match="no system 'aasist2' to import; choose from aasist, aasist_l, "):
        import_system("aasist2", tmp_path / "official.pth", tmp_path / "exp")


def test_what_is_missing_unknown_or_damaged_is_told(tmp_path, network, aasist_l):
    state = aasist_l.state_dict()
    less = {name: tensor for name, tensor in state.items() if name != "pos_S"}
    refused(tmp_path, "aasist_l", less, "not aasist_l: 1 tensor missing, .*, first pos_S; changed, damaged, or another")
    refused(tmp_path, "aasist_l", state | {"extra": torch.ones(1)}, r"1 tensor .*, first extra; changed")
    refused(
        tmp_path, "aasist_l", state | {"pos_S": torch.full((1, 23, 24), torch.nan)}, "NaN or infinite .*first pos_S"
    )
    refused(tmp_path, "aasist_l", {"epoch": 3}, "has no tensors")
    refused(tmp_path, "aasist_l", {"model": state, "hook": print}, r"refused: it uses \S*print")
    broken = with_ssl(network, SLS(input_dim=768).state_dict())
    del broken["ssl_model.model.encoder.layers.1.fc2.bias"]
    refused(tmp_path, "sls", broken, r"not a Wav2Vec2Model: tensors 1 missing \(encoder\.layers\.1\.feed_forward")
    broken = with_ssl(network, {"stray": torch.ones(1)} | SLS(input_dim=768).state_dict())
    refused(tmp_path, "sls", broken, "not sls: 1 tensor missing, unknown or of another shape, first stray; changed")


def test_counters_of_an_averaged_checkpoint_are_whole_numbers_again(tmp_path, aasist_l):
    state = {name: tensor.double() / 1 for name, tensor in aasist_l.state_dict().items()}
    import_system("aasist_l", saved(tmp_path, state), tmp_path / "exp")
    for name, tensor in load_weights(tmp_path / "exp" / "model.safetensors").items():
        assert tensor.dtype == (torch.int64 if name.endswith("num_batches_tracked") else torch.float32)


def test_an_experiment_that_is_there_is_left_alone(tmp_path, capsys, aasist_l):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "run.json").write_text("precious")
    path = saved(tmp_path, aasist_l.state_dict())
    assert cli.main(["import-checkpoint", "aasist_l", str(path), "--out", str(tmp_path / "exp")]) == 1
    assert "exists already" in capsys.readouterr().err
    words = ["import-checkpoint", "aasist_l", str(path), "--out", str(tmp_path / "new"), "--format", "unilm"]
    assert cli.main(words) == 1
    assert "--format applies only to self-supervised models" in capsys.readouterr().err


def test_similar_systems(aasist_l):
    assert looks_like(aasist_l.state_dict()) == ["aasist_l"]
    nes2net = {f"Nested_Res2Net_TDNN.{name}": tensor for name, tensor in Nes2NetX(input_dim=512).state_dict().items()}
    assert looks_like(nes2net) == ["nes2net_x"]
    assert looks_like({"weight": torch.ones(1)}) == []


def test_names_of_systems_without_torch():
    code = "import sys, spooftrace.cli.import_checkpoint as c; print(c.SYSTEMS); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == str(SYSTEMS)


OVERRIDES = {  # checkpoints whose settings are those of a recipe
    "Nes2Net-X, ASVspoof 5": "asvspoof5",
    "Nes2Net-X, CtrSVDD": "ctrsvdd",
    "W2V2-AASIST of Codecfake": "codecfake",
}


@pytest.mark.parametrize("checkpoint", OFFICIAL_CHECKPOINTS, ids=lambda checkpoint: checkpoint.title)
def test_an_imported_system_computes_what_the_recipes_train(tmp_path, checkpoint):
    """The streams, the back-end, the task and the cropping of ``conf/systems``, so that scores can be compared."""
    files = [ROOT / "conf" / "systems" / f"{checkpoint.system}.yaml"]
    if recipe := OVERRIDES.get(checkpoint.title):
        files.append(ROOT / "egs" / recipe / "conf" / f"{checkpoint.system}.yaml")
    trained = load_config(files).as_dict()
    sizes = (1024, 12 if checkpoint.system == "attm_lstm" else 24)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(checkpoint.config(*sizes)))
    imported = load_config([tmp_path / "config.yaml"]).as_dict()
    for config in (trained, imported):
        arguments = config["streams"].get("ssl", {}).get("init_args", {})
        arguments.pop("frozen_layers", None)  # of training
        if "output" in arguments:
            arguments["layers"] = arguments["layers"] or ([-1] if arguments["output"] == "last" else [*range(1, 25)])
        if weight := config["task"]["init_args"].get("class_weight"):
            config["task"]["init_args"]["class_weight"] = [value / sum(weight) for value in weight]
    for part in ("streams", "backend", "task"):
        assert imported[part] == trained[part]
    for key in ("crop", "pad", "eval_crop"):
        assert imported["data"][key] == trained["data"][key]
    for key in ("lr", "weight_decay"):
        assert imported["optimizer"]["init_args"][key] == trained["optimizer"]["init_args"][key]
