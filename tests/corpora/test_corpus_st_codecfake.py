"""ST-Codecfake: the miniature of the release, its quirks, and files that are not as they should be."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from miniature import st_codecfake as miniature

from spooftrace.common.errors import InputError
from spooftrace.corpora import st_codecfake as corpus
from spooftrace.corpora.corpus import MissingFiles
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir, validate

RESULTS = Path(__file__).resolve().parents[2] / "../shared/protocols/st_codecfake/excerpt_result_id.txt"


@pytest.fixture(scope="module")
def release(tmp_path_factory, speech):
    root = tmp_path_factory.mktemp("the release")
    miniature.lay_out(speech, root)
    return root


@pytest.fixture(scope="module")
def prepared(release, tmp_path_factory):
    before = listing(release)
    sets = prepare(release, tmp_path_factory.mktemp("a recipe") / "data")
    assert listing(release) == before
    return {data.path.name: data for data in sets}


def prepare(root, out, allow_partial=True):
    return corpus.prepare(Request(root=root, out=out, allow_partial=allow_partial))


def write(path, text):
    path.write_text(text)
    return path


def listing(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_sets(prepared):
    assert list(prepared) == [*corpus.LABELLED, *corpus.FOLDERS]
    for data in prepared.values():
        assert validate(data.path, check_audio=True) == []
    for name in ("train", "dev", "eval_id"):
        assert set(prepared[name].table("utt2label").values()) == {"bonafide", "spoof"}
    assert Counter(prepared["train"].table("utt2attack").values()) == {"-": 8} | dict.fromkeys("123456", 3)
    assert set(prepared["train"].table("utt2spk").values()) == {"SSB1125", "SSB0342", "p230", "p340"}


def test_both_label_files_of_the_unseen_codecs_are_one_set(prepared):
    data = prepared["eval_ood"]
    attacks, codecs = data.table("utt2attack"), data.table("utt2codec")
    assert sorted(attacks.values(), key=int) == ["7", "7", "8", "9", "10", "11"]
    assert {attacks[utt]: codecs[utt] for utt in data.utts} == {
        "7": "wavtokenizer",
        "8": "academicodec",
        "9": "dac",
        "10": "audiodec",
        "11": "soundstream",
    }


def test_parameters(prepared):
    train = prepared["train"]
    of_codec = {train.table("utt2codec")[utt]: train.table("utt2nac")[utt] for utt in train.utts}
    assert of_codec["real"] == "- - -"
    assert of_codec["mimi"] == "24 1.1 8"
    assert len(of_codec) == 7
    unseen = prepared["eval_ood"]
    of_codec = {unseen.table("utt2codec")[utt]: unseen.table("utt2nac")[utt] for utt in unseen.utts}
    assert of_codec["dac"] == "- - -"
    assert of_codec["wavtokenizer"] == "24 0.9 1"


@pytest.mark.parametrize(
    ("name", "attack", "codec", "nac"),
    [
        ("config_C3-1", "3", "funcodec", "- - -"),
        ("config_C3-4", "3", "funcodec", "- - -"),  # 4 in the authors' README
        ("config_C4-3", "4", "encodec", "- - -"),
        ("config_small40", "7", "wavtokenizer", "24 0.48 1"),
        ("source_mimi", "1", "mimi", "24 1.1 8"),
        ("source_wavtokenizer", "7", "wavtokenizer", "24 0.9 1"),
        ("alm_mini-omni", "6", "snac", "24 0.98 3"),
        ("alm_valle", "4", "encodec", "24 6 8"),
    ],
)
def test_sets_without_labels(prepared, name, attack, codec, nac):
    data = prepared[name]
    assert set(data.table("utt2label").values()) == {"spoof"}
    for table, value in (("utt2attack", attack), ("utt2codec", codec), ("utt2nac", nac)):
        assert set(data.table(table).values()) == {value}


def test_label_files_beside_the_sets(release, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(release / "st-codecfake", copy)
    for path in (copy / "label").iterdir():
        path.rename(copy / path.name)
    (copy / "label").rmdir()
    shutil.move(copy / "ALM/mini-omni/A1-A2", copy / "moved")
    shutil.rmtree(copy / "ALM/mini-omni")
    shutil.move(copy / "moved", copy / "ALM/mini-omni")
    assert len(prepare(copy, tmp_path / "data")) == len(corpus.LABELLED) + len(corpus.FOLDERS)
    assert len(DataDir.read(tmp_path / "data/eval_id").utts) == 10


def test_the_main_part_alone(release, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(release, copy)
    for folder in miniature.FOLDERS:
        shutil.rmtree(copy / "st-codecfake" / folder)
    assert [data.path.name for data in prepare(copy, tmp_path / "data")] == list(corpus.LABELLED)
    assert "data/alm_moshi: left out: " in capsys.readouterr().out


def test_file_names_of_the_authors_results(tmp_path):
    if not RESULTS.is_file():
        pytest.skip(f"{RESULTS} is not there")
    rows = [line.split() for line in RESULTS.read_text().splitlines()]
    # The results have the class predicted; nearly all are right.
    lines = [f"{file} {'real' if kind == '0' else 'fake'} {kind}\n" for file, kind, _ in rows]
    tables = corpus.read_protocol(write(tmp_path / "eval_id.txt", "".join(lines))).tables
    assert "-" not in tables["utt2spk"].values() and set(tables["utt2source"].values()) == {"aishell3", "vctk"}
    agree = [utt.split("_")[0] == codec for utt, codec in tables["utt2codec"].items() if codec != "real"]
    assert sum(agree) > 0.98 * len(agree)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mimi_p230_135.wav fake 12", "eval.txt:2: unknown attack '12' of 'mimi_p230_135'"),
        ("mimi_p230_135.wav false 1", "eval.txt:2: unknown label 'false'"),
        ("p230_135.wav real 0", "eval.txt:2: 'p230_135' is listed a second time"),
        ("p230_136.wav real 1", "eval.txt:2: 'p230_136.wav' is real, but of class 1"),
        ("p230_136.wav real", "eval.txt:2: 2 columns, expected 3"),
        ("LA_T_1138215 spoof 1", "eval.txt:2: 'LA_T_1138215' is not a .wav file"),
    ],
)
def test_mistakes_are_named_by_file_and_line(tmp_path, line, words):
    with pytest.raises(InputError) as error:
        corpus.read_protocol(write(tmp_path / "eval.txt", f"p230_135.wav real 0\n{line}"))
    assert words in str(error.value)


def test_wrong_root(release, tmp_path):
    with pytest.raises(InputError, match="not the folder of ST-Codecfake, or not all of it is unpacked"):
        prepare(tmp_path, tmp_path / "out", allow_partial=False)
    with pytest.raises(InputError, match="8 bonafide instead of 10,000"):
        prepare(release, tmp_path / "out", allow_partial=False)


def test_a_folder_without_files(tmp_path):
    (tmp_path / "ALM/moshi").mkdir(parents=True)
    with pytest.raises(MissingFiles, match=r"ALM/moshi: has no .wav files; unpack or download them again"):
        corpus.read_folder(tmp_path / "ALM/moshi", corpus.FOLDERS["alm_moshi"])
