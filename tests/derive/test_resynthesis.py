"""Data directories through codecs and channels: labels, rates, segments, jobs, and what is rejected."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from spooftrace.audio import audio_info, read_audio
from spooftrace.cli.main import main
from spooftrace.codecs.coder import Coder
from spooftrace.codecs.providers import find_codec, load_coder
from spooftrace.codecs.table import find_setting
from spooftrace.codecs.weights import load_codec
from spooftrace.common.errors import InputError
from spooftrace.corpora import mini
from spooftrace.datadir import DataDir, validate
from spooftrace.derive import recoding
from spooftrace.derive.listed_copies import load_synthesizer
from spooftrace.derive.recoding import Rejected, recode

CORPUS = Path(__file__).resolve().parents[2] / "egs/mini/corpus"
RVQ = CORPUS / "codec_rvq8.safetensors"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in a job; for models this small, threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Five recordings of one voice."""
    folder = tmp_path_factory.mktemp("speech")
    rows = mini.read_rows(CORPUS / mini.TABLE)
    mini.unpack(CORPUS / mini.ARCHIVE, folder, [row["utt"] for row in rows])
    return [folder / f"bonafide/ast-it-{number:03d}.flac" for number in range(5)]


@pytest.fixture
def data(speech, tmp_path, monkeypatch):
    """A data directory ``my data/x`` of three recordings in the current directory."""
    monkeypatch.chdir(tmp_path)
    utts = [path.stem for path in speech[:3]]
    tables = {
        "wav.scp": {path.stem: str(path) for path in speech[:3]},
        "utt2spk": dict.fromkeys(utts, "it"),
        "utt2label": dict(zip(utts, ("bonafide", "bonafide", "spoof"), strict=True)),
        "utt2attack": dict(zip(utts, ("-", "-", "A07"), strict=True)),
        "utt2content": dict.fromkeys(utts, "prompt"),
    }
    DataDir.write("my data/x", tables)
    return Path("my data/x")


def resynthesize(data, *options, out="my data/out"):
    return main(["codec", "resynthesize", "--data", str(data), "--out", str(out), *map(str, options)])


def likeness(one, other):
    """How much the loudness of two recordings goes up and down together."""
    frames = len(one) // 320
    contours = [np.log(np.square(x[: frames * 320]).reshape(frames, 320).mean(1) + 1e-8) for x in (one, other)]
    return np.corrcoef(*contours)[0, 1]


def add(data, name, samples, rate=16000):
    """Put one more utterance, an audio file of ``samples`` (None: no file), into a data directory."""
    path = Path(f"{name}.wav")
    if samples is not None:
        soundfile.write(path, samples, rate, subtype="FLOAT")
    tables = dict(DataDir.read(data).tables)
    values = {"wav.scp": str(path.resolve()), "utt2spk": "it", "utt2label": "bonafide", "utt2attack": "-"}
    tables = {key: {**table, name: values.get(key, "prompt")} for key, table in tables.items() if key != "spk2utt"}
    DataDir.write(data, tables)


# ---- our own ----


def test_own_codec_equals_its_class(speech):
    wave = read_audio(speech[0])
    copy = load_codec(RVQ).double().copy(torch.from_numpy(wave)[None].double(), 4)[0].float().numpy()
    np.testing.assert_array_equal(load_coder(find_setting("rvq8_freq_q4")).copy(wave), copy)
    np.testing.assert_array_equal(load_synthesizer("rvq8_freq_q4")(wave), copy)


def test_a_file_of_codec_train_has_its_own_labels(tmp_path):
    folder = tmp_path / "my codec"
    folder.mkdir()
    (folder / "codec.safetensors").write_bytes(RVQ.read_bytes())
    setting = find_codec(str(folder / "codec.safetensors"), 2)
    assert setting.name == "my_codec_q2"
    assert setting.labels["utt2nac"] == "16 0.8 2"
    assert [setting.labels[f"utt2{axis}"] for axis in ("vq", "aux", "dec")] == ["mvq", "none", "freq"]
    assert find_codec(str(RVQ)).nac == "16 3.2 8"
    with pytest.raises(InputError, match="not 9"):
        find_codec(str(RVQ), 9)


# ---- a data directory ----


def test_labels_of_copies(data, capsys):
    assert resynthesize(data, "--codec", "rvq8_freq", "--quantizers", 4, 8) == 0
    assert "6 copies of 3 utterances" in capsys.readouterr().out
    out = DataDir.read("my data/out")
    assert validate("my data/out", check_audio=True) == []
    original = DataDir.read(data)
    for utt in out.utts:
        source, _, attack = utt.rpartition("-")
        expected = {
            **find_setting(attack).labels,
            "utt2spk": "it",
            "utt2content": "prompt",
            "utt2source": original.table("wav.scp")[source],
            "wav.scp": f"my data/out/audio/{attack}/{utt}.flac",
        }
        assert {name: out.table(name)[utt] for name in expected} == expected
        wave, copy = read_audio(original.table("wav.scp")[source]), read_audio(out.table("wav.scp")[utt])
        assert len(copy) == len(wave)
        assert float(out.table("utt2dur")[utt]) == pytest.approx(len(wave) / 16000)
        assert np.std(copy) == pytest.approx(np.std(wave), rel=0.02), "the level must not tell"
        assert likeness(wave, copy) > 0.8
        assert np.abs(wave - copy).max() > 0.01


def test_rates_channels_and_segments(data, speech, tmp_path):
    wave, _ = soundfile.read(speech[0])
    stereo = np.stack([wave, 0.5 * wave], axis=1)
    soundfile.write("long.wav", np.concatenate([stereo, stereo]), 22050)
    tables = {
        "wav.scp": {"long": "long.wav"},
        "segments": {"s/a": "long 0.2 1.5", "s/b": "long 1.0 2.0"},
        "utt2spk": {"s/a": "it", "s/b": "it"},
    }
    DataDir.write("cut", tables)
    assert resynthesize("cut", "--codec", "rvq8_freq_q8") == 0
    out = DataDir.read("my data/out")
    assert "segments" not in out.tables
    files = out.table("wav.scp")
    assert files["s/a-rvq8_freq_q8"].endswith("/s%2Fa-rvq8_freq_q8.flac")
    assert audio_info(files["s/a-rvq8_freq_q8"]) == (round(1.3 * 22050), 22050, 1)
    assert list(out.table("utt2dur").values()) == ["1.3", "1"]
    assert set(out.table("utt2source").values()) == {"long.wav"}
    original = read_audio("long.wav", 22050, 0.2, 1.5)
    assert likeness(original, read_audio(files["s/a-rvq8_freq_q8"], 22050)) > 0.8


def test_jobs_make_what_one_process_makes(data, capsys):
    options = ["--codec", "rvq8_freq", "--quantizers", 2, 8]
    for job in (1, 2):
        assert resynthesize(data, *options, "--job", job, "--num-jobs", 2, out="jobs") == 0
    assert not Path("jobs/utt2spk").exists()
    assert resynthesize(data, *options, "--collect", out="jobs") == 0
    assert resynthesize(data, *options, out="alone") == 0
    files = sorted(path.relative_to("alone") for path in Path("alone").rglob("*.flac"))
    assert len(files) == 6
    assert all((Path("alone") / file).read_bytes() == (Path("jobs") / file).read_bytes() for file in files)
    assert Path("alone/utt2nac").read_bytes() == Path("jobs/utt2nac").read_bytes()


def test_a_killed_run_goes_on(data, monkeypatch, capsys):
    write, calls = recoding.write_flac, []

    def die_at_the_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(recoding, "write_flac", die_at_the_second)
    assert resynthesize(data, "--codec", "rvq8_freq_q8") == 130
    monkeypatch.setattr(recoding, "write_flac", write)
    (first,) = Path("my data/out").rglob("*.flac")
    time = first.stat().st_mtime_ns
    assert resynthesize(data, "--codec", "rvq8_freq_q8", "--collect") == 1
    assert "2 copies are not made" in capsys.readouterr().err
    assert resynthesize(data, "--codec", "rvq8_freq_q8") == 0
    assert "2 made, 1 existed" in capsys.readouterr().out
    assert first.stat().st_mtime_ns == time
    assert resynthesize(data, "--codec", "rvq8_freq_q8") == 0
    assert "0 made, 3 existed" in capsys.readouterr().out
    # A file that has gone since, and other weights under the same name: made anew.
    first.unlink()
    assert resynthesize(data, "--codec", "rvq8_freq_q8") == 0
    assert "1 made, 2 existed" in capsys.readouterr().out
    assert resynthesize(data, "--codec", "rvq8_freq_q4") == 0
    assert "3 made, 0 existed" in capsys.readouterr().out
    assert set(DataDir.read("my data/out").table("utt2attack").values()) == {"rvq8_freq_q4"}


# ---- channels ----


def test_an_original_that_is_replaced_in_place_is_copied_anew(data, speech):
    utt = speech[0].stem
    path = Path(f"{utt}.flac").resolve()
    path.write_bytes(speech[0].read_bytes())
    tables = dict(DataDir.read(data).tables)
    tables.pop("spk2utt", None)
    DataDir.write(data, {**tables, "wav.scp": {**tables["wav.scp"], utt: str(path)}})
    copy = Path(f"my data/out/audio/rvq8_freq_q4/{utt}-rvq8_freq_q4.flac")
    assert resynthesize(data, "--codec", "rvq8_freq", "--quantizers", 4) == 0
    of_first = read_audio(copy)
    path.write_bytes(speech[1].read_bytes())
    assert resynthesize(data, "--codec", "rvq8_freq", "--quantizers", 4) == 0
    assert len(read_audio(copy)) == len(read_audio(speech[1])) != len(of_first)


def test_a_channel_leaves_the_labels(data):
    assert resynthesize(data, "--channel", "mulaw", "opus") == 0
    out, original = DataDir.read("my data/out"), DataDir.read(data)
    assert len(out.utts) == 6
    for utt in out.utts:
        source, _, channel = utt.rpartition("-")
        assert out.table("utt2cond")[utt] == channel
        for name in ("utt2label", "utt2attack", "utt2spk", "utt2content"):
            assert out.table(name)[utt] == original.table(name)[source]
        wave, sent = read_audio(original.table("wav.scp")[source]), read_audio(out.table("wav.scp")[utt])
        assert len(wave) == len(sent)
        assert np.corrcoef(wave, sent)[0, 1] > 0.7
    assert {"utt2vq", "utt2nac"}.isdisjoint(out.tables)


# ---- what is not as it should be ----


def coder(copy=lambda wave: wave, **changes):
    return Coder(**{"rate": 16000, "frame": 320, "copy": copy, **changes})


@pytest.mark.parametrize(
    "copy, message",
    [
        (lambda wave: 0 * wave, "the copy is silent"),
        (lambda wave: 0.001 * wave, "the copy is silent"),
        (lambda wave: wave * np.float32(np.nan), "NaN"),
        (lambda wave: np.where(np.arange(len(wave)) == 5, np.inf, wave), "infinite"),
        (lambda wave: wave[:-321], "the copy has 3,679 samples instead of 4,000"),
        (lambda wave: np.tile(wave, 2), "the copy has 8,000 samples instead of 4,000"),
        (lambda wave: wave[:0], "the copy has 0 samples"),
    ],
)
def test_bad_copies_are_rejected(copy, message):
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, 4000).astype(np.float32)
    with pytest.raises(Rejected, match=message):
        recode(wave, 16000, coder(copy))


def test_bad_originals_are_rejected():
    with pytest.raises(Rejected, match=r"0.0199 s of audio, less than one frame \(0.0200 s\)"):
        recode(np.ones(319, np.float32), 16000, coder())
    with pytest.raises(Rejected, match="the original is silent"):
        recode(np.zeros(4000, np.float32), 16000, coder())
    shortest = recode(np.full(320, 0.5, np.float32), 16000, coder())
    np.testing.assert_allclose(shortest, 0.5)


def test_copies_have_the_length_and_level_of_the_original():
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 5001).astype(np.float32)
    for rate in (8000, 16000, 22050, 44100):
        copy = recode(wave, rate, coder(lambda wave: 0.1 * wave[:-100]))
        assert copy.dtype == np.float32 and len(copy) == 5001
        assert np.std(copy) == pytest.approx(np.std(wave), rel=0.01)
    peaks = recode(1.8 * wave, 16000, coder(lambda wave: wave**3))
    assert np.abs(peaks).max() == 1, "clipped, as a decoder that gives 16 bits would"


def test_rejected_utterances_are_listed_and_in_no_table(data, capsys):
    add(data, "no-file", None)
    add(data, "too-short", np.full(100, 0.1))
    add(data, "silence", np.zeros(8000))
    add(data, "nan", np.full(8000, np.nan))
    options = ["--codec", "rvq8_freq", "--quantizers", 8, 4]
    assert resynthesize(data, *options) == 0
    text = capsys.readouterr().out
    assert "6 made, 0 existed, 8 rejected" in text
    assert "6 copies of 7 utterances; 8 rejected, see my data/out/rejected.txt" in text
    out = DataDir.read("my data/out")
    assert len(out.utts) == 6
    assert all(len(table) == 6 for name, table in out.tables.items() if name != "spk2utt")
    reasons = dict(line.split(maxsplit=1) for line in Path("my data/out/rejected.txt").read_text().splitlines())
    assert len(reasons) == 8
    assert "no such file" in reasons["no-file-rvq8_freq_q4"]
    assert "less than one frame" in reasons["too-short-rvq8_freq_q4"]
    assert reasons["silence-rvq8_freq_q8"] == "the original is silent"
    assert "NaN" in reasons["nan-rvq8_freq_q8"]
    # Put right, they are tried again, and nothing else is.
    soundfile.write("no-file.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 8000), 16000)
    assert resynthesize(data, *options) == 0
    assert "2 made, 6 existed, 6 rejected" in capsys.readouterr().out
    assert len(DataDir.read("my data/out").utts) == 8


def test_nothing_but_rejected_utterances_is_an_error(data, capsys):
    DataDir.write(data, {"wav.scp": {"u": "nowhere.wav"}, "utt2spk": {"u": "s"}})
    assert resynthesize(data, "--codec", "rvq8_freq_q8") == 1
    assert "no copy could be made; the reasons are in my data/out/rejected.txt" in capsys.readouterr().err
    assert not Path("my data/out/utt2spk").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--codec", "rvq8_freqq"], "did you mean rvq8_freq"),
        (["--codec", "rvq8_freq", "--quantizers", "3"], "runs with 1, 2, 4, 8 quantizers, not 3"),
        (["--codec", "facodec"], "'facodec': has no provider"),
        (["--codec", "nowhere.safetensors"], "nowhere.safetensors: no such codec file"),
        (["--codec", "rvq8_freq_q8", "rvq8_freq"], "'rvq8_freq_q8' is named twice"),
        (["--codec", "rvq8_freq_q8", "mimi_q8", "--model", "x"], "--codec names several"),
        (["--channel", "mulow"], "did you mean mulaw"),
        (["--channel", "mulaw", "--quantizers", "2"], "go with --codec"),
        ([], "give --codec NAME or --channel NAME"),
        (["--codec", "rvq8_freq_q8", "--job", "3", "--num-jobs", "2"], "must be between 1 and"),
        (["--codec", "rvq8_freq_q8", "--attack", "world"], "--data DIR goes with --out DIR"),
    ],
)
def test_options_that_do_not_go_together(data, capsys, options, message):
    assert resynthesize(data, *options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_other_directories_are_left_alone(data, capsys):
    assert resynthesize(data, "--codec", "rvq8_freq_q8", out=data) == 1
    assert "choose another --out" in capsys.readouterr().err
    assert len(DataDir.read(data).utts) == 3
    assert main(["codec", "resynthesize", "--codec", "mimi"]) == 1
    assert "give --data DIR" in capsys.readouterr().err
    assert main(["codec", "resynthesize", str(data), "--channel", "mulaw"]) == 1
    assert "need --data" in capsys.readouterr().err
