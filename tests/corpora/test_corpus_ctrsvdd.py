"""CtrSVDD: the miniature of the release, bona fide singing cut out of recordings, and files that are not right."""

import shutil
from collections import Counter

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from miniature import ctrsvdd as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import ctrsvdd as corpus
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, validate
from spooftrace.datadir.edit import where


@pytest.fixture(scope="module")
def release(tmp_path_factory, speech):
    root = tmp_path_factory.mktemp("the release")
    miniature.lay_out(speech, root)
    return root


@pytest.fixture
def copy(release, tmp_path):
    shutil.copytree(release, tmp_path / "copy")
    return tmp_path / "copy"


def prepare(root, out, databases=tuple(miniature.DATABASES), allow_partial=True):
    bonafide = [f"{name}={root / miniature.DATABASES[name]}" for name in databases]
    timestamps = root / "CtrSVDD_Utils/timestamps" if databases else None
    prepared = corpus.prepare(Request(root, out, allow_partial), bonafide, timestamps)
    return {data.path.name: data for data in prepared}


def listing(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def times(root):
    for path in sorted((root / "CtrSVDD_Utils/timestamps").iterdir()):
        for line in path.read_text().splitlines():
            file, utt, start, end = line.split()
            database, _, name = path.stem.split("_")
            inside = "wav" if database == "kiritan" else ""
            yield name, root / miniature.DATABASES[database] / inside / file, utt, float(start), float(end)


def test_prepare(release, tmp_path):
    before = listing(release)
    prepared = prepare(release, tmp_path / "my data")
    assert list(prepared) == ["train", "dev", "eval"]
    for data in prepared.values():
        assert validate(data.path, check_audio=True) == []
        assert set(data.table("utt2label").values()) == {"bonafide", "spoof"}
        assert not (data.path / "missing.txt").exists()
    assert Counter(prepared["train"].table("utt2attack").values()) == {"-": 10} | dict.fromkeys(corpus.SEEN, 2)
    assert Counter(prepared["eval"].table("utt2attack").values()) == {"-": 7} | dict.fromkeys(corpus.UNSEEN, 2)
    assert set(prepared["dev"].table("utt2source").values()) == {"m4singer", "kiritan", "jvsmusic"}
    assert len(set(prepared["train"].table("utt2spk").values())) == 5
    assert listing(release) == before


def test_cuts_are_the_samples_of_the_converted_recording(release, tmp_path):
    prepared = prepare(release, tmp_path / "data")
    entries = list(times(release))
    assert len(entries) == 7
    for name, recording, utt, start, end in entries:
        wave, rate = soundfile.read(recording, dtype="float32")
        expected = soxr.resample(wave.mean(axis=1), rate, 16000, quality="HQ")[int(start * 16000) : int(end * 16000)]
        path = prepared[name].table("wav.scp")[utt]
        assert path == f"{tmp_path}/data/audio/ctrsvdd/{name}/{utt}.flac"
        assert soundfile.info(path).subtype == "PCM_16"
        cut, rate = soundfile.read(path, dtype="float32")
        assert rate == 16000 and len(cut) == int(end * 16000) - int(start * 16000)
        np.testing.assert_allclose(cut, expected, atol=1 / 65536 + 1e-7)
        assert np.abs(cut).max() > 0.01


def test_cutting_goes_on_where_it_stopped(release, tmp_path):
    prepare(release, tmp_path / "data")
    cuts = sorted((tmp_path / "data/audio/ctrsvdd").rglob("*.flac"))
    content = [cut.read_bytes() for cut in cuts]
    cuts[0].unlink()
    kept = [cut.stat().st_mtime_ns for cut in cuts[1:]]
    prepare(release, tmp_path / "data")
    assert [cut.read_bytes() for cut in cuts] == content
    assert [cut.stat().st_mtime_ns for cut in cuts[1:]] == kept


def test_without_the_databases_their_singing_is_missing(release, tmp_path, capsys):
    prepared = prepare(release, tmp_path / "data", databases=["oniku"])
    data = prepared["train"]
    assert Counter(data.table("utt2source").values())["oniku"] == 2
    assert not {"ofuton", "jvsmusic"} & set(data.table("utt2source").values())
    assert len((data.path / "missing.txt").read_text().splitlines()) == 2
    assert not (tmp_path / "data/audio/ctrsvdd/dev").exists()
    assert capsys.readouterr().out.count("PARTIAL: 2 audio files are missing, see missing.txt") == 1


def test_missing_singing_says_what_to_do(copy, tmp_path, monkeypatch):
    counts = {"train": (10, 16), "dev": (7, 8), "eval": (7, 12)}
    small = {name: (*entry[:2], corpus.Expected(*counts[name])) for name, entry in corpus.SETS.items()}
    monkeypatch.setattr(corpus, "SETS", small)
    with pytest.raises(InputError, match="singing of ofuton, jvs is not in the release, see --bonafide"):
        prepare(copy, tmp_path / "data", databases=["oniku"], allow_partial=False)
    assert not (tmp_path / "data/train/utt2spk").exists()
    assert list(prepare(copy, tmp_path / "data", allow_partial=False)) == ["train", "dev", "eval"]


def test_singing_that_was_cut_into_the_release(copy, tmp_path):
    for name, _, utt, _, _ in times(copy):
        shutil.copy(next((copy / f"{name}_set").iterdir()), copy / f"{name}_set/{utt}.flac")
    prepared = prepare(copy, tmp_path / "data", databases=[])
    assert Counter(prepared["dev"].table("utt2label").values()) == {"bonafide": 7, "spoof": 8}


def test_folders_and_recordings_at_other_places(copy, tmp_path):
    for name in ("train", "dev", "test"):
        (copy / f"{name}_set").rename(copy / name)
    wav = copy / "kiritan_singing/wav"
    for path in wav.iterdir():
        path.rename(copy / "kiritan_singing" / path.name)
    wav.rmdir()
    prepared = prepare(copy, tmp_path / "data")
    assert [len(data.utts) for data in prepared.values()] == [26, 15, 19]


def test_a14_and_acesinger_are_left_out_by_their_tables(release, tmp_path):
    data = prepare(release, tmp_path / "data", databases=[])["eval"]
    utts = where(data, ["utt2attack!=A14", "utt2source!=acesinger"])
    attacks, labels = data.table("utt2attack"), data.table("utt2label")
    assert Counter(labels[utt] for utt in utts) == {"bonafide": 5, "spoof": 10}
    assert "A14" not in {attacks[utt] for utt in utts}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("_D_", "_T_"), "kiritan_timestamps_dev.txt:1: 'CtrSVDD_0002_T_0000039' is not in"),
        ((" ", " x "), "kiritan_timestamps_dev.txt:1: 7 columns, expected 4"),
        (("0.0 1.99", "0.0 1.99s"), "kiritan_timestamps_dev.txt:1: '0.0 1.99s' is not a start and an end in seconds"),
        (("18.wav", "19.wav"), "kiritan_timestamps_dev.txt:1: "),
        (("2.26 3.96", "99.26 99.96"), "18.wav: has "),
        (("2.26 3.96", "2.26 2.26"), "18.wav: has "),
    ],
)
def test_times_that_are_wrong(copy, tmp_path, change, words):
    path = copy / "CtrSVDD_Utils/timestamps/kiritan_timestamps_dev.txt"
    text = path.read_text()
    path.write_text(text.replace(*change))
    assert path.read_text() != text
    with pytest.raises(InputError) as error:
        prepare(copy, tmp_path / "data")
    assert words in str(error.value)
    assert not (tmp_path / "data/dev/utt2spk").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vocadito=x"], "--bonafide vocadito=x: expected NAME=DIR with NAME one of oniku, ofuton, kiritan, jvs"),
        (["oniku"], "expected NAME=DIR"),
        (["oniku=nowhere"], "no such folder"),
        (["oniku=."], "--bonafide needs --timestamps"),
    ],
)
def test_databases_that_are_wrong(words, message):
    with pytest.raises(InputError, match=message):
        corpus.parse_databases(words, None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("m4singer CtrSVDD_0110 CtrSVDD_0110_D_0015417 - - genuinely", "dev.txt:3: unknown label 'genuinely'"),
        ("m4singer CtrSVDD_0110 CtrSVDD_0110_D_0015417 - A15 deepfake", "dev.txt:3: unknown attack 'A15'"),
        ("m4singer CtrSVDD_0110 CtrSVDD_0110_D_0015416 - - bonafide", "dev.txt:3: 'CtrSVDD_0110_D_0015416' is listed"),
        ("LA_0079 LA_T_1138215 - - bonafide", "dev.txt:3: 5 columns, expected 6; is this the protocol of another"),
        ("a b LA_T_1138215 - - bonafide", "dev.txt:3: 'LA_T_1138215' is not an utterance id of this corpus"),
    ],
)
def test_mistakes_are_named_by_file_and_line(tmp_path, line, words):
    lines = [
        "m4singer CtrSVDD_0110 CtrSVDD_0110_D_0015416 - - bonafide",
        "jvsmusic CtrSVDD_0097 CtrSVDD_0097_D_0010993 - A06 deepfake",
    ]
    path = tmp_path / "dev.txt"
    path.write_text("\n".join(lines))
    tables = corpus.read_protocol(path).tables
    assert tables["utt2label"] == {"CtrSVDD_0110_D_0015416": "bonafide", "CtrSVDD_0097_D_0010993": "spoof"}
    assert tables["utt2spk"]["CtrSVDD_0097_D_0010993"] == "CtrSVDD_0097"
    path.write_text("\n".join([*lines, line]))
    with pytest.raises(InputError) as error:
        corpus.read_protocol(path)
    assert words in str(error.value)


def test_wrong_root(release, tmp_path):
    with pytest.raises(InputError, match="not the folder of CtrSVDD, or not all of it is unpacked"):
        prepare(tmp_path, tmp_path / "out", databases=[], allow_partial=False)
    with pytest.raises(InputError, match="10 bonafide instead of 12,169"):
        prepare(release, tmp_path / "out", allow_partial=False)
    assert not (tmp_path / "out/train").exists()


ATTACKS = st.sampled_from(["-", *corpus.SEEN, *corpus.UNSEEN])


@given(st.dictionaries(st.integers(0, 9999999), st.tuples(st.integers(0, 9999), ATTACKS), min_size=1, max_size=20))
def test_any_protocol_comes_out_as_it_went_in(tmp_path_factory, entries):
    rows = {f"CtrSVDD_{singer:04d}_E_{number:07d}": attack for number, (singer, attack) in entries.items()}
    lines = [f"m4singer {utt[:12]} {utt} - {a} {'bonafide' if a == '-' else 'deepfake'}\n" for utt, a in rows.items()]
    path = tmp_path_factory.mktemp("protocol") / "test_groundtruth.txt"
    path.write_text("".join(lines))
    tables = corpus.read_protocol(path).tables
    assert tables["utt2attack"] == rows
    assert tables["utt2label"] == {utt: "bonafide" if attack == "-" else "spoof" for utt, attack in rows.items()}
    assert DataDir.write(path.parent / "data", tables).utts == sorted(rows)
