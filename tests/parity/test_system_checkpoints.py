"""Official checkpoints become systems: every official tensor has its place, and the scores are the official ones."""

import argparse
from pathlib import Path

import pytest
import soundfile
import torch
import yaml
from backend_cases import official_keys, reference, set_weights

from spooftrace import backends
from spooftrace.cli.main import main
from spooftrace.datadir import DataDir, read_table
from spooftrace.frontends import HuggingFace
from spooftrace.official import OFFICIAL_CHECKPOINTS
from spooftrace.official.contents import PRETRAINING_ONLY, split_checkpoint
from spooftrace.official.importing import fill, skeleton, write_config
from spooftrace.official.matching import choose, looks_like
from spooftrace.system.system import count_parameters

FAIRSEQ, UNILM = "fairseq_xlsr300m_wav2vec2model", "unilm_wavlm_large"
TINY = {FAIRSEQ: "fairseq_wav2vec2_tiny_xlsr_style", UNILM: "unilm_wavlm_tiny_large_style"}
S3PRL, PLAIN, WRAPPED = "ssl_model.model.model.", "ssl_model.model.", "module.ssl_model.model."
PARTS = {  # one for each checkpoint: system, official back-end, self-supervised model, its prefix
    "AASIST": ("aasist", "aasist", None, ""),
    "AASIST-L": ("aasist_l", "aasist_l", None, ""),
    "W2V2-AASIST, LA": ("w2v2_aasist", "w2v2_aasist_without_ssl", FAIRSEQ, PLAIN),
    "W2V2-AASIST, DF": ("w2v2_aasist", "w2v2_aasist_without_ssl", FAIRSEQ, WRAPPED),
    "S_BIN of CodecFake+": ("s_bin", "codecfake_w2v2_aasist_S_BIN_without_ssl", FAIRSEQ, PLAIN),
    "SLS": ("sls", "sls_without_ssl", FAIRSEQ, WRAPPED),
    "SLS, reproduction": ("sls", "sls_without_ssl", FAIRSEQ, PLAIN),
    "Nes2Net-X, ASVspoof 2019 and 2021": ("nes2net_x", "nes2net_x_asvspoof_without_ssl", FAIRSEQ, PLAIN),
    "Nes2Net-X, ASVspoof 5": ("nes2net_x", "nes2net_x_asvspoof_without_ssl", UNILM, PLAIN),
    "Nes2Net, CtrSVDD": ("nes2net", "nes2net_ctrsvdd_without_ssl", UNILM, S3PRL),
    "Nes2Net-X, CtrSVDD": ("nes2net_x", "nes2net_x_ctrsvdd_without_ssl", UNILM, S3PRL),
    "Nes2Net-X-SeLU, CtrSVDD": ("nes2net_x_selu", "nes2net_x_selu_ctrsvdd_without_ssl", UNILM, S3PRL),
    "AttM + LSTM": ("attm_lstm", "attm_lstm", UNILM, "module.ssl_model."),
    "LCNN of Codecfake": ("lcnn", "lcnn_codecfake", None, ""),
    "W2V2-AASIST of Codecfake": ("w2v2_aasist", "w2v2_aasist_without_ssl", None, ""),
}


def backend_keys(name):
    if name != "attm_lstm":
        return official_keys(name)
    lstm = {key: tuple(tensor.shape) for key, tensor in reference("attm_lstm")["state_dict"].items()}
    merging = official_keys("attm_wavlm_large_12_detinit")
    return {f"feat_merge.{key}": size for key, size in merging.items()} | {f"decoder.{k}": s for k, s in lstm.items()}


def official_state(case):
    """Names of the file that the official code writes, without memory for the tensors."""
    system, backend, ssl, prefix = PARTS[case]
    keys = backend_keys(backend)
    wrapper = "module." if prefix.startswith("module.") else ""
    state = {wrapper + name: size for name, size in keys.items()}
    for name, size in official_keys(ssl).items() if ssl else ():
        if system == "attm_lstm" and name.startswith("encoder.layers.") and int(name.split(".")[2]) >= 12:
            continue  # The official code cuts them off.
        state[prefix + name] = size
    return {name: torch.empty(size, device="meta") for name, size in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "kept", "pretraining", "others", "parameters"),
    [
        ("AASIST", 229, 0, [], 297_866),
        ("AASIST-L", 229, 0, [], 85_306),
        ("W2V2-AASIST, LA", 666, 7, ["masked_spec_embed"], 315_884_938),
        ("W2V2-AASIST, DF", 666, 7, ["masked_spec_embed"], 315_884_938),
        ("S_BIN of CodecFake+", 666, 7, ["masked_spec_embed"], 315_884_938),
        (
            "SLS", 430, 7, ["masked_spec_embed", "encoder.layer_norm.weight", "encoder.layer_norm.bias"], 338_835_077,
        ),
        (
            "SLS, reproduction", 430, 7,
            ["masked_spec_embed", "encoder.layer_norm.weight", "encoder.layer_norm.bias"], 338_835_077,
        ),
        ("Nes2Net-X, ASVspoof 2019 and 2021", 981, 7, ["masked_spec_embed"], 315_949_735),
        ("Nes2Net-X, ASVspoof 5", 1047, 0, ["masked_spec_embed"], 315_964_135),
        ("Nes2Net, CtrSVDD", 1000, 0, ["masked_spec_embed"], 315_963_265),
        ("Nes2Net-X, CtrSVDD", 1049, 0, ["masked_spec_embed"], 315_963_510),
        ("Nes2Net-X-SeLU, CtrSVDD", 1049, 0, ["masked_spec_embed"], 315_963_510),
        (
            "AttM + LSTM", 272, 0,
            ["masked_spec_embed", "encoder.layer_norm.weight", "encoder.layer_norm.bias"], 215_564_722,
        ),
        ("LCNN of Codecfake", 42, 0, [], 4_111_074),
        ("W2V2-AASIST of Codecfake", 245, 0, [], 447_242),
    ],
)  # fmt: skip
def test_every_official_tensor_has_its_place(tmp_path, case, kept, pretraining, others, parameters):
    """The complete official key lists of the full-size models, names and shapes only."""
    system, file = PARTS[case][0], Path(case)
    state = official_state(case)
    parts = split_checkpoint(state, file)
    checkpoint = choose(system, parts, file)
    assert checkpoint.title.partition(",")[0] in case.replace("SLS", "XLS-R + SLS")
    model, needs = skeleton(write_config(checkpoint, parts, tmp_path), tmp_path)
    expected = model.own_state()
    filled, dropped = fill(expected, checkpoint, parts, file)
    assert {name: tensor.shape for name, tensor in filled.items()} == {n: t.shape for n, t in expected.items()}
    assert len(filled) == kept and len(filled) + len(dropped) == len(state)
    assert sum(why == PRETRAINING_ONLY for why in dropped.values()) == pretraining
    assert [name for name, why in dropped.items() if why != PRETRAINING_ONLY] == others
    assert count_parameters(model) == parameters
    assert (needs is None) == ("of Codecfake" not in case or case.startswith("S_BIN"))


@pytest.mark.slow
def test_each_checkpoint_looks_like_itself_and_like_no_other():
    seen = {}
    for case, (system, *_) in PARTS.items():
        parts = split_checkpoint(official_state(case), Path(case))
        seen[case] = looks_like(parts.backend, parts.sizes)
        assert system in seen[case]
    twins = {case: systems for case, systems in seen.items() if len(systems) > 1}
    assert set(twins) == {"Nes2Net-X, CtrSVDD", "Nes2Net-X-SeLU, CtrSVDD"}  # the same tensors
    elsewhere = {checkpoint.system for checkpoint in OFFICIAL_CHECKPOINTS if checkpoint.title.endswith("of CodecFake+")}
    assert {PARTS[case][0] for case in PARTS} | elsewhere == {checkpoint.system for checkpoint in OFFICIAL_CHECKPOINTS}


def stored_waves(folder, waves):
    """A data directory of exactly these samples."""
    names = {}
    for number, wave in enumerate(waves):
        soundfile.write(folder / f"{number}.wav", wave.numpy(), 16000, subtype="FLOAT")
        names[f"utt{number}"] = str(folder / f"{number}.wav")
    DataDir.write(folder / "data", {"wav.scp": names, "utt2spk": {utt: utt for utt in names}})
    return folder / "data"


def run(*words):
    assert main([str(word) for word in words]) == 0


def scores_of(exp, folder, waves):
    """What the command line says of these waves, in order."""
    run("score", "--exp", exp, "--data", stored_waves(folder, waves), "--dump", folder / "dump")
    scores = read_table(exp / "data" / "scores.txt")
    return torch.tensor([float(scores[f"utt{number}"]) for number in range(len(waves))])


def test_aasist_l_as_published_from_file_to_score(tmp_path):
    case = reference("aasist_l_official_ckpt")
    torch.save(case["state_dict"], tmp_path / "AASIST-L.pth")
    exp = tmp_path / "exp" / "aasist_l"
    run("import-checkpoint", "aasist_l", tmp_path / "AASIST-L.pth", "--out", exp)
    scores = scores_of(exp, tmp_path, case["inputs"]["x"])
    torch.testing.assert_close(scores, case["outputs"]["logits"][:, 1], atol=1e-5, rtol=0)


SEA = {"num_outputs": 1, "dilation": 1, "aggregation": "sea", "num_layers": 4}
TINY_BACKENDS = {  # what the 3 layers of 64 of the tiny reference models get
    "W2V2-AASIST, LA": ("W2V2AASIST", {}),
    "W2V2-AASIST, DF": ("W2V2AASIST", {}),
    "S_BIN of CodecFake+": ("W2V2AASIST", {}),
    "SLS": ("SLS", {}),
    "Nes2Net-X, ASVspoof 2019 and 2021": ("Nes2NetX", {}),
    "Nes2Net-X, ASVspoof 5": ("Nes2NetX", {"dilation": 1}),
    "Nes2Net, CtrSVDD": ("Nes2Net", SEA),
    "Nes2Net-X-SeLU, CtrSVDD": ("Nes2NetX", {**SEA, "activation": "selu"}),
    "AttM + LSTM": ("AttMLSTM", {"num_layers": 3}),
}


def official_name(case, name):
    """Where the official code keeps a tensor of our back-end."""
    if case.startswith("Nes2Net"):
        ours = "aggregation."
        return name.replace(ours, "ssl_model.") if name.startswith(ours) else f"Nested_Res2Net_TDNN.{name}"
    graph = ("GAT_", "HtrgGAT_", "pool_", "pos_S", "master", "out_layer")
    return f"binary_branch.{name}" if case.startswith("S_BIN") and name.startswith(graph) else name


def features_of(case, outputs):
    """What the official front-end gives the back-end."""
    layers = outputs["layer_results_16000"].transpose(0, 1)  # (L, B, T, D) -> (B, L, T, D)
    if case.startswith("SLS"):
        return layers
    return layers[:, 1:] if case.startswith("AttM") else outputs["x_16000"]  # AttM: no input of the first layer


@pytest.mark.slow
@pytest.mark.parametrize("case", TINY_BACKENDS)
def test_tiny_systems_score_what_the_official_front_end_and_the_back_end_give(tmp_path, case):
    system, _, ssl, prefix = PARTS[case]
    tiny = reference(TINY[ssl])
    class_name, init_args = TINY_BACKENDS[case]
    backend = getattr(backends, class_name)(input_dim=64, **init_args)
    set_weights(backend)
    wrapper = "module." if prefix.startswith("module.") else ""
    state = {wrapper + official_name(case, name): tensor for name, tensor in backend.state_dict().items()}
    state |= {prefix + name: tensor for name, tensor in tiny["state_dict"].items()}
    # Released files have no settings; those of the real sizes are known, these are not.
    content = {"epoch": 3, "model_state_dict": state, "args": argparse.Namespace(**tiny["meta"]["ctor_args"])}
    torch.save(content, tmp_path / "newest.pth")
    exp = tmp_path / "exp" / "imported"
    run("import-checkpoint", system, tmp_path / "newest.pth", "--out", exp)
    (tmp_path / "newest.pth").unlink()
    exp = exp.rename(tmp_path / "moved")  # Nothing outside of the folder is needed.
    config = yaml.safe_load((exp / "config.yaml").read_text())
    config["data"] |= {"crop": 16000, "num_workers": 0}
    (exp / "config.yaml").write_text(yaml.safe_dump(config))

    waves = tiny["inputs"]["wav_16000"]
    if "CtrSVDD" in case:  # s3prl normalises the wave, for which there is no reference: our front-end, another way
        torch.save({"cfg": tiny["meta"]["ctor_args"], "model": tiny["state_dict"]}, tmp_path / "ssl.pt")
        run("import-checkpoint", tmp_path / "ssl.pt", "--out", tmp_path / "ssl")
        front_end = HuggingFace(str(tmp_path / "ssl"), "layers", [0, 1, 2, -1], normalize=True)
        features, _ = front_end(waves, torch.full((len(waves),), 16000))
    else:
        features = features_of(case, tiny["outputs"])
    with torch.no_grad():
        outputs = backend.eval()(features)
    expected = outputs[:, -1] - outputs[:, 0] if case.startswith("S_BIN") else outputs[:, -1]
    torch.testing.assert_close(scores_of(exp, tmp_path, waves), expected, atol=1e-5, rtol=1e-5)
