"""Names from data in files that other programs interpret, names that are too long, and counts of one."""

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.cli.main import main
from spooftrace.common.cells import from_spreadsheet, spreadsheet
from spooftrace.common.errors import InputError
from spooftrace.corpora.corpus import Corpus
from spooftrace.corpora.protocol import Trials
from spooftrace.datadir import DataDir
from spooftrace.derive.trim import file_name
from spooftrace.evaluation.tables import Table, as_csv

FORMULAS = ["=cmd|'/C calc'!A0", "@SUM(1+1)*cmd", "+1+cmd", "-2+3+cmd", "'=1+1", '=HYPERLINK("http://x",A1)']


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_of_a_csv_table_is_a_formula(name):
    values = np.array([[-0.5], [np.nan]])
    rows = list(csv.reader(io.StringIO(as_csv(Table(name, "attack", (name, "A07"), (name,), values)))))
    for cell in (rows[0][0], rows[0][1], rows[1][0]):
        assert cell[0] == "'" and from_spreadsheet(cell) == name
    assert rows[1][1] == "-0.5" and rows[2] == ["A07", ""]


@given(st.text(st.sampled_from("'=+-@a1.\t"), max_size=8))
def test_what_was_there_comes_back(text):
    cell = spreadsheet(text)
    assert from_spreadsheet(cell) == text
    assert cell == text or cell == f"'{text}"


def test_the_report_shows_names_and_runs_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ["<script>alert(1)</script>", "[a](javascript:alert(1))", "a|b", "<img/src=x>"]
    utts = {f"u{index}": name for index, name in enumerate(names)}
    tables = {
        "utt2spk": dict.fromkeys([*utts, "v"], "s"),
        "utt2label": dict.fromkeys(utts, "spoof") | {"v": "bonafide"},
        "utt2attack": utts | {"v": "-"},
    }
    DataDir.write(tmp_path / "data" / "<b>eval", tables)
    folder = tmp_path / "exp" / "<i>x_1" / "<b>eval"
    folder.mkdir(parents=True)
    (folder / "scores.txt").write_text("".join(f"{utt} {index}\n" for index, utt in enumerate(tables["utt2spk"])))
    words = ["--scores", folder / "scores.txt", "--data", "data/<b>eval", "--out", folder / "metrics.json"]
    assert main(["evaluate", *map(str, words)]) == 0
    assert main(["report", "--exp", "exp", "--out", "RESULTS.md", "--figures", "figures", "--title", "<u>"]) == 0
    page = (tmp_path / "RESULTS.md").read_text()
    text = re.sub("`+[^`]*`+", "", page)  # in code nothing is interpreted; commands stay as they are
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "a\\|b" in text
    assert "<" not in text and "](javascript" not in text


def test_ids_that_are_no_file_names(tmp_path, capsys):
    for utt in ("x" * 300, "é" * 125, "a/b" * 60):
        with pytest.raises(InputError, match="too many for the name of its file") as error:
            file_name(utt)
        assert "\n" not in str(error.value) and len(str(error.value)) < 220
    assert file_name("x" * 200).startswith("x")
    (tmp_path / "file").write_text("u1 1\n")
    for words in (
        ["evaluate", "--scores", "y" * 300],
        ["evaluate", "--scores", str(tmp_path / "file"), "--data", "z" * 300],
    ):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "Errno" not in said and "shorten the file name" in said and len(said) < 400


def test_one_is_singular(tmp_path, capsys):
    (tmp_path / "flac").mkdir()
    trials = Trials()
    for utt, speaker in (("u1", "amy"), ("u2", "amy")):
        (tmp_path / "flac" / f"{utt}.flac").write_bytes(b"x")
        trials.add(("protocol", 1), utt, speaker=speaker, label="bonafide" if utt == "u1" else "spoof")
    (tmp_path / "flac" / "other.flac").write_bytes(b"x")
    Corpus("Corpus", tmp_path, tmp_path / "data").write("eval", trials, None, tmp_path / "flac")
    said = capsys.readouterr().out
    assert "1 spoofed utterance;" in said and "1 speaker;" in said and "1 file that no trial uses" in said
