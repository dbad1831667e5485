"""QAF-Static: the paper's formulas, its size, and the composition of its parts (there is no official code)."""

import numpy as np
import pytest
import torch
from backend_cases import check_stored, count, reference
from safetensors.torch import save_file

from spooftrace.backends import AttMLSTM, QAFStatic
from spooftrace.backends.qaf import read_codebooks

SMALL = {"input_dim": 6, "num_layers": 4, "codebook_size": 11, "codec_dim": 5, "fused_dim": 7, "hidden_dim": 3}
WAVLM_LARGE = 315_453_120


def small_qaf(**init_args) -> QAFStatic:
    torch.manual_seed(0)
    return QAFStatic(**SMALL, **init_args).eval()


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_weighting_equals_the_paper_s_formula(tau):
    case = reference("qaf_static_paper_formula")
    vectors = case["inputs"]["H_BTQD"]  # (B, T, Q, D)
    model = QAFStatic(input_dim=8, num_layers=2, codebook_size=30, temperature=tau)
    model.start_from(vectors.flatten(0, 1).transpose(0, 1))  # one table entry for each frame: (Q, B * T, D)
    codes = torch.arange(30).view(2, 1, 15).expand(2, 8, 15)
    with torch.no_grad():
        model.weights.copy_(case["inputs"]["W_QD"])
        torch.testing.assert_close(model.codec_frames(codes), case["outputs"][f"tau{tau}"], atol=1e-6, rtol=0)
        mean = QAFStatic(input_dim=8, num_layers=2, codebook_size=30, pooling="mean")
        mean.start_from(model.tables.detach())
        torch.testing.assert_close(mean.codec_frames(codes), case["outputs"]["mean_pool"], atol=1e-6, rtol=0)


def test_weighting_step_by_step():
    model = small_qaf(temperature=0.5)
    torch.nn.init.normal_(model.weights)
    codes = torch.randint(11, (2, 8, 13))
    alpha = np.exp(model.weights.detach().numpy() / 0.5)
    alpha /= alpha.sum(axis=0)
    np.testing.assert_allclose(model.quantizer_weights(), alpha, rtol=1e-5)
    tables = model.tables.detach().numpy()
    expected = sum(alpha[q] * tables[q][codes[:, q].numpy()] for q in range(8))  # (B, T, D)
    np.testing.assert_allclose(model.codec_frames(codes).detach().numpy(), expected, atol=1e-5)


def test_published_size():
    """The paper: about 14 million trained parameters, 4.4 % of WavLM-Large's."""
    assert count(QAFStatic) == count(QAFStatic, trained=True) == 14_029_970
    assert round(100 * count(QAFStatic) / WAVLM_LARGE, 1) == 4.4
    frozen_tables = 8 * 1024 * 128
    assert count(QAFStatic, trained=True, tune_codec=False) == 14_029_970 - frozen_tables
    assert count(QAFStatic, pooling="mean") == 14_029_970 - 8 * 128
    assert count(AttMLSTM, projection="linear") == 13_520_914


def test_stored_outputs():
    check_stored("qaf", 26_130)
    check_stored("qaf_mean", 26_002)


def test_starts_as_mean_pooling():
    np.testing.assert_allclose(small_qaf().quantizer_weights(), np.full((8, 5), 1 / 8), rtol=1e-6)
    np.testing.assert_allclose(small_qaf(pooling="mean").quantizer_weights(), np.full((8, 5), 1 / 8))


def test_outputs_follow_both_streams():
    model = small_qaf()
    layers, codes = torch.randn(2, 4, 10, 6), torch.randint(11, (2, 8, 15))
    with torch.no_grad():
        output = model(layers, codes)
        assert output.shape == (2, 2)
        assert (model(layers + 1, codes) - output).abs().max() > 1e-3
        assert (model(layers, (codes + 1) % 11) - output).abs().max() > 1e-3


def test_alignment_is_linear_in_time():
    ramp = torch.arange(300.0).view(1, 300, 1)  # a codec frame's number, at 75 a second
    aligned = QAFStatic.align(ramp, 200).flatten()  # at 50 a second
    torch.testing.assert_close(aligned, 1.5 * torch.arange(200.0) + 0.25)  # centre of an SSL frame, in codec frames
    same = torch.randn(2, 9, 3)
    torch.testing.assert_close(QAFStatic.align(same, 9), same)


def test_gradients_reach_what_is_trained():
    layers, codes = torch.randn(3, 4, 10, 6), torch.randint(11, (3, 8, 15))
    for tune_codec in (True, False):
        model = small_qaf(tune_codec=tune_codec)
        model(layers, codes).square().sum().backward()
        without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
        assert without == (set() if tune_codec else {"tables"})


def test_codebooks_of_both_packages(tmp_path):
    books = torch.randn(3, 11, 5)
    folder = tmp_path / "with a space"
    folder.mkdir()
    for file, name in (("model.safetensors", "layers.{}.codebook.embed"), ("model.th", "vq.layers.{}._codebook.embed")):
        state = {f"quantizer.{name.format(q)}": book for q, book in enumerate(books)}
        state |= {"quantizer.layers.0.codebook.embed_avg": torch.zeros(11, 5), "encoder.weight": torch.zeros(2)}
        path = str(folder / file)
        (save_file if file.endswith("safetensors") else torch.save)(state, path)
        assert torch.equal(read_codebooks(path, 2), books[:2])
        model = QAFStatic(**SMALL, num_quantizers=3, codebooks=path)
        assert torch.equal(model.tables, books)
        with pytest.raises(ValueError, match=r"model\.\w+: has 3 codebooks of a residual quantizer; 8 are needed"):
            read_codebooks(path, 8)
    with pytest.raises(ValueError, match=r"no codebooks can be read from it"):
        read_codebooks(str(folder / "missing.th"), 2)


def test_wrong_arguments_and_inputs_are_named():
    with pytest.raises(ValueError, match="pooling must be qaf or mean, not max"):
        QAFStatic(**SMALL, pooling="max")
    with pytest.raises(ValueError, match="temperature must be positive"):
        QAFStatic(**SMALL, temperature=0)
    model = small_qaf()
    layers, codes = torch.randn(2, 4, 10, 6), torch.randint(11, (2, 8, 15))
    with pytest.raises(ValueError, match=r"takes layers \(B, 4, T, 6\); got \(2, 8, 15\)"):
        model(codes, layers)  # the streams the wrong way round
    with pytest.raises(ValueError, match=r"takes codes \(2, 8, T\); got \(2, 7, 15\)"):
        model(layers, codes[:, :7])
    with pytest.raises(ValueError, match=r"codes from \d+ to 11, but the tables have 11 vectors"):
        model(layers, codes.index_fill(2, torch.tensor([3]), 11))
    with pytest.raises(ValueError, match=r"codebooks are \(8, 10, 5\), the tables \(8, 11, 5\)"):
        model.start_from(torch.zeros(8, 10, 5))
