"""ADD 2023: detection (Track 1.2), recognition of the algorithm (Track 3), and the names of their folders."""

import pytest
from miniature import add2023 as miniature

from spooftrace.corpora import add2023
from spooftrace.corpora.request import Request
from spooftrace.datadir import validate


def prepare(root, out):
    return add2023.prepare(Request(root=root, out=out, allow_partial=False))


def test_sets(root, tmp_path):
    prepared = {data.path.name: data for data in prepare(root, tmp_path / "data")}
    assert list(prepared) == list(miniature.SETS)
    for name, (folder, beginning, labels) in miniature.SETS.items():
        data = prepared[name]
        utts = [f"{beginning}_{index:08d}" for index in range(len(labels))]
        assert data.utts == utts
        assert data.table("utt2label") == {
            utt: "bonafide" if label in ("genuine", "0") else "spoof" for utt, label in zip(utts, labels, strict=True)
        }
        assert data.table("wav.scp")[utts[0]] == f"{root}/{folder}/wav/{utts[0]}.wav"
        assert validate(data.path, check_audio=True) == []
        if name.startswith("t3"):
            assert set(data.table("utt2attack").values()) == {"-", *labels} - {"0"}
        else:
            assert "utt2attack" not in data.tables


@pytest.mark.parametrize(
    ("folder", "wav", "name"),
    [
        ("Track1.2/testR2", "wav", "t12_eval_r2"),
        ("track1.2/test2", ".", "t12_eval_r2"),
        ("Track1.2/testR1", "wav", "t12_eval_r1"),
        ("track1.2/train", "wav", "t12_train"),
        ("ADD2023track3/eval", "wav", "t3_eval"),
        ("Track3/dev", "wav", "t3_dev"),
    ],
)
def test_names_of_folders(speech, tmp_path, folder, wav, name):
    for index, label in enumerate(("bonafide", "spoof")):
        speech.write(tmp_path / folder / wav / f"ADD2023_X_{index}.wav", label, index)
    (tmp_path / folder / "label.txt").write_text("ADD2023_X_0.wav genuine\nADD2023_X_1.wav fake")
    (data,) = prepare(tmp_path, tmp_path / "data")
    assert (data.path.name, len(data.utts)) == (name, 2)
