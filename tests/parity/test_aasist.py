"""AASIST and AASIST-L compute what clovaai/aasist computes."""

import numpy as np
import pytest
import torch
from backend_cases import assert_equals_stored, check_stored, official_keys, reference
from helpers.tolerance import assert_equal_up_to_rounding

from spooftrace.backends import AASIST
from spooftrace.backends.parts.sinc import sinc_filters

AASIST_L = {"channels": [32, 32, 24, 24, 24, 24], "gat_dims": [24, 32], "pool_ratios": [0.4, 0.5, 0.7]}
VARIANTS = pytest.mark.parametrize(
    ("name", "init_args", "parameters"), [("aasist", {}, 297_866), ("aasist_l", AASIST_L, 85_306)]
)


def small_aasist() -> AASIST:
    """Two residual blocks and few bands, for what does not depend on the published sizes."""
    torch.manual_seed(0)
    return AASIST(sinc_filters=12, sinc_taps=17, channels=[4, 6], gat_dims=[8, 6])


def test_sinc_bank_equals_official():
    official = reference("aasist_sinc_bank")["outputs"]["band_pass"]  # asked for 128 taps, makes 129
    assert torch.equal(sinc_filters(70, 129), official)


def test_sinc_filters_pass_their_band_only():
    filters = sinc_filters(10, 255)
    response = np.abs(np.fft.rfft(filters.numpy(), 4096))  # (F, 2049), 0 to 8000 Hz
    peaks = response.argmax(axis=1) * 8000 / 2048
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 11) / 2595) - 1)
    assert ((peaks >= edges[:-1]) & (peaks <= edges[1:])).all()
    assert np.allclose(response.max(axis=1), 1, atol=0.15)
    assert torch.equal(filters, filters.flip(1))  # symmetric: linear phase


@pytest.mark.parametrize(
    ("name", "init_args"),
    [("aasist_random", {}), ("aasist_l_random", AASIST_L), ("aasist_l_official_ckpt", AASIST_L)],
)
def test_outputs_equal_official(name, init_args):
    case = reference(name)
    model = AASIST(**init_args).eval()
    model.load_state_dict(case["state_dict"], strict=True)
    seen = {}
    for layer in ("conv_time", "encoder", "GAT_layer_S", "pool_S", "pool_T", "drop"):
        getattr(model, layer).register_forward_hook(lambda _m, _x, y, layer=layer: seen.update({layer: y}))
    with torch.no_grad():
        logits = model.double()(case["inputs"]["x"][:1].double())  # the first item: float64 is slow
    outputs = case["outputs"]

    def agree(ours, key):
        assert_equals_stored(ours, outputs[key][:1])

    agree(seen["conv_time"].abs().mean(dim=2), "conv_time_mean_abs")
    assert_equals_stored(seen["encoder"][0].contiguous(), outputs["encoder_first_item"])
    agree(seen["GAT_layer_S"], "gat_S")
    agree(seen["pool_S"], "pool_S")
    agree(seen["pool_T"], "pool_T")
    agree(seen["drop"], "last_hidden")
    agree(logits, "logits")


@VARIANTS
def test_keys_and_shapes_equal_official(name, init_args, parameters):
    ours = {key: tuple(tensor.shape) for key, tensor in AASIST(**init_args).state_dict().items()}
    assert ours == official_keys(name)


@VARIANTS
def test_stored_outputs(name, init_args, parameters):
    check_stored(name, parameters)


def test_any_length_from_min_samples_on():
    model = small_aasist().eval()
    for samples in (model.min_samples, model.min_samples + 1, 1000, 20001):
        assert model(torch.randn(2, samples)).shape == (2, 2)
    assert AASIST().min_samples == 2315
    assert AASIST().eval()(torch.randn(1, 2315)).isfinite().all()


@pytest.mark.parametrize("shape", [(2315,), (1, 1, 4000), (2, 2314)])
def test_wrong_input_is_named(shape):
    with pytest.raises(ValueError, match=r"\(B, N\) with N of at least 2315 samples; got \("):
        AASIST()(torch.zeros(shape))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="pool_ratios and temperatures 3 each"):
        AASIST(pool_ratios=[0.5, 0.7, 0.5, 0.5])
    with pytest.raises(ValueError, match="odd number of taps"):
        AASIST(sinc_taps=128)


def test_items_of_a_batch_are_independent_in_eval_mode():
    model = small_aasist().eval()
    wave = torch.randn(3, 4000)
    with torch.no_grad():
        together, alone = model(wave), torch.cat([model(item[None]) for item in wave])
    assert_equal_up_to_rounding(together, alone, model)


def test_gradients_reach_every_live_parameter():
    """The dead ones are the `bn1` of every block but the first, as in the official code."""
    model = AASIST()
    dead = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert dead == {f"encoder.{i}.0.bn1.{kind}" for i in range(1, 6) for kind in ("weight", "bias")}
    model(torch.randn(2, 8000)).square().sum().backward()
    for name, p in model.named_parameters():
        if name in dead:
            continue
        assert p.grad is not None and p.grad.isfinite().all(), name
        if not name.endswith("bias"):  # a bias just before a batch norm has zero gradient
            assert p.grad.abs().sum() > 0, name


def test_dropout_in_training_as_published():
    model = small_aasist()
    by_rate = {0.2: set(), 0.3: set(), 0.5: set()}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            by_rate[module.p].add(name)
    gat = {"GAT_layer_S", "GAT_layer_T"} | {f"HtrgGAT_layer_ST{i}" for i in (11, 12, 21, 22)}
    pools = {"pool_S", "pool_T", "pool_hS1", "pool_hT1", "pool_hS2", "pool_hT2"}
    assert by_rate[0.2] == {f"{layer}.input_drop" for layer in gat} | {"drop_way"}
    assert by_rate[0.3] == {f"{layer}.drop" for layer in pools}
    assert by_rate[0.5] == {"drop"}
    wave = torch.randn(2, 1000)
    assert not torch.equal(model(wave), model(wave))
    model.eval()
    assert torch.equal(model(wave), model(wave))
