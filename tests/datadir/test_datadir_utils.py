"""The scripts in utils/: the commands people type, run as they run them, from a folder with a blank in its name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spooftrace.datadir import DataDir, read_table, validate

UTILS = Path(__file__).resolve().parents[2] / "utils"
UTTS = [f"u{number:02d}" for number in range(10)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in a folder with a blank, with the interpreter of the tests first in PATH and no PYTHONPATH."""
    folder = tmp_path / "my recipe"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("PYTHONPATH", raising=False)


def run(script, *arguments, ok=True, stdin=""):
    command = [UTILS / script, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, input=stdin, check=False)
    assert (result.returncode == 0) is ok, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout if ok else result.stderr


def make(path="data/my set", utts=UTTS, **more):
    content = {
        "utt2spk": {utt: f"s{index % 3}" for index, utt in enumerate(utts)},
        "wav.scp": {utt: f"audio/{utt}.wav" for utt in utts},
        "utt2label": {utt: "spoof" if index % 2 else "bonafide" for index, utt in enumerate(utts)},
        "utt2dur": {utt: f"{10 - index}.0" for index, utt in enumerate(utts)},
    }
    return DataDir.write(path, content | more).path


def utts(path):
    return DataDir.read(path).utts


def test_validate_prints_each_problem_and_fails():
    data = make()
    assert run("validate_data_dir.sh", data) == "data/my set: no problem found\n"
    (data / "utt2label").write_text((data / "utt2label").read_text().replace("spoof", "fake"))
    lines = run("validate_data_dir.sh", data, ok=False).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("validate_data_dir.sh: data/my set/utt2label:2: 'u01' has 'fake'")
    assert "which is not a file" in run("validate_data_dir.sh", "--check-audio", data, ok=False)


def test_validate_allows_pipes_on_demand():
    data = make(**{"wav.scp": dict.fromkeys(UTTS, "cat x.wav")})
    (data / "wav.scp").write_text((data / "wav.scp").read_text().replace("x.wav", "x.wav |"))
    assert "would run a command" in run("validate_data_dir.sh", data, ok=False)
    run("validate_data_dir.sh", "--allow-pipes", data)


def test_unknown_options_and_missing_directories_fail():
    assert "usage: utils/validate_data_dir.sh" in run("validate_data_dir.sh", "--chekc", "x", ok=False)
    assert run("fix_data_dir.sh", "nowhere", ok=False) == "fix_data_dir.sh: nowhere: no such data directory\n"


def test_fix_repairs_and_keeps_a_backup():
    data = make()
    messy = "u03 spoof \n\nu01 spoof\nu02 bonafide\r\nu02 bonafide\nu00 bonafide\nu99 spoof\n"
    (data / "utt2label").write_text(messy)
    (data / "spk2utt").write_text("nonsense u00\n")
    said = run("fix_data_dir.sh", data)
    assert utts(data) == ["u00", "u01", "u02", "u03"]
    assert validate(data) == []
    assert "removed 1 repeated lines" in said and "wav.scp: kept 4 of 10 entries" in said
    assert (data / ".backup" / "utt2label").read_text() == messy.replace("\r\n", "\n")
    assert "nothing to repair" in run("fix_data_dir.sh", data)


def test_fix_leaves_decisions_to_the_user_and_touches_nothing():
    data = make()
    label = data / "utt2label"
    for text, words in (
        (label.read_text() + "u00 spoof\n", "utt2label:11: key 'u00' has two values, 'bonafide' and 'spoof'"),
        (label.read_text().replace("u05 spoof", "u05 genuine"), "'u05' has 'genuine', expected bonafide or spoof"),
        ("z spoof\n", "no utterance is in all of"),
    ):
        sound = label.read_text()
        label.write_text(text)
        before = {path.name: path.read_bytes() for path in data.iterdir()}
        assert words in run("fix_data_dir.sh", data, ok=False)
        assert {path.name: path.read_bytes() for path in data.iterdir()} == before
        label.write_text(sound)


def test_fix_drops_segments_without_recording_and_recordings_without_segment():
    data = make(
        **{"segments": {utt: f"r{index % 2} 0 1" for index, utt in enumerate(UTTS)}, "wav.scp": {"r0": "0", "r1": "1"}}
    )
    (data / "wav.scp").write_text("r0 0.wav\nr2 2.wav\n")
    run("fix_data_dir.sh", data)
    assert utts(data) == UTTS[::2]
    assert read_table(data / "wav.scp") == {"r0": "0.wav"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["5"], UTTS[::2]),
        (["--first", "3"], UTTS[:3]),
        (["--last", "3"], UTTS[-3:]),
        (["--shortest", "2"], UTTS[-2:]),
        (["--per-spk", "2"], ["u00", "u01", "u02", "u04", "u05", "u06"]),
        (["10"], UTTS),
    ],
)
def test_subset_by_number(options, expected):
    source = make()
    *flags, number = options
    run("subset_data_dir.sh", *flags, source, number, "data/kaldi order")
    run("subset_data_dir.sh", *flags, number, source, "data/option order")
    assert utts("data/kaldi order") == expected == utts("data/option order")
    assert validate("data/kaldi order") == []


def test_subset_by_whole_speakers():
    source = make()
    run("subset_data_dir.sh", "--speakers", source, 5, "data/sub")
    chosen, everything = DataDir.read("data/sub"), DataDir.read(source)
    assert len(chosen.utts) >= 5
    for speaker, own in chosen.table("spk2utt").items():
        assert everything.table("spk2utt")[speaker] == own
    assert len(chosen.table("spk2utt")) == 2


def test_subset_by_lists():
    source = make()
    Path("my list").write_text("u07\nu02 anything\n")
    run("subset_data_dir.sh", "--utt-list", "my list", source, "data/utts")
    assert utts("data/utts") == ["u02", "u07"]
    Path("my list").write_text("s1\n")
    run("subset_data_dir.sh", "--spk-list", "my list", source, "data/spks")
    assert utts("data/spks") == ["u01", "u04", "u07"]
    Path("my list").write_text("s9\n")
    assert "my list: speaker 's9' is not in" in run(
        "subset_data_dir.sh", "--spk-list", "my list", source, "x", ok=False
    )
    assert "my list: utterance 's9' is not in" in run(
        "subset_data_dir.sh", "--utt-list", "my list", source, "x", ok=False
    )


def test_subset_keeps_only_the_recordings_it_needs():
    source = make(
        **{"segments": {utt: f"r{index // 5} 0 1" for index, utt in enumerate(UTTS)}, "wav.scp": {"r0": "0", "r1": "1"}}
    )
    run("subset_data_dir.sh", "--first", source, 2, "data/sub")
    assert read_table("data/sub/wav.scp") == {"r0": "0"}
    assert validate("data/sub") == []


def test_subset_mistakes():
    source = make()
    assert "cannot choose 11 of 10" in run("subset_data_dir.sh", source, 11, "data/x", ok=False)
    assert "cannot choose 0 of 10" in run("subset_data_dir.sh", source, 0, "data/x", ok=False)
    assert "is not a number" in run("subset_data_dir.sh", source, "many", "data/x", ok=False)
    assert "is the source itself" in run("subset_data_dir.sh", source, 3, source, ok=False)
    (source / "utt2dur").unlink()
    assert "durations are needed" in run("subset_data_dir.sh", "--shortest", source, 3, "data/x", ok=False)
    assert not Path("data/x").exists()


def test_combine_leaves_out_what_one_source_lacks():
    one, two = make("data/1", UTTS[:4]), make("data/2", UTTS[4:])
    (two / "utt2dur").unlink()
    run("combine_data.sh", "data/all of it", one, two)
    data = DataDir.read("data/all of it")
    assert data.utts == UTTS
    assert "utt2dur" not in data.tables and "utt2label" in data.tables
    assert validate(data.path) == []


def test_what_is_made_of_a_set_is_evaluated_like_it():
    one, two = make("data/1", UTTS[:4]), make("data/2", UTTS[4:])
    for folder in (one, two):
        (folder / "convention").write_text("ctrsvdd\n")
    run("subset_data_dir.sh", one, 2, "data/sub")
    run("combine_data.sh", "data/all", one, two)
    for made in ("sub", "all"):
        assert Path("data", made, "convention").read_text() == "ctrsvdd\n"
    (two / "convention").write_text("asvspoof5\n")
    run("combine_data.sh", "data/all", one, two)
    assert not Path("data/all/convention").exists(), "no rule fits both"


def test_combine_refuses_contradictions_but_not_repetition():
    one, two = make("data/1", UTTS[:4]), make("data/2", UTTS[:4])
    run("combine_data.sh", "data/same", one, two)
    assert utts("data/same") == UTTS[:4]
    (two / "utt2label").write_text((two / "utt2label").read_text().replace("u01 spoof", "u01 bonafide"))
    said = run("combine_data.sh", "data/x", one, two, ok=False)
    assert "data/2/utt2label: 'u01' has 'bonafide', but in data/1 'spoof'" in said
    assert "is one of the sources" in run("combine_data.sh", one, one, two, ok=False)


def test_combine_turns_whole_files_into_segments_where_others_have_segments():
    one = make("data/1", UTTS[:2], **{"segments": {"u00": "r 0 1", "u01": "r 1 2"}, "wav.scp": {"r": "r.wav"}})
    two = make("data/2", UTTS[2:4])
    run("combine_data.sh", "data/all", one, two)
    data = DataDir.read("data/all")
    assert data.audio("u01") == ("r.wav", 1.0, 2.0)
    assert data.audio("u02") == ("audio/u02.wav", 0.0, 10.0)
    (two / "utt2dur").unlink()
    assert "utt2dur: no such file" in run("combine_data.sh", "data/x", one, two, ok=False)


def test_split_by_speaker_and_by_utterance():
    data = make()
    run("split_data.sh", data, 2)
    run("split_data.sh", "--per-utt", data, 4)
    by_speaker = [DataDir.read(data / "split2" / str(part)) for part in (1, 2)]
    speakers = [set(part.table("utt2spk").values()) for part in by_speaker]
    assert not speakers[0] & speakers[1]
    assert sorted(by_speaker[0].utts + by_speaker[1].utts) == UTTS
    assert [utts(data / "split4utt" / str(part)) for part in (1, 2, 3, 4)] == [UTTS[:3], UTTS[3:6], UTTS[6:8], UTTS[8:]]
    assert validate(data / "split4utt" / "3") == []
    assert "cannot split 3 speakers into 4 parts" in run("split_data.sh", data, 4, ok=False)


def test_split_is_skipped_until_an_input_changes():
    data = make()
    run("split_data.sh", data, 2)
    part = data / "split2" / "1"
    (part / "utt2label").unlink()  # shows whether the split is made again
    run("split_data.sh", data, 2)
    assert not (part / "utt2label").exists()
    os.utime(data / "utt2label", ns=(0, 1))
    run("split_data.sh", data, 2)
    assert (part / "utt2label").exists()
    (part / "utt2spk").unlink()
    run("split_data.sh", data, 2)
    assert validate(part) == []


def test_split_scp_into_files():
    Path("my.scp").write_text("".join(f"k{number} v v\n" for number in range(10)))
    run("split_scp.py", "my.scp", "1.scp", "2 2.scp", "3.scp")
    parts = [Path(name).read_text() for name in ("1.scp", "2 2.scp", "3.scp")]
    assert [part.count("\n") for part in parts] == [4, 3, 3]
    assert "".join(parts) == Path("my.scp").read_text()


def test_split_scp_prints_one_part():
    Path("my.scp").write_text("a 1\nb 2\nc 3\n")
    assert run("split_scp.py", "-j", 2, 0, "my.scp") == "a 1\nb 2\n"
    assert run("split_scp.py", "-j", 2, 2, "--one-based", "my.scp") == "c 3\n"
    assert run("split_scp.py", "-j", 2, 1, "-", stdin="a 1\nb 2\n") == "b 2\n"
    assert "no such part" in run("split_scp.py", "-j", 2, 2, "my.scp", ok=False)
    assert "my.scp: cannot split 3 entries into 4 parts" in run("split_scp.py", "-j", 4, 0, "my.scp", ok=False)


def test_split_scp_by_speaker_writes_nothing_when_there_are_too_few():
    Path("my.scp").write_text("a 1\nb 2\nc 3\nd 4\n")
    Path("utt2spk").write_text("a x\nb x\nc x\nd y\n")
    run("split_scp.py", "--utt2spk=utt2spk", "my.scp", "1", "2")
    assert (Path("1").read_text(), Path("2").read_text()) == ("a 1\nb 2\nc 3\n", "d 4\n")
    assert "2 speakers into 3" in run("split_scp.py", "--utt2spk=utt2spk", "my.scp", "p", "q", "r", ok=False)
    assert not any(Path(name).exists() for name in "pqr")


def test_utt2spk_and_spk2utt_are_inverses():
    data = make()
    spk2utt = run("utt2spk_to_spk2utt.py", data / "utt2spk")
    assert spk2utt == (data / "spk2utt").read_text()
    assert run("spk2utt_to_utt2spk.py", stdin=spk2utt) == (data / "utt2spk").read_text()
    assert "-:1: 'u s t' is not two fields" in run("utt2spk_to_spk2utt.py", ok=False, stdin="u s t\n")
    assert "listed for 's' and again for 't'" in run("spk2utt_to_utt2spk.py", ok=False, stdin="s u\nt u\n")


def test_output_into_a_closed_pipe_is_quiet():
    Path("utt2spk").write_text("".join(f"u{number:06d} s{number:06d}\n" for number in range(50000)))
    command = f'"{UTILS}/utt2spk_to_spk2utt.py" utt2spk | head -1'
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("s000000 u000000\n", "")


def coded(path="data/my set"):
    """Twelve utterances of four speakers, a third bona fide, in three conditions and by three codecs."""
    utts = [f"u{number:02d}" for number in range(12)]
    tables = {
        "utt2spk": {utt: f"s{index // 3}" for index, utt in enumerate(utts)},
        "utt2label": {utt: "spoof" if index % 3 else "bonafide" for index, utt in enumerate(utts)},
        "utt2cond": {utt: ("-", "C01", "C02")[index // 4] for index, utt in enumerate(utts)},
        "utt2codec": {utt: ("-", "dac", "snac", "-", "mimi", "dac")[index % 6] for index, utt in enumerate(utts)},
        "utt2source": {utt: "acesinger" if index in (0, 1) else "m4singer" for index, utt in enumerate(utts)},
        "wav.scp": {utt: f"audio/{utt}.wav" for utt in utts},
    }
    return DataDir.write(path, tables).path, utts


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["utt2cond=C01"], range(4, 8)),
        (["utt2cond=C01,C02"], range(4, 12)),
        (["utt2cond=-"], range(4)),
        (["utt2source!=acesinger"], range(2, 12)),
        (["utt2cond!=-,C02", "utt2label=bonafide"], [6]),
        (["utt2source!=acesinger", "utt2codec!=snac,mimi", "utt2label=spoof"], [5, 7, 11]),
    ],
)
def test_subset_by_value(conditions, expected):
    source, everyone = coded()
    options = [word for condition in conditions for word in ("--where", condition)]
    run("subset_data_dir.sh", *options, source, "data/sub")
    assert utts("data/sub") == [everyone[index] for index in expected]
    assert validate("data/sub") == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("utt2cond=C01,C03", "data/my set/utt2cond: no value is 'C03'; known are -, C01, C02\n"),
        ("utt2source!=kising", "data/my set/utt2source: no value is 'kising'; known are acesinger, m4singer\n"),
        ("utt2cond", "'utt2cond' is not a condition; give utt2NAME=VALUE,VALUE"),
        ("utt2cond==C01", "no value is '=C01'"),
        ("wav.scp=audio/u00.wav", "is not a condition"),
        ("utt2subset=eval", "data/my set/utt2subset: no such file"),
        ("utt2source!=acesinger,m4singer", "utt2source!=acesinger,m4singer: leaves no utterance of data/my set"),
    ],
)
def test_subset_by_value_mistakes(condition, words):
    source, _ = coded()
    assert words in run("subset_data_dir.sh", "--where", condition, source, "data/sub", ok=False)
    assert not Path("data/sub").exists()


def test_conditions_stand_alone():
    source, _ = coded()
    assert "not allowed with" in run("subset_data_dir.sh", "--first", "--where", "utt2cond=C01", source, "x", ok=False)
    assert "expected SRC DEST, got" in run("subset_data_dir.sh", "--where", "utt2cond=C01", source, 3, "x", ok=False)


@pytest.mark.parametrize(("table", "share"), [("utt2spk", 0.25), ("utt2spk", 0.5), ("utt2codec", 0.3)])
def test_disjoint_parts_share_no_value(table, share):
    source, everyone = coded()
    said = run("subset_data_dir.sh", "--disjoint", table, share, source, "data/part", "data/rest of it")
    part, rest = DataDir.read("data/part"), DataDir.read("data/rest of it")
    assert sorted(part.utts + rest.utts) == everyone
    assert part.utts and rest.utts
    assert set(part.table(table).values()) & set(rest.table(table).values()) <= {"-"}
    assert validate(part.path) == validate(rest.path) == []
    if table == "utt2spk":
        assert len(part.utts) == share * len(everyone)
        assert f"data/part: {len(part.utts)} of 12 utterances of data/my set, " in said
    else:  # bona fide speech has no codec, and is in both parts
        assert {"bonafide", "spoof"} == set(part.table("utt2label").values()) == set(rest.table("utt2label").values())


def test_disjoint_parts_are_the_same_every_time_whatever_the_share_of_others():
    source, _ = coded()
    run("subset_data_dir.sh", "--disjoint", "utt2spk", "0.25", source, "data/1", "data/2")
    before = [path.read_bytes() for path in sorted(Path("data/1").iterdir())]
    run("subset_data_dir.sh", "--disjoint", "utt2spk", "0.25", source, "data/3", "data/4")
    assert [path.read_bytes() for path in sorted(Path("data/3").iterdir())] == before


def test_disjoint_parts_both_have_something_at_any_share():
    source, _ = coded()
    for share in ("0.001", "0.999"):
        run("subset_data_dir.sh", "--disjoint", "utt2spk", share, source, "data/part", "data/rest")
        assert utts("data/part") and utts("data/rest")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["utt2spk", "0", "data/my set", "a", "b"], "a share of 0 is not between 0 and 1"),
        (["utt2spk", "nan", "data/my set", "a", "b"], "a share of nan is not between"),
        (["utt2spk", "ten", "data/my set", "a", "b"], "'ten' is not a share"),
        (["utt2spk", "0.1", "data/my set", "a"], "expected SRC DEST REST, got"),
        (["utt2spk", "0.1", "data/my set", "a", "a"], "a: is the source or the other part"),
        (["utt2spk", "0.1", "data/my set", "data/my set", "a"], "data/my set: is the source itself"),
        (["wav.scp", "0.1", "data/my set", "a", "b"], "'wav.scp' is not a table of utterances"),
        (["utt2vq", "0.1", "data/my set", "a", "b"], "utt2vq: no such file"),
        (["utt2all", "0.1", "data/my set", "a", "b"], "utt2all: has 1 values, two parts need 2"),
    ],
)
def test_disjoint_mistakes(arguments, words):
    source, everyone = coded()
    (source / "utt2all").write_text("".join(f"{utt} same\n" for utt in everyone))
    assert words in run("subset_data_dir.sh", "--disjoint", *arguments, ok=False)
    assert not Path("a").exists() and not Path("b").exists()


def test_disjoint_speakers_must_be_known():
    source, _ = coded()
    tables = DataDir.read(source).tables
    DataDir.write(source, tables | {"utt2spk": tables["utt2spk"] | {"u05": "-"}})
    said = run("subset_data_dir.sh", "--disjoint", "utt2spk", "0.5", source, "a", "b", ok=False)
    assert "data/my set/utt2spk: the speaker of 'u05' is unknown" in said
