"""Nes2Net, Nes2Net-X and its SELU variant compute what Liu-Tianchi/Nes2Net and .../Nes2Net_ASVspoof_ITW compute."""

import pytest
import torch
import torch.nn.functional as F
from backend_cases import assert_equals_stored, check_stored, count, keys, official_keys, reference
from helpers.tolerance import assert_equal_up_to_rounding

from spooftrace.backends import Nes2Net, Nes2NetX
from spooftrace.backends.nes2net import InnerBlockX
from spooftrace.backends.parts.aggregation import AttentiveMerging, make_aggregation

CTRSVDD = {"dilation": 1, "num_outputs": 1}
# Where the parts of our back-end are in the official checkpoints. What else is under ssl_model. is the front-end.
PREFIXES = {"aggregation.": "ssl_model.", "": "Nested_Res2Net_TDNN."}


def official_name(key: str) -> str:
    ours = "aggregation." if key.startswith("aggregation.") else ""
    return PREFIXES[ours] + key.removeprefix(ours)


@pytest.mark.parametrize(
    ("model_class", "name", "init_args", "parameters"),
    [
        (Nes2Net, "nes2net_ctrsvdd_mean", CTRSVDD, 510_769),
        (Nes2NetX, "nes2net_x_asvspoof_mean", {}, 512_039),
        (Nes2NetX, "nes2net_x_ctrsvdd_mean", CTRSVDD, 511_014),
        (Nes2NetX, "nes2net_x_ctrsvdd_astp", {**CTRSVDD, "pool": "astp"}, 775_334),
    ],
)
def test_outputs_equal_official(model_class, name, init_args, parameters):
    case = reference(name)
    model = model_class(**init_args).eval()
    model.load_state_dict(case["state_dict"], strict=True)
    assert sum(p.numel() for p in model.parameters()) == parameters
    features = case["inputs"]["feat_BCT"]  # (B, D, T)
    with torch.no_grad():
        block0 = model.double().Build_in_Res2Nets[0](features[:, :128].double())
        output = model(features.transpose(1, 2).double())
    assert_equals_stored(block0, case["outputs"]["block0_out"])
    assert_equals_stored(output, case["outputs"]["logits"])


@pytest.mark.parametrize(("name", "kind"), [("sea", "sea"), ("weightedsum", "weighted_sum")])
def test_aggregation_equals_official(name, kind):
    case = reference(f"nes2net_agg_{name}")
    aggregation = make_aggregation(kind, num_layers=25, dim=1024)
    aggregation.load_state_dict(case["state_dict"], strict=True)
    with torch.no_grad():
        layers = case["inputs"]["hidden_states"].transpose(0, 1)  # (L, B, T, D) -> (B, L, T, D)
        frames = aggregation.double()(layers.double())
    assert_equals_stored(frames, case["outputs"]["feat_BTC"])


@pytest.mark.parametrize(
    ("model_class", "name", "init_args"),
    [
        (Nes2Net, "nes2net_ctrsvdd", {**CTRSVDD, "aggregation": "sea"}),
        (Nes2NetX, "nes2net_x_asvspoof", {}),
        (Nes2NetX, "nes2net_x_ctrsvdd", {**CTRSVDD, "aggregation": "sea"}),
        (Nes2NetX, "nes2net_x_selu_ctrsvdd", {**CTRSVDD, "aggregation": "sea", "activation": "selu"}),
    ],
)
def test_every_official_key_has_its_place(model_class, name, init_args):
    official = official_keys(f"{name}_without_ssl")
    assert {official_name(key): shape for key, shape in keys(model_class, **init_args).items()} == official


@pytest.mark.parametrize(
    ("model_class", "init_args", "parameters"),
    [
        (Nes2Net, CTRSVDD, 510_769),
        (Nes2Net, {**CTRSVDD, "aggregation": "sea"}, 510_769 + 400),
        (Nes2Net, {**CTRSVDD, "aggregation": "weighted_sum"}, 510_769 + 25),
        (Nes2NetX, {**CTRSVDD, "activation": "selu"}, 511_014),
        (Nes2NetX, {"dilation": 1}, 512_039),  # ASVspoof 5
    ],
)
def test_published_sizes(model_class, init_args, parameters):
    assert count(model_class, trained=True, **init_args) == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("nes2net_ctrsvdd", 510_769),
        ("nes2net_x", 512_039),
        ("nes2net_x_ctrsvdd", 511_014),
        ("nes2net_x_astp", 775_334),
        ("nes2net_x_selu_sea", 10_200),
    ],
)
def test_stored_outputs(name, parameters):
    check_stored(name, parameters)


def test_selu_block_step_by_step():
    """SELU replaces every ReLU but that of the gate; there is no reference output."""
    torch.manual_seed(0)
    block = InnerBlockX(channels=4, scale=2, dilation=1, activation=F.selu).eval()
    x = torch.randn(2, 4, 9)
    with torch.no_grad():
        first, last = block.bn1(F.selu(block.conv1(x))).split(2, dim=1)
        stack = torch.stack([last, first], dim=3)
        stack = block.bns[0](F.selu(block.convs[0](stack)))
        summed = 0.5 * stack[..., 0] + 0.5 * stack[..., 1]
        y = block.bn3(F.selu(block.conv3(torch.cat([summed, last], dim=1))))
        _, squeeze, relu, excite, _ = block.se.se
        assert isinstance(relu, torch.nn.ReLU)
        gate = torch.sigmoid(excite(squeeze(y.mean(dim=2, keepdim=True)).relu()))
        torch.testing.assert_close(block(x), y * gate + x)


def test_attentive_merging_of_ctrsvdd_step_by_step():
    torch.manual_seed(0)
    merging = AttentiveMerging(num_layers=5, dim=3)
    assert set(merging.state_dict()) == {"W", "W1", "W2", "linear_proj.weight", "linear_proj.bias"}
    layers = torch.randn(2, 5, 7, 3)
    with torch.no_grad():
        for item, merged in zip(layers, merging(layers), strict=True):
            scores = F.silu(torch.stack([layer.mean(dim=0) @ merging.W[:, 0] for layer in item]))
            gates = torch.sigmoid(F.silu(scores @ merging.W1) @ merging.W2)
            side_by_side = torch.stack([layer * gate for layer, gate in zip(item, gates, strict=True)], dim=2)
            torch.testing.assert_close(merged, merging.linear_proj(side_by_side.flatten(1)))  # D slow, L fast


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


def test_items_of_a_batch_are_independent_in_eval_mode():
    torch.manual_seed(0)
    model = Nes2NetX(input_dim=128, pool="astp").eval()
    frames = torch.randn(3, 11, 128)
    with torch.no_grad():
        together, alone = model(frames), torch.cat([model(item[None]) for item in frames])
    assert_equal_up_to_rounding(together, alone, model)


@pytest.mark.parametrize("pool", ["mean", "astp"])
def test_gradients_reach_every_parameter(pool):
    torch.manual_seed(0)
    model = Nes2NetX(input_dim=128, pool=pool)
    model(torch.randn(4, 12, 128)).square().sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        if not name.endswith("bias"):
            assert p.grad.abs().sum() > 0, name
