"""What libsndfile does not read: with PyAV the samples of ffmpeg's libraries, without it a line that says so."""

import io
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from spooftrace.audio.reading import audio_info, check_audio, read_audio, read_samples
from spooftrace.common.errors import InputError

RATE = 48000
SECONDS = 1.5
# Suffix -> container and codec of ffmpeg.
FORMATS = {
    "m4a": ("mp4", "aac"),
    "alac.m4a": ("mp4", "alac"),
    "aac": ("adts", "aac"),
    "webm": ("webm", "libopus"),
    "mka": ("matroska", "pcm_s16le"),
    "oga": ("ogg", "flac"),
    "wma": ("asf", "wmav2"),
    "ac3": ("ac3", "ac3"),
    "wv": ("wv", "wavpack"),
    "tta": ("tta", "tta"),
}  # fmt: skip
LOSSLESS = ("alac.m4a", "mka", "oga", "wv", "tta")
# The first bytes of files whose kind is to be named where they cannot be read.
HEADS = {
    "call.m4a": (b"\0\0\0\x20ftypM4A \0\0\0\0", "an MP4 or M4A file"),
    "call.webm": (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01", "a WebM or Matroska file"),
    "call.aac": (b"\xff\xf1\x50\x80\x2e\x7f\xfc\x21", "an AAC file"),
    "call.amr": (b"#!AMR\n\x3c\x08\x77\x12", "an AMR file"),
    "call.wma": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a WMA file"),
}


def tone(channels=2):
    time = np.arange(round(SECONDS * RATE)) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * 330 * time), 0.2 * np.sin(2 * np.pi * 500 * time)][:channels])


def make(path, container, codec):
    """Write a file with PyAV; ``(C, N)`` int16 samples that went in."""
    av = pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    samples = np.round(tone() * 32767).astype(np.int16)
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=RATE)
        stream.layout, stream.bit_rate = "stereo", 128000
        if codec in ("wavpack", "tta"):
            stream.format = {"wavpack": "s16p", "tta": "s16"}[codec]
        frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(stream.format.name, "stereo", RATE, frame_size=stream.frame_size or 4096)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return samples


@pytest.mark.parametrize("suffix", FORMATS)
def test_other_formats_are_read(tmp_path, suffix):
    path = tmp_path / f"my call.{suffix}"
    samples = make(path, *FORMATS[suffix])
    decoded, rate = read_samples(path)
    assert rate == RATE and decoded.dtype == np.float32 and decoded.shape[1] == 2
    if suffix in LOSSLESS:
        np.testing.assert_array_equal(decoded, samples.T / np.float32(32768))
    else:
        assert abs(len(decoded) - samples.shape[1]) < 8192  # delay and padding that a container does not note
        middle = len(decoded) // 2
        assert np.abs(decoded[middle : middle + 4000]).max(0) == pytest.approx([0.3, 0.2], abs=0.05)
    assert audio_info(path) == check_audio(path) == (len(decoded), RATE, 2)
    np.testing.assert_array_equal(read_samples(path, 0.5, 0.75)[0], decoded[24000:36000])
    assert abs(len(read_audio(path)) - len(decoded) * 16000 / RATE) <= 1
    np.testing.assert_array_equal(read_audio(path, most=5000), read_audio(path)[:5000])


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_samples_are_those_of_ffmpeg(tmp_path, suffix):
    if not shutil.which("ffmpeg"):
        pytest.skip("the program ffmpeg is not installed")
    path = tmp_path / f"x.{suffix}"
    make(path, *FORMATS[suffix])
    words = ["ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"]
    reference = np.frombuffer(subprocess.run(words, capture_output=True, check=True).stdout, np.float32)
    decoded, _ = read_samples(path)
    assert decoded.size == reference.size
    np.testing.assert_allclose(decoded.ravel(), reference, atol=1e-5)  # float32 sums in another order


@pytest.mark.parametrize("suffix", ["m4a", "mka", "wma", "oga"])
def test_files_cut_short(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    make(path, *FORMATS[suffix])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    for function in (read_audio, check_audio):
        with pytest.raises(InputError, match=rf"x\.{suffix}: .*(cut short|damaged)"):
            function(path)


def test_playlists_open_no_other_file(tmp_path):
    pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    soundfile.write(tmp_path / "secret.wav", np.full(RATE, 0.1), RATE)
    texts = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n",
        "b.wav": f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
        "c.mp3": f"<MPD><BaseURL>{tmp_path}/secret.wav</BaseURL></MPD>",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=f"{name}: .*not audio"):
            read_audio(tmp_path / name)


@pytest.mark.parametrize("name", HEADS)
def test_without_pyav_the_kind_and_the_remedy_are_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "av", None)
    head, called = HEADS[name]
    path = tmp_path / name
    path.write_bytes(head + bytes(1000))
    for function in (read_audio, audio_info, check_audio):
        with pytest.raises(InputError) as caught:
            function(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: {called}, not readable by libsndfile")
        assert "spooftrace[av]" in message and "damaged" not in message and "again" not in message


def test_flac_in_ogg_without_pyav(tmp_path, monkeypatch):
    path = tmp_path / "x.oga"
    make(path, *FORMATS["oga"])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"an Ogg file with another coding than Vorbis or Opus.*spooftrace\[av\]"):
        read_audio(path)


def test_pyav_is_not_loaded_for_what_libsndfile_reads(tmp_path):
    file = io.BytesIO()
    soundfile.write(file, tone().T, RATE, format="MP3")
    (tmp_path / "x.mp3").write_bytes(file.getvalue())
    code = (
        "import sys; from spooftrace.audio.reading import read_audio\n"
        "read_audio(sys.argv[1]); print('av' in sys.modules)"
    )
    words = [sys.executable, "-c", code, tmp_path / "x.mp3"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "False\n"
