"""In-the-Wild: the set, the forks of its list, and lists that are not what they should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.corpora import in_the_wild
from spooftrace.corpora.request import Request
from spooftrace.datadir import validate

META = (
    "file,speaker,label\n10.wav,Bernie Sanders,spoof\n12.wav,Calvin Coolidge,bona-fide\n18.wav,Donald Trump,bona-fide\n"
)


def prepare(root, out, allow_partial=True):
    return in_the_wild.prepare(Request(root=root, out=out, allow_partial=allow_partial))


@pytest.fixture
def meta(tmp_path):
    def write(text):
        path = tmp_path / "meta.csv"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("inside", [False, True])
def test_the_set(root, tmp_path, inside):
    (data,) = prepare(root / "release_in_the_wild" if inside else root, tmp_path / "data")
    assert data.path.name == "in_the_wild"
    assert sorted(data.table("utt2label").values()) == ["bonafide"] * 12 + ["spoof"] * 16
    assert data.table("wav.scp")["0"] == f"{root}/release_in_the_wild/0.wav"
    assert data.table("utt2spk")["4"] == "John_F._Kennedy"
    assert "utt2attack" not in data.tables
    assert validate(data.path, check_audio=True) == []


@pytest.mark.parametrize(
    "text",
    [
        META,
        META.replace("\n", "\r\n"),
        META.partition("\n")[2],
        META.replace(".wav", ""),
        META.partition("\n")[2].replace(".wav", "").rstrip("\n"),
        META.replace("Bernie Sanders", '"Bernie Sanders"'),
    ],
    ids="official crlf no_header no_suffix neither quoted".split(),
)
def test_forks_of_the_list(meta, text):
    assert in_the_wild.read_protocol(meta(text)).tables == {
        "utt2spk": {"10": "Bernie_Sanders", "12": "Calvin_Coolidge", "18": "Donald_Trump"},
        "utt2label": {"10": "spoof", "12": "bonafide", "18": "bonafide"},
    }


def test_a_fork_with_meta_txt(root, tmp_path):
    folder = tmp_path / "fork"
    folder.mkdir()
    for path in (root / "release_in_the_wild").glob("*.wav"):
        (folder / path.name).symlink_to(path)
    lines = (root / "release_in_the_wild/meta.csv").read_text().splitlines()[1:]
    (folder / "meta.txt").write_text("\n".join(lines))
    (data,) = prepare(folder, tmp_path / "data")
    assert len(data.utts) == 28


names = st.text("abc .'é", min_size=1, max_size=12).map(lambda name: " ".join(name.split()) or "x")


@given(st.lists(st.tuples(st.integers(0, 31778), names, st.booleans()), unique_by=lambda row: row[0]))
def test_any_list_comes_back_as_tables(tmp_path_factory, trials):
    path = tmp_path_factory.mktemp("list") / "meta.csv"
    lines = [f"{number}.wav,{name},{'bona-fide' if real else 'spoof'}\n" for number, name, real in trials]
    path.write_text("file,speaker,label\n" + "".join(lines), encoding="utf-8")
    tables = in_the_wild.read_protocol(path).tables
    assert tables["utt2spk"] == {str(number): name.replace(" ", "_") for number, name, _ in trials}
    assert tables["utt2label"] == {str(number): "bonafide" if real else "spoof" for number, _, real in trials}


def test_partial_releases_must_be_allowed(root, tmp_path):
    with pytest.raises(InputError, match="In-the-Wild in_the_wild: 12 bonafide instead of 19,963"):
        prepare(root, tmp_path, allow_partial=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (META + "10.wav,Bernie Sanders,spoof\n", ":5: '10' is listed a second time"),
        (META.replace("18.wav,", ""), ":4: not the 3 columns of line 1, but 2"),
        (META.replace("Trump,bona-fide", "Trump,bona fide"), ":4: unknown label 'bona fide'"),
        (META.replace("18.wav", "x/18.wav"), ":4: 'x/18' is not an utterance id"),
        ("LA_0079 LA_T_1138215 - - bonafide\n", ":1: no column 'file', found LA_0079"),
        ("file,speaker,attack\na00/id1/x.flac,id1,a00\n", ":1: 'file' is not an utterance id"),
    ],
)
def test_mistakes(meta, text, message):
    with pytest.raises(InputError, match=f"meta.csv({message})"):
        in_the_wild.read_protocol(meta(text))
