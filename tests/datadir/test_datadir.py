"""Reading, writing, checking and splitting data directories."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir, read_list, read_table, validate, write_table
from spooftrace.datadir.edit import fix
from spooftrace.datadir.split import split_by_speaker, split_evenly
from spooftrace.datadir.tables import table_text
from spooftrace.evaluation.keys import read_data_key

UTTS = ["a-1", "a-2", "b-1", "c-1"]


def tables():
    return {
        "utt2spk": {"a-1": "amy", "a-2": "amy", "b-1": "bob", "c-1": "amy"},
        "wav.scp": {utt: f"my audio/{utt}.flac" for utt in UTTS},
        "utt2label": {utt: "spoof" if utt == "b-1" else "bonafide" for utt in UTTS},
        "utt2dur": {utt: f"{index + 1}.5" for index, utt in enumerate(UTTS)},
        "utt2nac": {utt: "24 6.0 8" if utt == "b-1" else "- - -" for utt in UTTS},
    }


@pytest.fixture
def folder(tmp_path):
    return DataDir.write(tmp_path / "my data", tables()).path


def edit(folder, name, old, new):
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_written_is_read_back(folder):
    data = DataDir.read(folder)
    assert data.utts == UTTS
    assert data.table("spk2utt") == {"amy": "a-1 a-2 c-1", "bob": "b-1"}
    assert {name: data.table(name) for name in tables()} == tables()
    assert data.audio("a-2") == ("my audio/a-2.flac", None, None)
    assert validate(folder) == []


def test_tables_share_their_strings(folder):
    data = DataDir.read(folder)
    assert all(key is utt for key, utt in zip(data.table("wav.scp"), data.utts, strict=True))
    values = list(data.table("utt2label").values())
    assert values[0] is values[1]


def test_missing_table_and_missing_directory_are_named(folder, tmp_path):
    with pytest.raises(InputError, match="utt2cond: no such file"):
        DataDir.read(folder).table("utt2cond")
    with pytest.raises(InputError, match="nowhere: no such data directory"):
        DataDir.read(tmp_path / "nowhere")


def test_segments_make_wav_scp_a_list_of_recordings(tmp_path):
    content = {
        "utt2spk": {"u1": "s", "u2": "s"},
        "wav.scp": {"rec": "long file.wav"},
        "segments": {"u1": "rec 0.00 1.5", "u2": "rec 1.5 3"},
    }
    data = DataDir.write(tmp_path, content)
    assert DataDir.read(tmp_path).audio("u2") == ("long file.wav", 1.5, 3.0) == data.audio("u2")
    edit(tmp_path, "segments", "rec 1.5 3", "other 1.5 3")
    assert validate(tmp_path) == [
        f"{tmp_path}/segments:2: utterance 'u2' is cut from recording 'other', which is not in wav.scp; "
        f"run utils/fix_data_dir.sh {tmp_path}"
    ]


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("utt2label", "b-1 spoof", "b-1 fake", "utt2label:3: 'b-1' has 'fake', expected bonafide or spoof"),
        ("utt2label", "b-1 spoof\n", "", "utt2label: lacks utterance 'b-1' of utt2spk; run utils/fix_data_dir.sh"),
        ("utt2label", "b-1 spoof", "b-7 spoof", "utt2label:3: utterance 'b-7' is not in utt2spk"),
        ("utt2label", "a-2 bonafide", "a-2 bonafide ", "utt2label:2: white space (or a carriage return)"),
        ("utt2label", "a-2 bonafide", " a-2 bonafide", "utt2label:2: white space (or a carriage return)"),
        ("utt2label", "a-2 bonafide", "a-2 bonafide\n", "utt2label:3: empty line"),
        ("utt2dur", "a-2 2.5", "a-1 2.5", "utt2dur:2: key 'a-1' is already on line 1"),
        ("utt2dur", "a-2 2.5", "c-0 2.5", "utt2dur:3: not sorted by bytes: 'b-1' comes after 'c-0'"),
        ("utt2dur", "a-2 2.5", "a-2", "utt2dur:2: nothing after the key 'a-2'"),
        ("utt2dur", "a-2 2.5", "a-2 nan", "utt2dur:2: 'a-2' has 'nan', expected a duration"),
        ("utt2dur", "a-2 2.5", "a-2 0", "utt2dur:2: 'a-2' has '0', expected a duration"),
        ("utt2spk", "a-2 amy", "a-2 amy lee", "utt2spk:2: 'a-2' has 'amy lee', expected one field"),
        ("utt2nac", "24 6.0 8", "24 6.0", "utt2nac:3: 'b-1' has '24 6.0', expected three fields"),
        ("spk2utt", "amy a-1 a-2 c-1", "amy a-1 a-2", "spk2utt:1: the utterances of speaker 'amy' are not those"),
        ("spk2utt", "bob b-1\n", "", "spk2utt: lacks speaker 'bob'"),
        ("wav.scp", "my audio/b-1.flac", "sox my.wav -t wav - |", "wav.scp:3: 'sox my.wav -t wav - |' would run"),
    ],
)
def test_every_mistake_is_one_line_with_file_and_line(folder, name, old, new, problem):
    edit(folder, name, old, new)
    problems = validate(folder)
    assert any(line.startswith(f"{folder}/{problem}") for line in problems), problems
    assert all("\n" not in line and ";" in line for line in problems)
    with pytest.raises(InputError) as caught:
        DataDir.read(folder)
    assert str(caught.value) == problems[0]


def test_validate_finds_several_problems_and_stops_at_the_limit(folder):
    edit(folder, "utt2label", "bonafide", "real")
    edit(folder, "utt2dur", "a-1 1.5", "a-1 -1")
    assert len(validate(folder)) == 4
    assert len(validate(folder, limit=2)) == 2


def test_validate_needs_the_basic_files(folder):
    (folder / "spk2utt").unlink()
    (folder / "wav.scp").unlink()
    assert [line.split("; ")[0].removeprefix(str(folder)) for line in validate(folder)] == [
        "/spk2utt: no such file",
        ": has neither wav.scp nor feats.scp",
    ]
    assert DataDir.read(folder).utts == UTTS  # derived and optional files may be missing here
    (folder / "utt2spk").write_text("")
    assert "no utterances" in validate(folder)[0]
    (folder / "utt2spk").unlink()
    assert "utt2spk: no such file" in validate(folder)[0]


def test_pipes_are_read_only_when_allowed(folder):
    edit(folder, "wav.scp", "my audio/b-1.flac", "cat b.wav |")
    assert DataDir.read(folder, allow_pipes=True).table("wav.scp")["b-1"] == "cat b.wav |"
    assert validate(folder, allow_pipes=True) == []


def test_missing_and_empty_audio_files_are_found(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my audio").mkdir()
    for utt in UTTS[1:]:
        Path(f"my audio/{utt}.flac").write_bytes(b"x" if utt != "c-1" else b"")
    problems = validate(folder, check_audio=True)
    assert len(problems) == 2
    assert "wav.scp:1: 'a-1' points to my audio/a-1.flac, which is not a file" in problems[0]
    assert "wav.scp:4: 'c-1' points to my audio/c-1.flac, which is empty" in problems[1]


def test_order_is_that_of_bytes_not_of_a_locale(tmp_path):
    keys = ["Z", "a", "é", "\uff5e", "\U0001d11e"]  # in UTF-16 the last two would change places
    write_table(tmp_path / "t", dict.fromkeys(reversed(keys), "x"))
    assert list(read_table(tmp_path / "t")) == keys
    sort = subprocess.run(["sort", "-c", tmp_path / "t"], env={**os.environ, "LC_ALL": "C"}, check=False)
    assert sort.returncode == 0


def test_not_utf8_is_an_error_with_its_line(tmp_path):
    (tmp_path / "t").write_bytes(b"a x\nb \xff\n")
    with pytest.raises(InputError, match=r"t:2: not UTF-8"):
        read_table(tmp_path / "t")


def test_unchanged_files_keep_their_time(folder):
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    DataDir.write(folder, tables())
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert write_table(folder / "utt2dur", tables()["utt2dur"]) is False
    assert write_table(folder / "utt2dur", dict.fromkeys(UTTS, "9")) is True


def test_write_removes_files_of_other_utterances(folder):
    (folder / "README").write_text("mine")
    DataDir.write(folder, {"utt2spk": {"x": "y"}, "wav.scp": {"x": "x.wav"}})
    assert sorted(path.name for path in folder.iterdir()) == ["README", "spk2utt", "utt2spk", "wav.scp"]


def test_the_earlier_name_of_utt2attack_is_read(folder):
    attacks = {utt: "A07" if utt == "b-1" else "-" for utt in UTTS}
    write_table(folder / "utt2system", attacks)
    data = DataDir.read(folder)
    assert data.tables["utt2attack"] == data.table("utt2attack") == data.table("utt2system") == attacks
    assert "utt2system" not in data.tables and validate(folder) == []
    assert read_data_key(folder).columns["attack"].values == ("-", "A07")
    write_table(folder / "utt2attack", attacks)  # both, and equal
    assert DataDir.read(folder).table("utt2attack") == attacks
    write_table(folder / "utt2attack", attacks | {"b-1": "A08"})
    for read in (DataDir.read, read_data_key):
        with pytest.raises(InputError, match="my data/utt2attack: differs from utt2system"):
            read(folder)
    DataDir.write(folder, tables() | {"utt2attack": attacks})
    assert not (folder / "utt2system").exists() and DataDir.read(folder).table("utt2attack") == attacks


def test_fixing_renames_tables_of_earlier_versions(folder):
    write_table(folder / "utt2system", dict.fromkeys(UTTS, "A07"))
    assert fix(folder) == [f"{folder}/utt2attack: renamed from utt2system"]
    assert (folder / ".backup/utt2system").exists() and not (folder / "utt2system").exists()
    assert DataDir.read(folder).table("utt2attack") == dict.fromkeys(UTTS, "A07")
    assert fix(folder) == []


def test_write_refuses_contradictions_and_touches_nothing(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    wrong = {**tables(), "utt2label": {"a-1": "spoof"}}
    with pytest.raises(InputError, match="lacks utterance 'a-2' of utt2spk and 2 more"):
        DataDir.write(folder, wrong)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_killed_write_leaves_no_directory_that_reads_as_whole(folder, monkeypatch):
    import spooftrace.datadir.directory as directory

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory, "atomic_write", full_disk)
    with pytest.raises(OSError, match="No space"):
        DataDir.write(folder, {**tables(), "utt2label": dict.fromkeys(UTTS, "spoof")})
    monkeypatch.undo()
    with pytest.raises(InputError, match="utt2spk: no such file"):
        DataDir.read(folder)


@pytest.mark.parametrize(
    "bad", [{"a b": "x"}, {"": "x"}, {"": "x", "a b": "y"}, {"a": ""}, {"a": " x"}, {"a": "x\ny"}, {"a\n": "x"}]
)
def test_tables_that_could_not_be_read_back_are_refused(tmp_path, bad):
    with pytest.raises(InputError):
        write_table(tmp_path / "t", bad)
    assert not (tmp_path / "t").exists()


words = st.text(st.characters(blacklist_categories=("Cs", "Zs", "Zl", "Zp", "Cc")), min_size=1, max_size=8)
values = st.lists(words, min_size=1, max_size=3).map(" ".join)


@given(st.dictionaries(words, values, max_size=20))
def test_any_table_survives_a_round_trip(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("tables") / "t"
    write_table(path, table)
    assert read_table(path) == table
    assert path.read_text() == table_text(table)


def test_lists_take_the_first_field(tmp_path):
    (tmp_path / "list").write_text("b extra\n\na\n")
    assert read_list(tmp_path / "list") == ["b", "a"]
    (tmp_path / "list").write_text("\n")
    with pytest.raises(InputError, match="the list is empty"):
        read_list(tmp_path / "list")


def test_importing_loads_nothing_heavy():
    code = "import sys, spooftrace.cli.datadir; print(sorted({'numpy', 'torch', 'soundfile'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_parts_by_speaker_are_whole_ordered_and_even(sizes, draw):
    utt2spk = {f"{spk:02d}-{utt:02d}": str(spk) for spk, size in enumerate(sizes) for utt in range(size)}
    parts = draw.draw(st.integers(1, len(sizes)))
    result = split_by_speaker(list(utt2spk), utt2spk, parts)
    assert [utt for part in result for utt in part] == list(utt2spk)
    assert all(result)
    speakers = [{utt2spk[utt] for utt in part} for part in result]
    assert sum(map(len, speakers)) == len(sizes)
    if set(sizes) == {sizes[0]}:  # equal speakers: as even as whole speakers can be
        assert max(map(len, speakers)) - min(map(len, speakers)) <= 1


@given(st.integers(1, 50), st.integers(1, 60))
def test_parts_by_line_follow_kaldi(lines, parts):
    items = list(range(lines))
    if parts > lines:
        with pytest.raises(InputError, match="use fewer jobs"):
            split_evenly(items, parts)
        return
    result = split_evenly(items, parts)
    assert [item for part in result for item in part] == items
    assert [len(part) for part in result] == [lines // parts + (index < lines % parts) for index in range(parts)]
