"""Corpora whose files, or the columns of whose lists, are spelt otherwise than in the release."""

import csv
import re
import unicodedata

import pytest
from miniature import wild
from miniature.preparing import prepare

from spooftrace.common.errors import InputError
from spooftrace.corpora.protocol import csv_rows, rows
from spooftrace.corpora.spelling import respell


@pytest.fixture
def root(lay_out, tmp_path):
    """Lays out a corpus in a folder of its own."""

    def make(corpus, *changes):
        folder = tmp_path / "a corpus"
        lay_out(corpus, folder)
        for change in changes:
            change(folder)
        return folder

    return make


def without_zeros(name):
    return re.sub(r"(?<!\d)0+(?=\d)", "", name)


def with_zeros(name):
    return re.sub(r"\d+", lambda number: number[0].zfill(9), name)


@pytest.mark.parametrize(
    ("corpus", "files", "new_name", "told"),
    [
        ("asvspoof2019", "LA/*/flac/*.flac", str.lower, "la_t_1000000 for LA_T_1000000"),
        ("asvspoof2019", "LA/*/flac/*.flac", str.upper, "(.FLAC)"),
        ("asvspoof5", "flac_*/*.flac", str.lower, "names spelt differently from the label file"),
        ("asvspoof2021", "*_eval/flac/*.flac", lambda name: with_zeros(name.lower()), "names spelt differently"),
        ("in_the_wild", "*/*.wav", with_zeros, "000000000 for 0"),
        ("codecfake_xie", "Codecfake/train/*.wav", str.swapcase, "names spelt differently"),
        ("spoofceleb", "spoofceleb/flac/*/*/*/*.flac", str.lower, "names spelt differently"),
        ("mlaad", "fake/en/*/*.wav", without_zeros, "names spelt differently"),
        ("ctrsvdd", "*_set/*.flac", str.lower, "names spelt differently"),
    ],
)
def test_files_of_another_spelling_are_taken_and_named(root, lay_out, tmp_path, capsys, corpus, files, new_name, told):
    _, official = lay_out(corpus, tmp_path / "official")
    folder = root(corpus, wild.rename(files, new_name))
    capsys.readouterr()
    prepared = prepare(corpus, folder, tmp_path / "data", "--allow-partial")
    assert told in capsys.readouterr().out
    assert sorted(prepared) == sorted(official)
    for name, data in prepared.items():
        assert data.utts == official[name].utts
        assert data.table("utt2label") == official[name].table("utt2label")
        assert not (tmp_path / "data" / name / "extra.txt").exists() or (official[name].path / "extra.txt").exists(), (
            "files of another spelling are not extra"
        )


def test_names_that_could_be_two_files_are_refused(root, tmp_path, capsys):
    def copies(folder):
        audio = folder / "release_in_the_wild"
        (audio / "01.wav").write_bytes((audio / "1.wav").read_bytes())
        (audio / "1.wav").rename(audio / "001.wav")

    folder = root("in_the_wild", copies)
    sets = prepare("in_the_wild", folder, tmp_path / "data", "--allow-partial")
    assert "1" not in sets["in_the_wild"].utts
    folder.joinpath("release_in_the_wild/meta.csv").write_text("file,speaker,label\n1.wav,A B,spoof\n")
    with pytest.raises(InputError):
        prepare("in_the_wild", folder, tmp_path / "data2", "--allow-partial")
    assert re.search(r"rename the files \(.*release_in_the_wild: 01 and 001 for 1\)", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("wanted", "present", "files", "ambiguous"),
    [
        ("LA_1", "LA_1 la_1 LA_01", {}, []),  # the exact name is there
        ("u_1 u_01", "u_1", {}, []),  # one is missing
        ("u_1 u_01", "U_1", {"u_1": "U_1"}, []),
        ("u_1 u_01", "u_001", {}, ["u_001 for u_1 and u_01"]),
        ("A a", "Á", {}, []),
        ("Ab aB", "AB", {}, ["AB for Ab and aB"]),
        ("u_1", "u_01 U_001", {}, ["u_01 and U_001 for u_1"]),
        ("a00/id7/x_0010", "A0/ID007/X_10", {"a00/id7/x_0010": "A0/ID007/X_10"}, []),
        ("x_10 x_100", "x_0100", {"x_100": "x_0100"}, []),  # zeros within and behind numbers count
    ],
)
def test_what_is_clear_and_what_is_not(wanted, present, files, ambiguous):
    spelling = respell(set(wanted.split()), set(present.split()))
    assert (spelling.files, spelling.ambiguous) == (files, ambiguous)


def test_accents_as_macos_stores_them():
    composed = "größe_1"
    apart = unicodedata.normalize("NFD", composed)
    assert apart != composed
    assert respell({composed}, {apart}).files == {composed: apart}


# ---- separators ----


def separate(files, old, new):
    """Lists that match are written with another separator, and quotes where they are needed."""

    def change(folder):
        for path in folder.glob(files):
            quoting = csv.QUOTE_NONE if old == "|" else csv.QUOTE_MINIMAL
            records = list(csv.reader(path.read_text().splitlines(), delimiter=old, quoting=quoting))
            with open(path, "w", newline="") as file:
                csv.writer(file, delimiter=new).writerows(records)

    return change


@pytest.mark.parametrize(
    ("corpus", "files", "old", "new", "told"),
    [
        ("in_the_wild", "*/meta.csv", ",", ";", "semicolons between columns; officially commas"),
        ("in_the_wild", "*/meta.csv", ",", "\t", "tabs between columns"),
        ("in_the_wild", "*/meta.csv", ",", "|", "vertical bars"),
        ("mlaad", "fake/*/*/meta.csv", "|", "\t", "tabs between columns; officially vertical bars"),
        ("mlaad", "fake/*/*/meta.csv", "|", ";", "semicolons"),
        ("spoofceleb", "spoofceleb/metadata/*.csv", ",", "|", "vertical bars between columns"),
        ("codecfake_wu", "datalist.csv", ",", ";", "semicolons"),
    ],
)
def test_lists_with_other_separators(root, lay_out, tmp_path, capsys, corpus, files, old, new, told):
    _, official = lay_out(corpus, tmp_path / "official")
    folder = root(corpus, separate(files, old, new))
    capsys.readouterr()
    prepared = prepare(corpus, folder, tmp_path / "data", "--allow-partial")
    assert told in capsys.readouterr().out
    for name, data in prepared.items():
        assert {table: data.table(table) for table in data.tables if table != "wav.scp"} == {
            table: official[name].table(table) for table in data.tables if table != "wav.scp"
        }


def test_the_separator_of_many_tables_is_one_line(root, tmp_path, capsys):
    folder = root("mlaad", separate("fake/*/*/meta.csv", "|", "\t"))
    capsys.readouterr()
    prepare("mlaad", folder, tmp_path / "data", "--allow-partial")
    lines = [line for line in capsys.readouterr().out.splitlines() if "between columns" in line]
    number = len(list(folder.glob("fake/*/*/meta.csv")))
    assert number > 1 and len(lines) == 1
    assert f"{number} of {number} meta.csv: read with tabs" in lines[0]


def test_a_list_of_another_separator_elsewhere(root, tmp_path):
    folder = root(
        "spoofceleb",
        separate("spoofceleb/metadata/*.csv", ",", ";"),
        wild.move("spoofceleb/metadata/*", "lists/{}"),
    )
    assert sorted(prepare("spoofceleb", folder, tmp_path / "data", "--allow-partial")) == ["dev", "eval", "train"]


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "a table.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("file;label\na.wav;x, y\n", 2),
        ('"File"\t"Label"\n"a.wav"\t"x, y"\n', 2),
        ("sep=;\nlabel; file\nx, y; a.wav\n", 3),
        ("\nfile | label | n\na.wav| x, y|3\n", 3),
    ],
)
def test_columns_are_found_with_any_separator(table, capsys, text, number):
    ((at, record),) = csv_rows(table(text), ["file", "label"])
    assert at == number
    assert (record["file"].strip(), record["label"].strip()) == ("a.wav", "x, y")
    assert "between columns; officially commas" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file;label;file\na;x;b\n", ":1: no column 'file'"),
        ("file,label,file\na,x,b\n", ":1: two columns 'file'"),
        ("file:label\na:x\n", ":1: no column 'file', found file:label"),
        ('file;label\na;"x\nb;y\n', ":3: .*save the table again"),
        ("file;label\na;x;y\n", ":2: not the 2 columns of line 1, but 3"),
        ("file;label\na,x\n", ":2: not the 2 columns of line 1, but 1"),
    ],
)
def test_tables_that_are_not_clear_are_refused(table, text, message):
    with pytest.raises(InputError, match=r"a table.csv" + message):
        list(csv_rows(table(text), ["file", "label"]))


@pytest.mark.parametrize("separator", [",", ";", "|"])
def test_protocols_of_white_space_with_other_separators(table, capsys, separator):
    lines = ["LA_0098 LA_T_9839348 - A06 spoof", "LA_0079 LA_T_1138215 - - bonafide"]
    text = "".join(line.replace(" ", separator) + "\n" for line in lines)
    path = table(text)
    assert list(rows(path, 5)) == [(number, line.split()) for number, line in enumerate(lines, 1)]
    assert capsys.readouterr().out.startswith(f"{path}: read with ")
    assert list(rows(table("".join(f"{line}\n" for line in lines)), 5)) == list(rows(table(text), 5))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b;c\n", ":1: 1 columns, expected 2"),  # commas or semicolons
        ("a b,c d\n", ":1: 3 columns, expected 2"),  # fields with white space
        ("a,b\nc,\n", ":2: 2 columns, expected 2"),  # an empty field
        ("a,b\nc d\n", ":2: 1 columns, expected 2"),
    ],
)
def test_protocols_that_could_be_read_in_several_ways_are_refused(table, text, problem):
    with pytest.raises(InputError, match=f"a table.csv{problem}"):
        list(rows(table(text), 2))
