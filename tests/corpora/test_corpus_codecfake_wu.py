"""CodecFake (Wu et al.): the list, the names of the files, the split by speaker, codec parameters."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.corpora import codecfake_wu
from spooftrace.corpora.corpus import Expected
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, validate

HEADER = "wavpath,label,speaker_id,codec_name\n"
OFFICIAL = codecfake_wu.COUNTS


def prepare(root, out, allow_partial=False):
    args = Request(root=root, out=out, allow_partial=allow_partial)
    return {data.path.name: data for data in codecfake_wu.prepare(args)}


@pytest.fixture(autouse=True)
def counts(monkeypatch):
    """Those of the miniature, which has three of the codecs."""
    codecs = ("descript-audio-codec-44khz", "encodec_24khz", "funcodec-funcodec_en_libritts-16k-nq32ds320")
    sets = {"train": 8, "dev": 2, "eval": 2}
    small = {name: Expected(None, 3 * n, dict.fromkeys(codecs, n)) for name, n in sets.items()}
    monkeypatch.setattr(codecfake_wu, "COUNTS", small)


def read(tmp_path, text, header=HEADER):
    path = tmp_path / "datalist.csv"
    path.write_text(header + text)
    return codecfake_wu.read_protocol(path).tables


def test_sets_of_the_list(root, tmp_path, capsys):
    before = sorted(root.rglob("*"))
    made = prepare(root, tmp_path)
    assert sorted(root.rglob("*")) == before
    assert {name: len(data.utts) for name, data in made.items()} == {"train": 32, "dev": 8, "eval": 8, "valle": 1}
    for data in made.values():
        assert validate(data.path, check_audio=True) == []
    train = made["train"]
    utt = "descript-audio-codec-44khz+s5_008"
    assert train.table("wav.scp")[utt] == f"{root}/descript-audio-codec-44khz/{utt}.wav"
    assert train.table("utt2nac")[utt] == "44.1 7.74 9"
    assert train.table("utt2attack")[utt] == train.table("utt2codec")[utt] == "descript-audio-codec-44khz"
    genuine = [train.table(name)["genuine+p225_001"] for name in ("utt2attack", "utt2codec")]
    assert genuine == ["-", "real"]
    assert train.table("utt2label")["genuine+p225_001"] == "bonafide"
    assert train.table("utt2nac")["encodec_24khz+p225_001"] == "24 - -"
    assert set(made["eval"].table("utt2spk").values()) == {"p227", "p228"}
    assert made["valle"].utts == ["237_134500_0000"]
    assert made["valle"].table("wav.scp")["237_134500_0000"].endswith("valle/237 134500 0000.wav")
    out = capsys.readouterr().out
    assert "eval: 2 bona fide and 6 spoofed utterances; 2 speakers; the protocol has the official counts" in out
    assert "no official counts" in out, "for VALL-E"


@pytest.mark.parametrize("listed", [True, False])
def test_files_of_another_spelling_are_matched(root, tmp_path, capsys, listed):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    if not listed:
        (copy / "datalist.csv").unlink()
    official = prepare(copy, tmp_path / "official")
    for folder in ("encodec_24khz", "genuine"):
        for path in (copy / folder).iterdir():
            path.rename(path.with_name(path.stem.upper() + path.suffix))
    (copy / "encodec_24khz").rename(copy / "Encodec_24kHz")
    made = prepare(copy, tmp_path / "made")
    assert ("names spelt differently from the list: " in capsys.readouterr().out) is listed
    for name in ("train", "dev", "eval"):
        assert made[name].utts == official[name].utts
        assert validate(made[name].path, check_audio=True) == []
        assert made[name].table("utt2codec") == official[name].table("utt2codec")


def test_each_codec_of_the_release_is_counted(root, tmp_path, capsys):
    """Without the list nothing else would tell that one of the zips is not unpacked."""
    assert OFFICIAL["train"] == Expected(None, 641_280, dict.fromkeys(codecfake_wu.CODECS, 42_752))
    assert {name: sum(expected.attacks.values()) for name, expected in OFFICIAL.items()} == {
        name: expected.spoof for name, expected in OFFICIAL.items()
    }
    shutil.copytree(root, tmp_path / "zips", ignore=shutil.ignore_patterns("encodec_24khz", "datalist.csv"))
    with pytest.raises(InputError, match="train: 16 spoof instead of 24; 0 of attack encodec_24khz instead of 8; "):
        prepare(tmp_path / "zips", tmp_path / "out")
    assert not (tmp_path / "out/train/utt2spk").exists()
    assert len(prepare(tmp_path / "zips", tmp_path / "out", allow_partial=True)["train"].utts) == 24
    assert "PARTIAL: the official set has 24 spoofed" in capsys.readouterr().out


def test_names_of_the_files_do_without_the_list(root, tmp_path):
    shutil.copytree(root, tmp_path / "CodecFake")
    (tmp_path / "CodecFake/datalist.csv").unlink()
    shutil.copy(root / "genuine/genuine+p225_001.wav", tmp_path / "CodecFake/p225_001.wav")
    made = prepare(tmp_path, tmp_path / "out")
    assert sorted(made) == ["dev", "eval", "train"]
    assert made["dev"].table("utt2label") == prepare(root, tmp_path / "other")["dev"].table("utt2label")
    assert "p225_001" not in made["train"].utts


def test_zips_without_genuine_speech(root, tmp_path):
    shutil.copytree(root, tmp_path / "zips", ignore=shutil.ignore_patterns("genuine"))
    with pytest.raises(InputError, match=r"8 of the 32 audio files of train are missing .genuine/genuine.p225_001"):
        prepare(tmp_path / "zips", tmp_path / "out")
    made = prepare(tmp_path / "zips", tmp_path / "out", allow_partial=True)
    assert set(made["train"].table("utt2label").values()) == {"spoof"}
    assert (tmp_path / "out/train/missing.txt").read_text().splitlines()[0] == "genuine/genuine+p225_001.wav"


def test_a_row_with_the_folder_and_other_words_for_spoof(tmp_path):
    text = "/data/CodecFake,base,base,base\nx y/encodec_24khz+p225_001.wav,fake,p225,encodec_24khz\n"
    assert read(tmp_path, text)["utt2label"] == {"encodec_24khz+p225_001": "spoof"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/genuine+p225_001.wav,genuine,p225,genuine\n" * 2, "csv:3: 'genuine.p225_001' is listed a second time"),
        ("lyra+p225_001.wav,lyra,p225,lyra\n", "csv:2: unknown codec 'lyra'"),
        ("encodec_24khz+p225_001.wav,huh,p225,encodec_24khz\n", "csv:2: unknown label 'huh'"),
        (
            "encodec_24khz+p225_001.wav,genuine,p225,encodec_24khz\n",
            "csv:2: .* label 'genuine' but codec 'encodec_24khz'",
        ),
        ("genuine+p225_001.wav,spoof,p225,genuine\n", "csv:2: .* label 'spoof' but codec 'genuine'"),
        ("encodec_24khz+p226_001.wav,fake,p225,encodec_24khz\n", "csv:2: .* is not an utterance of 'p225'"),
        ("encodec_24khz+p226_001.wav,fake,p226\n", "csv:2: not the 4 columns"),
    ],
)
def test_what_is_not_of_this_corpus(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_the_list_of_another_corpus(tmp_path):
    with pytest.raises(InputError, match="csv:1: no column 'wavpath'"):
        read(tmp_path, "1.wav,x,spoof\n", header="file,speaker,label\n")


def test_wrong_roots(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        prepare(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "root").mkdir()
    with pytest.raises(
        InputError,
        match=r"not the folder of CodecFake .* no datalist.csv; .*root has nothing",
    ):
        prepare(tmp_path / "root", tmp_path / "out")
    with pytest.raises(InputError, match=r"no datalist\.csv"):
        prepare(tmp_path / "root", tmp_path / "out", allow_partial=True)
    with pytest.raises(InputError, match=r"no such (data directory|file)"):
        DataDir.read(tmp_path / "out/train")


rows = st.tuples(
    st.sampled_from(["genuine", *codecfake_wu.CODECS]), st.sampled_from(["p225", "p226", "s5"]), st.integers(1, 999)
)


@given(st.sets(rows, min_size=1, max_size=20))
def test_any_list_survives_a_round_trip(tmp_path_factory, utts):
    lines, expected = [], {}
    for codec, speaker, number in sorted(utts):
        utt = f"{codec}+{speaker}_{number:03d}"
        lines.append(f"audio/{utt}.wav,{codec},{speaker},{codec}\n")
        expected[utt] = (speaker, "bonafide" if codec == "genuine" else "spoof", codec.replace("genuine", "real"))
    tables = read(tmp_path_factory.mktemp("list"), "".join(lines))
    columns = [tables[name] for name in ("utt2spk", "utt2label", "utt2codec")]
    assert {utt: tuple(column[utt] for column in columns) for utt in tables["utt2spk"]} == expected
