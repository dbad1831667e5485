"""Score files of all the layouts that are about: read alike, and refused with file and line where they are wrong."""

import gzip
import math
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.evaluation.score_files import read_score_file, read_scores

# Each of them scores LA_E_1 with -0.5 and LA_E_2 with 2.25.
LAYOUTS = {
    "ours": "LA_E_1 -0.5\nLA_E_2 2.25\n",
    "tabs, blanks, no newline at the end": "\n  LA_E_1\t-0.5 \n\nLA_E_2   2.25",
    "Windows": "LA_E_1 -0.5\r\nLA_E_2 2.25\r\n",
    "byte-order mark": "\ufeffLA_E_1 -0.5\nLA_E_2 2.25\n",
    "asvspoof2019": "LA_E_1 A07 spoof -0.5\nLA_E_2 - bonafide 2.25\n",
    "asvspoof5": "filename\tcm-score\nLA_E_1\t-0.5\nLA_E_2\t2.25\n",
    "asvspoof5, columns the other way round": "cm-score filename\n-0.5 LA_E_1\n2.25 LA_E_2\n",
    "asvspoof5 track 2": "spk\tfilename\tcm-score\tasv-score\tsasv-score\n"
    "E_1\tLA_E_1\t-0.5\t1\t-\nE_2\tLA_E_1\t-0.5\t3\t-\nE_1\tLA_E_2\t2.25\t-1\t-\n",
    "a-DCF": "E_1 LA_E_1 -0.5 spoof\nE_1 LA_E_2 2.25 target\nE_2 LA_E_2 2.25 nontarget\n",
    "UTF-16 with CR LF": "LA_E_1 -0.5\r\nLA_E_2 2.25\r\n".encode("utf-16"),
    "commas": "LA_E_1,-0.5\nLA_E_2,2.25\n",
    "commas and blanks": "LA_E_1, -0.5\nLA_E_2 , 2.25\n",
    "semicolons": "LA_E_1;-0.5;\nLA_E_2;2.25;\n",
    "quoted": '"LA_E_1" "-0.5"\n"LA_E_2"   2.25\n',
    "single quotes": "'LA_E_1'\t-0.5\n'LA_E_2'\t2.25\n",
    "quoted CSV": '"LA_E_1","-0.5"\n"LA_E_2",2.25\n',
    "CtrSVDD's CSV": "filename,score\nLA_E_1,-0.5\nLA_E_2,2.25\n",
    "pandas": ',score,utt_id,extra\n0,-0.5,LA_E_1,x y\n1,2.25,LA_E_2,"z, w"\n',
    "Codecfake": "LA_E_1 -0.5 fake\nLA_E_2 2.25 real\n",
    "Codecfake without classes": "LA_E_1 -0.5 -1\nLA_E_2 2.25 -1\n",
    "CSV without classes": "LA_E_1,-0.5,-1\nLA_E_2,2.25,-1\n",
    "CSV with numbered classes": "LA_E_1,-0.5,0\nLA_E_2,2.25,1\n",
    "class before score": "LA_E_1,spoof,-0.5\nLA_E_2,bonafide,2.25\n",
    "unlabelled asvspoof2019": "LA_E_1 - - -0.5\nLA_E_2 - - 2.25\n",
    "unlabelled NII log": "Output, LA_E_1, -1, -0.5\nOutput, LA_E_2, -1, 2.25\n",
    "header with classes": "Utterance;Label;Score\nLA_E_1;spoof;-0.5\nLA_E_2;bona-fide;2.25\n",
    "NII log": "loading model\nOutput, LA_E_1, 0, -0.5\nOutput, LA_E_2, 1, 2.25\nfinished in 3 s\n",
}


def written(tmp_path, text):
    path = tmp_path / "my scores.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_scores(tmp_path, layout):
    assert read_scores(written(tmp_path, LAYOUTS[layout])) == {"LA_E_1": -0.5, "LA_E_2": 2.25}


CLASSES = ["asvspoof2019", "a-DCF", "NII log", "Codecfake", "class before score", "header with classes"]


@pytest.mark.parametrize("layout", CLASSES)
def test_classes_in_the_score_file(tmp_path, layout):
    tables = read_score_file(written(tmp_path, LAYOUTS[layout])).tables
    assert tables["utt2label"] == {"LA_E_1": "spoof", "LA_E_2": "bonafide"}
    assert tables.get("utt2attack") == ({"LA_E_1": "A07", "LA_E_2": "-"} if layout == "asvspoof2019" else None)


def test_line_of(tmp_path):
    file = read_score_file(written(tmp_path, "\nfilename\tcm-score\n\nLA_E_1\t-0.5\nLA_E_2\t2.25\n"))
    assert file.line_of("LA_E_2") == 5


BAD = {
    "one column": ("u1\n", ":1: found 1 columns, which is no known score file; write 'utt score'"),
    "a header of one's own": ("my score\nu1 1\n", ":1: score 'score' of my .*; expected 'utt score' and no header"),
    "decimal comma": ("u1 1\nu2 0,5\n", ":2: score '0,5' of u2 is not a finite number; it has a decimal comma"),
    "decimal commas": ("u1 1,5\nu2 0,5\n", ":1: score '1,5' of u1 is not a finite number; it has a decimal comma"),
    "decimal commas behind a tab": ("u1\t1,5\nu2\t0,5\n", ":1: score '1,5' of u1 is .* it has a decimal comma"),
    "a line of any length": (
        "u1 1\nu2 " + "1" * 10**5 + "\n",
        ":2: score '1{100,3000}\\.\\.\\.1{100,3000}' of u2 is not",
    ),
    "decimal commas in CSV": ("id;score\nu1;1,5\n", ":2: score '1,5' of u1 is not a finite number; it has a decimal"),
    "decimal commas among commas": ("u1,0,53\nu2,0,91\n", ":1: found 1 columns.*decimal commas\\?.*write points"),
    "negative decimal commas among commas": ("u1,-1,5\nu2,0,91\n", ":1: found 1 columns.*decimal commas"),
    "decimal commas behind an attack": ("u1,A07,0,5\nu2,A07,1,5\n", ":1: found 1 columns.*decimal commas"),
    "an open quotation mark": ('u1,1\n"u2,2\nu3,3\n', ":2: unclosed quotation mark"),
    "a CSV header of other names": (
        "path,bonafide,spoof\nu1,0.5,-0.5\n",
        ":1: found 3 columns, which is no known score",
    ),
    "two columns of scores": ("utt score llr\nu1 1 2\n", ":1: found 3 columns"),
    "which is the class": ("u1 -1 -1\n", ":1: 'u1 -1 -1' may be 'utt score label' or 'utt label score'; name the"),
    "ASV scores": ("bonafide target 18.2\n", ":1: found 3 columns"),
    "fewer columns later": ("u1 1\nu2\n", ":2: expected 2 columns 'utt score', found 1"),
    "more columns later": ("u1 1\n\nu2 1 2\n", ":3: expected 2 columns 'utt score', found 3"),
    "columns that add up": ("10\n11 0.5 0.7\n", ":1: found 1 columns"),
    "columns that add up later": ("9 0.1\n10\n11 0.5 0.7\n", ":2: expected 2 columns 'utt score', found 1"),
    "no number": ("u1 1\nu2 high\n", ":2: score 'high' of u2 is not a finite number"),
    "digit separator": ("u1 1_0\n", ":1: score '1_0' of u1 is not a finite number"),
    "NaN": ("u1 1\nu2 nan\n", ":2: score 'nan' of u2 is not a finite number"),
    "infinite": ("u1 -inf\n", ":1: score '-inf' of u1 is not a finite number"),
    "too large": ("u1 1e999\n", ":1: score '1e999' of u1 is not a finite number"),
    "twice": ("u1 1\nu2 2\nu1 1\n", ":3: u1 has a score on line 1 already; keep one"),
    "two headers": ("filename\tcm-score\nu1\t1\nfilename\tcm-score\nu2\t1\n", ":3: score 'cm-score' of filename"),
    "neither class": ("u1 1 2 3\n", ":1: 4 columns are 'utt attack key score' or .* neither the third nor the fourth"),
    "both classes": ("u1 1 spoof spoof\n", ":1: 4 columns .* both the third and the fourth column are a class"),
    "unknown class": ("u1 - bonafide 1\nu2 A07 spoofed 2\n", ":2: unknown class 'spoofed' of u2"),
    "unknown NII label": ("Output, u1, 1, 2\nOutput, u2, 2, 2\n", ":2: unknown class '2' of u2"),
    "two classes of one file": ("s1 u1 1 target\ns2 u1 1 spoof\n", ":2: u1 is spoof, but not on line 1"),
    "two scores of one file": (
        "s1 u1 1 target\ns2 u1 2 nontarget\n",
        ":2: u1 has another score on line 1 .* --task sasv",
    ),
    "SASV scores only": (
        "spk\tfilename\tcm-score\tasv-score\tsasv-score\ns1\tu1\t-\t-\t0.5\n",
        ":2: score '-' of u1 is not a finite number; a file of SASV scores only is for --task sasv",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_the_line(tmp_path, case):
    text, message = BAD[case]
    with pytest.raises(InputError, match=rf"my scores\.txt{message}") as error:
        read_scores(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_only_a_dcf_files_are_of_sasv(tmp_path):
    assert read_score_file(written(tmp_path, "s1 u1 1 target\ns1 u2 2 nontarget\ns1 u3 0 spoof\n")).of_sasv
    assert not read_score_file(written(tmp_path, "u1 - bonafide 1\nu2 A07 spoof 0\n")).of_sasv


def test_a_compressed_file_is_said_to_be_one(tmp_path):
    (tmp_path / "scores.txt").write_bytes(gzip.compress(b"u1 0.5\n"))
    with pytest.raises(InputError, match=r"scores\.txt: not text but a compressed file \(gzip\); unpack it"):
        read_scores(tmp_path / "scores.txt")


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.txt: no such score file"):
        read_scores(tmp_path / "nowhere.txt")
    for content in (b"u1 \xff\xfe 0.5\n", b"u1 - spoof 0.5\nu2 \xff\xfe\n", b"u1 0.5\n" * 9000 + b"u2 \xff\xfe\n"):
        (tmp_path / "scores.txt").write_bytes(content)
        with pytest.raises(InputError, match=r"scores\.txt:[0-9]+: not UTF-8 text"):
            read_scores(tmp_path / "scores.txt")
    assert read_scores(written(tmp_path, "")) == {}


UTTS = st.text(string.ascii_letters + string.digits + "_-./äß", min_size=1, max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=50)
@given(scores=st.dictionaries(UTTS, NUMBERS, max_size=20), header=st.booleans())
def test_two_columns_round_trip(tmp_path_factory, scores, header):
    path = tmp_path_factory.mktemp("scores") / "scores.txt"
    lines = [f"{utt}\t{score!r}\n" for utt, score in scores.items()]
    path.write_text("filename\tcm-score\n" * header + "".join(lines), encoding="utf-8")
    read = read_scores(path)
    assert read == scores
    assert list(read) == list(scores)


@settings(max_examples=50)
@given(st.dictionaries(UTTS, st.tuples(st.sampled_from(["A07", "-"]), NUMBERS), min_size=1, max_size=20))
def test_asvspoof2019_round_trip(tmp_path_factory, trials):
    path = tmp_path_factory.mktemp("scores") / "scores.txt"
    text = "".join(
        f"{utt} {attack} {'bonafide' if attack == '-' else 'spoof'} {score!r}\n"
        for utt, (attack, score) in trials.items()
    )
    path.write_text(text, encoding="utf-8")
    file = read_score_file(path)
    assert file.scores == {utt: score for utt, (_, score) in trials.items()}
    assert file.tables["utt2attack"] == {utt: attack for utt, (attack, _) in trials.items()}


@settings(max_examples=50)
@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("scores") / "scores.txt"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        scores = read_scores(path)
    except InputError as error:
        assert str(error).startswith(str(path))
    else:
        assert all(map(math.isfinite, scores.values()))


def test_every_digit_is_kept(tmp_path):
    values = (np.random.default_rng(0).normal(size=50) * 10.0 ** np.arange(-25, 25)).tolist()
    text = "".join(f"utt_{index} {value!r}\n" for index, value in enumerate(values))
    assert list(read_scores(written(tmp_path, text)).values()) == values


def test_file_names_with_blanks_in_tables(tmp_path):
    for text in ("my path\\u 1.wav,0.5\n", "my path\\u 1.wav\t0.5\n", '"my path\\u 1.wav" 0.5\n'):
        assert read_scores(written(tmp_path, text)) == {"my path\\u 1.wav": 0.5}
    assert read_scores(written(tmp_path, "a,b 0.5\nc,d 1\n")) == {"a,b": 0.5, "c,d": 1.0}


def test_unknown_classes_are_not_given(tmp_path):
    for text in ("Output, u1, -1, 1\nOutput, u2, 1, 2\n", "u1 a unknown 1\nu2 - bonafide 2\n", "u2 2 real\nu1 1 -1\n"):
        assert read_score_file(written(tmp_path, text)).tables["utt2label"] == {"u2": "bonafide"}
    # What 0 and 1 stand for differs from toolkit to toolkit.
    assert read_score_file(written(tmp_path, "u1 0.5 1\nu2 0.7 0\n")).tables["utt2label"] == {}
