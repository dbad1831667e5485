"""What all corpus modules read with: lines, tables with a header, and the trials that they collect."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.corpora.protocol import LABELS, Trials, csv_rows, rows

words = st.text(string.ascii_letters + string.digits + "_-.äß", min_size=1, max_size=8)


@pytest.fixture
def protocol(tmp_path):
    """Writes text, or bytes, as a protocol with a space in its path."""

    def write(content, name="a protocol.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# ---- rows ----


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_rows_forgive_what_real_files_have(protocol, newline):
    lines = ["a b c ", "", "d\te  f", "   ", "g h i"]  # trailing blanks, empty lines, tabs, no newline at the end
    assert list(rows(protocol(newline.join(lines)), 3)) == [
        (1, ["a", "b", "c"]),
        (3, ["d", "e", "f"]),
        (5, ["g", "h", "i"]),
    ]


def test_rows_of_several_lengths_and_a_byte_order_mark(protocol):
    path = protocol("\ufeffa b\nc d e\n")
    assert [fields for _, fields in rows(path, 2, 3)] == [["a", "b"], ["c", "d", "e"]]


def test_rows_name_the_line_with_other_columns(protocol):
    path = protocol("a b c\nd e\n")
    with pytest.raises(InputError, match=r"a protocol.txt:2: 2 columns, expected 3 or 5; is this the protocol of an"):
        list(rows(path, 5, 3))


def test_rows_of_what_is_no_text_file(protocol, tmp_path):
    with pytest.raises(InputError, match=r"nowhere.txt: no such file"):
        list(rows(tmp_path / "nowhere.txt", 1))
    with pytest.raises(InputError, match="is a folder"):
        list(rows(tmp_path, 1))
    with pytest.raises(InputError, match=r"a protocol.txt: not text but an audio"):
        list(rows(protocol(b"fLaC\x00\xff\xfe"), 1))
    latin_1 = b"a b\n" * 9000 + "é b\n".encode("latin-1")  # behind the blocks that a file is read in
    with pytest.raises(InputError, match=r"a protocol.txt:9001: not UTF-8 text"):
        list(rows(protocol(latin_1), 2))


def test_rows_of_an_empty_file(protocol):
    assert list(rows(protocol(""), 4)) == []


@given(table=st.lists(st.lists(words, min_size=3, max_size=3)), data=st.data())
def test_rows_give_back_what_was_written(tmp_path_factory, table, data):
    path = tmp_path_factory.mktemp("rows") / "protocol"
    gaps = st.sampled_from([" ", "\t", "  "])
    path.write_text("\n".join(data.draw(gaps).join(fields) for fields in table), encoding="utf-8")
    assert list(rows(path, 3)) == list(enumerate(table, start=1))


# ---- csv_rows ----


def test_csv_rows_are_found_by_name(protocol):
    path = protocol('\ufefflabel,extra,file\nspoof,"x, y",a.wav\n')
    assert list(csv_rows(path, ["file", "label"])) == [(2, {"label": "spoof", "extra": "x, y", "file": "a.wav"})]


def test_quotes_swallow_lines_unless_they_are_text(protocol):
    path = protocol('path|said\na.wav|"Stop\nb.wav|go\n')
    assert [record["path"] for _, record in csv_rows(path, ["path"], "|", quoted=False)] == ["a.wav", "b.wav"]
    assert len(list(csv_rows(path, ["path"], "|"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", r":1: no column 'file', found a, b"),
        ("", r":1: no column 'file', found nothing"),
        ("file,label\nx,y\nz\n", r":3: not the 2 columns of line 1, but 1"),
        ("file,label\nx,y,z\n", r":2: not the 2 columns of line 1, but 3"),
    ],
)
def test_csv_rows_refuse_other_tables(protocol, text, message):
    with pytest.raises(InputError, match=r"a protocol.txt" + message):
        list(csv_rows(protocol(text), ["file"]))


# ---- trials ----

AT = ("protocol.txt", 7)


def test_every_spelling_of_the_classes():
    trials = Trials()
    for number, label in enumerate(LABELS):
        trials.add(AT, f"a{number}", speaker="s", label=label)
        trials.add(AT, f"b{number}", speaker="s", label=label.upper())
    expected = [spelling for spelling in LABELS.values() for _ in range(2)]
    assert list(trials.tables["utt2label"].values()) == expected
    assert len(trials) == 2 * len(LABELS)


def test_columns_become_tables_in_the_order_of_the_protocol():
    trials = Trials(r"u\d", {"utt2attack": {"-", "A01"}})
    trials.add(AT, "u2", speaker="s2", label="spoof", attack="A01", cond="C05")
    trials.add(AT, "u1", speaker="s1", label="bonafide", attack="-", cond="-")
    assert trials.tables == {
        "utt2spk": {"u2": "s2", "u1": "s1"},
        "utt2label": {"u2": "spoof", "u1": "bonafide"},
        "utt2attack": {"u2": "A01", "u1": "-"},
        "utt2cond": {"u2": "C05", "u1": "-"},
    }
    assert trials.counts() == {"spoof": 1, "bonafide": 1}
    assert trials.counts("utt2cond") == {"C05": 1, "-": 1}


@pytest.mark.parametrize(
    ("utt", "values", "message"),
    [
        ("u1", {}, "'u1' is listed a second time"),
        ("x1", {}, "'x1' is not an utterance id of this corpus"),
        ("u2x", {}, "'u2x' is not an utterance id"),
        ("u2", {"label": "real-ish"}, "unknown label 'real-ish'; known are bonafide"),
        ("u2", {"attack": "A99"}, "unknown attack 'A99' of 'u2'"),
        ("u2", {"attack": "-"}, "'u2' is spoof, but its attack is '-'"),
        ("u2", {"label": "bonafide"}, "'u2' is bonafide, but its attack is 'A01'"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(utt, values, message):
    trials = Trials(r"u\d", {"utt2attack": {"-", "A01"}})
    trials.add(("protocol.txt", 6), "u1", speaker="s", label="spoof", attack="A01")
    with pytest.raises(InputError, match=rf"^protocol.txt:7: {message}"):
        trials.add(AT, utt, **{"speaker": "s", "label": "spoof", "attack": "A01"} | values)


def test_equal_values_are_one_object():
    trials = Trials()
    for number in range(3):
        trials.add(AT, f"u{number}", speaker="".join(["am", "y"]), label="spoof", attack="".join(["A", "01"]))
    for table in ("utt2spk", "utt2attack"):
        assert len({id(value) for value in trials.tables[table].values()}) == 1
