"""Codecfake (Xie et al.): the miniature of the release, its quirks, and files that are not as they should be."""

import shutil
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature import codecfake_xie as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import codecfake_xie as corpus
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, validate


@pytest.fixture(scope="module")
def release(tmp_path_factory, speech):
    root = tmp_path_factory.mktemp("the release")
    miniature.lay_out(speech, root)
    return root


def prepare(root, out, allow_partial=True):
    return corpus.prepare(Request(root=root, out=out, allow_partial=allow_partial))


def write(path, text):
    path.write_text(text)
    return path


def listing(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_prepare(release, tmp_path):
    before = listing(release)
    prepared = prepare(release, tmp_path / "my data")
    assert [data.path.name for data in prepared] == list(corpus.SETS)
    for data in prepared:
        assert validate(data.path, check_audio=True) == []
        labels, attacks = data.table("utt2label"), data.table("utt2attack")
        assert set(labels.values()) == {"bonafide", "spoof"}
        assert all((attacks[utt] == "-") == (labels[utt] == "bonafide") for utt in data.utts)
    train = prepared[0]
    assert Counter(train.table("utt2attack").values()) == {"-": 8} | dict.fromkeys(corpus.SEEN, 3)
    assert set(train.table("utt2spk").values()) == {"SSB1365", "SSB0005", "p225", "p303"}
    assert set(train.table("utt2source").values()) == {"aishell3", "vctk"}
    assert train.table("wav.scp")["F01_SSB13650008"] == f"{release}/Codecfake/train/F01_SSB13650008.wav"
    assert train.table("utt2codec")["F01_SSB13650008"] == "soundstream"
    assert (tmp_path / "my data/dev/extra.txt").read_text() == "SSB99990001.wav\n"
    assert listing(release) == before


def test_the_root_may_be_the_folder_itself(release, tmp_path):
    prepare(release / "Codecfake", tmp_path / "data")
    assert len(DataDir.read(tmp_path / "data/C7").utts) == 4


def test_lines_of_the_release_with_a_blank_at_their_end(tmp_path):
    lines = "SSB13650058.wav real 0\nF01_SSB13650058.wav fake 1 \nF02_SSB13650058.wav fake 2 \n"
    tables = corpus.read_protocol(write(tmp_path / "train.txt", lines)).tables
    assert tables["utt2attack"] == {"SSB13650058": "-", "F01_SSB13650058": "F01", "F02_SSB13650058": "F02"}
    assert tables["utt2codec"] == {"SSB13650058": "real", "F01_SSB13650058": "soundstream"} | {
        "F02_SSB13650058": "speechtokenizer"
    }
    assert set(tables["utt2spk"].values()) == {"SSB1365"}


def test_other_classes_are_kept(tmp_path):
    lines = "p225_001.wav real 0\np225_002.wav fake L1\np225_003.wav fake 1\np225_004.wav fake 7\n"
    tables = corpus.read_protocol(write(tmp_path / "A1.txt", lines), classes=None).tables
    assert list(tables["utt2attack"].values()) == ["-", "L1", "1", "7"]  # not the codecs F01 and F07
    assert list(tables["utt2codec"].values()) == ["real", "-", "-", "-"]


def test_other_classes_are_those_of_language_models_only(release, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(release, copy)
    labels = copy / "Codecfake/label"
    for name in ("A1", "C1"):
        text = (labels / f"{name}.txt").read_text()
        line = next(line for line in text.splitlines() if "fake" in line)
        (labels / f"{name}.txt").write_text(text.replace(line, f"{line.split()[0]} fake 77"))
    with pytest.raises(InputError, match=r"C1.txt:\d+: unknown class '77' of '"):
        prepare(copy, tmp_path / "out")
    shutil.copy(release / "Codecfake/label/C1.txt", labels)
    prepared = {data.path.name: data for data in prepare(copy, tmp_path / "out")}
    assert "77" in prepared["A1"].table("utt2attack").values()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("F01_SSB13650058.wav spoofed 1", "label.txt:2: unknown label 'spoofed'"),
        ("p225_001.wav real 0", "label.txt:2: 'p225_001' is listed a second time"),
        ("F08_p225_002.wav fake 8", "label.txt:2: unknown class '8' of 'F08_p225_002.wav', known are 0 to 7"),
        ("p225_002.wav fake F01", "label.txt:2: unknown class 'F01'"),
        ("p225_002.wav fake encodec", "label.txt:2: unknown class 'encodec'"),
        ("p225_002.wav real 3", "label.txt:2: 'p225_002.wav' is real, but of class 3"),
        ("p225_002.wav fake 0", "label.txt:2: 'p225_002.wav' is fake, but of class 0"),
        ("LA_0079 LA_T_1138215 - - bonafide", "label.txt:2: 5 columns, expected 3; is this the protocol of another"),
        ("10.wav,Speaker,spoof x y", "label.txt:2: '10.wav,Speaker,spoof' is not a .wav file"),
    ],
)
def test_mistakes_are_named_by_file_and_line(tmp_path, line, words):
    with pytest.raises(InputError) as error:
        corpus.read_protocol(write(tmp_path / "label.txt", f"p225_001.wav real 0\n{line}\n"))
    assert words in str(error.value)


def test_wrong_and_half_unpacked_releases(release, tmp_path):
    with pytest.raises(InputError, match="not the folder of Codecfake"):
        prepare(tmp_path, tmp_path / "out", allow_partial=False)
    with pytest.raises(InputError, match="8 bonafide instead of 105,821"):
        prepare(release, tmp_path / "out", allow_partial=False)
    copy = tmp_path / "copy"
    shutil.copytree(release, copy)
    shutil.rmtree(copy / "Codecfake/test/A3")
    (copy / "Codecfake/train/F01_SSB13650008.wav").unlink()
    prepared = prepare(copy, tmp_path / "out")
    assert [data.path.name for data in prepared] == [name for name in corpus.SETS if name != "A3"]
    assert len(prepared[0].utts) == 25
    assert (tmp_path / "out/train/missing.txt").read_text() == "F01_SSB13650008.wav\n"


ORIGINAL = st.one_of(
    st.builds("SSB{:04d}{:04d}".format, st.integers(0, 9999), st.integers(0, 9999)),
    st.builds("p{:03d}_{:03d}".format, st.integers(225, 376), st.integers(1, 999)),
)


@given(st.lists(st.tuples(ORIGINAL, st.integers(0, 7)), min_size=1, max_size=20, unique=True), st.booleans())
def test_any_protocol_comes_out_as_it_went_in(tmp_path_factory, entries, blank):
    utts = {f"F{kind:02d}_{name}" if kind else name: kind for name, kind in entries}
    lines = [f"{utt}.wav {'fake' if kind else 'real'} {kind}{' ' * blank}" for utt, kind in utts.items()]
    path = write(tmp_path_factory.mktemp("labels") / "train.txt", "\n".join(lines))
    tables = corpus.read_protocol(path).tables
    assert tables["utt2attack"] == {utt: f"F{kind:02d}" if kind else "-" for utt, kind in utts.items()}
    assert tables["utt2label"] == {utt: "spoof" if kind else "bonafide" for utt, kind in utts.items()}
    assert "-" not in tables["utt2spk"].values()
