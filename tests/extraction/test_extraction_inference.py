"""Packed layers compute the same as the original ones; a precision that the hardware lacks is refused."""

import platform

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from spooftrace.common.errors import InputError
from spooftrace.system import packing as inference
from spooftrace.system.packing import PackedConv1d, PackedLinear, check_precision, has_bf16_instructions, pack

CPU = torch.device("cpu")
x86 = pytest.mark.skipif(
    platform.machine() != "x86_64" or not torch.backends.mkldnn.is_available(), reason="oneDNN packs on x86 only"
)


@x86
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(24, 10), (2, 7, 24)),
        (nn.Linear(24, 10, bias=False), (5, 24)),
        (nn.Conv1d(1, 8, 10, stride=5), (2, 1, 203)),
        (nn.Conv1d(6, 8, 3, stride=2, bias=False), (3, 6, 50)),
        (nn.Conv1d(6, 8, 3, padding=1), (2, 6, 9)),
    ],
)
def test_packed_layers_compute_the_same(layer, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    packed = nn.Sequential(layer, nn.Identity())
    expected = packed(x)
    pack(packed, "fp32")
    assert isinstance(packed[0], PackedLinear | PackedConv1d)
    with torch.inference_mode():
        torch.testing.assert_close(packed(x), expected, atol=1e-5, rtol=1e-5)


@x86
def test_layers_in_a_row_need_no_transposed_copy():
    layers = nn.Sequential(nn.Conv1d(1, 8, 10, stride=5), nn.GELU(), nn.Conv1d(8, 8, 3, stride=2))
    x = torch.randn(2, 1, 400)
    expected = layers(x)
    pack(layers, "fp32")
    found = layers(x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.transpose(1, 2).is_contiguous()


@x86
def test_what_is_not_plain_stays_as_it_is():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    module = nn.ModuleDict(
        {
            "subclass": Scaled(4, 4),
            "groups": nn.Conv1d(4, 4, 3, groups=2),
            "dilated": nn.Conv1d(4, 4, 3, dilation=2),
            "reflected": nn.Conv1d(4, 4, 3, padding=1, padding_mode="reflect"),
            "plane": nn.Conv2d(4, 4, 3),
        }
    )
    before = dict(module)
    pack(module, "fp32")
    assert all(module[name] is before[name] for name in before)


def test_weight_norm_is_folded():
    module = nn.Sequential(weight_norm(nn.Conv1d(4, 4, 3, groups=2), dim=2))
    x = torch.randn(1, 4, 9)
    expected = module(x)
    pack(module, "fp32")
    assert not list(module[0].children())
    torch.testing.assert_close(module(x), expected)


@x86
def test_unpacked_weights_are_there_for_those_who_look():
    linear = nn.Linear(24, 10)
    packed = PackedLinear(linear, torch.float32)
    assert torch.equal(packed.weight, linear.weight) and torch.equal(packed.bias, linear.bias)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    with torch.inference_mode():
        expected = encoder(x)
        pack(encoder, "fp32")
        torch.testing.assert_close(encoder(x), expected, atol=1e-5, rtol=1e-5)


@x86
@pytest.mark.skipif(not has_bf16_instructions(), reason="this processor has no bfloat16 instructions")
def test_bf16_is_autocast_with_weights_converted_once():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(6, 16, 3), nn.Flatten(), nn.Linear(16 * 8, 10)).requires_grad_(False)
    x = torch.randn(2, 6, 10)
    with inference.autocast("bf16", CPU):
        expected = module(x)
        pack(module, "bf16")
        found = module(x)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(
    ("flags", "able"), [("fpu avx512f avx512_bf16", True), ("amx_bf16", True), ("avx2 avx512_vnni", False)]
)
def test_instructions_are_looked_up(tmp_path, flags, able):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n", encoding="utf-8")
    assert has_bf16_instructions(tmp_path / "cpuinfo") == able
    assert not has_bf16_instructions(tmp_path / "nothing")


def test_a_precision_that_is_not_there_is_refused(monkeypatch):
    check_precision("fp32", CPU)
    monkeypatch.setattr(inference, "has_bf16_instructions", lambda: False)
    for precision in ("bf16", "fp16"):
        with pytest.raises(InputError, match=f"--precision {precision}: this processor has no instructions for it"):
            check_precision(precision, CPU)
    monkeypatch.setattr(inference, "has_bf16_instructions", lambda: True)
    check_precision("bf16", CPU)
