"""Parameters and MACs of a system, part by part."""

from pathlib import Path

import pytest
from helpers.commands import run_command
from torch import nn

from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config
from spooftrace.frontends import FrontEnd
from spooftrace.system import summary
from spooftrace.system.summary import summarize

SYSTEMS = Path(__file__).resolve().parents[2] / "conf" / "systems"
D, FRAMES = 8, 50


class LSTMAndAttention(FrontEnd):
    """Frozen frames of D numbers, 50 a second, through one LSTM and one attention."""

    def __init__(self) -> None:
        super().__init__("frames", dim=D, frame_rate=50)
        self.lstm = nn.LSTM(D, D, batch_first=True)
        self.freeze_unless_finetuned()

    def extract(self, wave, wave_len):
        x, _ = self.lstm(wave[:, : wave.size(1) // 320 * 320].reshape(len(wave), -1, 320)[:, :, :D])
        return nn.functional.scaled_dot_product_attention(x, x, x)

    def num_frames(self, num_samples):
        return num_samples // 320

    def arguments(self):
        return {}


def config(tmp_path, backend: str, streams: str):
    file = tmp_path / "a system.yaml"
    file.write_text(
        f"streams: {{{streams}}}\nbackend: {backend}\ntask: {{class_path: Detection}}\n"
        "optimizer: {class_path: torch.optim.Adam}\n"
    )
    return load_config([file])


def test_every_part_is_counted(tmp_path):
    system = config(
        tmp_path,
        f"{{class_path: LSTMProbe, init_args: {{input_dim: {D}, hidden_dim: 3}}}}",
        "x: {class_path: test_summary.LSTMAndAttention}",
    )
    parts = {part.name: part for part in summarize(system, seconds=1.0)}
    frontend, backend = parts["x (LSTMAndAttention)"], parts["backend (LSTMProbe)"]
    lstm_macs = FRAMES * 4 * D * (D + D)
    assert (frontend.parameters, frontend.trained) == (4 * D * (D + D) + 8 * D, 0)
    assert frontend.macs == lstm_macs + 2 * FRAMES * FRAMES * D
    assert backend.parameters == backend.trained == 4 * 3 * (D + 3) + 8 * 3 + 3 * 2 + 2
    assert backend.macs == FRAMES * 4 * 3 * (D + 3) + 3 * 2
    assert parts["lstm"].depth == parts["LL"].depth == 1
    assert parts["LL"].macs == 6
    assert parts["lstm"].macs + parts["LL"].macs == backend.macs
    lines = list(summary.table(list(parts.values()), 1.0))
    total = frontend.parameters + backend.parameters
    assert lines[-2].split()[:3] == ["all", f"{total:,d}", f"{backend.trained:,d}"]
    assert f"{100 * backend.trained / total:.2f} % of all parameters" in lines[-1]
    assert f"{100 * backend.trained / frontend.parameters:.2f} % of the frozen {frontend.parameters:,d}" in lines[-1]


def test_nes2net_x_needs_the_published_number_of_macs(tmp_path):
    """Reckoned by hand for 200 frames: per block two 1x1 convolutions, the stacks of 2 to 8, their sums, the gate."""
    system = config(tmp_path, "{class_path: Nes2NetX}", "ssl: {class_path: HuggingFace, init_args: {model: ./none}}")
    frontend, backend, *pieces = summarize(system)
    assert "no such folder" in frontend.problem and not frontend.parameters
    members = sum(range(2, 9))
    block = 200 * (2 * 128 * 128 + members * 16 * 16 * 3 + members * 16) + 2 * 128 * 128
    assert backend.macs == 7 * block + 2 * 1024
    blocks = next(part for part in pieces if part.name == "Build_in_Res2Nets")
    assert blocks.macs == 7 * block
    lines = list(summary.table([frontend, backend, *pieces], 4.0))
    assert "not counted" in lines[1]
    assert lines[-2].startswith("all counted parts")
    assert lines[-1].startswith("ssl (HuggingFace) is not counted: ./none: no such folder")


@pytest.mark.parametrize(
    ("backend", "parameters"),
    [("SLS", 23_399_429), ("AttMLSTM", 51_275_794), ("LCNN", 4_111_074), ("W2V2AASIST", 447_242)],
)
def test_a_front_end_that_is_not_there_is_stood_in_for(tmp_path, backend, parameters):
    system = config(
        tmp_path, f"{{class_path: {backend}}}", "ssl: {class_path: HuggingFace, init_args: {model: ./none}}"
    )
    _, part, *_ = summarize(system)
    assert part.parameters == parameters
    assert part.macs > 1e6


def test_two_streams(tmp_path):
    missing = "class_path: HuggingFace, init_args: {model: ./none}"
    system = config(tmp_path, "{class_path: QAFStatic}", f"ssl: {{{missing}}}, codec: {{{missing}}}")
    parts = {part.name: part for part in summarize(system)}
    assert parts["tables"].parameters == 8 * 1024 * 128 and parts["tables"].macs is None
    assert parts["backend (QAFStatic)"].parameters == 14_029_970
    assert parts["fusion"].macs == 200 * (1024 + 128) * 128


TINY = {
    "hidden_size": D, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 6, "conv_dim": [4] * 7,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}  # fmt: skip


def test_released_models_have_the_published_sizes():
    sizes = {"encodec_24khz": 14_851_810, "wav2vec2-xls-r-300m": 315_438_720, "wavlm-large": 315_453_120}
    assert {name: summary._model_parameters(name) for name in summary.PRETRAINED} == sizes


def test_streams_that_are_not_there_may_differ_in_width():
    parameters = []
    for width in (512, 768):
        system = load_config([SYSTEMS / "mio.yaml"], ["--backend.init_args.other_dim", str(width)])
        _, _, backend, *_ = summarize(system)
        assert backend.macs > 0
        parameters.append(backend.parameters)
    assert parameters[0] == 5_318_463
    assert parameters[1] - parameters[0] >= 256 * 120, "the second vector is merged in 120 numbers"


def test_what_depends_on_values_is_counted_on_zeros():
    """The balls of HYDRA cannot be run on shapes alone."""
    _, backend, *pieces = summarize(load_config([SYSTEMS / "hydra.yaml"]))
    assert backend.parameters == 9_446_223
    encoder = next(part for part in pieces if part.name == "encoder")
    assert backend.macs > encoder.macs > 1e6


@pytest.mark.parametrize("finetune", [False, True])
def test_a_released_model_is_counted_without_its_weights(tmp_path, monkeypatch, finetune):
    monkeypatch.setitem(summary.PRETRAINED, "wavlm-large", ("WavLM", TINY))
    system = config(
        tmp_path,
        f"{{class_path: AttMLSTM, init_args: {{input_dim: {D}, num_layers: 2, hidden_dim: 3}}}}",
        "ssl: {class_path: HuggingFace, init_args: {model: ./wavlm-large, output: layers, layers: [1, 2], "
        f"normalize: false, finetune: {str(finetune).lower()}}}}}",
    )
    frontend, backend, *pieces = summarize(system)
    assert frontend.name == "ssl (HuggingFace), as released" and not frontend.problem
    assert frontend.macs > 1000 and frontend.trained == (frontend.parameters if finetune else 0)
    assert 0 < frontend.parameters < frontend.model_parameters, "two of its four layers are used"
    last = list(summary.table([frontend, backend, *pieces], 4.0))[-1]
    share = f"trained {100 * backend.trained / frontend.model_parameters:.2f} % of the {frontend.model_parameters:,d}"
    assert last.endswith(share) != finetune


def test_a_released_codec_is_counted_without_its_weights(tmp_path, monkeypatch):
    monkeypatch.setitem(summary.PRETRAINED, "encodec_24khz", ("Encodec", {"num_filters": 4, "num_lstm_layers": 1}))
    codec = "codec: {class_path: EnCodec, init_args: {bandwidth: 6.0, model: ./encodec_24khz}}"
    ssl = "ssl: {class_path: HuggingFace, init_args: {model: ./none}}"
    _, frontend, backend, *_ = summarize(config(tmp_path, "{class_path: QAFStatic}", f"{ssl}, {codec}"), seconds=1.0)
    assert frontend.name == "codec (EnCodec), as released" and frontend.macs > 1000 and not frontend.trained
    assert backend.parameters == 14_029_970


def test_what_does_not_fit_is_one_line(tmp_path):
    system = config(tmp_path, "{class_path: AASIST}", "wave: {class_path: Waveform}")
    with pytest.raises(InputError, match=r"backend \(AASIST\): AASIST takes .* at least 2315 samples; got \(1, 1600\)"):
        summarize(system, seconds=0.1)
    with pytest.raises(InputError, match="--seconds 0: must be above 0"):
        run_command("summary", "--config", tmp_path / "a system.yaml", "--seconds", 0)
