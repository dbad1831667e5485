"""What of a corpus is refused, or left out by name: with what was looked for and what is there."""

import importlib
import json
import os
import shutil

import pytest
from miniature import wild
from miniature.preparing import Silence, prepare

from spooftrace.common.errors import InputError
from spooftrace.corpora import folder_tree
from spooftrace.corpora.request import Request


@pytest.fixture
def root(lay_out, tmp_path):
    """Lays out a corpus in a folder of its own."""

    def make(corpus, *changes):
        folder = tmp_path / "corpus"
        lay_out(corpus, folder)
        for change in changes:
            change(folder)
        return folder

    return make


def refuse(corpus, folder, out, *options):
    """The message of an error that is one."""
    with pytest.raises(InputError) as error:
        prepare(corpus, folder, out, "--allow-partial", *options)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_flac_is_taken_where_wav_lies_beside_it(root, tmp_path):
    folder = root("asvspoof2019", wild.convert("LA/*/flac/*.flac", ".wav", keep=True))
    prepared = prepare("asvspoof2019", folder, tmp_path / "data", "--allow-partial")
    assert all(path.endswith(".flac") for data in prepared.values() for path in data.table("wav.scp").values())


def test_wav_is_taken_where_it_is_complete_and_flac_is_not(root, tmp_path, capsys):
    folder = root("asvspoof2019", wild.convert("LA/*/flac/*.flac", ".wav", keep=True), wild.remove("LA/*/flac/*7.flac"))
    prepared = prepare("asvspoof2019", folder, tmp_path / "data", "--allow-partial")
    assert all(path.endswith(".wav") for data in prepared.values() for path in data.table("wav.scp").values())
    assert "LA/ASVspoof2019_LA_train/flac (.wav, officially .flac)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("corpus", "audio", "files"),
    [
        ("asvspoof2019", "LA/ASVspoof2019_LA_eval/flac", "34 .mp3"),
        ("in_the_wild", "release_in_the_wild", "28 .ogg"),
        ("ctrsvdd", "test_set", "19 .m4a"),
    ],
)
def test_lossy_copies_are_not_the_corpus(root, tmp_path, capsys, corpus, audio, files):
    folder = root(corpus, wild.convert(f"{audio}/*.*a*", files.split()[1]))
    try:
        prepare(corpus, folder, tmp_path / "data", "--allow-partial")
    except InputError as error:
        print(error)
    out = capsys.readouterr().out
    assert f"{files} files with these names are in {folder / audio}, a lossy format" in out


def test_two_copies_are_refused_unless_one_is_official(root, tmp_path, capsys):
    folder = root("asvspoof2019", wild.move("LA/ASVspoof2019_LA_dev/flac", "clean/dev"))
    shutil.copytree(folder / "clean", folder / "noisy")
    message = refuse("asvspoof2019", folder, tmp_path / "data")
    assert "not prepared: dev (2 other sets are ready)" in message
    assert "the same audio files are in several folders" in message
    assert "clean/dev (18 .flac)" in message and "noisy/dev (18 .flac)" in message
    shutil.copytree(folder / "clean/dev", folder / "LA/ASVspoof2019_LA_dev/flac")
    prepared = prepare("asvspoof2019", folder, tmp_path / "data", "--allow-partial")
    assert all("/LA/ASVspoof2019_LA_dev/" in path for path in prepared["dev"].table("wav.scp").values())


def test_an_altered_copy_does_not_fill_the_gaps_of_the_official_folder(root, tmp_path):
    folder = root("asvspoof2019")
    shutil.copytree(folder / "LA/ASVspoof2019_LA_train/flac", folder / "noisy/flac")
    next((folder / "LA/ASVspoof2019_LA_train/flac").iterdir()).unlink()
    prepared = prepare("asvspoof2019", folder, tmp_path / "data", "--allow-partial")
    assert len(prepared["train"].utts) == 23
    assert all("noisy" not in path for path in prepared["train"].table("wav.scp").values())


@pytest.mark.parametrize("copy", ["backup/protocols", "ASVspoof_LA_cm_protocols"])
def test_equal_copies_of_a_label_file_are_one_and_others_are_refused(root, tmp_path, copy):
    folder = root("asvspoof2019", wild.move(wild.PROTOCOLS, "texts"))
    shutil.copytree(folder / "texts", folder / copy)
    assert len(prepare("asvspoof2019", folder, tmp_path / "data", "--allow-partial", "--sets", "dev")) == 1
    path = folder / copy / "ASVspoof2019.LA.cm.dev.trl.txt"
    path.write_text(path.read_text().replace("- - bonafide", "- A01 spoof", 1))
    if copy.startswith("backup"):
        message = refuse("asvspoof2019", folder, tmp_path / "data", "--sets", "dev")
        assert f"several files 'ASVspoof2019.LA.cm.dev.trl.txt' differ: {folder}" in message


def test_audio_of_another_set_is_not_taken(root, tmp_path, capsys):
    """C1 to C6 of Codecfake share real recordings."""
    folder = root("codecfake_xie")
    shutil.rmtree(folder / "Codecfake/test/C3")
    prepared = prepare("codecfake_xie", folder, tmp_path / "data", "--allow-partial")
    assert "C3" not in prepared and "C7" in prepared
    assert f"{tmp_path / 'data/C3'}: left out: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("corpus", "lacks", "sets"),
    [
        ("codecfake_xie", ("Codecfake/test/C7", "Codecfake/label/C7.txt"), ["C7"]),
        ("codecfake_xie", ("Codecfake/test/C2", "Codecfake/label/A1.txt"), ["A1", "C2"]),
        ("spoofceleb", ("spoofceleb/flac/development",), ["dev"]),
        ("st_codecfake", ("st-codecfake/ALM/moshi", "st-codecfake/dev"), ["dev", "alm_moshi"]),
    ],
)
def test_what_is_not_there_is_named_and_the_rest_is_prepared(root, tmp_path, capsys, monkeypatch, corpus, lacks, sets):
    folder = root(corpus)
    for name in lacks:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    module = importlib.import_module(f"spooftrace.corpora.{corpus}")
    monkeypatch.setattr("spooftrace.corpora.corpus.Expected.differences", lambda self, trials: [])
    with pytest.raises(InputError) as error:
        module.prepare(Request(root=folder, out=tmp_path / "strict", allow_partial=False))
    assert f"not prepared: {', '.join(sets)} (" in str(error.value)
    strict = {path.name for path in (tmp_path / "strict").iterdir() if (path / "utt2spk").exists()}
    prepared = prepare(corpus, folder, tmp_path / "data", "--allow-partial")
    assert set(prepared) == strict and not strict & set(sets)
    out = capsys.readouterr().out
    for name in sets:
        assert f"{tmp_path / 'data' / name}: left out: " in out


def test_a_damaged_label_file_does_not_cost_the_others(root, tmp_path):
    folder = root("codecfake_xie")
    (folder / "Codecfake/label/C2.txt").write_text("F02_SSB13650000.wav fake 2\nF02_SSB13650001.wav huh 2\n")
    message = refuse("codecfake_xie", folder, tmp_path / "data")
    assert "not prepared: C2 (11 other sets are ready); C2: " in message
    assert "C2.txt:2: unknown label 'huh'" in message


@pytest.mark.parametrize(
    ("corpus", "sets", "prepared"),
    [
        ("asvspoof2019", "dev", ["dev"]),
        ("asvspoof2019", "eval, train", ["eval", "train"]),
        ("codecfake_plus", "cors_dev,test_vq_gt250,cosg_known", ["cors_dev", "cosg_known", "test_vq_gt250"]),
        ("codecfake_plus", "test_vq,train_aux_le250", ["test_vq", "train_aux_le250"]),
        ("codecfake_plus", "cosg_all", ["cosg_all"]),
        ("st_codecfake", "alm_moshi,eval_ood", ["alm_moshi", "eval_ood"]),
        ("asvspoof2021", "df_eval", ["df_eval"]),
        ("codecfake_wu", "eval", ["eval"]),
        ("add2023", "t3_eval", ["t3_eval"]),
        ("mlaad", "mlaad", ["mlaad"]),
    ],
)
def test_some_sets(root, tmp_path, corpus, sets, prepared):
    folder = tmp_path / "corpus"
    importlib.import_module(f"miniature.{corpus}").lay_out(Silence(), folder)
    assert sorted(prepare(corpus, folder, tmp_path / "data", "--allow-partial", "--sets", sets)) == prepared


@pytest.mark.parametrize("sets", ["validation", "train,evaluation", ",", ""])
def test_sets_that_a_corpus_does_not_have(root, tmp_path, sets):
    message = refuse("asvspoof2019", root("asvspoof2019"), tmp_path / "data", "--sets", sets)
    assert message.startswith(f"--sets {sets}: ASVspoof 2019 LA has no set ") and "train, dev, eval" in message
    assert not (tmp_path / "data").exists()


def spoil_with_dangling_link(path):
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def spoil_with_link_to_itself(path):
    path.unlink()
    path.symlink_to(path)


def spoil_with_folder(path):
    path.unlink()
    path.mkdir()


def spoil_with_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "spoil", [spoil_with_dangling_link, spoil_with_link_to_itself, spoil_with_folder, spoil_with_pipe]
)
@pytest.mark.parametrize(
    ("corpus", "pattern", "name"),
    [
        ("asvspoof2019", "LA/ASVspoof2019_LA_dev/flac/LA_D_1*", "dev"),
        ("spoofceleb", "spoofceleb/flac/train/a00/*/*", "train"),
        ("codecfake_wu", "*/encodec_24khz+p226_001.wav", "dev"),
    ],
)
def test_names_behind_which_is_no_file_are_missing(root, tmp_path, capsys, spoil, corpus, pattern, name):
    folder = root(corpus)
    path = min(folder.glob(pattern))
    spoil(path)
    prepared = prepare(corpus, folder, tmp_path / "data", "--allow-partial")
    assert path.name in (tmp_path / "data" / name / "missing.txt").read_text()
    assert str(path) not in prepared[name].table("wav.scp").values()
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_dangling_links_are_named(root, tmp_path):
    folder = root("asvspoof2019")
    for path in (folder / "LA/ASVspoof2019_LA_dev/flac").iterdir():
        spoil_with_dangling_link(path)
    with pytest.raises(InputError, match=r"18 of the 18 audio files of dev .*18 of them are dangling links"):
        importlib.import_module("spooftrace.corpora.asvspoof2019").prepare(
            Request(root=folder, out=tmp_path / "data", allow_partial=False, sets="dev")
        )


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("ASVspoof5_protocols/other.tsv", "ASVspoof5_protocols has other.tsv"),
        ("LA.zip", "LA.zip is not unpacked"),
        ("x/flac_T_aa.tar", "flac_T_aa.tar is not unpacked"),
        ("notes.txt", "has notes.txt"),
        ("data/train-00000-of-00012.parquet", "train-00000-of-00012.parquet is a Hugging Face data set"),
        ("a/data-00000-of-00001.arrow", "data-00000-of-00001.arrow is a Hugging Face data set"),
    ],
)
@pytest.mark.parametrize("corpus", ["asvspoof5", "in_the_wild", "codecfake_wu"])
def test_what_was_looked_for_and_what_is_there(tmp_path, corpus, file, words):
    path = tmp_path / "a folder" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    message = refuse(corpus, tmp_path / "a folder", tmp_path / "data")
    anchor = {"asvspoof5": "ASVspoof5.train.tsv", "in_the_wild": "meta.csv", "codecfake_wu": "datalist.csv"}[corpus]
    assert "not the folder of " in message and anchor in message
    if corpus == "asvspoof5" or "protocols" not in file:
        assert words in message


def test_cosg_alone_needs_nothing_of_cors(root, tmp_path):
    folder = root("codecfake_plus", wild.remove("CoRS_labels.txt"))
    assert list(prepare("codecfake_plus", folder, tmp_path / "data", "--allow-partial", "--sets", "cosg_all")) == [
        "cosg_all"
    ]


def test_speech_in_the_folder_of_the_other_class(root, tmp_path):
    folder = root("in_the_wild", *wild.LAYOUTS["in_the_wild"]["real and fake"])
    path = min((folder / "release_in_the_wild/real").iterdir())
    path.rename(folder / "release_in_the_wild/fake" / path.name)
    message = refuse("in_the_wild", folder, tmp_path / "data")
    assert f"fake/{path.name}: is in the folder of spoof speech, but bonafide in the list" in message


@pytest.mark.parametrize("parents", [("itw",), ("itw/train", "itw/test"), ("x/train", "x/val", "x/test")])
def test_in_the_wild_without_its_list(root, tmp_path, parents):
    meta = "release_in_the_wild/meta.csv"
    folder = root("in_the_wild", wild.sort_by_label("release_in_the_wild", meta, *parents), wild.remove(meta))
    labels = prepare("in_the_wild", folder, tmp_path / "data", "--allow-partial")["in_the_wild"].table("utt2label")
    assert sorted(labels.values()) == ["bonafide"] * 12 + ["spoof"] * 16
    assert labels["0"] == "bonafide" and labels["3"] == "spoof"


def test_full_folders_are_not_searched(tmp_path, monkeypatch):
    """However large a corpus is, its folders of audio are listed once and nothing below them is."""
    monkeypatch.setattr(folder_tree, "FULL", 5)
    for number in range(9):
        (tmp_path / f"wavs/speaker{number}").mkdir(parents=True)
    listed = []
    real = folder_tree.os.scandir
    monkeypatch.setattr(folder_tree.os, "scandir", lambda path: listed.append(str(path)) or real(path))
    things = folder_tree.Tree()
    assert len(list(things.survey(tmp_path))) == 2 == len(list(things.survey(tmp_path)))
    assert listed == [str(tmp_path), f"{tmp_path}/wavs"]


def parquet(features):
    """The frame of a Parquet file, with the features of ``datasets`` in its footer."""
    footer = b"\x15\x04\x18\x0bhuggingface\x18" + json.dumps({"info": {"features": features}}).encode() + b"\0\x18"
    return b"PAR1" + b"\x15\0" * 9 + footer + len(footer).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (parquet({"key": {"_type": "ClassLabel"}, "speech": {"_type": "Audio"}}), "(columns key, speech (Audio))"),
        (parquet({"audio": {"_type": "Audio"}}), "(columns audio (Audio))"),
        (parquet(["audio"]), ""),
        (parquet({"audio": {"_type": "Audio"}})[:-9] + b"\xff\xff\xff\xffPAR1", ""),
        (b"PAR1", ""),
    ],
    ids=["two columns", "audio", "no features", "wrong length", "cut"],
)
def test_the_columns_of_an_export_are_named(tmp_path, content, words):
    path = tmp_path / "corpus/data/train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    message = refuse("asvspoof2019", tmp_path / "corpus", tmp_path / "data")
    column = "speech" if "speech" in words else "audio"
    assert f"{path} is a Hugging Face data set, which is not read" in message and words in message
    assert f"write the 'bytes' of column '{column}' of each row to a file" in message
