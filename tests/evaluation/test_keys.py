"""Keys of test sets, and the pairing of trials and scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.evaluation.evaluate import read_trials
from spooftrace.evaluation.keys import FORMATS, convention_of, key_of_scores, read_data_key, read_key
from spooftrace.evaluation.score_files import read_score_file
from spooftrace.evaluation.trials import Column, join

# format -> lines of a key (a bona fide and a spoof trial), and the properties of both trials it should have
KEYS = {
    "asvspoof2019": (
        "LA_0052 LA_E_2894498 - - bonafide\nLA_0039 LA_E_2834763 - A11 spoof\n",
        {"attack": ["-", "A11"], "spk": ["LA_0052", "LA_0039"]},
    ),
    "asvspoof2019, score file": (
        "LA_E_2894498 - bonafide 2.5\nLA_E_2834763 A11 spoof -1\n",
        {"attack": ["-", "A11"]},
    ),
    "asvspoof2021, LA": (
        "LA_0009 LA_E_9332880 none loc_tx bonafide bonafide notrim progress\n"
        "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\n",
        {"attack": ["-", "A07"], "cond": ["none", "alaw"], "subset": ["progress", "eval"]},
    ),
    "asvspoof2021, DF": (
        "TEF2 DF_E_2000012 nocodec vcc2020 bonafide bonafide notrim eval bonafide - - - -\n"
        "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive "
        "Task1 team20 FF E\n",
        {
            "attack": ["-", "Task1-team20"],
            "cond": ["nocodec", "low_m4a"],
            "source": ["vcc2020", "vcc2020"],
            "vocoder": ["-", "neural_vocoder_nonautoregressive"],
        },
    ),
    "asvspoof5": (
        "E_0461 E_0000000190 M - 0 - - bonafide bonafide -\nE_4461 E_0000000169 F C05 3 - AC3 A25 spoof -\n",
        {"attack": ["-", "A25"], "cond": ["-", "C05"], "spk": ["E_0461", "E_4461"]},
    ),
    "asvspoof5, package": (
        "filename\tcm-label\nE_0000000190\tbonafide\nE_0000000169\tspoof\n",
        {"spk": ["-", "-"]},
    ),
    "asvspoof5, full key": (
        "trial_anon cm-label attack_anon codec\nE_0000000190 bonafide bonafide -\nE_0000000169 spoof A25 C05\n",
        {"attack": ["-", "A25"], "cond": ["-", "C05"]},
    ),
    "ctrsvdd": (
        "m4singer CtrSVDD_0110 CtrSVDD_0110_E_0015416 - - bonafide\n"
        "acesinger CtrSVDD_0097 CtrSVDD_0097_E_0010993 - A14 deepfake\n",
        {"attack": ["-", "A14"], "source": ["m4singer", "acesinger"]},
    ),
    "plain": ("u1 genuine\n3.wav fake\n", {"spk": ["-", "-"]}),
    "plain, other words": ("u1.flac bona-fide\nu2 Deepfake\n", {}),
}


def written(folder, text, name="key.txt"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("case", KEYS)
def test_official_keys(tmp_path, case):
    text, properties = KEYS[case]
    key = read_key(written(tmp_path, text), case.partition(",")[0])
    assert len(key.utts) == 2
    assert key.is_bonafide.tolist() == [True, False]
    for name, values in properties.items():
        column = key.columns[name]
        assert [column.values[code] for code in column.codes] == values
        assert column.codes.dtype == np.int32


def test_every_format_is_covered():
    assert {case.partition(",")[0] for case in KEYS} == set(FORMATS)


BAD_KEYS = {
    "unknown label": ("plain", "u1 bonafide\nu2 robot\n", "key.txt:2: unknown label 'robot'"),
    "twice": ("plain", "u1 bonafide\nu1 spoof\n", "key.txt:2: 'u1' is listed a second time"),
    "other corpus": ("asvspoof5", KEYS["ctrsvdd"][0], "key.txt:1: 6 columns, expected 10"),
    "columns of another corpus": ("asvspoof2019", "E_1 E_0000000190 - A07 spoof\n", "key.txt:1: 'E_0000000190' is not"),
    "cut short": ("asvspoof5", KEYS["asvspoof5, full key"][0] + "E_0000000170 spoof\n", "key.txt:4: 2 columns, expect"),
    "no spoof": ("plain", "u1 bonafide\nu2 real\n", "key.txt: no spoof trial"),
    "no bona fide": ("plain", "u1 fake\n", "key.txt: no bona fide trial"),
    "empty": ("asvspoof5", "", "key.txt: lists no trial; get the file again"),
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_bad_keys_are_refused(tmp_path, case):
    form, text, message = BAD_KEYS[case]
    with pytest.raises(InputError) as error:
        read_key(written(tmp_path, text), form)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_key_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such key file"):
        read_key(tmp_path / "nowhere", "plain")
    (tmp_path / "key.txt").write_bytes(b"\xff\xff")
    for form in FORMATS:
        with pytest.raises(InputError, match=r"key\.txt.*UTF-8"):
            read_key(tmp_path / "key.txt", form)


@settings(max_examples=25)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,3}\d{1,4}", fullmatch=True), st.booleans(), min_size=2))
def test_plain_keys_round_trip(tmp_path_factory, trials):
    trials = dict(zip(trials, [True, False, *list(trials.values())[2:]], strict=True))
    text = "".join(f"{utt} {'real' if bonafide else 'fake'}\n" for utt, bonafide in trials.items())
    key = read_key(written(tmp_path_factory.mktemp("keys"), text), "plain")
    assert dict(zip(key.utts, key.is_bonafide.tolist(), strict=True)) == trials


def test_properties_of_a_data_directory(tmp_path):
    written(tmp_path, "b1 bonafide\ns1 spoof\n", "utt2label")
    written(tmp_path, "s1 A07\n", "utt2attack")
    written(tmp_path, "b1 C01\ns1 -\n", "utt2cond")
    written(tmp_path, "b1 3.0\ns1 1.5\n", "utt2dur")
    key = read_data_key(tmp_path)
    assert {name: column.values for name, column in key.columns.items()} == {
        "attack": ("-", "A07"),
        "cond": ("-", "C01"),
    }
    written(tmp_path, "b1 C01\n", "utt2cond")
    with pytest.raises(InputError, match=r"utt2cond: no cond for 1 trials \(s1\); prepare"):
        read_data_key(tmp_path)


def test_convention_of_a_data_directory(tmp_path):
    assert convention_of(tmp_path) == "plain"
    written(tmp_path, "ctrsvdd\n", "convention")
    assert convention_of(tmp_path) == "ctrsvdd"
    written(tmp_path, "asvspoof1999\n", "convention")
    with pytest.raises(InputError, match=r"convention: unknown convention 'asvspoof1999'; known are plain, asv"):
        convention_of(tmp_path)


def test_key_inside_the_score_file(tmp_path):
    file = read_score_file(written(tmp_path, KEYS["asvspoof2019, score file"][0]))
    trials = join(key_of_scores(file), file)
    assert (trials.bonafide.tolist(), trials.spoof.tolist()) == ([2.5], [-1.0])
    with pytest.raises(InputError, match=r"key.txt: holds no classes; give the key of the test set"):
        key_of_scores(read_score_file(written(tmp_path, "u1 2\nu2 1\n")))


def joined(tmp_path, key, scores):
    return join(
        read_key(written(tmp_path, key), "plain"), read_score_file(written(tmp_path, scores, "my scores/scores.txt"))
    )


@pytest.mark.parametrize(
    ("key", "scores"),
    [
        ("u1 real\nu2 fake\n", "u2 2\nu1 1\n"),
        ("u1 real\nu2 fake\n", "u2.flac 2\nu1.WAV 1\n"),
        ("u1 real\nu2 fake\n", "/data/eval/flac/u2.flac 2\neval/u1 1\n"),
        ("u1.wav real\nu2.wav fake\n", "u1 1\nu2 2\n"),
        ("a/u1 real\nb/u2 fake\n", "u2 2\nu1 1\n"),
        ("a/u real\nb/u fake\n", "b/u.wav 2\na/u.wav 1\n"),
    ],
)
def test_pairing_is_by_id_whatever_the_spelling(tmp_path, key, scores):
    trials = joined(tmp_path, key, scores)
    assert trials.utts == [line.split()[0] for line in key.splitlines()]
    assert (trials.bonafide.tolist(), trials.spoof.tolist()) == ([1.0], [2.0])


@pytest.mark.parametrize("name", ["pooled", "mean"])
def test_an_attack_may_not_be_called_like_a_total(tmp_path, name):
    (tmp_path / "utt2label").write_text("u1 bonafide\nu2 spoof\n")
    (tmp_path / "utt2attack").write_text(f"u1 -\nu2 {name}\n")
    with pytest.raises(InputError, match=rf"utt2attack: '{name}' is what tables call their totals; rename it"):
        read_data_key(tmp_path)


BAD_PAIRS = {
    "missing": (
        "u1 real\nu2 fake\nu3 fake\n",
        "u2 2\n",
        r"scores.txt: no score for 2 of the 3 .* \(u1, u3\)",
    ),
    "extra": ("u1 real\nu2 fake\n", "u1 1\nx 1\nu2 2\n", r"scores.txt:2: 1 scored utterances are not trials .* \(x\)"),
    "extra, with endings": ("u1 real\nu2 fake\n", "u1.wav 1\nx.wav 1\nu2 2\n", r"scores.txt:2: 1 scored .* \(x.wav\)"),
    "told apart by endings": (
        "u1 real\nu2 fake\n",
        "u1.wav 1\nu1.flac 3\nu2 2\n",
        r"no score for 1 of the 2",
    ),
    "told apart by folders": ("a/u real\nb/u fake\n", "c/u 1\nd/u 2\n", r"no score for 2 of the 2 trials"),
    "another class": (
        "u1 real\nu2 fake\n",
        "u1 A07 spoof 1\nu2 - spoof 2\n",
        r"scores.txt:1: u1 is spoof here, but bonafide",
    ),
    "another class, with endings": (
        "u1 real\nu2 fake\n",
        "u2.wav - spoof 2\nu1.wav A07 spoof 1\n",
        r"scores.txt:2: u1.wav is spoof here, but bonafide",
    ),
}


@pytest.mark.parametrize("case", BAD_PAIRS)
def test_scores_and_trials_must_be_the_same_set(tmp_path, case):
    key, scores, message = BAD_PAIRS[case]
    with pytest.raises(InputError, match=message):
        joined(tmp_path, key, scores)


@settings(max_examples=25)
@given(st.permutations(range(12)), st.permutations(range(12)))
def test_order_never_matters(tmp_path_factory, key_order, score_order):
    folder = tmp_path_factory.mktemp("join")
    key = "".join(f"u{index} {'real' if index % 3 else 'fake'}\n" for index in key_order)
    scores = "".join(f"u{index} {index}\n" for index in score_order)
    trials = joined(folder, key, scores)
    assert trials.scores.tolist() == [float(utt[1:]) for utt in trials.utts]
    assert sorted(trials.spoof.tolist()) == [0.0, 3.0, 6.0, 9.0]


def test_subsets(tmp_path):
    text, _ = KEYS["asvspoof2021, LA"]
    text += text.replace("LA_E_933288", "LA_E_933289").replace("progress", "eval")
    key, scores = written(tmp_path, text), written(tmp_path, "", "scores.txt")
    scores.write_text("".join(f"LA_E_{9332880 + i} {i}\n" for i in (0, 1, 10, 11)))
    assert read_trials(key, scores, form="asvspoof2021").scores.tolist() == [0.0, 1.0, 10.0, 11.0]
    evaluated = read_trials(key, scores, "eval", "asvspoof2021")
    assert evaluated.utts == ["LA_E_9332881", "LA_E_9332890", "LA_E_9332891"]
    assert evaluated.scores.tolist() == [1.0, 10.0, 11.0]
    with pytest.raises(InputError, match="no subset 'hidden'; its key has eval, progress"):
        read_trials(key, scores, "hidden", "asvspoof2021")
    key.write_text(text.replace("progress", "hidden", 1))
    with pytest.raises(InputError, match=r"no (bona fide|spoof) trial in subset 'hidden'; an EER needs both classes"):
        read_trials(key, scores, "hidden", "asvspoof2021")
    key.write_text(text)
    scores.write_text("LA_E_9332881 1\nLA_E_9332890 1\nLA_E_9332891 1\n")
    with pytest.raises(InputError, match=r"no score for 1 of the 4 trials .* \(all subsets: eval, progress\)"):
        read_trials(key, scores, "eval", "asvspoof2021")


def test_columns():
    column = Column.of(["b", "a", "b", "c"])
    assert column.values == ("a", "b", "c")
    assert column.is_in(["b", "x"]).tolist() == [True, False, True, False]
