"""Channels: in this process and by ffmpeg, their delay taken out, and what is said when a coder is not there."""

from pathlib import Path

import numpy as np
import pytest
from helpers.programs import install_python

from spooftrace.audio import read_audio
from spooftrace.common.errors import InputError
from spooftrace.corpora import mini
from spooftrace.derive import channels as classical
from spooftrace.derive.channels import CHANNELS, IN_PROCESS, load_channel
from spooftrace.derive.recoding import recode

CORPUS = Path(__file__).resolve().parents[2] / "egs/mini/corpus"


@pytest.fixture(scope="module")
def wave(tmp_path_factory):
    """A recording at 16 kHz."""
    folder = tmp_path_factory.mktemp("speech")
    mini.unpack(CORPUS / mini.ARCHIVE, folder, [row["utt"] for row in mini.read_rows(CORPUS / mini.TABLE)])
    return read_audio(folder / "bonafide/ast-it-000.flac")


def likeness(one, other):
    """How much the loudness of two recordings goes up and down together."""
    frames = len(one) // 320
    contours = [np.log(np.square(x[: frames * 320]).reshape(frames, 320).mean(1) + 1e-8) for x in (one, other)]
    return np.corrcoef(*contours)[0, 1]


@pytest.mark.parametrize("name", IN_PROCESS)
def test_channels_depend_on_the_audio_only(wave, name):
    np.testing.assert_array_equal(load_channel(name).copy(wave), load_channel(name).copy(wave))


FAKE = """\
# Stands in for ffmpeg: what is encoded comes back late by 300 samples and half as loud; gsm is not built in.
import sys
import array
words, data = sys.argv[1:], sys.stdin.buffer.read()
if "libgsm" in words:
    sys.exit("Unknown encoder 'libgsm'")
if "-c:a" not in words:
    samples = array.array("h", data)
    data = (array.array("h", [0] * 300) + array.array("h", [s // 2 for s in samples])).tobytes()
sys.stdout.buffer.write(data)
"""


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    install_python(tmp_path / "bin/ffmpeg", FAKE)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_the_delay_of_a_channel_is_taken_out(wave, fake_ffmpeg):
    sent = recode(wave, 16000, load_channel("opus_9k"), match_level=False)
    assert len(sent) == len(wave)
    np.testing.assert_allclose(sent[:-300], 0.5 * wave[:-300], atol=1e-4)


def test_coders_that_are_not_there(monkeypatch, fake_ffmpeg, tmp_path):
    with pytest.raises(InputError, match=r"channel 'gsm_13k': .*has no working libgsm .*Unknown encoder"):
        load_channel("gsm_13k")
    with pytest.raises(InputError, match="channel 'opus_9': unknown; did you mean opus_9k"):
        load_channel("opus_9")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="channel 'opus_9k': needs ffmpeg, which is not installed"):
        load_channel("opus_9k")


@pytest.mark.slow
@pytest.mark.skipif(classical.shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("name", CHANNELS)
def test_channels_of_ffmpeg(wave, name):
    try:
        coder = load_channel(name)
    except InputError as error:
        pytest.skip(str(error))
    sent = recode(wave, 16000, coder, match_level=False)
    assert likeness(wave, sent) > 0.85
    assert np.abs(sent - wave).max() > 1e-3
