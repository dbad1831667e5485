"""Odd levels: each kind is named with a count, from every thread and process, once."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile

from spooftrace.audio.notes import KINDS, AudioWarning, gathered, note
from spooftrace.audio.reading import check_audio, read_audio
from spooftrace.cli.main import main
from spooftrace.datadir import DataDir

RATE = 16000
WAVE = (0.1 * np.random.default_rng(4).standard_normal(RATE)).astype(np.float32)
OTHER = WAVE[::-1].copy()
ZERO = 0 * WAVE


def stack(*channels):
    return np.stack(channels, axis=1)


# Name -> kind that is to be noted, samples, subtype.
ODD = {
    "inverted": ("antiphase", stack(WAVE, -WAVE), "PCM_16"),
    "nearly inverted": ("antiphase", stack(WAVE, -0.9 * WAVE + 0.01 * OTHER), "PCM_16"),
    "four channels": ("antiphase", stack(WAVE, -WAVE, OTHER, -OTHER), "PCM_24"),
    "left": ("one-sided", stack(WAVE, ZERO), "PCM_16"),
    "right, hiss on the left": ("one-sided", stack(0.0005 * OTHER, WAVE), "FLOAT"),
    "centre of five": ("one-sided", stack(ZERO, ZERO, WAVE, ZERO, ZERO), "PCM_16"),
    "zeros": ("silent", ZERO, "PCM_16"),
    "zeros in stereo": ("silent", stack(ZERO, ZERO), "FLOAT"),
    "less than a step": ("silent", 1e-5 * WAVE, "FLOAT"),
    "integers": ("beyond", np.round(32767 * WAVE), "FLOAT"),
    "twice too loud": ("beyond", 8 * WAVE, "DOUBLE"),
    "one step": ("noise", np.sign(WAVE) / 32768, "PCM_16"),
    "dither in stereo": (
        "noise",
        stack(np.round(5 * WAVE).clip(-1, 1), np.round(9 * OTHER).clip(-2, 2)) / 32768,
        "PCM_16",
    ),
    "offset": ("offset", 0.2 * WAVE + 0.1, "PCM_16"),
    "offset of one channel": ("offset", stack(WAVE, OTHER - 0.05), "PCM_24"),
    "offset of quiet speech": ("offset", 0.01 * WAVE + 0.002, "PCM_16"),
    "flat tops": ("clipped", np.clip(5 * WAVE, -0.7, 0.7), "PCM_16"),
    "flat tops of one polarity": ("clipped", 0.3 * np.minimum(5 * WAVE, 0.7), "FLOAT"),
    "flat tops of the right channel": ("clipped", stack(0.4 * OTHER, np.clip(WAVE, -0.2, 0.2)), "PCM_24"),
    "clipped": ("clipped", np.clip(10 * WAVE, -1, 1), "PCM_16"),
    "clipped a little": ("clipped", np.clip(3.4 * WAVE, -1, 1), "PCM_24"),
}
FINE = {
    "mono": (WAVE, "PCM_16"),
    "stereo": (stack(WAVE, OTHER), "PCM_16"),
    "twice the same": (stack(WAVE, WAVE), "PCM_16"),
    "one channel louder": (stack(WAVE, 0.1 * WAVE), "PCM_16"),
    "partly inverted": (stack(WAVE, -0.5 * WAVE), "PCM_16"),
    "quiet": (1e-3 * WAVE, "PCM_16"),
    "tone": (0.7 * np.sin(np.arange(RATE) / 40), "PCM_16"),
    "telephone": (0.7 * WAVE, "ULAW"),
    "8 bits": (0.7 * WAVE, "PCM_U8"),
    "small offset": (WAVE + 0.002, "PCM_16"),
    "normalised": (WAVE / np.abs(WAVE).max(), "PCM_16"),
    "normalised floats": (WAVE / np.abs(WAVE).max(), "FLOAT"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("function", [read_audio, check_audio])
def test_odd_levels_are_noted(tmp_path, name, function):
    kind, samples, subtype = ODD[name]
    path = tmp_path / f"{name}.wav"
    soundfile.write(path, samples, RATE, subtype=subtype)
    with gathered("test") as notes:
        function(path)
        assert list(notes.read()) == [kind]
    with pytest.warns(AudioWarning, match=re.escape(f"{name}.wav: {KINDS[kind][0]}")):
        function(path)


@pytest.mark.parametrize("name", FINE)
def test_what_is_not_odd(tmp_path, name, recwarn):
    samples, subtype = FINE[name]
    path = tmp_path / "x.wav"
    soundfile.write(path, samples, RATE, subtype=subtype)
    read_audio(path)
    check_audio(path)
    assert not recwarn.list


@pytest.mark.parametrize("name", ["flat tops", "offset", "one step"])
def test_levels_over_several_blocks(tmp_path, name, monkeypatch):
    kind, samples, _ = ODD[name]
    path = tmp_path / "x.wav"
    soundfile.write(path, samples, RATE)
    monkeypatch.setattr("spooftrace.audio.decoding.BLOCK", 3000)
    with gathered("test") as notes:
        check_audio(path)
        assert list(notes.read()) == [kind]


def test_lossy_formats_may_overshoot(tmp_path, recwarn):
    square = np.sign(np.sin(np.arange(RATE) / 20)) * 0.9  # its harmonics are cut off, and it becomes higher
    for kind in ("mp3", "ogg"):
        path = tmp_path / f"x.{kind}"
        soundfile.write(path, square, RATE, compression_level=0.9)
        assert np.abs(read_audio(path)).max() > 1
    assert not [entry for entry in recwarn.list if "beyond" in str(entry.message)]


def test_counts_names_and_order(capsys):
    with gathered("cmd", {"/tmp/7.wav": "seven\n.wav"}):
        for number in reversed(range(1200)):  # threads finish in any order
            note(f"{number}.wav", "silent")
        note("/tmp/7.wav", "antiphase", "-31 dB")
        note("/tmp/7.wav", "antiphase", "-31 dB")
        with gathered("inner") as inner:
            assert inner is None  # one command, one account
            note("8.wav", "clipped", "2.0%")
    assert capsys.readouterr().err.splitlines() == [
        "cmd: warning: 1,200 audio files are digital silence, first 0.wav",
        "cmd: warning: 1 audio file is antiphase stereo: its channels cancel out when they are averaged (-31 dB): "
        r"seven\n.wav",
        "cmd: warning: 1 audio file is clipped (2.0%): 8.wav",
    ]


def test_notes_of_other_processes(tmp_path):
    soundfile.write(tmp_path / "x.wav", ZERO, RATE)
    code = "import sys; from spooftrace.audio.reading import read_audio; read_audio(sys.argv[1])"
    with gathered("cmd") as notes:
        result = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "x.wav"], capture_output=True, text=True, check=True
        )
        assert notes.read() == {"silent": {str(tmp_path / "x.wav"): ""}} and not result.stderr


def test_commands_say_what_they_noticed(recipe, capsys):
    tables = {"wav.scp": {}, "utt2spk": {}}
    for number, (samples, subtype) in enumerate([(ZERO, "PCM_16"), (ZERO, "PCM_16"), (stack(WAVE, -WAVE), "PCM_16")]):
        soundfile.write(f"{number}.wav", samples, RATE, subtype=subtype)
        tables["wav.scp"][f"u{number}"] = f"{number}.wav"
        tables["utt2spk"][f"u{number}"] = "s"
    DataDir.write("data/x", tables)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["durations", "--data", "data/x"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "spooftrace durations: warning: 2 audio files are digital silence, first 0.wav" in lines
    assert any(line.startswith("spooftrace durations: warning: 1 audio file is antiphase") for line in lines)
