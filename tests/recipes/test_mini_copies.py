"""The copies of the mini corpus have the same samples on every processor, and a script verifies this."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spooftrace.corpora import mini
from spooftrace.datadir import DataDir

MINI = Path(__file__).resolve().parents[2] / "egs/mini"
# Disable the vector instructions that libraries choose by processor, to change the order of additions.
OTHER_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Prescott",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
}
COPY = """
import hashlib, json, sys
from spooftrace.audio import read_audio
from spooftrace.derive.listed_copies import load_synthesizer, resynthesize
wave = read_audio(sys.argv[1], 16000)
samples = {name: resynthesize(wave, load_synthesizer(name), "utt").tobytes() for name in sys.argv[2:]}
print(json.dumps({name: hashlib.sha256(content).hexdigest() for name, content in samples.items()}))
"""
# A codec of each quantizer and decoder, one with a voice, one at another rate, and the non-neural codecs.
ATTACKS = ["rvq8_freq_q8", "svq_time", "fsq_freq_q24", "rvq_freq_dis_q8", "rvq_freq_8k_q4", "griffinlim", "world24"]


def test_copies_do_not_depend_on_the_processor(tmp_path):
    utts = [row["utt"] for row in mini.read_rows(MINI / "corpus" / mini.TABLE)]
    mini.unpack(MINI / "corpus" / mini.ARCHIVE, tmp_path, utts)
    recording = tmp_path / "bonafide" / f"{utts[0]}.flac"

    def copies(variables):
        command = [sys.executable, "-c", COPY, str(recording), *ATTACKS]
        done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    assert copies(OTHER_PROCESSOR) == copies({})


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("check_copies", MINI / "local/check_copies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path, monkeypatch, script):
    """Return the six sets with one copy each by two attacks, and the checksums of these."""
    (tmp_path / "audio").mkdir()
    rng = np.random.default_rng(0)
    for name in mini.SETS:
        wav = {f"{name}-{attack}": str(tmp_path / f"audio/{name}-{attack}.flac") for attack in ("world", "svq_time")}
        for file in wav.values():
            soundfile.write(file, rng.integers(-999, 999, 400, dtype=np.int16), 16000)
        tables = {"wav.scp": wav, "utt2spk": dict.fromkeys(wav, "s"), "utt2source": dict.fromkeys(wav, "a.flac")}
        DataDir.write(tmp_path / name, {**tables, "utt2attack": {utt: utt.rpartition("-")[2] for utt in wav}})
    monkeypatch.setattr(script, "SUMS", tmp_path / "copies.sha256")
    monkeypatch.setattr(sys, "argv", ["check_copies.py", str(tmp_path), "--write"])
    assert script.main() == 0
    monkeypatch.setattr(sys, "argv", ["check_copies.py", str(tmp_path)])
    return tmp_path


def test_equal_copies(script, data, capsys):
    path = data / "audio/dev-world.flac"
    samples, _ = soundfile.read(path, dtype="int16")
    soundfile.write(path, samples, 16000, compression_level=0.0)  # the same samples in another file
    assert script.main() == 0
    assert "all 12 copies are sample for sample those of the README's figures" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["one sample", "exchanged"])
def test_other_copies_are_named(script, data, capsys, change):
    first, second = data / "audio/dev-svq_time.flac", data / "audio/eval-svq_time.flac"
    samples, other = (soundfile.read(path, dtype="int16")[0] for path in (first, second))
    if change == "one sample":
        samples[7] += 1
    else:
        samples, other = other, samples
    soundfile.write(first, samples, 16000)
    soundfile.write(second, other, 16000)
    assert script.main() == 0
    output = capsys.readouterr()
    assert "the copies by svq_time are not sample for sample" in output.err and output.out == ""


def test_every_attack_has_a_sum(script):
    attacks = {attack for chosen in mini.SETS.values() for turns in chosen.turns for attack in turns.attacks}
    sums = script.read_sums(MINI / "corpus/copies.sha256")
    assert sums.keys() == attacks
    assert all(len(digest) == 64 for digest in sums.values())
