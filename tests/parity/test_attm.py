"""AttM and its LSTM compute what pandarialTJU/AttM_INTERSPEECH24 computes."""

import torch
from backend_cases import assert_equals_stored, check_stored, count, keys, official_keys, reference

from spooftrace.backends import AttMLSTM, LSTMProbe
from spooftrace.backends.parts.aggregation import AttentiveMerging


def test_merging_equals_official():
    case = reference("attm_small")
    merging = AttentiveMerging(num_layers=12, dim=64, projection="mlp")
    merging.load_state_dict(case["state_dict"], strict=True)
    assert sum(p.numel() for p in merging.parameters()) == case["meta"]["n_params"] == 197_264
    with torch.no_grad():
        merged = merging.double()(case["inputs"]["x_BLTC"].double())
    assert_equals_stored(merged, case["outputs"]["merged_BTC"])


def test_lstm_equals_official():
    case = reference("attm_lstm")
    probe = LSTMProbe().eval()
    probe.load_state_dict(case["state_dict"], strict=True)
    assert sum(p.numel() for p in probe.parameters()) == 935_810
    with torch.no_grad():
        logits = probe.double()(case["inputs"]["x_BTC"].double())
    assert_equals_stored(logits, case["outputs"]["logits"])


def test_published_sizes():
    assert count(AttentiveMerging, num_layers=12, dim=1024, projection="mlp") == 50_339_984
    assert count(AttMLSTM) == 50_339_984 + 935_810
    assert count(AttMLSTM) - count(AttMLSTM, trained=True) == 3072 * 3072 + 3072  # the Linear passed to SiLU


def test_every_official_key_has_its_place():
    merging = official_keys("attm_wavlm_large_12_detinit")
    lstm = {key: tuple(tensor.shape) for key, tensor in reference("attm_lstm")["state_dict"].items()}
    official = {f"feat_merge.{key}": shape for key, shape in merging.items()}
    official |= {f"decoder.{key}": shape for key, shape in lstm.items()}
    assert keys(AttMLSTM) == official


def test_stored_outputs():
    check_stored("lstm", 8_690)
    check_stored("attm_lstm", 33_538)


def test_gates_lie_between_0_and_1_and_follow_the_utterance():
    torch.manual_seed(0)
    merging = AttentiveMerging(num_layers=6, dim=8)
    gates = merging.gates(torch.randn(3, 6, 10, 8))
    assert gates.shape == (3, 6) and ((gates >= 0) & (gates <= 1)).all()
    assert not torch.allclose(gates[0], gates[1])
