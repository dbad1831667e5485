"""detect and trace: names of every kind, files that cannot be used beside others, folders, hours of audio."""

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from spooftrace.audio.reading import LONGEST
from spooftrace.cli.main import main
from spooftrace.common.english import duration
from spooftrace.config.loading import load_config, save_config
from spooftrace.system.system import StreamShape, System
from spooftrace.system.weights import save_weights

RATE = 16000
CROP = 3200


@pytest.fixture(params=["live", "cached"])
def exp(request, write_config):
    """A system with random weights whose LFCCs are computed in the model, or by stage 3."""
    return make_exp(write_config, cached=["lfcc"] if request.param == "cached" else [])


@pytest.fixture
def live(write_config):
    return make_exp(write_config)


def make_exp(write_config, cached=(), **changes):
    data = {"crop": CROP, "num_workers": 1, "eval_crop": "first", "cached": list(cached)}
    config = load_config([write_config(**{"data": data, **changes})])
    torch.manual_seed(3)
    system = System(config, {name: StreamShape("frames", 60) for name in cached})
    folder = Path("exp")
    save_config(config, folder / "config.yaml")
    save_weights(system.own_state(), folder / "model.safetensors")
    return folder


def speech(seconds=0.5, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def detect(exp, *files, capsys):
    """Exit status, file -> score, lines on stderr."""
    capsys.readouterr()
    status = main(["detect", "--exp", str(exp), *map(os.fspath, files)])
    out, err = capsys.readouterr()
    rows = [line.split(maxsplit=1) for line in out.splitlines()]
    return status, {name: float(score) for score, name in rows}, err.splitlines()


def errors(lines):
    return [line for line in lines if ": error: " in line]


def test_names_that_no_table_can_hold(exp, capsys):
    names = [b"plain.wav", b"two\nlines.wav", b"a\ttab and blanks .wav", b"caf\xe9.wav", b"ends in |"]
    for number, name in enumerate(names):
        with open(name, "wb") as file:
            soundfile.write(file, speech(seed=number), RATE, format="WAV")
    shown = ["plain.wav", r"two\nlines.wav", r"a\ttab and blanks .wav", r"caf\xe9.wav", "ends in |"]
    status, scores, lines = detect(exp, *map(os.fsdecode, names), capsys=capsys)
    assert status == 0 and list(scores) == shown and not errors(lines)
    for number in range(len(names)):
        soundfile.write(f"{number}.wav", speech(seed=number), RATE)
        _, alone, _ = detect(exp, f"{number}.wav", capsys=capsys)
        assert alone[f"{number}.wav"] == pytest.approx(scores[shown[number]], abs=1e-3)
    for name in (b"bad\nname.wav", b"bad\xff.flac"):
        with open(name, "wb") as file:
            file.write(b"this is no audio")
    status, scores, lines = detect(exp, os.fsdecode(b"bad\nname.wav"), os.fsdecode(b"bad\xff.flac"), capsys=capsys)
    assert status == 1 and not scores
    assert [line.split(": ")[2] for line in errors(lines)] == [r"bad\nname.wav", r"bad\xff.flac"]


def bad_files():
    """File -> what must be said of it."""
    soundfile.write("short.flac", speech(), RATE)
    data = Path("short.flac").read_bytes()
    Path("short.flac").write_bytes(data[: len(data) * 2 // 3])
    Path("page.mp3").write_text("<html>404</html>")
    Path("nothing.wav").touch()
    Path("samples.raw").write_bytes(speech().tobytes())
    nan = speech()
    nan[5] = np.nan
    soundfile.write("nan.wav", nan, RATE, subtype="FLOAT")
    soundfile.write("one.wav", np.ones(1) / 2, 48000)
    soundfile.write("rate.wav", speech(), RATE)
    header = bytearray(Path("rate.wav").read_bytes())
    struct.pack_into("<I", header, 24, 2_000_000_000)
    Path("rate.wav").write_bytes(header)
    return {
        "short.flac": "cut short", "page.mp3": "not audio", "nothing.wav": "empty", "samples.raw": "no header",
        "nan.wav": "NaN", "one.wav": "1 sample at 48,000 Hz", "rate.wav": "2,000,000,000 Hz", "gone.wav": "no such",
    }  # fmt: skip


def test_bad_files_cost_the_others_nothing(exp, capsys):
    bad = bad_files()
    good = [f"good {number}.wav" for number in range(3)]
    for number, name in enumerate(good):
        soundfile.write(name, speech(seed=number), RATE)
    status, scores, lines = detect(exp, good[0], *bad, *good[1:], capsys=capsys)
    assert status == 1 and list(scores) == good
    said = {line.split(": error: ")[1].split(":")[0]: line for line in errors(lines)}
    assert said.keys() == bad.keys()
    assert all(reason in said[name] for name, reason in bad.items())
    # Neither the temporary folder nor the names in it; this checkout, which a command names, may lie in /tmp as well.
    temporary = (f"{tempfile.gettempdir()}/spooftrace-", f"{tempfile.gettempdir()}/tmp", "'00000")
    assert not [line for line in lines if any(text in line for text in temporary)]
    _, alone, _ = detect(exp, *good, capsys=capsys)
    assert scores == pytest.approx(alone, abs=1e-3)


def test_what_is_no_file_is_not_called_missing(exp, capsys):
    os.mkfifo("pipe.wav")
    soundfile.write("good.wav", speech(), RATE)
    status, scores, lines = detect(exp, "pipe.wav", "/dev/zero", "good.wav", capsys=capsys)
    assert status == 1 and list(scores) == ["good.wav"]
    assert ["not a regular file" in line for line in errors(lines)] == [True, True]


def test_values_that_a_model_cannot_take(exp, capsys):
    """Finite samples whose features overflow are found out by the model, which sees a whole batch."""
    soundfile.write("good.wav", speech(), RATE)
    soundfile.write("huge.wav", speech() * np.float32(1e30), RATE, subtype="FLOAT")
    status, scores, lines = detect(exp, "good.wav", "huge.wav", capsys=capsys)
    assert status == 1 and list(scores) == ["good.wav"]
    assert [line.split(": ")[2] for line in errors(lines)] == ["huge.wav"] and "'00" not in errors(lines)[0]
    assert any("beyond full scale" in line and line.endswith("huge.wav") for line in lines)


def test_folders(live, capsys):
    Path("calls/2024").mkdir(parents=True)
    soundfile.write("calls/b.wav", speech(), RATE)
    soundfile.write("calls/2024/a.flac", speech(seed=1), RATE)
    Path("calls/notes.txt").write_text("not audio")
    Path("empty").mkdir()
    status, scores, lines = detect(live, "calls", capsys=capsys)
    assert status == 0 and list(scores) == ["calls/2024/a.flac", "calls/b.wav"]
    status, scores, lines = detect(live, "empty", "calls/b.wav", capsys=capsys)
    assert status == 1 and list(scores) == ["calls/b.wav"]
    assert errors(lines) == [
        "spooftrace detect: error: empty: a folder without audio files; give files or another folder"
    ]


def test_what_the_stages_say_is_not_shown(exp, capsys, monkeypatch):
    monkeypatch.setattr("spooftrace.common.progress.LOG_SECONDS", 0.0)  # a line of progress after every batch
    for number in range(3):
        soundfile.write(f"{number}.wav", speech(seed=number), RATE)
    status, scores, lines = detect(exp, "0.wav", "1.wav", "2.wav", capsys=capsys)
    assert status == 0 and len(scores) == 3
    *progress, note = lines
    assert note.startswith("spooftrace detect: note: the results hold for")
    assert progress and all(line.startswith(("scoring 3 files: ", "lfcc of 3 files: ")) for line in progress)


def test_what_the_results_hold_for_and_odd_levels_are_said(live, capsys):
    wave = speech()
    soundfile.write("inverted.wav", np.stack([wave, -wave], 1), RATE)
    soundfile.write("left only.wav", np.stack([wave, 0 * wave], 1), RATE)
    soundfile.write("silent 1.wav", 0 * wave, RATE)
    soundfile.write("silent 2.wav", 0 * wave, RATE)
    status, scores, lines = detect(live, "inverted.wav", "left only.wav", "silent 1.wav", "silent 2.wav", capsys=capsys)
    assert status == 0 and len(scores) == 4
    said = "\n".join(lines)
    assert "warning: 2 audio files are digital silence, first silent 1.wav" in said
    assert "1 audio file is antiphase stereo" in said and "inverted.wav" in said
    assert "1 audio file has a silent channel" in said and "left only.wav" in said
    assert "like those that the system was trained on" in said


def write_hours(path, hours):
    """A sparse WAV file of so many hours, of which only the first second is there on the disk."""
    samples = hours * 3600 * RATE
    soundfile.write(path, speech(1.0), RATE, subtype="PCM_16")
    data = bytearray(Path(path).read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, 2 * samples)
    Path(path).write_bytes(data)
    os.truncate(path, len(data) - 2 * RATE + 2 * samples)


DETECT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
from spooftrace.cli.main import main
status = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="memory is counted in another unit")
def test_ten_hours_take_the_memory_of_their_first_seconds(live):
    write_hours("long.wav", 10)  # 1.15 GB as 16-bit samples, 2.3 GB as float32
    soundfile.write("short.wav", speech(1.0), RATE, subtype="PCM_16")
    words = [sys.executable, "-c", DETECT, "detect", "--exp", "exp", "short.wav", "long.wav"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    first, second, memory = result.stdout.splitlines()
    assert result.returncode == 0 and first.split()[0] == second.split()[0]
    alone = subprocess.run(words[:-1], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    for used, before in zip(memory.split(), alone.split(), strict=True):
        assert int(used) - int(before) < 200_000  # KiB


@pytest.mark.parametrize(("cached", "policy"), [((), "windows"), ((), "full"), (("lfcc",), "first")])
def test_what_would_fill_the_memory_is_refused_by_name(write_config, capsys, cached, policy):
    exp = make_exp(write_config, cached)
    write_hours("long.wav", 10)
    soundfile.write("short.wav", speech(1.0), RATE)
    capsys.readouterr()
    assert main(["detect", "--exp", str(exp), "short.wav", "long.wav", "--data.eval_crop", policy]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines()] == ["short.wav"]
    (line,) = errors(err.splitlines())
    assert "long.wav: 10 h 00 min" in line and f"at most {duration(LONGEST)}" in line


def test_trace_goes_on_without_a_bad_file(write_config, capsys):
    task = {"class_path": "Attribution", "init_args": {"table": "utt2vq", "classes": ["real", "mvq", "svq", "sq"]}}
    backend = {"class_path": "LinearProbe", "init_args": {"input_dim": 60, "num_outputs": 4}}
    exp = make_exp(write_config, task=task, backend=backend)
    for number in range(2):
        soundfile.write(f"{number}.wav", speech(seed=number), RATE)
    Path("bad\n.wav").write_text("no audio")
    assert main(["trace", "--exp", str(exp), "0.wav", "bad\n.wav", "1.wav"]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[-1] for line in out.splitlines()] == ["file", "0.wav", "1.wav"]
    assert [line.split(": ")[2] for line in errors(err.splitlines())] == [r"bad\n.wav"]
    assert "like those that the system was trained on" in err
