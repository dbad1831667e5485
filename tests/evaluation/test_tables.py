"""A table as text, CSV and LaTeX."""

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spooftrace.common.text_table import text_table
from spooftrace.evaluation.tables import MEAN, POOLED, Table, as_csv, as_latex, as_text, write_tables

TABLE = Table(
    title="eval_LA: EER (%), attack by condition",
    row_name="attack",
    rows=("A07", "A_10 & co", POOLED, MEAN),
    columns=("none", "low_mp3", POOLED, MEAN),
    values=np.array(
        [[0.01, 0.123456, 0.05, 0.066728], [np.nan, 1.0, 1.0, 1.0], [0.01, 0.5, 0.3, 0.255], [0.01, 0.56, 0.5, np.nan]]
    ),
    percent=True,
    decimals=2,
)


def test_text():
    assert as_text(TABLE) == "\n".join(
        [
            "eval_LA: EER (%), attack by condition",
            "attack     none  low_mp3  pooled    mean",
            "----------------------------------------",
            "A07        1.00    12.35    5.00    6.67",
            "A_10 & co   n/a   100.00  100.00  100.00",
            "----------------------------------------",
            "pooled     1.00    50.00   30.00   25.50",
            "mean       1.00    56.00   50.00     n/a",
        ]
    )


def test_csv_has_all_digits_and_names_its_numbers():
    rows = list(csv.reader(io.StringIO(as_csv(TABLE))))
    assert rows[0] == ["eval_LA: EER (%), attack by condition", "none", "low_mp3", "pooled", "mean"]
    assert rows[1] == ["A07", "1", "12.3456", "5", "6.6728"]
    assert rows[2][:2] == ["A_10 & co", ""]


def test_latex():
    text = as_latex(TABLE, "my-table")
    assert r"\caption{eval\_LA: EER (\%), attack by condition}" in text
    assert r"\label{tab:my-table}" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert r"A\_10 \& co & -- & 100.00 & 100.00 & 100.00 \\" in text
    assert text.index(r"\midrule", text.index("A07")) < text.index(r"pooled & 1.00 & 50.00")
    assert text.count(r"\midrule") == 2
    assert text.count(r"\begin") == text.count(r"\end") == 2
    assert r"\label" not in as_latex(TABLE)


@given(st.text(alphabet="ab&%$#_{}~^\\", min_size=1, max_size=8))
def test_latex_escapes_every_special_character(name):
    text = as_latex(Table(name, name, (name,), (name,), np.zeros((1, 1))))
    (caption,) = re.findall(r"^\\caption\{(.*)\}$", text, flags=re.MULTILINE)
    plain = re.sub(r"\\text(backslash|asciitilde|asciicircum)\{\}|\\[&%$#_{}]", "", caption)
    assert set(plain) <= {"a", "b"}
    assert len(plain) == sum(letter in "ab" for letter in name)


def test_counts_have_no_decimals_and_no_totals_no_rule():
    table = Table("counts", "class", ("a",), ("a", "b"), np.array([[12.0, 3.0]]), decimals=0)
    assert as_text(table).splitlines()[1:] == ["class   a  b", "------------", "a      12  3"]
    assert as_latex(table).count(r"\midrule") == 1


def test_aligned_without_rows():
    assert text_table(["a", "bb"], []) == "a  bb\n-----"


def test_written_files(tmp_path):
    folder = tmp_path / "my tables"
    paths = write_tables(folder, {"eer_by_attack": TABLE})
    assert [path.name for path in paths] == ["eer_by_attack.txt", "eer_by_attack.csv", "eer_by_attack.tex"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths)
    assert (folder / "eer_by_attack.txt").read_text(encoding="utf-8") == as_text(TABLE) + "\n"
    assert (folder / "eer_by_attack.csv").read_text(encoding="utf-8") == as_csv(TABLE)
    assert r"\label{tab:eer-by-attack}" in (folder / "eer_by_attack.tex").read_text(encoding="utf-8")


@pytest.mark.parametrize("write", [as_text, as_csv, as_latex])
def test_the_table_is_not_changed(write):
    before = TABLE.values.copy()
    write(TABLE)
    np.testing.assert_array_equal(TABLE.values, before)
