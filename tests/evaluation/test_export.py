"""Submission formats: as the challenges want them, and every score read back as it was."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.evaluation.export import FORMATS, parse_export, write_export
from spooftrace.evaluation.score_files import read_score_file
from spooftrace.evaluation.trials import Column, ScoredTrials

TEXTS = {
    "asvspoof2019": "b1 - bonafide 0.5\ns1 A07 spoof -0.30000000000000004\n",
    "asvspoof2021": "b1 0.5\ns1 -0.30000000000000004\n",
    "asvspoof5": "filename\tcm-score\nb1\t0.5\ns1\t-0.30000000000000004\n",
    "ctrsvdd": "b1 0.5\ns1 -0.30000000000000004\n",
}


def trials_of(scores, attacks=True):
    is_bonafide = np.arange(len(scores)) % 2 == 0
    names = ["bonafide" if bonafide else "A07" for bonafide in is_bonafide]
    columns = {"attack": Column.of(names)} if attacks else {}
    utts = [f"{'b' if bonafide else 's'}{index // 2 + 1}" for index, bonafide in enumerate(is_bonafide)]
    return ScoredTrials("eval", utts, np.array(scores, dtype=float), is_bonafide, columns)


@pytest.mark.parametrize("form", FORMATS)
def test_each_format(tmp_path, form):
    path = tmp_path / "a new folder" / "scores.txt"
    write_export(trials_of([0.5, -0.1 - 0.2]), form, path)
    assert path.read_text() == TEXTS[form]


@settings(max_examples=50)
@given(
    form=st.sampled_from(list(FORMATS)),
    scores=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20),
)
def test_reading_back_gives_the_same_scores(tmp_path_factory, form, scores):
    path = tmp_path_factory.mktemp("export") / "scores.txt"
    trials = trials_of(scores)
    write_export(trials, form, path)
    file = read_score_file(path)
    assert list(file.scores) == trials.utts
    assert list(file.scores.values()) == scores
    if form == "asvspoof2019":
        labels = ["bonafide" if bonafide else "spoof" for bonafide in trials.is_bonafide]
        assert list(file.tables["utt2label"].values()) == labels


def test_a_format_whose_column_the_key_lacks(tmp_path):
    with pytest.raises(InputError, match="eval: the asvspoof2019 format has a column of attacks, which the key lacks"):
        write_export(trials_of([0.5, 1.0], attacks=False), "asvspoof2019", tmp_path / "scores.txt")
    assert not list(tmp_path.iterdir())


def test_format_and_file_in_one_word():
    assert parse_export("asvspoof5:out/my scores:1.tsv") == ("asvspoof5", Path("out/my scores:1.tsv"))
    for text in ("asvspoof5", "asvspoof5:", "asvspoof1999:x", "x.tsv"):
        with pytest.raises(ValueError, match=f"'{text}' is not FORMAT:FILE with a format of asvspoof2019, "):
            parse_export(text)
