"""Ids that scores and key write differently: matched where that is beyond doubt, shown side by side where not."""

import os
import threading

import pytest

from spooftrace.cli.main import main
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.datadir.edit import subset
from spooftrace.evaluation.keys import read_key
from spooftrace.evaluation.outputs import judged, read_outputs
from spooftrace.evaluation.score_files import read_score_file
from spooftrace.evaluation.trials import join

KEY = "LA_E_1 bonafide\nLA_E_2 spoof\n"


def joined(tmp_path, scores, key=KEY):
    (tmp_path / "key.txt").write_text(key, encoding="utf-8")
    (tmp_path / "scores.txt").write_text(scores, encoding="utf-8")
    return join(read_key(tmp_path / "key.txt", "plain"), read_score_file(tmp_path / "scores.txt"))


@pytest.mark.parametrize(
    ("scores", "note"),
    [
        ("LA_E_1 1\nLA_E_2 0\n", ""),
        ('"LA_E_1", 1\n"LA_E_2", 0\n', ""),
        ("LA_E_1.flac 1\nLA_E_2.FLAC 0\n", "without audio endings"),
        ("C:\\x y\\LA_E_1.wav,1\nC:\\x y\\LA_E_2.wav,0\n", "without folders"),
        ("\\\\server\\share\\LA_E_1.wav 1\n\\\\server\\share\\LA_E_2.wav 0\n", "without folders"),
        ("./eval/flac/LA_E_1.flac;1\n./eval/flac/LA_E_2.flac;0\n", "without folders"),
    ],
)
def test_ids_that_mean_the_same(tmp_path, scores, note):
    trials = joined(tmp_path, scores)
    assert trials.scores.tolist() == [1, 0]
    assert note in trials.note if note else not trials.note


def test_paths_in_the_key(tmp_path):
    trials = joined(tmp_path, "LA_E_1 1\nLA_E_2 0\n", "path,label\nD:\\a\\LA_E_1.wav,real\nD:\\b\\LA_E_2.wav,fake\n")
    assert trials.scores.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("scores", "shown"),
    [
        ("a/LA_E_1.wav 1\nb/LA_E_1.wav 0\n", ("'LA_E_1'", "'a/LA_E_1.wav'", "ids do not meet")),
        ("E_1 1\nE_2 0\n", ("'LA_E_1'", "'E_1'", "no score for 2 of the 2 trials")),
        ("LA_E_1 1\nLA_E_02 0\n", ("'LA_E_2'", "'LA_E_02'", "no score for 1 of the 2 trials")),
    ],
)
def test_an_id_of_each_side_is_shown(tmp_path, scores, shown):
    with pytest.raises(InputError) as error:
        joined(tmp_path, scores)
    assert all(part in str(error.value) for part in shown), str(error.value)


@pytest.mark.parametrize("key", ["u1,bonafide\nu2,spoof\n", "u1;real\nu2;fake\n", '"u1" genuine\n"u2" spoof\n'])
def test_key_files_as_people_save_them(tmp_path, key):
    (tmp_path / "key.txt").write_bytes(key.encode("utf-16"))
    assert read_key(tmp_path / "key.txt", "plain").is_bonafide.tolist() == [True, False]


def test_classes_of_the_key_count_where_scores_have_none(tmp_path, capsys):
    log, key, out = tmp_path / "scores.log", tmp_path / "key.txt", tmp_path / "metrics.json"
    log.write_text("Output, u1, -1, 0.5\nOutput, u2, -1, -0.5\n")
    key.write_text("u1 bonafide\nu2 spoof\n")
    arguments = ["evaluate", "--scores", str(log), "--key", str(key), "--format", "plain", "--out", str(out)]
    assert main(arguments) == 0
    assert out.exists()
    assert main(["evaluate", "--scores", str(log)]) == 1
    said = capsys.readouterr().err
    assert "scores.log:1: no class is given for 2 of 2 trials (u1, u2)" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("piped", ["--scores", "--key", "--against"])
def test_pipes_are_files(tmp_path, piped, capsys):
    files = {"--scores": "u1 1\nu2 0\n", "--key": "u1 bonafide\nu2 spoof\n", "--against": "u1 0\nu2 1\n"}
    arguments = ["evaluate", "--format", "plain"]
    for option, text in files.items():
        path = tmp_path / option.strip("-")
        if option == piped:
            os.mkfifo(path)
            threading.Thread(target=path.write_text, args=(text,), daemon=True).start()
        else:
            path.write_text(text)
        arguments += [option, str(path)]
    assert main(arguments) == 0, capsys.readouterr().err


def test_outputs_of_attribution_may_be_csv_and_show_both_sides(tmp_path):
    for text in (
        "utt,predicted\nu1,a\nu2,b\n",
        '"utt";"predicted"\n"u1";"a"\nu2;b;\n',
        "utt\tpredicted\nu1\ta\nu2 \tb\n",
    ):
        (tmp_path / "out").write_text(text)
        outputs = read_outputs(tmp_path / "out")
        assert dict(outputs.text_of) == {"u1": "a", "u2": "b"}
        assert outputs.line_of("u2") == 3
    with pytest.raises(InputError, match=r"the key has 'x1', the scores have 'u1'"):
        judged(outputs, {"x1": "a"}, tmp_path / "utt2vq")


def test_lists_of_other_ids_show_one_of_the_data_directory(tmp_path):
    data = DataDir.write(tmp_path / "data", {"utt2spk": {"a1": "s", "a2": "s"}, "wav.scp": {"a1": "x", "a2": "y"}})
    with pytest.raises(InputError, match=r"utterance 'a1.wav' is not in .*data, whose ids are like 'a1'"):
        subset(data, ["a1.wav"], tmp_path / "part")
