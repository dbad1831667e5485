"""Imported checkpoints compute what fairseq and unilm compute with them: every layer, and the final output."""

import argparse

import pytest
import torch
from backend_cases import official_keys, reference
from helpers.tolerance import assert_equal_up_to_rounding

from spooftrace.frontends import HuggingFace
from spooftrace.pretrained.convert import find_weights, import_checkpoint


def as_released(case: dict, style: str) -> dict:
    """The checkpoint file that the projects themselves would write for this model."""
    settings = case["meta"]["ctor_args"]
    if style == "unilm":
        return {"cfg": settings, "model": case["state_dict"]}
    if style == "fairseq args":
        return {"args": argparse.Namespace(arch="wav2vec2", normalize=True, **settings), "model": case["state_dict"]}
    if style == "fairseq cfg":
        cfg = {"model": {"_name": "wav2vec2", **settings}, "task": {"_name": "audio_pretraining", "normalize": True}}
        return {"cfg": cfg, "args": None, "model": case["state_dict"], "last_optimizer_state": {"state": {}}}
    if style == "s3prl":
        return {"task_cfg": {"normalize": True}, "model_cfg": settings, "model_weight": case["state_dict"]}
    raise ValueError(style)


def imported(case, style, tmp_path):
    torch.save(as_released(case, style), tmp_path / "a file.pt")
    return import_checkpoint(tmp_path / "a file.pt", tmp_path / "folder")


@pytest.mark.parametrize("style", ["fairseq args", "fairseq cfg", "s3prl"])
def test_fairseq_wav2vec2(tmp_path, style):
    case = reference("fairseq_wav2vec2_tiny_xlsr_style")
    made = imported(case, style, tmp_path)
    assert (made.family, made.model_type, made.normalize, made.assumed) == ("fairseq", "wav2vec2", True, [])
    assert made.left_out == ["quantizer (3 tensors)", "project_q (2 tensors)", "final_proj (2 tensors)"]
    last = HuggingFace(str(tmp_path / "folder"), normalize=False)
    layers = HuggingFace(str(tmp_path / "folder"), "layers", normalize=False)
    for size in (3400, 4000, 16000):
        wave = case["inputs"][f"wav_{size}"]
        lengths = torch.full((len(wave),), size)
        assert_equal_up_to_rounding(last(wave, lengths)[0], case["outputs"][f"x_{size}"], last)
        expected = case["outputs"][f"layer_results_{size}"].transpose(0, 1)  # (L, B, T, D) -> (B, L, T, D)
        assert_equal_up_to_rounding(layers(wave, lengths)[0], expected, layers)


def test_unilm_wavlm(tmp_path):
    case = reference("unilm_wavlm_tiny_large_style")
    made = imported(case, "unilm", tmp_path)
    assert (made.family, made.model_type, made.normalize) == ("unilm", "wavlm", True)
    assert made.assumed == [] and made.left_out == []
    last = HuggingFace(str(tmp_path / "folder"), normalize=False)
    layers = HuggingFace(str(tmp_path / "folder"), "layers", layers=[0, 1, 2, 3], normalize=False)
    for size in (4000, 16000):
        wave = case["inputs"][f"wav_{size}"]
        lengths = torch.full((len(wave),), size)
        assert_equal_up_to_rounding(last(wave, lengths)[0], case["outputs"][f"x_{size}"], last)
        expected = case["outputs"][f"layer_results_{size}"].transpose(0, 1)  # entry 0 is the first layer's input
        assert_equal_up_to_rounding(layers(wave, lengths)[0], expected, layers)


@pytest.mark.parametrize(
    ("name", "class_name", "family", "sizes", "left_out", "parameters"),
    [
        ("fairseq_xlsr300m_wav2vec2model", "Wav2Vec2", "fairseq", {"conv_bias": True}, 7, 315_438_720),
        ("unilm_wavlm_large", "WavLM", "unilm", {"conv_bias": False}, 0, 315_453_120),
    ],
)
def test_names_and_shapes_of_the_official_models_fit(tmp_path, name, class_name, family, sizes, left_out, parameters):
    """The full-size models, names and shapes only."""
    import transformers

    shapes = official_keys(name)
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    found, weights, dropped = find_weights(state, tmp_path, "s3prl")
    assert found == family and len(dropped) == left_out
    config = getattr(transformers, f"{class_name}Config")(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
        feat_extract_norm="layer", do_stable_layer_norm=True, **sizes,
    )  # fmt: skip
    with torch.device("meta"):
        model = getattr(transformers, f"{class_name}Model")(config)
    ours = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert {key: tuple(tensor.shape) for key, tensor in weights.items()} == ours
    assert sum(tensor.numel() for tensor in weights.values()) == parameters
