"""SpoofCeleb: the three sets, ids with folders in them, and lists that are not what they should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature import spoofceleb as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import spoofceleb
from spooftrace.corpora.corpus import Expected, MissingFiles
from spooftrace.corpora.request import Request
from spooftrace.datadir import validate

CSV = (
    "file,speaker,attack\n"
    "a00/id10318/YYsxcZ5saac-00002-006.flac,id10318,a00\n"
    "a06/id10318/YYsxcZ5saac-00002-006.flac,id10318,a06\n"
)


@pytest.fixture(autouse=True)
def counts(monkeypatch):
    """Those of the miniature."""
    sets = zip(("train", "dev", "eval"), miniature.SETS.values(), strict=True)
    counts = {name: Expected(count, len(attacks) * count) for name, (attacks, count) in sets}
    monkeypatch.setattr(spoofceleb, "EXPECTED", counts)


def prepare(root, out, allow_partial=False):
    return spoofceleb.prepare(Request(root=root, out=out, allow_partial=allow_partial))


@pytest.fixture
def metadata(tmp_path):
    def write(text):
        path = tmp_path / "train.csv"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("inside", [False, True])
def test_sets(root, tmp_path, inside):
    prepared = prepare(root / "spoofceleb" if inside else root, tmp_path / "data")
    assert [data.path.name for data in prepared] == ["train", "dev", "eval"]
    for data, (official, (spoof_attacks, count)) in zip(prepared, miniature.SETS.items(), strict=True):
        attacks, labels = data.table("utt2attack"), data.table("utt2label")
        assert set(attacks.values()) == {"-", *spoof_attacks}
        assert list(labels.values()).count("bonafide") == count
        assert all((attacks[utt] == "-") == (label == "bonafide") for utt, label in labels.items())
        for utt, path in data.table("wav.scp").items():
            assert path == f"{root}/spoofceleb/flac/{official}/{utt}.flac"
        assert validate(data.path, check_audio=True) == []


def test_official_lines(metadata):
    real, fake = "a00/id10318/YYsxcZ5saac-00002-006", "a06/id10318/YYsxcZ5saac-00002-006"
    assert spoofceleb.read_protocol(metadata(CSV)).tables == {
        "utt2spk": {real: "id10318", fake: "id10318"},
        "utt2label": {real: "bonafide", fake: "spoof"},
        "utt2attack": {real: "-", fake: "a06"},
    }


@given(st.lists(st.tuples(st.integers(0, 23), st.integers(10000, 11251), st.integers(0, 99)), unique=True))
def test_any_list_comes_back_as_tables(tmp_path_factory, trials):
    path = tmp_path_factory.mktemp("list") / "train.csv"
    lines = [f"a{attack:02d}/id{who}/-_x-{clip}.flac,id{who},a{attack:02d}\n" for attack, who, clip in trials]
    path.write_text("file,speaker,attack\n" + "".join(lines))
    tables = spoofceleb.read_protocol(path).tables
    assert list(tables["utt2label"].values()) == ["spoof" if attack else "bonafide" for attack, _, _ in trials]
    assert list(tables["utt2spk"].values()) == [f"id{who}" for _, who, _ in trials]


def test_a_split_that_is_not_unpacked(root, tmp_path, capsys):
    (tmp_path / "flac").mkdir()
    (tmp_path / "metadata").symlink_to(root / "spoofceleb/metadata")
    (tmp_path / "flac/train").symlink_to(root / "spoofceleb/flac/train")
    with pytest.raises(MissingFiles, match=r"no flac/development nor .*flac has train"):
        prepare(tmp_path, tmp_path / "data")
    assert [data.path.name for data in prepare(tmp_path, tmp_path / "data", allow_partial=True)] == ["train"]
    assert "data/eval: left out: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CSV + CSV.splitlines()[1], ":4: 'a00/id10318/YYsxcZ5saac-00002-006' is listed a second time"),
        (CSV.replace("id10318,a06", "id10318,a07"), ":3: 'a06/id10318/.*' is not in the folder of its attack, 'a07'"),
        (CSV.replace("a06", "a24"), ":3: unknown attack 'a24'"),
        (CSV.replace("a06/id10318/", "a06/"), ":3: 'a06/YYsxcZ5saac-00002-006' is not an utterance id"),
        (CSV + "a06/id10318/x.flac,id10318\n", ":4: not the 3 columns of line 1"),
        ("file,speaker,label\n10.wav,Bernie Sanders,spoof\n", ":1: no column 'attack'"),
    ],
)
def test_mistakes(metadata, text, message):
    with pytest.raises(InputError, match="train.csv" + message):
        spoofceleb.read_protocol(metadata(text))
