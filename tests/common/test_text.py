"""Text as people save it: encodings, byte order marks, line ends; every reader of the project decodes alike."""

import gzip
import pickle
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest

from spooftrace.archive import ArchiveReader, ArchiveWriter
from spooftrace.archive.reader import read_scp
from spooftrace.common.errors import InputError
from spooftrace.common.text import iterate_lines, keep_pipes, read_lines, read_text
from spooftrace.config.yaml_text import read_yaml
from spooftrace.corpora.protocol import csv_rows, rows
from spooftrace.datadir import DataDir, read_list, read_table, validate
from spooftrace.datadir.edit import fix, subset
from spooftrace.evaluation.outputs import read_outputs
from spooftrace.evaluation.score_files import read_scores

SAVED = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "two marks": lambda text: b"\xef\xbb\xbf" + text.encode("utf-8-sig"),
    "UTF-16 little-endian": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "UTF-16 big-endian": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "CR LF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "UTF-16 with CR LF": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "cat of two files with marks": lambda text: b"".join(line.encode("utf-8-sig") for line in text.splitlines(True)),
}
READERS = {
    "table": (lambda path: list(read_table(path).items()), "u1 é\nu2 b\n", [("u1", "é"), ("u2", "b")]),
    "list": (read_list, "u1 é\nu2\n", ["u1", "u2"]),
    "protocol": (lambda path: [fields for _, fields in rows(path, 2)], "u1 é\nu2 b\n", [["u1", "é"], ["u2", "b"]]),
    "csv": (lambda path: [record["file"] for _, record in csv_rows(path, ["file"])], "file,x\né,1\nb,2\n", ["é", "b"]),
    "scores": (lambda path: list(read_scores(path).items()), "é 0.5\nb -1\n", [("é", 0.5), ("b", -1.0)]),
    "outputs": (lambda path: dict(read_outputs(path).text_of), "utt predicted\nu1 é\nu2 b\n", {"u1": "é", "u2": "b"}),
    "configuration": (lambda path: read_yaml(path), "a: é\nb: c\n", {"a": "é", "b": "c"}),
    "scp": (lambda path: list(read_scp(path)), "u1 é.ark:5\nu2 b.ark:7\n", [("u1", "é.ark", 5), ("u2", "b.ark", 7)]),
    "lines at once": (read_lines, "é\n\nb\n", ["é", "", "b"]),
    "lines one at a time": (lambda path: list(iterate_lines(path)), "é\n\nb\n", ["é\n", "\n", "b\n"]),
}


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_takes_every_encoding(tmp_path, reader, saved):
    read, text, expected = READERS[reader]
    (tmp_path / "a file").write_bytes(SAVED[saved](text))
    assert read(tmp_path / "a file") == expected


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_text_is_refused_by_line(tmp_path, reader):
    read, text, _ = READERS[reader]
    path = tmp_path / "a file"
    for content, message in (
        (text.encode("latin-1"), rf"a file:{text[: text.index('é')].count(chr(10)) + 1}: not UTF-8 text \(byte 0xe9\)"),
        (gzip.compress(text.encode()), "a file: not text but a compressed file \\(gzip"),
        (b"\xff\xfe" + text.encode("utf-16-le")[:-1], "a file:[0-9]+: begins as UTF-16 text"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as error:
            read(path)
        assert "\n" not in str(error.value)


def test_utf_16_without_a_mark_and_joined_files_are_named(tmp_path):
    path = tmp_path / "table"
    path.write_bytes("u1 a\nu2 b\n".encode("utf-16-le"))
    with pytest.raises(InputError, match=r"table:1: holds NUL characters"):
        read_table(path)
    path.write_bytes(b"u1 a\nu2 b" + "u3 c\n".encode("utf-8-sig"))
    with pytest.raises(InputError, match=r"table:2: a byte order mark inside the line"):
        read_table(path)


def test_only_line_ends_end_lines(tmp_path):
    path = tmp_path / "wav.scp"
    path.write_text("u1 a\x0cb.wav\nu2 c\x85d.wav\nu3 e\u2028f.wav\n", encoding="utf-8")
    assert list(read_table(path).values()) == ["a\x0cb.wav", "c\x85d.wav", "e\u2028f.wav"]
    path.write_text("u1 a.wav\n\x0c\nu2 b.wav\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"wav.scp:2: empty line"):
        read_table(path)


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("name", ["utt2spk", "utt2label", "segments", "wav.scp"])
def test_repair_loses_no_utterance(tmp_path, name, saved):
    tables = {
        "utt2spk": {"a1": "s", "a2": "s"},
        "utt2label": {"a1": "spoof", "a2": "bonafide"},
        "segments": {"a1": "r1 0 1", "a2": "r1 1 2"},
        "wav.scp": {"r1": "C:\\speech\\r 1.wav"},
    }
    DataDir.write(tmp_path, tables)
    text = (tmp_path / name).read_text(encoding="utf-8")
    (tmp_path / name).write_bytes(SAVED[saved](text))
    assert validate(tmp_path) == []
    done = fix(tmp_path)
    assert DataDir.read(tmp_path).tables == tables | {"spk2utt": {"s": "a1 a2"}}
    assert (tmp_path / name).read_bytes() == text.encode()
    assert [line for line in done if "saved as UTF-8" in line] == (
        [] if saved == "UTF-8" else [f"{tmp_path / name}: saved as UTF-8 without byte order mark, lines ending in LF"]
    )


def test_tables_with_tabs_and_blanks_at_the_end_are_repaired(tmp_path):
    DataDir.write(tmp_path, {"utt2spk": {"a1": "s", "a2": "s"}, "wav.scp": {"a1": "x.wav", "a2": "y.wav"}})
    (tmp_path / "wav.scp").write_text("a1\tx.wav \t\na2   y.wav\u00a0\n", encoding="utf-8")
    assert "wav.scp:1: white space" in validate(tmp_path)[0]
    fix(tmp_path)
    assert DataDir.read(tmp_path).tables["wav.scp"] == {"a1": "x.wav", "a2": "y.wav"}


def test_an_utterance_list_with_a_mark_chooses_all_of_it(tmp_path):
    data = DataDir.write(tmp_path / "data", {"utt2spk": {"a1": "s", "a2": "s"}, "wav.scp": {"a1": "x", "a2": "y"}})
    (tmp_path / "list").write_bytes("a1\r\n".encode("utf-16"))
    assert subset(data, read_list(tmp_path / "list"), tmp_path / "part").utts == ["a1"]


def test_archives_are_found_by_an_scp_with_a_mark(tmp_path):
    with ArchiveWriter(tmp_path / "x.ark", tmp_path / "x.scp") as archive:
        archive.write("u1", np.ones(3, np.float32))
    text = (tmp_path / "x.scp").read_text()
    (tmp_path / "x.scp").write_text("\ufeff" + text, encoding="utf-8")
    assert ArchiveReader(tmp_path / "x.scp")["u1"].tolist() == [1, 1, 1]


def test_pipes_can_be_read_more_than_once_where_that_is_asked_for(tmp_path):
    with subprocess.Popen(["printf", "u1 a\\n"], stdout=subprocess.PIPE) as process:
        path = f"/dev/fd/{process.stdout.fileno()}"
        with keep_pipes():
            assert [read_lines(path), list(iterate_lines(path)), read_text(path)] == [["u1 a"], ["u1 a\n"], "u1 a\n"]


@pytest.mark.parametrize("reader", [read_lines, read_scores, read_table, lambda path: list(iterate_lines(path))])
def test_devices_without_an_end_are_not_read(reader):
    for path in ("/dev/zero", "/dev/urandom"):
        with pytest.raises(InputError, match=f"{path}: is a device, not a file"):
            reader(path)
    assert read_text("/dev/null") == ""


def test_files_that_cannot_be_opened(tmp_path):
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "none", "no such file"), ("x" * 300, "too long")):
        with pytest.raises(InputError, match=message) as error:
            read_lines(path)
        assert "\n" not in str(error.value)


# ---- files that are no text ----


def write_xlsx(path):
    """The parts of a workbook, as spreadsheets write them."""
    with zipfile.ZipFile(path, "w") as file:
        for part in ("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml", "xl/worksheets/sheet1.xml"):
            file.writestr(part, "<x/>")


def write_ods(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")


def write_ark(path):
    with ArchiveWriter(path, path.with_suffix(".scp")) as writer:
        writer.write("u1", np.ones((2, 3), np.float32))


def write_tar(path):
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("scores.txt"))


def write_arrays(path):
    with open(path, "wb") as file:
        np.savez(file, scores=np.ones(3))


NOT_TEXT = {
    "npy": (lambda path: path.write_bytes(b"\x93NUMPY\x01\0v\0{'descr': '<f8'}"), "a NumPy array"),
    "npz": (write_arrays, "NumPy arrays"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"u1": 0.5})), "a Python pickle, .* could run commands"),
    "old pickle": (lambda path: path.write_bytes(pickle.dumps({"u1": 0.5}, 0)), "a Python pickle"),
    "xlsx": (write_xlsx, "a spreadsheet"),
    "ods": (write_ods, "a spreadsheet"),
    "ark": (write_ark, "a binary Kaldi archive"),
    "tar": (write_tar, r"an archive \(tar\)"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"u1 1\n")), r"a compressed file \(gzip\)"),
    "pdf": (lambda path: path.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), "a PDF document"),
    "html": (
        lambda path: path.write_text("\n<!DOCTYPE html>\n<html lang='en'>Sign in</html>"),
        "a web page; the download",
    ),
    "wav": (lambda path: path.write_bytes(b"RIFF\x24\0\0\0WAVEfmt "), "an audio or video file"),
    "parquet": (lambda path: path.write_bytes(b"PAR1\x15\0\x15\x80"), "a Parquet table"),
    "safetensors": (lambda path: path.write_bytes(b"\x40\0\0\0\0\0\0\0" + b'{"w": {}}'), "a safetensors file"),
    "of no known kind": (lambda path: path.write_bytes(bytes(range(256))), "a binary file of unknown kind"),
}


@pytest.mark.parametrize("kind", NOT_TEXT)
@pytest.mark.parametrize("read", [read_lines, read_scores, read_table, lambda path: list(rows(path, 5))])
def test_files_that_are_no_text_are_named(tmp_path, kind, read):
    path = tmp_path / "a file"
    write, message = NOT_TEXT[kind]
    write(path)
    with pytest.raises(InputError, match=f"a file: not text but {message}.*; ") as error:
        read(path)
    assert "iconv" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "line", ["MZ1 0.5", "cat_1 0.5", "(d 0.5", "BZ1 1", "PK1 1", "RIF 2", "id3 4", "<utt> 1", "u B", "flac ftyp"]
)
def test_ids_like_the_beginning_of_other_files_are_text(tmp_path, line):
    path = tmp_path / "text"
    path.write_text(line + "\nu2 é\n", encoding="utf-8")
    assert read_lines(path) == [line, "u2 é"]
    path.write_text(line + "\nu2 é\n", encoding="utf-16")
    assert read_lines(path) == [line, "u2 é"]
