"""Same weights, same numbers: transformers, fairseq, s3prl and torchaudio on tiny random models of each family.

Each package that is not installed is skipped, with the command that installs it. ``pytest -s`` shows the differences.
"""

import importlib.util

import pytest
import torch
import transformers

from spooftrace.common.errors import InputError
from spooftrace.frontends import S3PRL, Fairseq, HuggingFace, TorchAudio
from spooftrace.pretrained import fairseq_wav2vec2, torchaudio_wav2vec2, unilm_wavlm

LENGTHS = [6400, 6399, 100, 401, 720, 3333]  # 6400 samples are 19 frames, an odd number: fairseq adds one
LAYERS = 3
CLASSES = {"wav2vec2": "Wav2Vec2Model", "hubert": "HubertModel", "wavlm": "WavLMModel"}
MODELS = [f"{family}-{size}" for family in CLASSES for size in ("base", "large")]
FAIRSEQ = [model for model in MODELS if not model.startswith("wavlm")]
PAIRS = [
    *(("fairseq", model) for model in FAIRSEQ),
    *(("s3prl", model) for model in MODELS),
    *(("torchaudio", model) for model in MODELS),
]
TOLERANCE = 1e-5  # of numbers up to about 4; each package sums in its own order


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Return a function: name of a model -> folder and weights of a random model of transformers, created once."""
    made = {}

    def make(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            torch.manual_seed(0)
            model_class = getattr(transformers, CLASSES[name.partition("-")[0]])
            large = name.endswith("large")
            model = model_class(
                model_class.config_class(
                    hidden_size=32, num_hidden_layers=LAYERS, num_attention_heads=4, intermediate_size=48,
                    conv_dim=[16] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, conv_bias=large,
                    do_stable_layer_norm=large, feat_extract_norm="layer" if large else "group", num_buckets=32,
                )
            )  # fmt: skip
            with torch.no_grad():
                for key, parameter in model.named_parameters():  # No bias is 0, no scale is 1.
                    parameter += (0.02 if "original" in key else 0.1) * torch.randn_like(parameter)
            model.save_pretrained(folder)
            transformers.Wav2Vec2FeatureExtractor(do_normalize=large).save_pretrained(folder)
            made[name] = str(folder), model.state_dict()
        return made[name]

    return make


@pytest.fixture(scope="module")
def provide(reference, tmp_path_factory):
    """Return a function: package, model, arguments -> front-end with the weights of transformers' model."""
    files = {}

    def make(package, model, **arguments):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: tools/install_{package}.sh")
        if (package, model) not in files:
            file = tmp_path_factory.mktemp(package) / f"{model}.pt"
            torch.save(WRITERS[package](model, reference(model)[1]), file)
            files[package, model] = str(file)
        return OPENERS[package](model, files[package, model], arguments)

    make.files = files
    return make


def translated(network, rename, weights):
    """The state dict of ``network`` with transformers' ``weights``; missing ones stay unchanged."""
    state = {}
    for name, tensor in network.state_dict().items():
        ours = list(rename({name: tensor}))
        known = all(key in weights for key in ours)
        state[name] = torch.cat([weights[key] for key in ours]) if known else tensor  # WavLM's are packed in threes.
        assert known or name.startswith(("final_proj", "label_embs", "quantizer", "project_q")), name
    return state


def fairseq_settings(model):
    large = model.endswith("large")
    return {
        "extractor_mode": "layer_norm" if large else "default", "layer_norm_first": large, "conv_bias": large,
        "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * 2", "encoder_layers": LAYERS,
        "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 48, "encoder_attention_heads": 4, "conv_pos": 8,
        "conv_pos_groups": 4, "encoder_layerdrop": 0.5, "final_dim": 8,
    }  # fmt: skip


def write_fairseq(model, weights):
    from spooftrace.frontends.providers import _fairseq_network

    settings = fairseq_settings(model) | {"_name": model.replace("-base", "").replace("-large", "")}
    state = translated(_fairseq_network(settings), fairseq_wav2vec2.renamed, weights)
    state["final_proj.weight"] = torch.zeros(8, 32)  # As in a released file: what only pre-training needs.
    return {"cfg": {"model": settings, "task": {"normalize": model.endswith("large")}}, "model": state}


def write_s3prl(model, weights):
    from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertModel, HubertPretrainingConfig
    from s3prl.upstream.utils import merge_with_parent
    from s3prl.upstream.wav2vec2.wav2vec2_model import Wav2Vec2Config, Wav2Vec2Model
    from s3prl.upstream.wavlm.WavLM import WavLM, WavLMConfig

    settings = fairseq_settings(model)
    task = {"normalize": model.endswith("large"), "data": "", "sample_rate": 16000}
    if model.startswith("wavlm"):
        settings |= {"relative_position_embedding": True, "num_buckets": 32, "max_distance": 800}
        settings |= {"gru_rel_pos": True, "normalize": task["normalize"]}
        rename = lambda state: fairseq_wav2vec2.renamed(state, unilm_wavlm.NAMES)  # noqa: E731
        return {"cfg": settings, "model": translated(WavLM(WavLMConfig(settings)), rename, weights)}
    content = {"task_cfg": task, "model_cfg": settings}
    if model.startswith("hubert"):
        content["dictionaries_symbols"] = [["0", "1"]]
        settings["label_rate"] = 50
        network = HubertModel(
            merge_with_parent(HubertConfig, settings), merge_with_parent(HubertPretrainingConfig, task), [["0", "1"]]
        )
    else:
        network = Wav2Vec2Model(merge_with_parent(Wav2Vec2Config, settings))
    return content | {"model_weight": translated(network, fairseq_wav2vec2.renamed, weights)}


def torchaudio_bundle(model):
    from torchaudio.pipelines import Wav2Vec2Bundle

    large = model.endswith("large")
    params = {
        "extractor_mode": "layer_norm" if large else "group_norm", "extractor_conv_bias": large,
        "extractor_conv_layer_config": [(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2], "encoder_embed_dim": 32,
        "encoder_projection_dropout": 0.1, "encoder_pos_conv_kernel": 8, "encoder_pos_conv_groups": 4,
        "encoder_num_layers": LAYERS, "encoder_num_heads": 4, "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 48, "encoder_ff_interm_dropout": 0.1, "encoder_dropout": 0.1,
        "encoder_layer_norm_first": large, "encoder_layer_drop": 0.5, "aux_num_out": None,
    }  # fmt: skip
    wavlm = model.startswith("wavlm")
    params |= {"encoder_num_buckets": 32, "encoder_max_distance": 800} if wavlm else {}
    return Wav2Vec2Bundle("", params, 16000, large, "WavLM" if wavlm else "Wav2Vec2")


def write_torchaudio(model, weights):
    import torchaudio

    bundle = torchaudio_bundle(model)
    build = torchaudio.models.wavlm_model if bundle._model_type == "WavLM" else torchaudio.models.wav2vec2_model
    return translated(build(**bundle._params), torchaudio_wav2vec2.renamed, weights)


def open_torchaudio(model, file, arguments):
    import torchaudio.pipelines

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchaudio.pipelines, "TINY", torchaudio_bundle(model), raising=False)
        return TorchAudio("TINY", checkpoint=file, **arguments)


WRITERS = {"fairseq": write_fairseq, "s3prl": write_s3prl, "torchaudio": write_torchaudio}
OPENERS = {
    "fairseq": lambda model, file, arguments: Fairseq(file, **arguments),
    "s3prl": lambda model, file, arguments: S3PRL(f"{model.partition('-')[0]}_local", file, **arguments),
    "torchaudio": open_torchaudio,
}


@pytest.fixture
def batch():
    wave = torch.randn(len(LENGTHS), max(LENGTHS), generator=torch.Generator().manual_seed(1)) * 0.1 + 0.02
    return wave, torch.tensor(LENGTHS)


@pytest.mark.parametrize("package, model", PAIRS)
def test_same_weights_same_numbers(reference, provide, batch, package, model):
    chosen = {"output": "layers", "layers": [0, 1, 2, 3, -1]}
    ours, ours_len = HuggingFace(reference(model)[0], **chosen)(*batch)
    front_end = provide(package, model, **chosen)
    theirs, theirs_len = front_end(*batch)
    assert front_end.frozen and front_end.normalize == model.endswith("large")
    assert theirs_len.tolist() == ours_len.tolist() == front_end.num_frames(batch[1]).tolist()
    assert theirs.shape == ours.shape == (len(LENGTHS), 5, front_end.num_frames(max(LENGTHS)), 32)
    differences = (theirs - ours).abs().amax(dim=(0, 2, 3)).tolist()
    cells = "  ".join(f"{difference:.1e}" for difference in differences)
    print(f"\n{package:10} {model:14} layers 0 1 2 3 -1: {cells}   (of numbers up to {ours.abs().max():.1f})")
    assert max(differences) < TOLERANCE


@pytest.mark.parametrize("model", MODELS)
def test_equals_s3prls_own_hidden_states(provide, batch, model):
    front_end = provide("s3prl", model, output="layers", layers=[0, 1, 2, -1])
    import s3prl.hub

    upstream = getattr(s3prl.hub, f"{model.partition('-')[0]}_local")(ckpt=provide.files["s3prl", model]).eval()
    with torch.no_grad():
        expected = upstream([batch[0][0]])["hidden_states"]  # Normalises as its checkpoint says.
    output, _ = front_end(batch[0][:1], batch[1][:1])
    torch.testing.assert_close(output[0], torch.cat(expected)[:, : output.shape[2]], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("model", MODELS)
def test_equals_torchaudios_own_layers(provide, batch, model, monkeypatch):
    front_end = provide("torchaudio", model, output="layers")
    bundle = torchaudio_bundle(model)
    monkeypatch.setattr(bundle, "_get_state_dict", lambda _: torch.load(provide.files["torchaudio", model]))
    with torch.no_grad():
        expected, _ = bundle.get_model().extract_features(batch[0][:1])  # Normalises as the pipeline says.
    output, _ = front_end(batch[0][:1], batch[1][:1])
    torch.testing.assert_close(output, torch.stack(expected, dim=1), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("package", WRITERS)
def test_outputs_and_promises(reference, provide, batch, package):
    folder, _ = reference("wav2vec2-base")
    for arguments in ({}, {"layers": [2]}, {"output": "pooled", "layers": [1, 3]}, {"normalize": True}):
        ours = HuggingFace(folder, **{"normalize": False} | arguments)
        theirs = provide(package, "wav2vec2-base", **arguments)
        assert (theirs.layout, theirs.dim, theirs.frame_rate) == (ours.layout, ours.dim, ours.frame_rate)
        assert theirs.arguments() == ours.arguments()
        output, output_len = theirs(*batch)
        torch.testing.assert_close(output, ours(*batch)[0], atol=TOLERANCE, rtol=0)
        assert output_len.tolist() == theirs.num_frames(batch[1]).tolist()
        for row, (wave, length) in enumerate(zip(*batch, strict=True)):
            alone, _ = theirs(wave[None, :length], length[None])
            size = theirs.num_frames(int(length)) if theirs.layout == "frames" else None
            torch.testing.assert_close(output[row][:size], alone[0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("model", FAIRSEQ)
def test_fairseq_fine_tuned(provide, batch, tmp_path, model):
    expected, _ = provide("fairseq", model)(*batch)
    content = torch.load(provide.files["fairseq", model])
    weights = {f"w2v_encoder.w2v_model.{name}": tensor for name, tensor in content["model"].items()}
    weights["w2v_encoder.proj.weight"] = torch.zeros(30, 32)
    settings = {"model": {"_name": "wav2vec_ctc", "w2v_args": content["cfg"]}, "task": content["cfg"]["task"]}
    torch.save({"cfg": settings, "model": weights}, tmp_path / "tuned.pt")
    assert torch.equal(Fairseq(str(tmp_path / "tuned.pt"))(*batch)[0], expected)


@pytest.mark.parametrize("package", WRITERS)
def test_another_models_weights(provide, tmp_path, package):
    provide(package, "wav2vec2-base")  # Skips where it is not installed.
    torch.save(
        {"cfg": fairseq_settings("wav2vec2-base"), "model": {"linear.weight": torch.zeros(2, 2)}}, tmp_path / "x"
    )
    with pytest.raises(InputError, match="x"):
        OPENERS[package]("wav2vec2-base", str(tmp_path / "x"), {})
    with pytest.raises(InputError, match="no such file"):
        OPENERS[package]("wav2vec2-base", str(tmp_path / "y"), {})


class Payload:
    """Creates a file when an unpickler without restrictions reads it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("package", WRITERS)
def test_code_in_a_checkpoint_is_not_run(provide, tmp_path, package):
    provide(package, "wav2vec2-base")
    torch.save({"cfg": Payload(tmp_path / "proof"), "model": {}}, tmp_path / "x")
    with pytest.raises(InputError, match="x: "):
        OPENERS[package]("wav2vec2-base", str(tmp_path / "x"), {})
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("package, front_end", [("s3prl", S3PRL), ("torchaudio", TorchAudio)])
def test_unknown_names(provide, package, front_end):
    provide(package, "wav2vec2-base")
    with pytest.raises(InputError, match="'wavlm_giant'"):
        front_end("wavlm_giant")
