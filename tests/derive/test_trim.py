"""Trimming: what is silence, what becomes of the tables, and that killed jobs and changed settings leave no mixture."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.audio import read_audio
from spooftrace.audio.silence import DETECTORS, remove_silence, speech_energy, speech_webrtc
from spooftrace.cli import main as cli
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir, read_table, validate
from spooftrace.datadir.directory import known_files
from spooftrace.derive import trim

RATE = 16000
MINI = Path(__file__).resolve().parents[2] / "egs/mini/corpus/bonafide.tar"


@pytest.fixture(scope="module")
def speech():
    """Four real utterances, float32."""
    waves = []
    with tarfile.open(MINI) as archive:
        for member in archive.getmembers()[:400:80]:
            waves.append(soundfile.read(io.BytesIO(archive.extractfile(member).read()), dtype="float32")[0])
    return waves[:4]


@pytest.fixture
def data(recipe, speech):
    """Speech between half a second of near silence, ids with '/', one utterance of near silence only."""
    rng = np.random.default_rng(1)
    tables = {name: {} for name in ("wav.scp", "utt2spk", "utt2label", "utt2attack", "utt2subset", "feats.scp")}
    Path("audio files").mkdir()
    for number in range(6):
        utt = f"sys/u{number}"
        pause = rng.normal(0, 1e-4, RATE // 2).astype(np.float32)
        wave = np.concatenate([pause, speech[number], pause, speech[-number], pause]) if number < 4 else pause
        soundfile.write(f"audio files/{number}.flac", wave, RATE)
        values = (f"audio files/{number}.flac", "s", "bonafide", "-", "x", "a.ark:5")
        for table, value in zip(tables.values(), values, strict=True):
            table[utt] = value
    DataDir.write("data/eval", tables)
    return Path("data/eval")


def run(data: Path, *options: str) -> int:
    return cli.main(["trim", "--data", str(data), *options])


def test_webrtc_decides_frame_by_frame_as_published(speech):
    """The rule of the authors' code, written out on the int16 samples of the file."""
    import webrtcvad

    wave = speech[0]
    detector, expected = webrtcvad.Vad(3), np.zeros(len(wave), bool)
    pcm = (wave * 32767).astype(np.int16)
    for start in range(0, len(pcm) - 479, 480):
        expected[start : start + 480] = detector.is_speech(pcm[start : start + 480].tobytes(), RATE)
    found = speech_webrtc(wave, RATE)
    np.testing.assert_array_equal(found, expected)
    assert 0.2 < found.mean() < 1
    with pytest.raises(ValueError, match="22050"):
        speech_webrtc(wave, 22050)


def test_energy_rule_equals_its_definition(speech):
    for wave in [*speech, speech[0][:100], speech[0][:400], speech[0][:401]]:
        num_frames = max(-(-(len(wave) - 400) // 160), 0) + 1
        padded = np.pad(wave.astype(np.float64), (0, 400))
        power = np.array([np.mean(padded[160 * f : 160 * f + 400] ** 2) for f in range(num_frames)])
        expected = np.zeros(len(wave), bool)
        for frame in np.flatnonzero(power > power.max() * 1e-4):
            expected[160 * frame : 160 * frame + 400] = True
        np.testing.assert_array_equal(speech_energy(wave, RATE), expected)


@pytest.mark.parametrize("method", DETECTORS)
def test_silence_around_speech_goes_and_speech_stays(method, speech):
    silence = np.random.default_rng(0).normal(0, 1e-5, RATE).astype(np.float32)
    wave = np.concatenate([silence, speech[1], silence, speech[2], silence])
    found = DETECTORS[method](wave, RATE)
    middle = found[RATE : RATE + len(speech[1])]
    assert middle.mean() > 0.5 and found[: RATE // 2].sum() == 0
    everything, ends = (remove_silence(wave, found, ends_only) for ends_only in (False, True))
    spoken = len(speech[1]) + len(speech[2])
    assert len(everything) < spoken + RATE // 4
    assert len(everything) + RATE // 2 < len(ends) < spoken + 2 * RATE


@pytest.mark.parametrize("method", DETECTORS)
@pytest.mark.parametrize("size", [0, 1, 79, 80, 479, 480, 16001])
def test_digital_silence_of_any_length_comes_back_whole(method, size):
    wave = np.zeros(size, np.float32)
    found = DETECTORS[method](wave, RATE)
    assert found.shape == (size,) and not found.any()
    assert remove_silence(wave, found) is wave


@settings(max_examples=50)
@given(st.lists(st.booleans(), min_size=1), st.booleans())
def test_what_is_removed(mask, ends_only):
    speech = np.array(mask)
    wave = np.arange(len(mask))
    kept = remove_silence(wave, speech, ends_only)
    if not speech.any():
        assert kept is wave
    else:
        assert set(wave[speech]) <= set(kept) and (np.diff(kept) > 0).all()
        assert speech[kept[0]] and speech[kept[-1]]
        assert ends_only or len(kept) == speech.sum()
    with pytest.raises(ValueError, match="same shape"):
        remove_silence(wave, np.append(speech, True))


@pytest.mark.parametrize("method", DETECTORS)
def test_copy_of_a_data_directory(data, method, capsys):
    (data / "convention").write_text("asvspoof2021\n")
    for job in "12":
        assert run(data, "--method", method, "--job", job, "--num-jobs", "2") == 0
    assert not known_files(Path("data/eval_trim"))  # nothing that a later stage would take for complete
    assert run(data, "--method", method, "--collect") == 0
    out, source = DataDir.read("data/eval_trim"), DataDir.read(data)
    assert validate(out.path, check_audio=True) == []
    for name in ("utt2spk", "utt2label", "utt2attack", "utt2subset", "spk2utt"):
        assert out.tables[name] == source.tables[name]
    assert "feats.scp" not in out.tables
    assert (out.path / "convention").read_text() == "asvspoof2021\n"
    assert all(Path(path).parent == Path("data/eval_trim/audio") for path in out.table("wav.scp").values())
    for utt, path in out.table("wav.scp").items():
        wave, (kept, rate) = read_audio(source.audio(utt)[0]), soundfile.read(path, dtype="float32")
        assert rate == RATE and soundfile.info(path).subtype == "PCM_16"
        expected = remove_silence(wave, DETECTORS[method](wave, RATE))
        np.testing.assert_array_equal(kept, expected)  # to the bit, for 16-bit sources
        assert round(float(out.table("utt2dur")[utt]) * RATE) == len(kept)
    printed = capsys.readouterr().out
    if method == "webrtc":  # noise is below its thresholds; by the energy rule it is the loudest there is
        assert Path("data/eval_trim/no_speech.txt").read_text() == "sys/u4\nsys/u5\n"
        assert out.table("utt2dur")["sys/u4"] == "0.5" and "2 without detected speech kept whole" in printed
    else:
        assert not Path("data/eval_trim/no_speech.txt").exists() and "0 without detected speech" in printed


def test_second_run_does_nothing(data, capsys, monkeypatch):
    assert run(data) == run(data, "--collect") == 0
    files = {path: path.stat().st_mtime_ns for path in Path("data/eval_trim").rglob("*") if path.is_file()}
    monkeypatch.setattr(trim, "read_audio", None)
    for options in ([], ["--num-jobs", "3", "--job", "2"], ["--collect"]):
        assert run(data, *options) == 0
    assert files == {path: path.stat().st_mtime_ns for path in Path("data/eval_trim").rglob("*") if path.is_file()}


def test_lost_files_are_made_again(data):
    assert run(data) == run(data, "--collect") == 0
    path = Path(read_table("data/eval_trim/wav.scp")["sys/u2"])
    content = path.read_bytes()
    path.unlink()
    assert run(data, "--collect") == 1
    assert run(data) == run(data, "--collect") == 0
    assert path.read_bytes() == content


def test_audio_that_is_replaced_in_place_is_trimmed_anew(data):
    assert run(data) == 0
    source = Path(read_table(data / "wav.scp")["sys/u1"])
    before = source.stat()
    source.write_bytes(Path(read_table(data / "wav.scp")["sys/u2"]).read_bytes())
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))  # older, as rsync leaves it
    assert run(data, "--collect") == 1
    assert run(data) == 0
    copies = read_table("data/eval_trim/wav.scp")
    assert np.array_equal(read_audio(copies["sys/u1"]), read_audio(copies["sys/u2"]))


def test_other_settings_never_mix(data, capsys):
    assert run(data, "--method", "webrtc") == run(data, "--method", "webrtc", "--collect") == 0
    assert run(data, "--method", "energy", "--collect") == 1
    assert "6 utterances are not trimmed" in capsys.readouterr().err
    DataDir.read("data/eval_trim")  # asking changed nothing
    assert run(data, "--method", "energy", "--num-jobs", "2") == 0
    with pytest.raises(InputError):
        DataDir.read("data/eval_trim")
    # Half of the files are new now: none of the old records may count.
    assert run(data, "--method", "webrtc", "--collect") == 1
    assert run(data, "--method", "energy", "--num-jobs", "2", "--job", "2") == 0
    assert run(data, "--method", "energy", "--collect") == 0
    utt = "sys/u0"
    wave = read_audio(read_table(data / "wav.scp")[utt])
    kept = read_audio(read_table("data/eval_trim/wav.scp")[utt])
    np.testing.assert_array_equal(kept, wave[speech_energy(wave, RATE)])


def test_segments_become_files(recipe, speech):
    soundfile.write("long.wav", np.concatenate([speech[0], np.zeros(RATE, np.float32)]), RATE)
    end = len(speech[0]) / RATE
    tables = {
        "wav.scp": {"long": "long.wav"},
        "segments": {"u1": f"long 0.5 {end + 0.5}", "u2": f"long {end + 0.1} {end + 0.9}"},
        "utt2spk": {"u1": "s", "u2": "s"},
    }
    data = Path("data/cut")
    DataDir.write(data, tables)
    assert run(data, "--method", "energy") == run(data, "--method", "energy", "--collect") == 0
    out = DataDir.read("data/cut_trim")
    assert "segments" not in out.tables and sorted(out.table("wav.scp")) == ["u1", "u2"]
    assert out.table("utt2dur")["u2"] == "0.8" and 0 < float(out.table("utt2dur")["u1"]) < end


def test_mistakes_are_named(data, capsys, monkeypatch):
    DataDir.write("data/eval_full", DataDir.read(data).tables)
    before = Path("data/eval_full/wav.scp").read_bytes()
    for options, message in (
        (["--out-suffix", "full"], "choose another --out-suffix"),
        (["--out-suffix", "a/../b"], "use letters"),
        (["--collect"], "6 utterances are not trimmed, first 'sys/u0'"),
        (["--job", "3", "--num-jobs", "2"], "--job 3"),
    ):
        assert run(data, *options) == 1
        assert message in capsys.readouterr().err
    assert Path("data/eval_full/wav.scp").read_bytes() == before
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    assert run(data) == 1
    assert "pip install webrtcvad-wheels" in capsys.readouterr().err
    Path("audio files/3.flac").write_bytes(b"")
    assert run(data, "--method", "energy") == 1
    assert "3.flac: the file is empty" in capsys.readouterr().err
    assert len(list(Path("data/eval_trim/audio").iterdir())) == 3  # those before it are not lost


def test_ids_stay_in_their_folder_and_apart():
    ids = ["../../etc/passwd", "a/b", "a%2Fb", "a_b", "..", ".", "%"]
    names = [trim.file_name(utt) for utt in ids]
    assert len(set(names)) == len(ids) and not any("/" in name for name in names)


@pytest.mark.slow
def test_killed_job_goes_on(data):
    """Killed with files done and to come: the second run makes only the missing ones, and the result is the same."""
    tables = DataDir.read(data).tables
    more = {
        name: {f"{utt}_{n:02d}": v for utt, v in table.items() for n in range(30)} for name, table in tables.items()
    }
    DataDir.write(data, {name: table for name, table in more.items() if name != "spk2utt"})
    code = "import sys; from spooftrace.cli.main import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", code, "trim", "--data", str(data)], stdout=subprocess.DEVNULL)
    audio = Path("data/eval_trim/audio")
    while process.poll() is None and len(list(audio.glob("*.flac"))) < 5:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    first = {path: path.stat().st_mtime_ns for path in audio.glob("*.flac")}
    assert 5 <= len(first) < 180
    assert run(data) == run(data, "--collect") == 0
    # The one file that was written but not recorded may be made again.
    assert sum(path.stat().st_mtime_ns != before for path, before in first.items()) <= 1
    assert validate("data/eval_trim", check_audio=True) == []
    for path in audio.glob("*.flac"):
        assert len(read_audio(path)) > 0
    killed = {name: Path("data/eval_trim", name).read_bytes() for name in known_files(Path("data/eval_trim"))}
    assert cli.main(["trim", "--data", str(data), "--out-suffix", "again"]) == 0
    assert cli.main(["trim", "--data", str(data), "--out-suffix", "again", "--collect"]) == 0
    for name in set(killed) - {"wav.scp"}:
        assert Path("data/eval_again", name).read_bytes() == killed[name]


def test_a_single_utterance_is_in_the_singular(make_data, capsys):
    folder = make_data("single", 1)
    assert run(folder, "--collect") == 1
    assert "single_trim: 1 utterance is not trimmed" in capsys.readouterr().err
    assert run(folder) == 0
    out = capsys.readouterr().out
    assert "trimmed 1 utterance, 0 existed" in out and "single_trim: 1 utterance, " in out
