"""data/eval_tts of egs/mini, with fake speech synthesizers."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.programs import install_python, install_shell

from spooftrace.audio import read_audio
from spooftrace.audio.postprocessing import LEVEL, active_level
from spooftrace.datadir import DataDir

SCRIPT = Path(__file__).resolve().parents[2] / "egs/mini/local/make_tts.py"
HUM = """\
import shutil, sys
shutil.copy({speech!r}, sys.argv[sys.argv.index({option!r}) + 1])
"""
BROKEN = "echo no such voice >&2; exit 3"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("make_tts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_tts"] = module  # dataclasses look up their module by name
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_tts"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Return a folder with an eval set of two utterances, and empty the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "my bin"))
    (tmp_path / "my bin").mkdir()
    out = tmp_path / "my data"
    tables = {"utt2spk": "s", "wav.scp": "x.flac", "utt2dur": "2.5", "utt2attack": "-"}
    tables = {name: {"a": value, "a-copy": value} for name, value in tables.items()}
    DataDir.write(out / "eval", tables | {"utt2label": {"a": "bonafide", "a-copy": "spoof"}})
    return out


def hum(data, option):
    """Install a synthesizer that writes half a second of a tone between two silences."""
    wave = np.concatenate([np.zeros(22050), 0.5 * np.sin(np.arange(11025) / 10), np.zeros(22050)])
    speech = data.parent / "speech.wav"
    soundfile.write(speech, wave, 22050)
    return HUM.format(speech=str(speech), option=option)


def test_without_programs_there_is_no_set(script, data, capsys):
    assert script.make_set(data) is None
    assert "not installed: espeak-ng, flite, hibari" in capsys.readouterr().err
    assert not (data / "eval_tts").exists()


def test_what_is_installed_speaks(script, data, capsys):
    install_python(data.parent / "my bin/flite", hum(data, "-o"))
    made = script.make_set(data)
    assert "not installed: espeak-ng, hibari" in capsys.readouterr().err
    labels, attacks = made.table("utt2label"), made.table("utt2attack")
    assert [utt for utt in made.utts if labels[utt] == "bonafide"] == ["a"]
    spoken = [utt for utt in made.utts if labels[utt] == "spoof"]
    assert len(spoken) == len(script.SENTENCES)
    assert {attacks[utt] for utt in spoken} == {"flite"}
    wave = read_audio(made.table("wav.scp")[spoken[0]], 16000)
    assert len(wave) / 16000 == pytest.approx(0.6, abs=0.05), "silence is cut but for a margin"
    assert active_level(wave) == pytest.approx(LEVEL, abs=0.2)
    install_shell(data.parent / "my bin/flite", BROKEN)  # existing files are not synthesized again
    assert len(script.make_set(data).utts) == len(made.utts)


def test_a_program_that_fails_is_named(script, data, monkeypatch, capsys):
    install_shell(data.parent / "my bin/espeak-ng", BROKEN)
    monkeypatch.setattr(sys, "argv", ["make_tts.py", str(data)])
    assert script.main() == 1
    error = capsys.readouterr().err
    assert "tts-espeak-en-gb-00: espeak-ng failed: no such voice" in error
    assert not (data / "eval_tts/wav.scp").exists()
