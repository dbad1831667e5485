"""SASV from files: layouts of scores and keys, joined by claim; the metrics against their definitions."""

import json
import random

import numpy as np
import pytest
from helpers.commands import run_command
from hypothesis import given, settings
from hypothesis import strategies as st

from spooftrace.common.errors import InputError
from spooftrace.evaluation.sasv import evaluate_sasv, format_text, tables
from spooftrace.metrics import ASVSPOOF5_ASV, eer, min_tdcf, revised_weights, t_eer

# speaker, utterance, kind, attack, CM score, ASV score, SASV score; u1 and u3 are tried against two speakers each
TRIALS = [
    ("E_0002", "u1", "target", "-", 2.0, 4.0, 6.5),
    ("E_0001", "u1", "nontarget", "-", 2.0, -1.0, 1.0),
    ("E_0001", "u2", "target", "-", 0.5, 3.0, 3.5),
    ("E_0001", "u3", "target", "-", 1.0, 0.25, 1.25),
    ("E_0002", "u3", "nontarget", "-", 1.0, 1.5, 2.5),
    ("E_0001", "u4", "spoof", "A17", -1.0, 3.5, 2.5),
    ("E_0001", "u5", "spoof", "A17", -2.0, 1.0, -1.0),
    ("E_0002", "u6", "spoof", "A18", 1.5, 2.0, 3.5),
    ("E_0002", "u7", "spoof", "A18", -0.5, -2.0, -2.5),
    ("E_0002", "u8", "spoof", "A18", 0.25, 1.75, 2.0),
]
KINDS = ("target", "nontarget", "spoof")
HEADER = "spk\tfilename\tcm-score\tasv-score\tsasv-score\n"
KEYS = {
    "track_2.trial.tsv": lambda spk, utt, kind, attack: f"{spk} {utt} F {attack.replace('-', 'bonafide')} {kind}",
    "asv.eval.gi.trl.txt": lambda spk, utt, kind, attack: f"{spk} {utt} {attack.replace('-', 'bonafide')} {kind}",
    "trials": lambda spk, utt, kind, attack: f"{spk} {utt} {kind} {attack}",
}


def written(path, lines, header=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def tandem(trials=TRIALS):
    """The lines of a score file in another order than the key."""
    lines = [f"{spk}\t{utt}\t{cm!r}\t{asv!r}\t{sasv!r}" for spk, utt, _, _, cm, asv, sasv in trials]
    random.Random(1).shuffle(lines)
    return lines


@pytest.fixture
def scores(tmp_path):
    return written(tmp_path / "my scores.tsv", tandem(), HEADER)


@pytest.fixture
def key(tmp_path):
    return written(tmp_path / "data/eval_track2/trials", [KEYS["trials"](*trial[:4]) for trial in TRIALS])


def run(*words):
    run_command("evaluate", "--task", "sasv", *words)


def of_kind(column, trials=TRIALS):
    return [[trial[column] for trial in trials if trial[2] == kind] for kind in KINDS]


def least_cost(target, nontarget, spoof, p_target, p_nontarget, p_spoof, c_miss, c_nontarget, c_spoof):
    """a-DCF by trying every threshold."""
    costs = [
        p_target * c_miss * np.mean(np.array(target) < threshold)
        + p_nontarget * c_nontarget * np.mean(np.array(nontarget) >= threshold)
        + p_spoof * c_spoof * np.mean(np.array(spoof) >= threshold)
        for threshold in [*target, *nontarget, *spoof, np.inf]
    ]
    return min(costs) / min(p_target * c_miss, p_nontarget * c_nontarget + p_spoof * c_spoof)


def expected(trials):
    """The figures that these trials should have, without a file in between."""
    target, nontarget, spoof = of_kind(6, trials)
    cm, asv = of_kind(4, trials), of_kind(5, trials)
    return {
        "a_dcf": least_cost(target, nontarget, spoof, 0.9405, 0.0095, 0.05, 1, 10, 10),
        "a_dcf1": least_cost(target, nontarget, spoof, 0.9, 0.05, 0.05, 1, 10, 20),
        "sasv_eer": eer(target, nontarget + spoof)[0],
        "sv_eer": eer(target, nontarget)[0],
        "spf_eer": eer(target, spoof)[0],
        "min_tdcf": min_tdcf(cm[0] + cm[1], cm[2], revised_weights(ASVSPOOF5_ASV))[0],
        "t_eer": t_eer(cm[0] + cm[1], cm[2], *asv).rate,
    }


def figures(metrics, names):
    return {name: metrics[name] for name in names}


def test_tandem_scores_give_every_metric(scores, key):
    metrics = evaluate_sasv(scores, key)
    assert figures(metrics, KINDS) == {"target": 3, "nontarget": 2, "spoof": 5}
    assert (metrics["task"], metrics["trials"], metrics["primary"]) == ("sasv", 10, "a_dcf")
    wanted = expected(TRIALS)
    assert figures(metrics, wanted) == pytest.approx(wanted, abs=1e-12)
    assert metrics["a_dcf"] != metrics["a_dcf1"]
    assert metrics["a_dcf_threshold"] in [trial[6] for trial in TRIALS]
    assert list(metrics["by_attack"]) == ["A17", "A18"]
    for attack, cell in metrics["by_attack"].items():
        trials = [trial for trial in TRIALS if trial[3] in ("-", attack)]
        assert cell["spoof"] == len(trials) - 5
        here = expected(trials)
        assert figures(cell, cell.keys() - {"spoof"}) == pytest.approx(
            {name: here[name] for name in cell if name != "spoof"}, abs=1e-12
        )
    mean = np.mean([cell["a_dcf"] for cell in metrics["by_attack"].values()])
    assert metrics["mean_a_dcf_over_attacks"] == pytest.approx(mean)


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_all_layouts_say_the_same(scores, key, tmp_path, name):
    lines = [KEYS[name](*trial[:4]) for trial in reversed(TRIALS)]
    metrics = evaluate_sasv(scores, written(tmp_path / "other" / name, lines))
    same = evaluate_sasv(scores, key)
    assert {**metrics, "set": same["set"], "data": same["data"]} == same


def test_key_with_a_header_knows_no_attacks(scores, key, tmp_path):
    lines = [
        f"{kind}\t{utt}\t{spk}\t{'spoof' if kind == 'spoof' else 'bonafide'}" for spk, utt, kind, *_ in reversed(TRIALS)
    ]
    metrics = evaluate_sasv(scores, written(tmp_path / "key.tsv", lines, "asv-label\tfilename\tspk\tcm-label\n"))
    assert metrics["by_attack"] == {}
    assert tables(metrics) == {}
    names = expected(TRIALS)
    assert figures(metrics, names) == figures(evaluate_sasv(scores, key), names)
    assert "mean" not in format_text(metrics)


def test_scores_of_the_a_dcf_package_have_their_key(scores, key, tmp_path):
    lines = [f"{spk} {utt} {sasv!r} {kind}" for spk, utt, kind, *_, sasv in TRIALS]
    path = written(tmp_path / "a_dcf.txt", lines)
    metrics, tandem = evaluate_sasv(path), evaluate_sasv(scores, key)
    names = ("a_dcf", "a_dcf1", "a_dcf_threshold", "a_dcf1_threshold", "sasv_eer", "sv_eer", "spf_eer")
    assert figures(metrics, names) == figures(tandem, names)
    assert not {"min_tdcf", "t_eer"} & metrics.keys()
    with_attacks = evaluate_sasv(path, key)
    assert with_attacks["by_attack"]["A18"]["a_dcf"] == tandem["by_attack"]["A18"]["a_dcf"]
    lines[0] = lines[0].replace("target", "nontarget")
    with pytest.raises(InputError, match=r"a_dcf.txt:1: 'E_0002 u1' is nontarget .*, but target in .*trials"):
        evaluate_sasv(written(path, lines), key)


@pytest.mark.parametrize(
    ("absent", "lacking"),
    [(("cm", "asv"), {"min_tdcf", "t_eer"}), (("asv",), {"t_eer"}), (("cm",), {"min_tdcf", "t_eer"})],
)
def test_a_system_without_cm_or_asv_scores(scores, key, tmp_path, absent, lacking):
    lines = [
        f"{sasv!r} {'-' if 'asv' in absent else asv} {'-' if 'cm' in absent else cm} {utt} {spk}"
        for spk, utt, _, _, cm, asv, sasv in TRIALS
    ]
    path = written(tmp_path / "single.tsv", lines, "sasv-score asv-score cm-score filename spk\n")
    metrics, whole = evaluate_sasv(path, key), evaluate_sasv(scores, key)
    assert whole.keys() - metrics.keys() >= lacking
    for name in expected(TRIALS).keys() - lacking:
        assert metrics[name] == whole[name]
    assert ("t_eer_convention" in metrics) == ("t_eer" not in lacking)


def test_command_writes_json_text_and_tables(scores, key, tmp_path, capsys):
    out, folder = tmp_path / "out/metrics.json", tmp_path / "my tables"
    run("--scores", scores, "--data", key.parent, "--out", out, "--tables", folder)
    metrics, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert metrics == evaluate_sasv(scores, key.parent)
    assert (metrics["set"], metrics["data"]) == ("eval_track2", key.as_posix())
    assert f"a-DCF {metrics['a_dcf']:.4f}, pooled" in printed
    row = next(line.split() for line in printed.splitlines() if line.startswith("A18"))
    cell = metrics["by_attack"]["A18"]
    assert row[1:] == [
        "3",
        *(f"{cell[name]:.4f}" for name in ("a_dcf", "a_dcf1")),
        *(f"{100 * cell[name]:.3f}" for name in ("sasv_eer", "spf_eer")),
        f"{cell['min_tdcf']:.4f}",
        f"{100 * cell['t_eer']:.3f}",
    ]
    # Which constants, whose ASV rates, which unit: said in the file and on the screen.
    for name, words in (
        ("a_dcf", "target 0.9405, nontarget 0.0095, spoof 0.05"),
        ("a_dcf1", "target 0.9, nontarget 0.05, spoof 0.05"),
        ("sasv_eer", "fractions"),
        ("min_tdcf", "0.460708"),
        ("t_eer", "a fraction here, per cent in the official package"),
    ):
        assert words in metrics[f"{name}_convention"]
        assert words in printed
    assert {path.name for path in folder.glob("*.txt")} == {
        f"{name}_by_attack.txt" for name in ("a_dcf", "a_dcf1", "sasv_eer", "spf_eer", "min_tdcf", "t_eer")
    }
    table = (folder / "a_dcf_by_attack.csv").read_text().splitlines()
    assert table[1:] == [
        f"A17,{metrics['by_attack']['A17']['a_dcf']:.10g}",
        f"A18,{cell['a_dcf']:.10g}",
        f"pooled,{metrics['a_dcf']:.10g}",
        f"mean,{metrics['mean_a_dcf_over_attacks']:.10g}",
    ]


def test_wrong_sign_is_said(key, tmp_path, capsys):
    flipped = [(*trial[:4], trial[4], trial[5], -trial[6]) for trial in TRIALS]
    path = written(tmp_path / "flipped.tsv", tandem(flipped), HEADER)
    run("--scores", path, "--key", key)
    assert "every score negated; scores must be higher for target trials" in capsys.readouterr().err


def without(text):
    return lambda lines: [line for line in lines if text not in line]


def changed(old, new):
    return lambda lines: [line.replace(old, new) for line in lines]


def more(line):
    return lambda lines: [*lines, line]


SCORES, KEY = "my scores.tsv", "trials"
BAD = {
    "missing": (SCORES, without("\tu4\t"), r"trials:6: 1 of the 10 trials have no score in .*scores.tsv \(E_0001 u4\)"),
    "extra": (SCORES, more("E_0001\tu9\t1\t1\t1"), r"scores.tsv:12: 1 scores .*\(E_0001 u9\)"),
    "other speaker": (SCORES, changed("E_0001\tu2", "E_0002\tu2"), r"trials:3: 1 of the 10 .* \(E_0001 u2\)"),
    "twice": (
        SCORES,
        more("E_0001\tu2\t1\t1\t1"),
        r"scores.tsv:12: the trial 'E_0001 u2' is on .*scores.tsv:\d+ too; keep one",
    ),
    "NaN": (SCORES, changed("6.5", "nan"), r"scores.tsv:\d+: score 'nan' of 'E_0002 u1' is not a finite number"),
    "infinite": (SCORES, changed("6.5", "inf"), r"scores.tsv:\d+: score 'inf' of 'E_0002 u1' is not a finite number"),
    "some without CM": (SCORES, more("E_0001\tu9\t-\t1\t1"), r"scores.tsv:12: score '-' of 'E_0001 u9' is not"),
    "no SASV score": (SCORES, changed("6.5", "-"), r"scores.tsv:\d+: score '-' of 'E_0002 u1' is not a finite number"),
    "columns": (SCORES, more("E_0001\tu9\t1\t1"), r"scores.tsv:12: 4 columns, expected 5"),
    "decisions": (
        SCORES,
        lambda lines: ["\t".join([*line.split("\t")[:2], "1", *line.split("\t")[3:]]) for line in lines],
        r"scores.tsv: the scores take only 1 distinct values; .*; a system without CM or ASV scores has '-'",
    ),
    "trial twice": (KEY, more("E_0001 u2 target -"), r"trials:11: the trial 'E_0001 u2' is on .*trials:3 too"),
    "kind": (
        KEY,
        changed("spoof A18", "fake A18"),
        r"trials:8: unknown kind 'fake' of 'E_0002 u6'; known are target, ",
    ),
    "attack": (KEY, changed("spoof A18", "target A18"), r"trials:8: 'A18' and 'target' of 'E_0002 u6' contradict"),
    "no nontarget": (KEY, changed("nontarget", "target"), r"trials: no nontarget trial"),
    "no key": (KEY, lambda lines: ["u1 bonafide"], r"trials:1: not a key of SASV trials; expected"),
    "empty": (KEY, lambda lines: [], r"trials:1: not a key of SASV trials; expected"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(scores, key, case):
    name, edit, message = BAD[case]
    path, header = (scores, HEADER) if name == SCORES else (key, "")
    lines = path.read_text().splitlines()[bool(header) :]
    assert edit(lines) != lines
    written(path, edit(lines), header)
    with pytest.raises(InputError, match=message) as error:
        run("--scores", scores, "--key", key)
    assert "\n" not in str(error.value)


def test_a_number_after_absent_scores_is_named(key, tmp_path):
    path = written(tmp_path / "s.tsv", ["E_0002 u1 - - 1.0", "E_0001 u1 0.5 - 1.0"], HEADER)
    with pytest.raises(InputError, match=r"s.tsv:3: 'E_0001 u1' has a cm-score, but earlier lines have '-'"):
        evaluate_sasv(path, key)


def test_bad_options(scores, key, tmp_path):
    for words, message in (
        (["--scores", scores], r"my scores.tsv: contains no key; give the key of the test set with --data or --key"),
        (["--scores", scores, "--key", key, "--data", tmp_path], "--key and --data both say what the trials are"),
        (["--scores", scores, "--key", tmp_path / "x"], r"x: no such file"),
        (["--scores", scores, "--data", tmp_path], r"trials: no such file"),
        (["--scores", tmp_path / "x", "--key", key], r"x: no such file"),
        (["--scores", key, "--key", key], r"trials:1: not a file of SASV scores; expected the header 'spk filename"),
        (["--scores", scores, "--key", key, "--subset", "eval"], "--subset is not an option of --task sasv"),
    ):
        with pytest.raises(InputError, match=message):
            run(*words)


one_class = st.lists(st.integers(-4, 4), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(one_class, one_class, one_class, st.randoms(use_true_random=False))
def test_line_order_does_not_matter_and_costs_are_the_least(tmp_path_factory, target, nontarget, spoof, order):
    folder = tmp_path_factory.mktemp("sasv")
    classes = zip(KINDS, (target, nontarget, spoof), strict=True)
    lines = [f"s{i % 3} {kind}{i} {score} {kind}" for kind, scores in classes for i, score in enumerate(scores)]
    metrics = evaluate_sasv(written(folder / "a.txt", lines))
    order.shuffle(lines)
    assert evaluate_sasv(written(folder / "a.txt", lines)) == metrics
    assert metrics["a_dcf"] == pytest.approx(least_cost(target, nontarget, spoof, 0.9405, 0.0095, 0.05, 1, 10, 10))
    assert metrics["a_dcf1"] == pytest.approx(least_cost(target, nontarget, spoof, 0.9, 0.05, 0.05, 1, 10, 20))
    assert metrics["sasv_eer"] == eer(target, nontarget + spoof)[0]


# What the ASVspoof 5 package prints (t-EER in per cent; and, by its option --asv_org, another min t-DCF), the a-DCF
# package by its defaults, and the EERs of the pairs, for scores drawn from these seeds: trials of each kind, shift of
# the CM scores of bona fide speech, decimals.
OFFICIAL = {
    4000: {
        "drawn": ((400, 1200, 2000), 2.5, None),
        "a_dcf": 0.30406792717086834,
        "a_dcf1": 0.33101851851851855,
        "a_dcf1_threshold": 4.025823209026903,
        "min_tdcf": 0.41581783861266264,
        "min_tdcf of --asv_org": 0.6119075757405305,
        "t_eer in per cent": 10.90965,
        "sasv_eer": 0.1275,
        "sv_eer": 0.1525,
        "spf_eer": 0.1175,
    },
    4001: {
        "drawn": ((150, 300, 500), 1.0, None),
        "a_dcf": 0.5365546218487396,
        "a_dcf1": 0.4733333333333334,
        "a_dcf1_threshold": 3.580153295568625,
        "min_tdcf": 0.8762004144058984,
        "min_tdcf of --asv_org": 0.932274630198158,
        "t_eer in per cent": 27.820799999999995,
        "sasv_eer": 0.20645833333333333,
        "sv_eer": 0.14,
        "spf_eer": 0.24,
    },
    4002: {
        "drawn": ((300, 300, 600), 2.5, 1),
        "a_dcf": 0.30639215686274507,
        "a_dcf1": 0.31999999999999995,
        "a_dcf1_threshold": 3.9,
        "min_tdcf": 0.4513215793675983,
        "min_tdcf of --asv_org": 0.6521874752697249,
        "t_eer in per cent": 12.890833333333331,
        "sasv_eer": 0.13,
        "sv_eer": 0.14666666666666667,
        "spf_eer": 0.12333333333333334,
    },
}


@pytest.mark.parametrize("seed", OFFICIAL)
def test_files_give_what_the_official_packages_print(seed, tmp_path):
    official = dict(OFFICIAL[seed])
    sizes, shift, decimals = official.pop("drawn")
    rng, trials = np.random.RandomState(seed), []
    for kind, size, asv_mean, cm_mean in zip(KINDS, sizes, (3, 0, 2), (shift, shift, 0), strict=True):
        asv, cm = rng.randn(size) + asv_mean, rng.randn(size) + cm_mean
        if decimals is not None:
            asv, cm = asv.round(decimals), cm.round(decimals)
        attack = "A17" if kind == "spoof" else "-"
        scores = zip(cm.tolist(), asv.tolist(), (asv + cm).tolist(), strict=True)
        trials += [(f"E_{i % 9:04d}", f"{kind}{i}", kind, attack, *values) for i, values in enumerate(scores)]
    key = written(tmp_path / "trials", [KEYS["trials"](*trial[:4]) for trial in trials])
    metrics = evaluate_sasv(written(tmp_path / "scores.tsv", tandem(trials), HEADER), key)

    assert 100 * metrics["t_eer"] == pytest.approx(official.pop("t_eer in per cent"), abs=1e-12)
    assert metrics["min_tdcf"] != pytest.approx(official.pop("min_tdcf of --asv_org"), abs=1e-3)
    assert figures(metrics, official) == pytest.approx(official, abs=1e-12)
    names = metrics["by_attack"]["A17"].keys() - {"spoof"}
    assert figures(metrics["by_attack"]["A17"], names) == figures(metrics, names)
