"""W2V2-AASIST computes what TakHemlata/SSL_Anti-spoofing computes."""

import pytest
import torch
from backend_cases import assert_equals_stored, check_stored, count, keys, official_keys, reference

from spooftrace.backends import W2V2AASIST


def test_outputs_equal_official():
    case = reference("w2v2_aasist_backend")
    model = W2V2AASIST().eval()
    model.load_state_dict(case["state_dict"], strict=True)
    seen = {}
    for layer in ("encoder", "GAT_layer_S", "GAT_layer_T"):
        getattr(model, layer).register_forward_hook(lambda _m, _x, y, layer=layer: seen.update({layer: y}))
    for frames in (201, 99, 50):
        x = case["inputs"][f"feat_T{frames}"]
        with torch.no_grad():
            logits = model.double()(x.double())
        outputs = case["outputs"]
        assert_equals_stored(seen["GAT_layer_S"], outputs[f"gat_S_T{frames}"])
        assert_equals_stored(seen["GAT_layer_T"], outputs[f"gat_T_T{frames}"])
        assert_equals_stored(logits, outputs[f"logits_T{frames}"])
    assert seen["encoder"].shape == (2, 64, 42, 16)
    assert_equals_stored(seen["encoder"], outputs["encoder_T50"])


def test_published_size_and_keys():
    assert count(W2V2AASIST) == 447_242
    assert keys(W2V2AASIST) == official_keys("w2v2_aasist_without_ssl")


def test_stored_outputs():
    check_stored("w2v2_aasist", 447_242)


def test_only_the_unused_batch_norms_are_not_trained():
    model = W2V2AASIST()
    dead = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert dead == {f"encoder.{i}.0.bn1.{kind}" for i in range(1, 6) for kind in ("weight", "bias")}
    assert sum(p.numel() for p in model.parameters() if not p.requires_grad) == 512


@pytest.mark.parametrize("frames", [3, 4, 8])
def test_shortest_inputs(frames):
    model = W2V2AASIST(input_dim=16).eval()
    assert model(torch.randn(1, frames, 16)).isfinite().all()


def test_below_the_receptive_field():
    with pytest.raises(ValueError, match=r"takes frames \(B, T, 16\) with T of at least 3; got \(1, 2, 16\)"):
        W2V2AASIST(input_dim=16)(torch.randn(1, 2, 16))
