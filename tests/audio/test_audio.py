"""Reading audio: formats, rates, channels, and every way a file can be bad."""

import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from spooftrace.audio import audio_info, read_audio
from spooftrace.common.errors import InputError

RATE = 16000
TIME = np.arange(RATE) / RATE
TONE = (0.4 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)
NOISE = np.random.default_rng(2).uniform(-0.3, 0.3, RATE).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my sound.wav"


def write(path, wave=TONE, rate=RATE, **options):
    soundfile.write(path, wave, rate, **options)
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_lossless_files_come_back_as_they_are(path, suffix):
    path = write(path.with_suffix(f".{suffix}"))
    wave = read_audio(path)
    assert wave.dtype == np.float32 and wave.shape == (RATE,)
    np.testing.assert_array_equal(wave, soundfile.read(path, dtype="float32")[0])
    assert np.abs(wave - TONE).max() < 1 / 32768
    assert read_audio(str(path)).shape == wave.shape
    assert audio_info(path) == (RATE, RATE, 1)


def test_ogg(path):
    wave = read_audio(write(path.with_suffix(".ogg")))
    assert len(wave) == RATE
    assert np.corrcoef(wave, TONE)[0, 1] > 0.99


def test_channels_are_averaged(path):
    write(path, np.stack([TONE, NOISE, 0 * TONE], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path), (TONE + NOISE) / 3, atol=1e-7)
    assert audio_info(path) == (RATE, RATE, 3)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_are_converted(path, rate):
    time = np.arange(rate) / rate
    write(path, np.sin(2 * np.pi * 440 * time) * 0.4, rate, subtype="FLOAT")
    wave = read_audio(path)
    assert wave.dtype == np.float32 and abs(len(wave) - RATE) <= 1
    inner = slice(800, -800)  # the ends show the filter
    assert np.abs(wave[:RATE][inner] - TONE[: len(wave)][inner]).max() < 1e-3
    assert len(read_audio(path, rate=rate)) == rate


def test_a_segment_is_the_part_of_the_whole(path):
    write(path, NOISE)
    whole = read_audio(path)
    np.testing.assert_array_equal(read_audio(path, start=0.25, end=0.5), whole[4000:8000])
    np.testing.assert_array_equal(read_audio(path, start=0.9), whole[14400:])
    np.testing.assert_array_equal(read_audio(path, end=0.1), whole[:1600])
    np.testing.assert_array_equal(read_audio(path, start=0.9, end=1.4), whole[14400:])  # forgiven


@pytest.mark.parametrize(("start", "end"), [(0.5, 1.6), (1.0, 1.2), (0.5, 0.5), (0.6, 0.5), (-0.1, 0.5)])
def test_a_segment_outside_the_file(path, start, end):
    write(path)
    with pytest.raises(InputError, match=rf"my sound.wav: has 1.000 s, cannot read from {start} to {end}"):
        read_audio(path, start=start, end=end)


def test_silence_is_fine(path):
    assert not read_audio(write(path, np.zeros(100))).any()


def bad(path, message):
    with pytest.raises(InputError, match=message) as caught:
        read_audio(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_missing_folder_empty_and_foreign_files(path, tmp_path):
    bad(path, "no such file")
    bad(tmp_path, "not a file")
    path.write_bytes(b"")
    bad(path, "the file is empty")
    path.write_text("<html>404 not found</html>")
    bad(path, "a web page, not audio; .*get the file again")
    with pytest.raises(InputError, match="not audio"):
        audio_info(path)


def test_no_samples(path):
    bad(write(path, np.zeros(0)), "has no samples")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(path, value):
    wave = NOISE.copy()
    wave[777] = value
    bad(write(path, wave, subtype="FLOAT"), "NaN or infinite samples")


FORMATS = [
    ("wav", {}),
    ("wav", {"format": "RF64"}),
    ("flac", {}),
    ("ogg", {}),
    ("ogg", {"subtype": "OPUS"}),
    ("aiff", {}),
    ("mp3", {}),
]


@pytest.mark.parametrize(("suffix", "options"), FORMATS)
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.995])
def test_files_cut_short(path, suffix, options, part):
    path = write(path.with_suffix(f".{suffix}"), np.tile(NOISE, 4), **options)
    assert len(read_audio(path)) >= 4 * RATE  # the whole one is good
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    bad(path, "cut short|ends after")


def test_the_length_that_programs_writing_to_a_pipe_declare_is_not_a_defect(path):
    data = bytearray(write(path).read_bytes())
    place = data.index(b"data") + 4
    for declared in (0xFFFFFFFF, 0x7FFFF000):
        data[place : place + 4] = struct.pack("<I", declared)
        path.write_bytes(data)
        assert len(read_audio(path)) == RATE


def test_a_flac_file_that_does_not_know_its_length_is_read_whole(path):
    path = path.with_suffix(".flac")
    data = bytearray(write(path).read_bytes())
    whole = read_audio(path)
    data[21] &= 0xF0  # total number of samples: 36 bits that end at byte 26
    data[22:26] = bytes(4)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_audio(path), whole)
    assert audio_info(path) == (RATE, RATE, 1)


def test_pipes_run_only_when_allowed(path):
    write(path)
    command = f"cat '{path}' |"
    with pytest.raises(InputError, match="would run a command"):
        read_audio(command)
    assert len(read_audio(command, allow_pipes=True)) == RATE
    with pytest.raises(InputError, match=r"failed with status 1: .*No such file"):
        read_audio("cat nowhere.wav | cat |", allow_pipes=True)
    with pytest.raises(InputError, match="no output"):
        read_audio("true |", allow_pipes=True)


def test_nothing_is_loaded_before_it_is_needed(path):
    write(path)
    code = (
        "import sys\nfrom spooftrace.audio import read_audio\nimport spooftrace.audio.postprocessing\n"
        "print('soundfile' in sys.modules, 'scipy' in sys.modules)\n"
        "read_audio(sys.argv[1])\nprint('soxr' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert result.stdout == "False False\nFalse\n"
