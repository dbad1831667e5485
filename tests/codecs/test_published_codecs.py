"""Published codecs on tiny random models: the same samples as transformers' classes and Meta's package give."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from spooftrace.codecs.providers import load_coder
from spooftrace.codecs.table import find_setting
from spooftrace.common.errors import InputError


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in a job; for models this small, threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


HUBERT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [4] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
TINY = {
    "encodec_24khz": lambda: transformers.EncodecConfig(
        num_filters=4, hidden_size=16, codebook_dim=16, num_lstm_layers=1
    ),
    "encodec_48khz": lambda: transformers.EncodecConfig(
        num_filters=4, hidden_size=16, codebook_dim=16, num_lstm_layers=1, sampling_rate=48000, audio_channels=2,
        chunk_length_s=1.0, overlap=0.01, normalize=True, target_bandwidths=[3.0, 6.0, 12.0, 24.0],
        norm_type="time_group_norm", use_causal_conv=False,
    ),
    "dac_16khz": lambda: transformers.DacConfig(
        encoder_hidden_size=4, decoder_hidden_size=64, n_codebooks=12, downsampling_ratios=[2, 4, 5, 8]
    ),
    "dac_44khz": lambda: transformers.DacConfig(
        encoder_hidden_size=4, decoder_hidden_size=64, n_codebooks=9, downsampling_ratios=[2, 4, 8, 8],
        sampling_rate=44100,
    ),
    "mimi": lambda: transformers.MimiConfig(
        num_filters=2, hidden_size=32, codebook_dim=16, vector_quantization_hidden_dimension=16, num_hidden_layers=1,
        intermediate_size=32, num_attention_heads=2, num_key_value_heads=2, upsample_groups=32,
    ),
    "xcodec_hubert_librispeech": lambda: transformers.XcodecConfig(
        acoustic_model_config=transformers.DacConfig(
            encoder_hidden_size=4, decoder_hidden_size=64, downsampling_ratios=[8, 5, 4, 2]
        ).to_dict() | {"hidden_size": 16},
        semantic_model_config=transformers.HubertConfig(**HUBERT).to_dict(),
    ),
}  # fmt: skip
CLASSES = {"encodec": "EncodecModel", "dac": "DacModel", "mimi": "MimiModel", "xcodec": "XcodecModel"}
OPTIONS = {
    "encodec_24khz_q8": {"bandwidth": 6.0},
    "encodec_24khz_q32": {"bandwidth": 24.0},
    "encodec_48khz_q4": {"bandwidth": 6.0},
    "dac_16khz_q3": {"n_quantizers": 3},
    "dac_44khz": {"n_quantizers": 9},
    "mimi_q8": {"num_quantizers": 8},
    "xcodec_hubert_librispeech_q4": {"bandwidth": 2},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folder of a tiny random model of the class that runs a codec of the table, made when first asked for."""
    folder = tmp_path_factory.mktemp("my models")

    def get(name):
        path = folder / name
        if not path.is_dir():
            if name.startswith("xcodec") and not hasattr(transformers, "XcodecModel"):
                pytest.skip("this release of transformers has no X-Codec")
            torch.manual_seed(0)
            config = TINY[name]()
            model = getattr(transformers, CLASSES[name.partition("_")[0]])(config).eval()
            with torch.no_grad():  # fresh codebooks are zero, and then all settings sound the same
                for key, value in model.named_buffers():
                    if key.endswith(("codebook.embed", "codebook.embed_sum")):
                        value.normal_(std=0.3)
            model.save_pretrained(path)
        return path

    return get


@pytest.mark.parametrize("name", OPTIONS)
def test_published_codecs_are_called_as_their_authors_do(weights, name):
    setting = find_setting(name)
    folder = weights(setting.codec.name)
    coder = load_coder(setting, folder)
    network = getattr(transformers, CLASSES[setting.codec.provider]).from_pretrained(folder).eval()
    channels = getattr(network.config, "audio_channels", 1)
    rng = np.random.default_rng(0)
    for frames in (1, 3.3, 160 if name.startswith("encodec_48khz") else 8):  # more than one chunk of a second
        wave = (0.1 * rng.standard_normal(round(frames * coder.frame) + 1)).astype(np.float32)
        padded = torch.zeros(1, channels, math.ceil(len(wave) / coder.frame) * coder.frame)
        padded[..., : len(wave)] = torch.from_numpy(wave)
        with torch.no_grad():
            expected = network(padded, **OPTIONS[name]).audio_values.reshape(channels, -1).mean(0)[: len(wave)]
        made = coder.copy(wave)
        assert made.shape == wave.shape
        np.testing.assert_allclose(made, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("name", sorted({name.partition("_q")[0] for name in OPTIONS}))
def test_no_sample_is_lost_at_the_end(weights, name):
    coder = load_coder(find_setting(name), weights(name))
    wave = (0.1 * np.random.default_rng(0).standard_normal(4 * coder.frame)).astype(np.float32)
    for length in (len(wave), len(wave) - 1, len(wave) - 7):
        made = coder.copy(wave[:length])
        assert len(made) == length
        assert np.abs(made[-8:]).max() > 0


@pytest.mark.slow
def test_settings_of_the_table_are_those_of_the_classes(weights):
    for name in {name.partition("_q")[0] for name in OPTIONS}:
        codec = find_setting(name).codec
        for count in (codec.settings[0], codec.settings[-1]):
            load_coder(codec.setting(count), weights(name))
    few, many = (load_coder(find_setting(f"encodec_24khz_q{n}"), weights("encodec_24khz")) for n in (2, 32))
    wave = (0.1 * np.random.default_rng(0).standard_normal(9600)).astype(np.float32)
    assert np.abs(few.copy(wave) - many.copy(wave)).max() > 1e-3


def test_weights_of_another_codec_are_refused(weights, tmp_path):
    with pytest.raises(InputError, match="a model of type 'dac'; EncodecModel takes encodec"):
        load_coder(find_setting("encodec_24khz_q8"), weights("dac_16khz"))
    with pytest.raises(InputError, match="works at 44100 Hz, but dac_16khz is at 16 kHz"):
        load_coder(find_setting("dac_16khz_q9"), weights("dac_44khz"))
    with pytest.raises(InputError, match="has 9 quantizers, not 12"):
        load_coder(find_setting("dac_16khz"), weights("dac_44khz"))
    with pytest.raises(InputError, match="has 8 quantizers, not 32"):
        load_coder(replace(find_setting("rvq8_freq"), quantizers=32))
    with pytest.raises(InputError, match="no such folder"):
        load_coder(find_setting("mimi_q8"), tmp_path / "nothing")


def test_the_encodec_package(weights, tmp_path):
    encodec = pytest.importorskip("encodec", reason="tools/install_encodec.sh has not been run")
    network = encodec.EncodecModel.encodec_model_24khz(pretrained=False).eval()
    torch.save(network.state_dict(), tmp_path / "encodec_24khz.th")
    coder = load_coder(find_setting("encodec_24khz_q8"), tmp_path / "encodec_24khz.th")
    wave = (0.1 * np.random.default_rng(0).standard_normal(5000)).astype(np.float32)
    network.set_target_bandwidth(6.0)
    with torch.no_grad():
        expected = network(torch.from_numpy(wave)[None, None])[0, 0, :5000].numpy()
    np.testing.assert_allclose(coder.copy(wave), expected, atol=1e-6)
