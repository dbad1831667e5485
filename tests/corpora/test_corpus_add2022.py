"""ADD 2022: the sets that are there, and label files that are not what they should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniature import add2022 as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import add2022
from spooftrace.corpora.corpus import MissingFiles
from spooftrace.corpora.request import Request
from spooftrace.datadir import validate

LABELS = "ADD_D_00000000.wav genuine\nADD_D_00000001.wav fake\n"


def prepare(root, out, allow_partial=False):
    return add2022.prepare(Request(root=root, out=out, allow_partial=allow_partial))


@pytest.fixture
def labels(tmp_path):
    def write(text):
        path = tmp_path / "label.txt"
        path.write_text(text)
        return path

    return write


def test_sets(root, tmp_path):
    prepared = prepare(root, tmp_path / "data")
    assert [data.path.name for data in prepared] == list(miniature.SETS)
    for data, (_, audio, _, genuine, fake) in zip(prepared, miniature.SETS.values(), strict=True):
        assert sorted(data.table("utt2label").values()) == ["bonafide"] * genuine + ["spoof"] * fake
        assert set(data.table("utt2spk").values()) == {"-"}
        assert "utt2attack" not in data.tables
        assert all(path == f"{root}/{audio}/{utt}.wav" for utt, path in data.table("wav.scp").items())
        assert validate(data.path, check_audio=True) == []


def test_labels_without_audio(root, tmp_path):
    (tmp_path / "ADD_train_dev").mkdir()
    (tmp_path / "ADD_train_dev/label").symlink_to(root / "ADD_train_dev/label")
    with pytest.raises(MissingFiles, match=r"no ADD_train_dev/train; .*ADD_train_dev has label"):
        prepare(tmp_path, tmp_path / "data")


@given(st.lists(st.tuples(st.integers(0, 10**8 - 1), st.booleans()), unique_by=lambda row: row[0]))
def test_any_label_file_comes_back_as_tables(tmp_path_factory, trials):
    path = tmp_path_factory.mktemp("labels") / "label.txt"
    path.write_text("\n".join(f"ADD_T_{number:08d}.wav {'genuine' if real else 'fake'}" for number, real in trials))
    found = add2022.read_protocol(path).tables["utt2label"]
    assert found == {f"ADD_T_{number:08d}": "bonafide" if real else "spoof" for number, real in trials}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LABELS + LABELS, ":3: 'ADD_D_00000000' is listed a second time"),
        (LABELS.replace("fake", "faked"), ":2: unknown label 'faked'"),
        (LABELS.replace("1.wav", "1"), ":2: 'ADD_D_00000001' is not a .wav file"),
        ("SSB13650058.wav real 0\n", ":1: 3 columns, expected 2"),
        ("ADD2023_T3_E_00000000.wav 8\n", ":1: unknown attack '8'"),
    ],
)
def test_mistakes(labels, text, message):
    with pytest.raises(InputError, match="label.txt" + message):
        add2022.read_protocol(labels(text))
