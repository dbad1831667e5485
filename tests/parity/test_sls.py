"""SLS computes what QiShanZhang/SLSforASVspoof-2021-DF computes, and takes inputs of other lengths too."""

import pytest
import torch
from backend_cases import assert_equals_stored, check_stored, count, keys, official_keys, reference

from spooftrace.backends import SLS


def small_sls() -> SLS:
    torch.manual_seed(0)
    return SLS(input_dim=12, num_frames=9).eval()


def test_outputs_equal_official():
    case = reference("sls_small_T9")
    model = SLS(num_frames=9).eval()
    model.load_state_dict(case["state_dict"], strict=True)
    layers = case["inputs"]["layers_fp16_LTBC"].double().permute(2, 0, 1, 3)  # (L, T, B, D) -> (B, L, T, D)
    with torch.no_grad():
        gates, output = model.double().gates(layers), model(layers)
    assert_equals_stored(gates.unsqueeze(2), case["outputs"]["layer_weights_sigmoid"])
    assert_equals_stored(output, case["outputs"]["log_softmax"])


def test_published_size_and_keys():
    assert count(SLS) == 23_399_429
    assert keys(SLS) == official_keys("sls_without_ssl")


@pytest.mark.parametrize("name", ["sls_9_frames", "sls_long"])
def test_stored_outputs(name):
    check_stored(name, 67_653)


@pytest.mark.parametrize("frames", [9, 10, 11])
def test_what_pooling_by_three_drops_is_taken_in_one_piece(frames):
    """201 to 203 frames in the published size."""
    model, layers = small_sls(), torch.randn(2, 3, frames, 12)
    with torch.no_grad():
        torch.testing.assert_close(model(layers), model.classify(layers).log_softmax(dim=1))


def test_a_short_input_is_repeated():
    model, layers = small_sls(), torch.randn(2, 3, 4, 12)
    with torch.no_grad():
        torch.testing.assert_close(model(layers), model(torch.cat([layers, layers, layers[:, :, :1]], dim=2)))


def test_a_long_input_is_the_mean_of_windows_that_cover_it():
    model, layers = small_sls(), torch.randn(2, 3, 20, 12)
    with torch.no_grad():
        windows = [model.classify(layers[:, :, start : start + 9]) for start in (0, 6, 11)]
        torch.testing.assert_close(model(layers), torch.stack(windows).mean(dim=0).log_softmax(dim=1))


def test_outputs_are_log_probabilities_with_a_floor_under_the_logits():
    model = small_sls()
    with torch.no_grad():
        torch.testing.assert_close(model(torch.randn(4, 3, 30, 12)).exp().sum(dim=1), torch.ones(4))
        assert (model.classify(1e4 * torch.randn(4, 3, 9, 12)) > -1.7582).all()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="num_outputs must be 2 or more"):
        SLS(num_outputs=1)
    with pytest.raises(ValueError, match="3 or more; got 2 and 64"):
        SLS(input_dim=64, num_frames=2)
