"""From protocol and audio to data directories: what is found, compared, written and complained about."""

import importlib

import pytest
from helpers.commands import run_command
from miniature.preparing import Silence

from spooftrace.common.errors import InputError
from spooftrace.corpora import CORPORA
from spooftrace.corpora.corpus import Corpus, Expected, MissingFiles
from spooftrace.corpora.folder_tree import Tree
from spooftrace.corpora.protocol import Trials
from spooftrace.datadir import DataDir, validate

COUNTS = Expected(bonafide=2, spoof=2, attacks={"A01": 1, "A02": 1})
NAMES = [name for name in CORPORA if name != "mini"]


def make_trials(*attacks):
    trials = Trials()
    for number, attack in enumerate(attacks):
        label = "bonafide" if attack == "-" else "spoof"
        trials.add(("protocol", number + 1), f"u{number}", speaker=f"s{number % 2}", label=label, attack=attack)
    return trials


@pytest.fixture
def trials():
    return make_trials("-", "-", "A01", "A02")


@pytest.fixture
def root(tmp_path):
    """A release with the audio of four utterances."""
    folder = tmp_path / "the release/flac"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"u{number}.flac").write_bytes(b"fLaC")
    return folder.parent


@pytest.fixture
def corpus(root, tmp_path):
    return Corpus("Toy", root, tmp_path / "data")


def test_a_complete_set(corpus, root, trials, capsys):
    data = corpus.write("eval", trials, COUNTS, corpus.find("flac"))
    assert data.table("wav.scp")["u3"] == f"{root}/flac/u3.flac"
    assert data.table("utt2attack") == {"u0": "-", "u1": "-", "u2": "A01", "u3": "A02"}
    assert validate(data.path, check_audio=True) == []
    assert corpus.prepared == [data]
    assert (data.path / "convention").read_text() == "plain\n"
    assert {path.name for path in data.path.iterdir()} & {"missing.txt", "extra.txt"} == set()
    out = capsys.readouterr().out
    assert "2 bona fide and 2 spoofed utterances; 2 speakers; the protocol has the official counts" in out


def test_the_convention_of_evaluation_is_noted(root, tmp_path, trials):
    corpus = Corpus("Toy", root, tmp_path / "data", convention="asvspoof5")
    assert (corpus.write("eval", trials, None, root / "flac").path / "convention").read_text() == "asvspoof5\n"


def test_other_counts_than_released(corpus, root, tmp_path, capsys):
    trials = make_trials("-", "A01", "A01", "A02")
    with pytest.raises(InputError, match="Toy eval: 1 bonafide instead of 2; 3 spoof instead of 2; 2 of attack A01"):
        corpus.write("eval", trials, COUNTS, root / "flac")
    assert not (tmp_path / "data/eval/utt2spk").exists()
    partial = Corpus("Toy", root, tmp_path / "data", allow_partial=True)
    partial.write("eval", trials, COUNTS, root / "flac")
    assert "PARTIAL: the official set has 2 and 2" in capsys.readouterr().out


def test_an_expected_attack_that_is_absent():
    assert COUNTS.differences(make_trials("-", "-", "A01", "A01")) == [
        "2 of attack A01 instead of 1",
        "0 of attack A02 instead of 1",
    ]
    assert Expected(2, 2).differences(make_trials("-", "-", "A01", "A01")) == []
    assert Expected(None, 3).differences(make_trials("-", "A01", "A01")) == ["2 spoof instead of 3"]


@pytest.mark.parametrize("allow_partial", [False, True])
def test_a_protocol_without_trials(root, tmp_path, allow_partial):
    with pytest.raises(InputError, match="the release: the protocol of eval lists no utterance"):
        Corpus("Toy", root, tmp_path / "data", allow_partial).write("eval", Trials(), COUNTS, root / "flac")
    assert not (tmp_path / "data").exists()


def test_a_missing_file_stops_all_unless_partial(corpus, root, tmp_path, trials, capsys):
    (root / "flac/u1.flac").unlink()
    with pytest.raises(MissingFiles, match=r"1 of the 4 audio files of eval are missing \(u1.flac\).*--allow-partial"):
        corpus.write("eval", trials, COUNTS, root / "flac")
    assert (tmp_path / "data/eval/missing.txt").read_text() == "u1.flac\n"
    partial = Corpus("Toy", root, tmp_path / "data", allow_partial=True)
    data = partial.write("eval", trials, COUNTS, root / "flac")
    assert data.utts == ["u0", "u2", "u3"]
    assert "PARTIAL: 1 audio file is missing, see missing.txt" in capsys.readouterr().out
    assert validate(data.path, check_audio=True) == []


def test_missing_files_that_come_back(corpus, root, tmp_path, trials):
    (root / "flac/u1.flac").rename(root / "u1.flac")
    with pytest.raises(MissingFiles):
        corpus.write("eval", trials, COUNTS, root / "flac")
    (root / "u1.flac").rename(root / "flac/u1.flac")
    Corpus("Toy", root, tmp_path / "data").write("eval", trials, COUNTS, root / "flac")
    assert not (tmp_path / "data/eval/missing.txt").exists()


def test_no_audio_at_all_is_never_accepted(root, tmp_path, trials):
    for path in (root / "flac").iterdir():
        path.unlink()
    partial = Corpus("Toy", root, tmp_path / "data", allow_partial=True)
    with pytest.raises(MissingFiles, match="4 of the 4 audio files") as error:
        partial.write("eval", trials, COUNTS, root / "flac")
    assert "--allow-partial" not in str(error.value)


def test_a_failed_run_leaves_no_directory_that_reads_as_whole(corpus, root, tmp_path, trials):
    corpus.write("eval", trials, COUNTS, root / "flac")
    (root / "flac/u1.flac").unlink()
    with pytest.raises(MissingFiles):
        Corpus("Toy", root, tmp_path / "data").write("eval", trials, COUNTS, root / "flac")
    with pytest.raises(InputError, match="utt2spk: no such file"):
        DataDir.read(tmp_path / "data/eval")


def test_extra_files_are_listed(corpus, root, tmp_path, trials, capsys):
    for name in ("enrol1.flac", "enrol2.flac", "notes.txt"):
        (root / "flac" / name).write_bytes(b"fLaC")
    corpus.write("eval", trials, COUNTS, root / "flac", others=["enrol2.flac"])
    assert (tmp_path / "data/eval/extra.txt").read_text() == "enrol1.flac\n"
    assert "1 file that no trial uses, see extra.txt" in capsys.readouterr().out


def test_files_with_other_names_and_in_folders(corpus, root):
    for name in ("a b.wav", "deep/er/c.wav"):
        (root / "wav" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "wav" / name).write_bytes(b"RIFF")
    files = {"u0": "a b.wav", "u1": "deep/er/c.wav"}
    data = corpus.write("eval", make_trials("-", "A01"), None, root / "wav", ".wav", files)
    assert data.table("wav.scp") == {utt: f"{root}/wav/{file}" for utt, file in files.items()}
    assert Tree().folder(root / "wav").audio == {".wav": {"a b"}}
    assert Tree().deep(root / "wav").audio == {".wav": {"a b", "deep/er/c"}}


def test_find_takes_the_first_that_is_there(corpus, root):
    assert corpus.find("nowhere", "flac", ".") == root / "flac"


def test_find_says_what_is_there_instead(corpus, root):
    with pytest.raises(MissingFiles, match=r"no flac/x.txt nor y.txt; .*/flac has u0.flac, u1.flac, u2.flac, u3.flac"):
        corpus.find("flac/x.txt", "y.txt")
    for number in range(10, 15):
        (root / f"flac/u{number}.flac").touch()
    with pytest.raises(MissingFiles, match="and 4 more"):
        corpus.find("flac/x.txt")
    with pytest.raises(MissingFiles, match="no a nor b nor c nor d nor e nor 1 more; "):
        corpus.find(*"aabcdefa")


def test_a_part_that_is_not_there(corpus, root, tmp_path, trials, capsys):
    with corpus.preparing("dev"):
        corpus.find("dev.txt")
    assert "data/dev: not prepared: " in capsys.readouterr().out
    with pytest.raises(MissingFiles, match=r"no dev.txt; .* has flac"):
        corpus.finish()
    partial = Corpus("Toy", root, tmp_path / "data", allow_partial=True)
    partial.write("dev", trials, COUNTS, root / "flac")
    with partial.preparing("dev"):
        partial.find("dev.txt")
    assert "data/dev: left out: " in capsys.readouterr().out
    assert not (tmp_path / "data/dev/utt2spk").exists(), "the older version would pass for this one"
    assert partial.finish() == []
    partial.write("train", trials, COUNTS, root / "flac")
    with partial.preparing("eval"):
        raise InputError("key.txt:3: damaged")
    with pytest.raises(InputError, match=r"not prepared: eval \(1 other set is ready\); eval: key.txt:3: damaged"):
        partial.finish()


def test_roots_that_are_no_folders(tmp_path):
    with pytest.raises(InputError, match="no such folder; give the folder of Toy with --root"):
        Corpus("Toy", tmp_path / "nowhere", tmp_path)
    (tmp_path / "LA.zip").touch()
    with pytest.raises(InputError, match="is a file, not the folder of the corpus"):
        Corpus("Toy", tmp_path / "LA.zip", tmp_path)
    with pytest.raises(InputError, match=r"LA.zip: is a file; give a folder for the data directories with --out"):
        Corpus("Toy", tmp_path, tmp_path / "LA.zip")


# ---- every corpus ----


def listing(root):
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*")}


def run(name, root, out, *options):
    """Run ``spooftrace prepare`` on one corpus."""
    more = ["--draw", "1"] if name == "codecfake_plus" else []
    run_command("prepare", name, "--root", root, "--out", out, *options, *more)


@pytest.mark.parametrize("name", NAMES)
def test_the_release_is_only_read(name, tmp_path):
    root = tmp_path / "a release"
    importlib.import_module(f"miniature.{name}").lay_out(Silence(), root)
    before = listing(root)
    run(name, root, tmp_path / "data", "--allow-partial")
    assert (tmp_path / "data").exists()
    assert listing(root) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_is_not_the_corpus(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFiles, match=r"not the folder of .*, .*empty has nothing"):
        run(name, tmp_path / "empty", tmp_path / "data")
    assert not (tmp_path / "data").exists()
