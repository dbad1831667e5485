"""The calibrate command: what it writes, what it says, what it refuses."""

import json

import numpy as np
import pytest
from helpers.commands import run_command

from spooftrace.common.errors import InputError
from spooftrace.evaluation.score_files import read_scores
from spooftrace.metrics import act_dcf, cllr, eer, min_dcf
from spooftrace.metrics.calibration import calibrate_fit, fuse_fit

SIZE = 60  # of each class


def labelled_set(folder, seed):
    """Writes a data directory; returns the classes (bool) and the scores of two systems, in order of the ids."""
    rng = np.random.default_rng(seed)
    is_bonafide = np.arange(2 * SIZE) % 2 == 0
    folder.mkdir(parents=True)
    lines = [f"u{index:03d} {'bonafide' if bonafide else 'spoof'}\n" for index, bonafide in enumerate(is_bonafide)]
    (folder / "utt2label").write_text("".join(lines))
    return is_bonafide, 5 + 3 * (rng.normal(size=(2 * SIZE, 2)) + 1.5 * is_bonafide[:, None])


def write_scores(path, scores, order=1):
    lines = [f"u{index:03d} {score!r}\n" for index, score in enumerate(scores.tolist())]
    path.write_text("".join(lines[::order]))
    return path


@pytest.fixture
def sets(tmp_path):
    """Words of the command for two systems, and the arrays behind them."""
    words, arrays = ["--out", f"{tmp_path}/llr.txt"], {}
    for name, option, seed in (("dev", "--dev-scores", 1), ("eval", "--scores", 2)):
        _, scores = arrays[name] = labelled_set(tmp_path / "my data" / name, seed)
        for system, order in ((0, 1), (1, -1)):  # the lines of the second file stand in another order
            write_scores(tmp_path / f"{name} {system}.txt", scores[:, system], order)
        words += [option, *(f"{tmp_path}/{name} {system}.txt" for system in (0, 1))]
    words += ["--dev-data", f"{tmp_path}/my data/dev", "--data", f"{tmp_path}/my data/eval"]
    return words, arrays


def run(words):
    run_command("calibrate", *words)


def without(words, option, count):
    index = words.index(option)
    return words[:index] + words[index + 1 + count :]


def only_first_system(words):
    return [word for word in words if not word.endswith(" 1.txt")]


def test_fusion_of_two_systems(sets, tmp_path, capsys):
    words, arrays = sets
    run([*words, "--prior", "0.3"])
    (dev_class, dev), (eval_class, test) = arrays["dev"], arrays["eval"]
    fusion = fuse_fit(dev[dev_class], dev[~dev_class], 0.3)
    expected = fusion.apply(test)
    written = read_scores(tmp_path / "llr.txt")
    assert list(written) == [f"u{index:03d}" for index in range(2 * SIZE)]
    assert list(written.values()) == expected.tolist()

    recipe = json.loads((tmp_path / "llr.txt.json").read_text())
    assert recipe["weights"] == list(fusion.weights)
    assert recipe["offset"] == fusion.offset
    assert (recipe["prior"], recipe["flipped"]) == (0.3, False)
    after = recipe["figures"]["eval"]["fused"]
    bonafide, spoof = expected[eval_class], expected[~eval_class]
    assert after["eer"] == eer(bonafide, spoof)[0]
    assert after["cllr"] == cllr(bonafide, spoof)
    assert after["act_dcf"] == act_dcf(bonafide, spoof)[0]
    before = recipe["figures"]["dev"][f"{tmp_path}/dev 1.txt"]
    assert before["min_dcf"] == min_dcf(dev[dev_class, 1], dev[~dev_class, 1])[0]

    printed, warned = capsys.readouterr()
    assert not warned
    assert f"{after['cllr']:.4f}" in printed
    assert printed.count("fused") == 2
    assert f"wrote {tmp_path}/llr.txt ({2 * SIZE} trials)" in printed


def test_calibration_of_one_system(sets, tmp_path, capsys):
    words, arrays = sets
    run(only_first_system(words))
    (is_bonafide, dev), (_, test) = arrays["dev"], arrays["eval"]
    fitted = calibrate_fit(dev[is_bonafide, 0], dev[~is_bonafide, 0])
    assert list(read_scores(tmp_path / "llr.txt").values()) == pytest.approx(fitted.apply(test[:, 0]).tolist())
    figures = json.loads((tmp_path / "llr.txt.json").read_text())["figures"]["eval"]
    before, after = figures[f"{tmp_path}/eval 0.txt"], figures["calibrated"]
    assert after["eer"] == before["eer"]
    assert after["min_cllr"] == pytest.approx(before["min_cllr"])
    assert after["cllr"] < 0.7 < 1 < before["cllr"]


def test_without_labels_the_scores_are_written_all_the_same(sets, tmp_path, capsys):
    words, _ = sets
    run(words)
    with_labels = (tmp_path / "llr.txt").read_bytes()
    (tmp_path / "llr.txt").unlink()
    run(without(words, "--data", 1))
    assert (tmp_path / "llr.txt").read_bytes() == with_labels
    assert list(json.loads((tmp_path / "llr.txt.json").read_text())["figures"]) == ["dev"]


def test_scores_of_the_wrong_sign_are_said(sets, tmp_path, capsys):
    words, arrays = sets
    write_scores(tmp_path / "dev 0.txt", -arrays["dev"][1][:, 0])
    run(only_first_system(words))
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    assert "dev 0.txt: the EER is" in warnings[0]
    assert "nothing was flipped" in warnings[0]
    assert "dev 0.txt: its weight is negative (-" in warnings[1]
    assert json.loads((tmp_path / "llr.txt.json").read_text())["flipped"] is True


def test_nothing_is_written_over_what_is_read(sets, tmp_path):
    words, _ = sets
    words, before = without(words, "--out", 1), (tmp_path / "dev 0.txt").read_bytes()
    for name in ("dev 0.txt", "eval 1.txt"):
        with pytest.raises(InputError, match=rf"^--out .*{name}: the same file is read; name another one to write"):
            run([*words, "--out", tmp_path / name])
    (tmp_path / "dev 0.txt").rename(tmp_path / "llr.json")
    with pytest.raises(InputError, match=r"^the recipe of --out, .*llr.json: the same file is read"):
        run([*(word.replace("dev 0.txt", "llr.json") for word in words), "--out", tmp_path / "llr"])
    assert (tmp_path / "llr.json").read_bytes() == before


def test_an_empty_score_file(sets, tmp_path):
    words, _ = sets
    (tmp_path / "eval 0.txt").write_text("")
    with pytest.raises(InputError, match=r"eval 0.txt: holds no score; score the set again"):
        run(without(words, "--data", 1))


def test_figures_of_the_development_set_are_said_to_be_too_good(sets, tmp_path, capsys):
    words, _ = sets
    run([word.replace("eval", "dev") for word in words])
    assert capsys.readouterr().out.count("trained on it") == 2


def test_scores_too_large_to_calibrate(sets, tmp_path):
    words, arrays = sets
    write_scores(tmp_path / "dev 0.txt", 1e200 * arrays["dev"][1][:, 0])
    with pytest.raises(InputError, match=r"dev 0.txt: cannot calibrate: scores of up to .*e\+201 are too large"):
        run(only_first_system(words))


def test_bad_input_leaves_nothing_behind(sets, tmp_path):
    words, arrays = sets
    is_bonafide, dev = arrays["dev"]
    with pytest.raises(InputError, match=r"2 files of --dev-scores, 1 of --scores"):
        run([*without(words, "--scores", 2), "--scores", f"{tmp_path}/eval 0.txt"])
    with pytest.raises(InputError, match=r"cannot calibrate: the prior of bona fide is 1.5"):
        run([*words, "--prior", "1.5"])
    (tmp_path / "eval 1.txt").write_text("u000 1\nu001 2\n")
    with pytest.raises(InputError, match=r"eval 1.txt: no score for 118 of the 120 trials of .*eval 0.txt"):
        run(without(words, "--data", 1))
    with pytest.raises(InputError, match=r"eval 1.txt: no score for 118 of the 120 trials of .*my data/eval"):
        run(words)
    write_scores(tmp_path / "dev 0.txt", is_bonafide + 0.1 * dev[:, 0] / np.abs(dev).max())
    with pytest.raises(InputError, match=r"dev 0.txt: cannot calibrate: the development scores separate the classes"):
        run(only_first_system(words))
    assert not (tmp_path / "llr.txt").exists()
    assert not (tmp_path / "llr.txt.json").exists()


def test_incomplete_sets_are_noted_beside_the_scores(sets, tmp_path, capsys):
    gap = {"set": "eval", "what": "utterances left out for unusable audio", "missing": 2, "of": 122}
    (tmp_path / "my data" / "eval" / "incomplete.json").write_text(json.dumps([gap]))
    run(sets[0])
    assert json.loads((tmp_path / "llr.txt.json").read_text())["incomplete"] == [gap]
    assert "INCOMPLETE" in capsys.readouterr().err
