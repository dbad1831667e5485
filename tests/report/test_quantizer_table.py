"""The learned quantizer weights of QAF-Static as a table, a figure and Markdown."""

import numpy as np
import pytest
import torch
import yaml

from spooftrace.backends import QAFStatic
from spooftrace.common.errors import InputError
from spooftrace.report.quantizers import quantizer_weights
from spooftrace.system.weights import save_weights

SMALL = {"input_dim": 8, "num_layers": 4, "num_quantizers": 3, "codebook_size": 7, "codec_dim": 5, "fused_dim": 6}


@pytest.fixture
def trained(tmp_path):
    """Writes what training leaves of a QAF-Static with random quantizer weights; gives the folder and the model."""

    def write(**changes):
        torch.manual_seed(0)
        arguments = SMALL | changes
        model = QAFStatic(**arguments)
        if model.weights is not None:
            torch.nn.init.normal_(model.weights)
        exp = tmp_path / "a recipe" / "exp" / "qaf static_s1"
        exp.mkdir(parents=True)
        node = {"class_path": "spooftrace.backends.QAFStatic", "init_args": arguments}
        content = {
            "streams": {"ssl": {"class_path": "LogMel"}, "codec": {"class_path": "LFCC"}},
            "backend": node,
            "task": {"class_path": "Detection"},
            "optimizer": {"class_path": "Adam"},
        }
        (exp / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        save_weights({f"backend.{key}": value for key, value in model.state_dict().items()}, exp / "model.safetensors")
        return exp, model

    return write


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_table_holds_what_the_model_uses(trained, temperature):
    exp, model = trained(temperature=temperature)
    quantizer_weights(exp, exp.parents[1] / "figures")
    header, *rows = (line.split("\t") for line in (exp / "quantizer_weights.tsv").read_text().splitlines())
    assert header == ["quantizer", "mean", "dim_0", "dim_1", "dim_2", "dim_3", "dim_4"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    table = np.array([row[1:] for row in rows], dtype=float)
    np.testing.assert_allclose(table[:, 1:], model.quantizer_weights(), atol=1e-6)
    np.testing.assert_allclose(table[:, 0], model.quantizer_weights().mean(axis=1), atol=1e-6)


def test_the_page_shows_the_figure_and_the_means(trained):
    exp, model = trained()
    figures = exp.parents[1] / "figures"
    text, table, image = quantizer_weights(exp, figures)
    assert "equal weights: 0.3333" in text
    for mean in model.quantizer_weights().mean(axis=1):
        assert f" {mean:.4f} " in table
    assert image == "![Quantizer weights of qaf static_s1](figures/qaf%20static_s1_quantizers.png)"
    content = (figures / "qaf static_s1_quantizers.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert quantizer_weights(exp, figures, page=figures)[2].endswith("](qaf%20static_s1_quantizers.png)")
    assert (figures / "qaf static_s1_quantizers.png").read_bytes() == content


def test_untrained_weights_can_be_drawn(trained):
    exp, model = trained()
    torch.nn.init.zeros_(model.weights)
    save_weights({"backend.weights": model.weights}, exp / "model.safetensors")
    assert quantizer_weights(exp, exp / "figures")[1].count(" 0.3333 ") == 3


def test_other_systems_have_none(trained, tmp_path):
    exp, _ = trained(pooling="mean")
    assert quantizer_weights(exp, tmp_path / "figures") == []
    (exp / "config.yaml").write_text("backend: {class_path: spooftrace.backends.SLS}\n")
    assert quantizer_weights(exp, tmp_path / "figures") == []
    for content in ("conf: x\n", "", "backend: SLS\n"):
        (exp / "config.yaml").write_text(content)
        assert quantizer_weights(exp, tmp_path / "figures") == []
    (exp / "config.yaml").unlink()
    assert quantizer_weights(exp, tmp_path / "figures") == []
    assert not (tmp_path / "figures").exists()


def test_a_model_that_does_not_fit_is_one_line(trained, tmp_path):
    exp, _ = trained()
    save_weights({"backend.fc.weight": torch.zeros(2)}, exp / "model.safetensors")
    with pytest.raises(InputError, match=r"model.safetensors: no quantizer weights in it; train again"):
        quantizer_weights(exp, tmp_path)
    (exp / "model.safetensors").write_bytes(b"{}")
    with pytest.raises(InputError, match=r"model\.safetensors: not a readable model file"):
        quantizer_weights(exp, tmp_path)
    (exp / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: no trained model there"):
        quantizer_weights(exp, tmp_path)
    (exp / "config.yaml").write_text("backend: {")
    with pytest.raises(InputError, match=r"config\.yaml:2: not valid YAML"):
        quantizer_weights(exp, tmp_path)
