"""Durations: every file is looked at, bad ones are named, killed jobs go on, a second run does nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.cli import main as cli
from spooftrace.common.errors import InputError
from spooftrace.common.journal import Journal, read_journals, shard
from spooftrace.datadir import DataDir, read_table, validate
from spooftrace.derive import durations


@pytest.fixture
def data(make_data):
    """A data directory without utt2dur: nine files of 0.2 to 0.3 s."""
    folder = make_data("eval", 9)
    (folder / "utt2dur").unlink()
    return folder


def run(data: Path, *options: str) -> int:
    return cli.main(["durations", "--data", str(data), *options])


def damage(data: Path) -> dict[str, str]:
    """Spoil four files; utterance -> a part of what must be said about it."""
    wav = {utt: Path(path) for utt, path in read_table(data / "wav.scp").items()}
    wav["eval_001"].write_bytes(b"")
    wav["eval_003"].write_text("<html>404</html>" * 100)
    content = wav["eval_005"].read_bytes()
    wav["eval_005"].write_bytes(content[: len(content) * 9 // 10])  # the header of a FLAC file does not show this
    wav["eval_008"].unlink()
    return {"eval_001": "is empty", "eval_003": "not audio", "eval_005": "cut short", "eval_008": "no such file"}


def test_parts_are_collected_and_a_second_run_does_nothing(data, capsys):
    for job in "123":
        assert run(data, "--job", job, "--num-jobs", "3") == 0
        assert not (data / "utt2dur").exists()
    assert validate(data, check_audio=True) == []  # what the parts wrote is none of its business
    assert run(data, "--collect") == 0
    assert "9 utterances, 0.00 h, 0.20 to 0.30 s, 16000 Hz (9 files), mono" in capsys.readouterr().out
    expected = {f"eval_{n:03d}": str((3200 + 400 * (n % 5)) / 16000) for n in range(9)}
    assert read_table(data / "utt2dur") == expected
    assert validate(data) == []
    before = (data / "utt2dur").stat().st_mtime_ns
    assert run(data) == run(data, "--collect") == 0
    assert capsys.readouterr().out.count("already complete") == 2
    assert (data / "utt2dur").stat().st_mtime_ns == before


def test_mixed_rates_and_channels_are_told(data, capsys):
    soundfile.write(read_table(data / "wav.scp")["eval_004"], np.zeros((800, 2)), 8000, subtype="PCM_16")
    assert run(data) == run(data, "--collect") == 0
    out = capsys.readouterr().out
    assert "16000 Hz (8 files) and 8000 Hz (1 file)" in out and "1 file with more than 1 channel (2)" in out
    assert read_table(data / "utt2dur")["eval_004"] == "0.1"


def test_bad_files_fail_and_nothing_is_lost(data, capsys, monkeypatch):
    expected = damage(data)
    assert run(data) == 1
    *lines, last = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and "4 audio files cannot be used" in last
    for line, (utt, reason) in zip(lines, expected.items(), strict=True):
        assert f"{utt}.flac" in line and reason in line
    assert run(data, "--collect") == 1
    assert "4 audio files have no current duration, first 'eval_001'" in capsys.readouterr().err
    assert not (data / "utt2dur").exists() and len(DataDir.read(data).utts) == 9
    for utt in expected:  # the corpus is fetched again: only these four are looked at
        soundfile.write(read_table(data / "wav.scp")[utt], np.zeros(1600), 16000)
    looked = []
    original = durations.probe
    monkeypatch.setattr(durations, "probe", lambda path: looked.append(path) or original(path))
    assert run(data, "--num-jobs", "2", "--job", "1") == run(data, "--num-jobs", "2", "--job", "2") == 0
    assert sorted(Path(path).stem for path in looked) == sorted(expected)
    assert run(data, "--collect") == 0


def in_two_jobs(data, *options):
    """All the looking, which is then still to be collected; a single job would do both."""
    return max(run(data, *options, "--num-jobs", "2", "--job", job) for job in "12")


def test_many_bad_files_are_counted(make_data, capsys):
    data = make_data("many", 25)
    (data / "utt2dur").unlink()
    for path in read_table(data / "wav.scp").values():
        Path(path).write_bytes(b"")
    assert run(data) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 11 and "25 audio files" in err[-1]
    assert run(data, "--on-bad-audio", "skip") == 1
    assert "none of 25 utterances can be used" in capsys.readouterr().err
    assert len(DataDir.read(data).utts) == 25


def test_skipping_takes_bad_utterances_out(data, capsys):
    expected = damage(data)
    assert in_two_jobs(data, "--on-bad-audio", "skip") == 0
    assert run(data, "--collect") == 1  # was it meant? fail is the default here, too
    assert run(data, "--collect", "--on-bad-audio", "skip") == 0
    assert "removed 4 utterances" in capsys.readouterr().out
    left = DataDir.read(data)
    assert left.utts == [f"eval_{n:03d}" for n in (0, 2, 4, 6, 7)] == list(left.table("utt2dur"))
    assert validate(data, check_audio=True) == []
    listed = dict(line.split(" ", 1) for line in (data / "bad_audio.txt").read_text().splitlines())
    assert list(listed) == list(expected) and all(expected[utt] in listed[utt] for utt in expected)


def test_a_set_that_is_prepared_again_is_not_looked_at_again(data, monkeypatch):
    tables = dict(DataDir.read(data).tables)
    damage(data)
    assert run(data, "--on-bad-audio", "skip") == run(data, "--on-bad-audio", "skip", "--collect") == 0
    original, looked = durations.probe, []
    monkeypatch.setattr(durations, "probe", lambda path: looked.append(Path(path).stem) or original(path))
    DataDir.write(data, tables)  # as stage 1 does each time
    assert run(data, "--on-bad-audio", "skip") == run(data, "--on-bad-audio", "skip", "--collect") == 0
    assert sorted(looked) == ["eval_001", "eval_003", "eval_005", "eval_008"], "they may have been repaired"
    assert len(DataDir.read(data).utts) == 5
    for path in tables["wav.scp"].values():
        soundfile.write(path, np.zeros(1600), 16000)
    DataDir.write(data, tables)
    assert run(data) == run(data, "--collect") == 0
    assert len(DataDir.read(data).utts) == 9 and not (data / "bad_audio.txt").exists()


def test_repaired_files_are_not_skipped(data):
    damage(data)
    assert in_two_jobs(data, "--on-bad-audio", "skip") == 0
    for path in read_table(data / "wav.scp").values():
        soundfile.write(path, np.zeros(1600), 16000)
    assert run(data, "--on-bad-audio", "skip") == run(data, "--on-bad-audio", "skip", "--collect") == 0
    assert len(DataDir.read(data).utts) == 9 and not (data / "bad_audio.txt").exists()


def replace_audio(data, utt, seconds=1.0):
    soundfile.write(read_table(data / "wav.scp")[utt], np.zeros(round(16000 * seconds)), 16000)


def test_replaced_audio_is_measured_again(data, monkeypatch, capsys):
    assert run(data) == 0
    original, probed = durations.probe, []
    monkeypatch.setattr(durations, "probe", lambda path: probed.append(Path(path).stem) or original(path))
    replace_audio(data, "eval_004")
    assert run(data) == 0
    assert probed == ["eval_004"] and read_table(data / "utt2dur")["eval_004"] == "1"
    assert run(data) == run(data, "--collect") == 0
    assert probed == ["eval_004"] and capsys.readouterr().out.count("already complete") == 2


def test_replaced_audio_with_an_older_date(data):
    """An archive that is unpacked again restores the dates of its files."""
    assert run(data) == 0
    replace_audio(data, "eval_004", 0.5)
    os.utime(read_table(data / "wav.scp")["eval_004"], (1e9, 1e9))
    assert run(data) == 0
    assert read_table(data / "utt2dur")["eval_004"] == "0.5"


def test_replaced_audio_in_an_array_job(data, capsys):
    assert run(data) == 0
    replace_audio(data, "eval_008")
    assert run(data, "--collect") == 1
    assert "1 audio file has no current duration, first 'eval_008'" in capsys.readouterr().err
    assert run(data, "--job", "1", "--num-jobs", "2") == 0
    assert "already complete" in capsys.readouterr().out
    assert run(data, "--job", "2", "--num-jobs", "2") == run(data, "--collect") == 0
    assert read_table(data / "utt2dur")["eval_008"] == "1"


def test_a_table_that_was_killed_before_it_was_written_again(data, monkeypatch):
    assert run(data) == 0
    replace_audio(data, "eval_002")
    with monkeypatch.context() as patch:
        patch.setattr(durations, "collect", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(data) == 130
    assert run(data) == 0
    assert read_table(data / "utt2dur")["eval_002"] == "1"


def test_replaced_audio_of_a_table_that_came_with_the_corpus(make_data, capsys):
    data = make_data("given", 3)
    for path in read_table(data / "wav.scp").values():
        os.utime(path, (1e9, 1e9))
    assert run(data) == 0
    assert "already complete, 3 utterances" in capsys.readouterr().out
    replace_audio(data, "given_001")
    future = (data / "utt2dur").stat().st_mtime + 60
    os.utime(read_table(data / "wav.scp")["given_001"], (future, future))
    assert run(data) == 0
    assert read_table(data / "utt2dur")["given_001"] == "1"


def test_a_single_utterance_is_in_the_singular(make_data, capsys):
    data = make_data("single", 1)
    (data / "utt2dur").unlink()
    assert run(data) == run(data) == 0
    out = capsys.readouterr().out
    assert "single: 1 utterance, " in out and "(1 file)" in out and "already complete, 1 utterance\n" in out


def test_segments(recipe, capsys):
    soundfile.write("a b.wav", np.zeros(16000), 16000)
    soundfile.write("two.wav", np.zeros(8000), 8000)
    tables = {
        "wav.scp": {"rec1": "a b.wav", "rec2": "two.wav"},
        "segments": {"u1": "rec1 0.25 0.75", "u2": "rec1 0.5 1.2", "u3": "rec2 0 1", "u4": "rec2 0 1.6"},
        "utt2spk": {"u1": "s", "u2": "s", "u3": "s", "u4": "s"},
    }
    data = Path("data/cut")
    DataDir.write(data, tables)
    assert run(data) == 1
    assert "u4" in capsys.readouterr().err and not (data / "utt2dur").exists()
    assert run(data, "--collect", "--on-bad-audio", "skip") == 0
    # u2 ends 0.2 s after the file does, which read_audio forgives
    assert read_table(data / "utt2dur") == {"u1": "0.5", "u2": "0.5", "u3": "1"}


def test_killed_job_goes_on_after_its_last_whole_line(data, monkeypatch):
    def killed(path):
        if path.endswith("eval_006.flac"):
            raise KeyboardInterrupt
        return original(path)

    original = durations.probe
    monkeypatch.setattr(durations, "probe", killed)
    assert run(data) == 130
    journal = data / ".durations" / "1-of-1.journal"
    assert journal.read_text().count("\n") == 7  # the header and six files
    journal.write_text(journal.read_text() + "eval_006 48")  # as if killed while writing
    looked = []
    monkeypatch.setattr(durations, "probe", lambda path: looked.append(path) or original(path))
    assert run(data) == run(data, "--collect") == 0
    assert len(looked) == 3
    assert read_table(data / "utt2dur")["eval_006"] == "0.225"


def test_records_of_another_wav_scp_do_not_count(data, capsys):
    assert in_two_jobs(data) == 0
    tables = DataDir.read(data).tables
    soundfile.write("other.wav", np.zeros(16000), 16000)
    DataDir.write(data, {**tables, "wav.scp": {**tables["wav.scp"], "eval_000": "other.wav"}})
    assert run(data, "--collect") == 1
    assert "9 audio files have no current duration" in capsys.readouterr().err
    assert run(data) == run(data, "--collect") == 0
    assert read_table(data / "utt2dur")["eval_000"] == "1"


def test_several_directories_at_once(make_data, capsys):
    folders = [make_data(name, 3) for name in ("dev", "eval")]
    for folder in folders:
        (folder / "utt2dur").unlink()
        Path(read_table(folder / "wav.scp")[f"{folder.name}_001"]).write_bytes(b"")
    words = ["durations", "--data", *map(str, folders)]
    assert cli.main(words) == 1
    assert "2 audio files" in capsys.readouterr().err
    assert cli.main([*words, "--on-bad-audio", "skip"]) == 0
    assert cli.main([*words, "--on-bad-audio", "skip", "--collect"]) == 0
    assert [len(DataDir.read(folder).utts) for folder in folders] == [2, 2]


def test_no_such_job(data, capsys):
    assert run(data, "--job", "4", "--num-jobs", "3") == 1
    assert "--job 4" in capsys.readouterr().err


@given(st.integers(0, 50), st.integers(1, 60))
def test_shares_make_up_the_whole(size, num_jobs):
    items = [str(number) for number in range(size)]
    parts = [shard(items, job, num_jobs) for job in range(1, num_jobs + 1)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    with pytest.raises(InputError):
        shard(items, 0, num_jobs)


@given(cut=st.integers(0, 200))
def test_a_journal_cut_anywhere_has_only_whole_entries(cut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    entries = {f"utt{number}": f"{number} é" for number in range(9)}
    with Journal(folder, 1, 1, {"a": 1}) as journal:
        for key, text in entries.items():
            journal.add(key, text)
    journal.path.write_bytes(journal.path.read_bytes()[:cut])
    found = dict(read_journals(folder, {"a": 1}))
    assert found.items() <= entries.items()
    with Journal(folder, 1, 1, {"a": 1}) as journal:
        for key in entries.keys() - found.keys():
            journal.add(key, entries[key])
    assert dict(read_journals(folder, {"a": 1})) == entries


@given(st.integers(1, 10**9), st.sampled_from([8000, 16000, 22050, 44100, 48000]))
def test_durations_are_exact_to_the_sample(samples, rate):
    assert round(float(durations.seconds_text(samples, rate)) * rate) == samples
