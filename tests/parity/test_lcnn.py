"""LCNN computes what the class LCNN of xieyuankun/Codecfake computes."""

import zlib

import numpy as np
import pytest
import torch
from backend_cases import assert_equals_stored, check_stored, count, keys, official_keys, reference

from spooftrace.backends import LCNN


def reference_weights(key: str, shape: torch.Size) -> torch.Tensor:
    """The rule behind the reference model: weights that follow from their names."""
    z = np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF).standard_normal(tuple(shape)).astype(np.float32)
    if key.endswith("running_mean"):
        z = 0.1 * z
    elif key.endswith("running_var"):
        z = 0.75 + 0.5 * np.abs(z) / (1 + np.abs(z))
    elif len(shape) == 1:
        z = 0.05 * z  # there are no affine batch norms here: every vector is a bias
    else:
        z = z / np.sqrt(z[0].size)
    return torch.from_numpy(z.astype(np.float32))


def test_outputs_equal_official():
    case = reference("lcnn_w2v2_detinit")
    x = torch.from_numpy(np.random.RandomState(5150).standard_normal((1, 1, 1024, 201)).astype(np.float32))
    assert float(x.double().sum()) == pytest.approx(float(case["inputs"]["sum_check"]), abs=0.01)
    model = LCNN().eval()
    assert {key: list(tensor.shape) for key, tensor in model.state_dict().items()} == {
        key: shape for key, shape, _ in case["state_dict_spec"]
    }
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(reference_weights(key, tensor.shape))
    seen = []
    model.out.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        logits = model.double()(x.squeeze(1).transpose(1, 2).double())  # (B, 1, D, T) -> (B, T, D)
    assert_equals_stored(seen[0], case["outputs"]["out0"])
    assert_equals_stored(logits, case["outputs"]["out1"])


def test_published_size_and_keys():
    assert count(LCNN) == 4_111_074
    assert keys(LCNN) == official_keys("lcnn_codecfake")


def test_stored_outputs():
    check_stored("lcnn", 219_874)


def test_other_lengths():
    torch.manual_seed(0)
    model = LCNN(input_dim=32, num_frames=18).eval()
    frames = torch.randn(2, 40, 32)
    with torch.no_grad():
        repeated = torch.cat([frames[:, :10], frames[:, :8]], dim=1)
        torch.testing.assert_close(model(frames[:, :10]), model(repeated))
        windows = [model(frames[:, start : start + 18]) for start in (0, 11, 22)]
        torch.testing.assert_close(model(frames), torch.stack(windows).mean(dim=0))
        assert not torch.equal(model(frames[:, :31]), model(frames[:, :18]))  # 18 to 31 frames fit as they are
