"""Nes2Net-X computes what Liu-Tianchi/Nes2Net and Liu-Tianchi/Nes2Net_ASVspoof_ITW compute."""

import pytest
import torch
from backend_cases import check_stored, official_keys, reference

from spooftrace.backends import Nes2NetX

PREFIX = "Nested_Res2Net_TDNN."  # of the back-end in the official checkpoints
CTRSVDD = {"dilation": 1, "num_outputs": 1}


@pytest.mark.parametrize(
    ("name", "init_args", "parameters"),
    [
        ("nes2net_x_asvspoof_mean", {}, 512_039),
        ("nes2net_x_ctrsvdd_mean", CTRSVDD, 511_014),
        ("nes2net_x_ctrsvdd_astp", {**CTRSVDD, "pool": "astp"}, 775_334),
    ],
)
def test_outputs_equal_official(name, init_args, parameters):
    case = reference(name)
    model = Nes2NetX(**init_args).eval()
    model.load_state_dict(case["state_dict"], strict=True)
    assert sum(p.numel() for p in model.parameters()) == parameters
    features = case["inputs"]["feat_BCT"]  # (B, D, T)
    with torch.no_grad():
        block0 = model.Build_in_Res2Nets[0](features[:, :128])
        output = model(features.transpose(1, 2))
    torch.testing.assert_close(block0, case["outputs"]["block0_out"], atol=1e-5, rtol=0)
    torch.testing.assert_close(output, case["outputs"]["logits"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "init_args"), [("nes2net_x_asvspoof_without_ssl", {}), ("nes2net_x_ctrsvdd_without_ssl", CTRSVDD)]
)
def test_keys_and_shapes_equal_official(name, init_args):
    official = {key: shape for key, shape in official_keys(name).items() if not key.startswith("ssl_model.")}
    ours = {PREFIX + key: tuple(tensor.shape) for key, tensor in Nes2NetX(**init_args).state_dict().items()}
    assert ours == official


@pytest.mark.parametrize(
    ("name", "parameters"), [("nes2net_x", 512_039), ("nes2net_x_ctrsvdd", 511_014), ("nes2net_x_astp", 775_334)]
)
def test_stored_outputs(name, parameters):
    check_stored(name, parameters)


@pytest.mark.parametrize("input_dim", [768, 512, 64, 1280, 104])
@pytest.mark.parametrize("pool", ["mean", "astp"])
def test_other_widths(input_dim, pool):
    model = Nes2NetX(input_dim=input_dim, num_outputs=3, pool=pool).eval()
    assert model(torch.randn(2, 7, input_dim)).shape == (2, 3)
    assert model(torch.randn(1, 1, input_dim)).shape == (1, 3)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"multiple of 8 and at least 64 .* got 1025"):
        Nes2NetX(input_dim=1025)
    with pytest.raises(ValueError, match="got 56"):
        Nes2NetX(input_dim=56)
    with pytest.raises(ValueError, match="pool must be mean or astp"):
        Nes2NetX(input_dim=64, pool="max")


@pytest.mark.parametrize("shape", [(2, 64), (2, 64, 50), (2, 0, 64), (1, 2, 9, 64)])
def test_wrong_input_is_named(shape):
    with pytest.raises(ValueError, match=r"frames \(B, T, 64\); got \("):
        Nes2NetX(input_dim=64)(torch.zeros(shape))


def test_items_of_a_batch_do_not_meet_in_eval():
    torch.manual_seed(0)
    model = Nes2NetX(input_dim=128, pool="astp").eval()
    frames = torch.randn(3, 11, 128)
    with torch.no_grad():
        together, alone = model(frames), torch.cat([model(item[None]) for item in frames])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "astp"])
def test_gradients_reach_every_parameter(pool):
    torch.manual_seed(0)
    model = Nes2NetX(input_dim=128, pool=pool)
    model(torch.randn(4, 12, 128)).square().sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        if not name.endswith("bias"):
            assert p.grad.abs().sum() > 0, name
