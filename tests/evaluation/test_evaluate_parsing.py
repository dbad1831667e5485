"""Codec parsing: errors by target and codec, closed and open set, the nearest codec."""

import json
import math

import pytest

from spooftrace.common.errors import InputError
from spooftrace.datadir import write_table
from spooftrace.evaluation.parsing import evaluate_parsing
from spooftrace.evaluation.parsing_text import format_text, tables

# utterance -> (codec, true values, predicted kHz, kbit/s, quantizers)
UTTS = {
    "u1": ("encodec", "24 6 8", (23.0, 7.0, 8.0)),
    "u2": ("encodec", "24 6 8", (24.0, 6.0, 6.0)),
    "u3": ("snac", "24 0.98 3", (24.0, 1.98, 3.0)),
    "u4": ("soundstream", "16 - -", (18.0, 50.0, 50.0)),
    "u5": ("-", "- - -", None),
}


def write_data(folder, utts):
    write_table(folder / "utt2codec", {utt: codec for utt, (codec, *_) in utts.items()})
    write_table(folder / "utt2nac", {utt: nac for utt, (_, nac, *_) in utts.items()})
    return folder


def write_outputs(path, predictions, header="utt khz kbps quantizers"):
    lines = [header, *(f"{utt} {' '.join(map(str, values))}" for utt, values in predictions.items())]
    path.write_text("".join(line.replace(" ", "\t") + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "my data" / "eval", UTTS)


@pytest.fixture
def outputs(tmp_path):
    return write_outputs(tmp_path / "outputs.tsv", {utt: values for utt, (*_, values) in UTTS.items() if values})


def test_errors_by_target_and_codec(data, outputs):
    metrics = evaluate_parsing(data, outputs)
    assert (metrics["task"], metrics["set"], metrics["trials"], metrics["not_judged"]) == ("parsing", "eval", 4, 1)
    assert metrics["targets"] == {
        "sampling_rate_khz": {"count": 4, "rmse": pytest.approx(math.sqrt(5 / 4)), "mae": pytest.approx(3 / 4)},
        "bitrate_kbps": {"count": 3, "rmse": pytest.approx(math.sqrt(2 / 3)), "mae": pytest.approx(2 / 3)},
        "quantizers": {"count": 3, "rmse": pytest.approx(math.sqrt(4 / 3)), "mae": pytest.approx(2 / 3)},
    }
    assert list(metrics["by_codec"]) == ["encodec", "snac", "soundstream"]
    assert metrics["by_codec"]["encodec"]["targets"]["quantizers"]["mae"] == 1.0
    assert metrics["by_codec"]["soundstream"]["targets"]["quantizers"] == {"count": 0, "rmse": None, "mae": None}
    assert metrics["units"]["bitrate_kbps"] == "kbit/s"
    assert "closed_set" not in metrics
    json.dumps(metrics, allow_nan=False)


def test_closed_and_open_set_from_the_training_data(data, outputs, tmp_path):
    train = write_data(tmp_path / "train", {"t1": ("encodec", "24 6 8"), "t2": ("snac", "24 0.98 3"), "t3": UTTS["u5"]})
    metrics = evaluate_parsing(data, outputs, known=train)
    closed, opened = metrics["closed_set"], metrics["open_set"]
    assert (closed["codecs"], closed["trials"]) == (["encodec", "snac"], 3)
    assert (opened["codecs"], opened["trials"]) == (["soundstream"], 1)
    assert closed["targets"]["sampling_rate_khz"]["mae"] == pytest.approx(1 / 3)
    assert opened["targets"]["sampling_rate_khz"]["mae"] == 2.0
    nearest = metrics["nearest_codec"]
    # of the two training values each: half their difference, and 1 for the sampling rate, which is the same
    assert nearest["scale"] == pytest.approx([1, 2.51, 2.5])
    assert nearest["scale_from"].endswith("training set")
    assert (closed["nearest_codec_accuracy"], opened["nearest_codec_accuracy"]) == (1.0, 1.0)
    text = format_text(metrics)
    assert "closed set" in text and "open set" in text and "RMSE kbit/s" in text
    assert tables(metrics)["mae_by_codec"].rows[-3:] == ("pooled, closed set", "pooled, open set", "pooled")


def test_known_codecs_from_a_list(data, outputs, tmp_path):
    (tmp_path / "codecs").write_text("soundstream\nencodec\n")
    metrics = evaluate_parsing(data, outputs, known=tmp_path / "codecs")
    assert metrics["closed_set"]["codecs"] == ["encodec", "soundstream"]
    assert metrics["open_set"]["codecs"] == ["snac"]
    assert metrics["nearest_codec"]["scale_from"].endswith("candidates")
    (tmp_path / "codecs").write_text("encodec\nsnac\nsoundstream\n")
    assert evaluate_parsing(data, outputs, known=tmp_path / "codecs")["open_set"] is None


def test_nearest_codec_may_be_one_of_further_data(data, outputs, tmp_path):
    before = evaluate_parsing(data, outputs)
    assert before["nearest_codec_accuracy"] == 1.0
    other = write_data(tmp_path / "other", {"o1": ("lure", "24 2 3"), "o2": ("twin", "24 2 3")})
    metrics = evaluate_parsing(data, outputs, codec_data=[other])
    assert metrics["nearest_codec"]["candidates"] == ["encodec", "lure", "snac", "soundstream", "twin"]
    assert metrics["nearest_codec"]["same_values"] == [["lure", "twin"]]
    assert metrics["nearest_codec_accuracy"] == 0.75  # u3 is nearer to the lure
    assert "indistinguishable by these values: lure, twin" in format_text(metrics)


def test_settings_of_one_codec_are_told_apart(tmp_path):
    data = write_data(
        tmp_path / "eval", {"u1": ("rvq", "16 3.2 8"), "u2": ("rvq", "16 1.6 4"), "u3": ("dac", "16 6 12")}
    )
    path = write_outputs(tmp_path / "o.tsv", {"u1": (16, 3, 7), "u2": (16, 3, 8), "u3": (16, 6, 12)})
    metrics = evaluate_parsing(data, path)
    assert list(metrics["by_codec"]) == ["dac", "rvq (16 1.6 4)", "rvq (16 3.2 8)"]
    assert metrics["nearest_codec_accuracy"] == pytest.approx(2 / 3)


def test_order_of_columns_does_not_matter(data, outputs, tmp_path):
    swapped = {utt: (v[2], v[0], v[1]) for utt, (*_, v) in UTTS.items() if v}
    path = write_outputs(tmp_path / "swapped.tsv", swapped, "utt quantizers khz kbps")
    assert evaluate_parsing(data, path) == evaluate_parsing(data, outputs)


def test_tables_have_an_empty_cell_where_nothing_is_known(data, outputs):
    table = tables(evaluate_parsing(data, outputs))["rmse_by_codec"]
    assert table.rows == ("encodec", "snac", "soundstream", "pooled")
    assert table.columns == ("kHz", "kbit/s", "quantizers")
    assert [[value != value for value in row] for row in table.values.tolist()][2] == [False, True, True]


def edited(old, new):
    return lambda text: text.replace(old, new)


BAD = {
    "missing": ("outputs.tsv", edited("u3\t24.0\t1.98\t3.0\n", ""), r"outputs.tsv: nothing for 1 of the 4 .*\(u3\)"),
    "extra": ("outputs.tsv", edited("u3\t", "x3\t24\t1\t3\nu3\t"), r"outputs.tsv:4: 1 utterances are not in .*\(x3\)"),
    "columns": ("outputs.tsv", edited("khz", "sr"), r"outputs.tsv:1: columns sr, kbps, quantizers; expected utt, khz"),
    "NaN": ("outputs.tsv", edited("1.98", "nan"), r"outputs.tsv:4: 'nan' in column 'kbps' is not a finite number"),
    "values": ("my data/eval/utt2nac", edited("24 0.98 3", "24 0.98"), r"utt2nac:3: '24 0.98' of u3 is not kHz"),
    "words": ("my data/eval/utt2nac", edited("24 0.98 3", "24 low 3"), r"utt2nac:3: '24 low 3' of u3 is not kHz"),
    "NaN in the truth": ("my data/eval/utt2nac", edited("24 0.98 3", "nan 0.98 3"), r"utt2nac:3: 'nan 0.98 3' of u3"),
    "infinite truth": (
        "my data/eval/utt2nac",
        edited("24 0.98 3", "24 inf 3"),
        r"utt2nac:3: '24 inf 3' of u3",
    ),
    "no codec": ("my data/eval/utt2codec", edited("u3 snac\n", ""), r"utt2codec: no codec of u3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(data, outputs, tmp_path, case):
    name, edit, message = BAD[case]
    text = (tmp_path / name).read_text()
    assert edit(text) != text
    (tmp_path / name).write_text(edit(text))
    with pytest.raises(InputError, match=message) as error:
        evaluate_parsing(data, outputs)
    assert "\n" not in str(error.value)
