"""Options of utils/recipe.sh: --seeds, --system, --score_args, several GPUs and nodes.

Most tests use a recipe whose ``spooftrace`` only notes how it was called, so that they see the jobs and take no time;
the last one trains.
"""

from __future__ import annotations

import json
import re
import shlex
import statistics
from pathlib import Path

import pytest
from checkouts import ROOT, calls, checkout, make_recipe, option, run
from helpers.programs import install_shell


@pytest.fixture
def recipe(tmp_path):
    """Return a recipe in a folder with a space."""
    return make_recipe(tmp_path / "a checkout/egs/toy")


def test_each_seed_is_trained_and_scored(recipe):
    options = ["--system", "sls", "--seeds", "1234 4321 7", "--train_args", "--a 1 --b 2", "--score_args", "--c 3"]
    result = run(recipe, *options, "--stage", "4")
    assert result.returncode == 0, result.stderr
    folders = {"1234": "exp/sls_s1234", "4321": "exp/sls_s4321", "7": "exp/sls_s7"}
    trained = calls(recipe, "train")
    assert {option(words, "--seed_everything"): option(words, "--exp") for words in trained} == folders
    assert all(words[-4:] == ["--a", "1", "--b", "2"] for words in trained)
    scored = calls(recipe, "score")
    assert sorted(option(words, "--exp") for words in scored) == sorted(folders.values())
    assert all(words[-2:] == ["--c", "3"] and "--num-jobs" not in words for words in scored)
    assert all("data/eval|data/more/C1" in "|".join(words) for words in scored)
    assert [option(words, "--out") for words in calls(recipe, "evaluate")] == [
        f"{folder}/eval/metrics.json" for folder in sorted(folders.values())
    ]
    assert len(calls(recipe, "report")) == 1
    for folder in folders.values():
        log = (recipe / folder / "train.log").read_text(encoding="utf-8")
        assert "# spooftrace train --config ../../conf/systems/sls.yaml " in log, "with the command"
        assert f" --exp {folder} " in log
        assert (recipe / folder / "score.log").is_file()


def test_systems_and_seeds_are_one_array(recipe):
    result = run(recipe, "--system", "sls,own", "--seeds", "1 2", "--stage", "4", "--stop_stage", "5")
    assert result.returncode == 0, result.stderr
    (folder,) = (recipe / "exp/log").iterdir()
    for step in ("train", "score"):
        experiments = [folder.joinpath(f"{step}.{number}.log").resolve().parent.name for number in range(1, 5)]
        assert experiments == ["sls_s1", "sls_s2", "own_s1", "own_s2"]
    others = run(recipe, "--system", "sls,own", "--seeds", "1 3", "--stage", "4", "--stop_stage", "4")
    assert others.returncode == 0, others.stderr
    assert len(list((recipe / "exp/log").iterdir())) == 2, "the scripts of one run are not those of another"


@pytest.mark.parametrize(("step", "stage"), [("train", "4"), ("score", "5")])
def test_a_failing_seed_is_named_and_loses_no_other(recipe, step, stage):
    result = run(recipe, "--system", "sls", "--seeds", "1 2 3", "--stage", stage, FAIL="sls_s2")
    assert result.returncode == 1
    assert len(calls(recipe, step)) == 3
    message = f"run.sh: failed: exp/sls_s2/{step}.log (the same command again does what is missing)"
    assert result.stderr.splitlines()[-1] == message
    assert "no luck" in (recipe / f"exp/sls_s2/{step}.log").read_text(encoding="utf-8")
    assert "no luck" in result.stderr, "the cause is shown"
    later = [*calls(recipe, "score"), *calls(recipe, "evaluate")] if step == "train" else calls(recipe, "evaluate")
    assert {Path(option(words, "--out" if words[1] == "evaluate" else "--exp")).parts[1] for words in later} == {
        "sls_s1", "sls_s3",
    }  # fmt: skip
    assert len(calls(recipe, "report")) == 1
    again = run(recipe, "--system", "sls", "--seeds", "1 2 3", "--stage", stage)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("seeds", ["1", "1 2"])
def test_nothing_goes_on_when_all_have_failed(recipe, seeds):
    (recipe / "bin/spooftrace").write_text("#!/bin/sh\necho $1 >>calls\nfalse\n", encoding="utf-8")
    result = run(recipe, "--system", "sls", "--seeds", seeds, "--stage", "4")
    assert result.returncode == 1
    assert set((recipe / "calls").read_text(encoding="utf-8").split()) == {"train"}
    logs = " ".join(f"exp/sls_s{seed}/train.log" for seed in seeds.split())
    assert f"run.sh: failed: {logs} " in result.stderr.splitlines()[-1]


def with_launcher(recipe: Path, script: str) -> None:
    """Add a launcher to the recipe, for ``cuda_cmd=launcher``."""
    install_shell(recipe / "bin/launcher", script)


RUN_PY = f'echo $$ >pid; exec {shlex.quote(str(ROOT / "utils/run.py"))} "$@"'


def test_a_launcher_that_is_stopped_stops_the_run(recipe):
    (recipe / "bin/spooftrace").write_text("#!/bin/sh\necho $1 >>calls\nkill -INT $(cat pid)\n", encoding="utf-8")
    with_launcher(recipe, RUN_PY)
    result = run(recipe, "--system", "sls", "--seeds", "1 2", "--stage", "4", cuda_cmd="launcher")
    assert result.returncode == 2, result.stderr
    assert "score" not in (recipe / "calls").read_text(encoding="utf-8")
    assert "stopped by SIGINT" in result.stderr and "run.sh: failed" not in result.stderr


def test_signals_of_a_queue_reach_the_command(recipe):
    """USR1 announces the time limit, and the command exits with code 75."""
    script = """#!/usr/bin/env bash
trap 'exit 75' USR1
touch "ready $$"
[ "$(ls ready* | wc -l)" -lt 2 ] || kill -USR1 $(cat pid)
while :; do sleep 0.05; done
"""
    (recipe / "bin/spooftrace").write_text(script, encoding="utf-8")
    with_launcher(recipe, RUN_PY)
    result = run(recipe, "--system", "sls", "--seeds", "1 2", "--nj", "2", "--stage", "4", cuda_cmd="launcher")
    assert result.returncode == 1
    for seed in (1, 2):
        assert "# Ended (code 75) " in (recipe / f"exp/sls_s{seed}/train.log").read_text(encoding="utf-8")


def test_training_on_several_nodes(recipe):
    with_launcher(recipe, 'echo "$@" >>launched')
    options = ["--system", "sls", "--ngpu", "4", "--stage", "4", "--stop_stage", "5"]
    for more in ([], ["--num_nodes", "2"]):
        result = run(recipe, *options, *more, cmd_backend="slurm", cuda_cmd="launcher")
        assert result.returncode == 0, result.stderr
    train, _, far, scored = (recipe / "launched").read_text(encoding="utf-8").splitlines()
    assert train.startswith("--gpu 4 exp/sls_s1234/train.log spooftrace train ") and "num" not in train
    assert far.startswith("--gpu 4 --num-nodes 2 exp/sls_s1234/train.log spooftrace train ")
    assert " --ngpu 4 --seed_everything 1234 --num-nodes 2" in far
    assert scored.startswith("--gpu 1 JOB=1:4 ")


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ([], "exp/sls_s1234"),
        (["--seed", "5"], "exp/sls_s5"),
        (["--tag", "try"], "exp/sls_try"),
        (["--seeds", "5"], "exp/sls_s5"),
        (["--seeds", "5", "--tag", "try"], "exp/sls_try_s5"),
    ],
)
def test_names_of_experiments(recipe, options, folder):
    result = run(recipe, "--system", "sls", *options, "--stage", "4")
    assert result.returncode == 0, result.stderr
    assert option(calls(recipe, "train")[0], "--exp") == folder
    assert (recipe / folder / "train.log").is_file()
    assert not (recipe / "exp/log").exists(), "one job needs no array"


def test_the_seed_is_the_published_one_unless_given(recipe):
    published = recipe.parents[1] / "conf/systems/nes2net.yaml"
    published.write_text("seed_everything: 42  # the best of three\n")
    (recipe / "conf/own.yaml").write_text("seed_everything: 99\n")
    for options in ([], ["--seed", "5"]):
        result = run(recipe, "--system", "nes2net,sls,own", *options, "--stage", "4", "--stop_stage", "4")
        assert result.returncode == 0, result.stderr
    exps = sorted(option(words, "--exp") for words in calls(recipe, "train"))
    assert exps == [f"exp/{name}" for name in ("nes2net_s42", "nes2net_s5", "own_s5", "own_s99", "sls_s1234", "sls_s5")]


def test_several_gpus(recipe):
    options = ["--system", "sls", "--seeds", "1 2", "--ngpu", "2", "--stage", "4"]
    result = run(recipe, *options, CUDA_VISIBLE_DEVICES="0,1,2,3")
    assert result.returncode == 0, result.stderr
    assert {words[0] for words in calls(recipe, "train")} == {"GPU 0,1", "GPU 2,3"}, "each training has its own"
    scored = [words for words in calls(recipe, "score") if "--collect" not in words]
    assert sorted(words[0] for words in scored) == ["GPU 0", "GPU 1", "GPU 2", "GPU 3"]
    shares = [(option(words, "--exp"), option(words, "--job"), option(words, "--num-jobs")) for words in scored]
    assert sorted(shares) == [(exp, job, "2") for exp in ("exp/sls_s1", "exp/sls_s2") for job in ("1", "2")]
    collected = [words for words in calls(recipe, "score") if "--collect" in words]
    assert sorted(option(words, "--exp") for words in collected) == ["exp/sls_s1", "exp/sls_s2"]
    assert (recipe / "exp/sls_s2/score.2.log").is_file()


@pytest.mark.parametrize(("cores", "threads"), [("1", ["1", "1", "1"]), ("6", ["2", "2", "2"])])
def test_seeds_share_the_cores(recipe, cores, threads):
    one_at_a_time = "mkdir running; sleep 0.1; rmdir running" if cores == "1" else ""
    script = f"#!/usr/bin/env bash\nset -e\necho $OMP_NUM_THREADS >>threads\n{one_at_a_time}\n"
    (recipe / "bin/spooftrace").write_text(script, encoding="utf-8")
    result = run(recipe, "--system", "sls", "--seeds", "1 2 3", "--nj", cores, "--stage", "4", "--stop_stage", "4")
    assert result.returncode == 0, result.stderr
    assert (recipe / "threads").read_text(encoding="utf-8").split() == threads


@pytest.mark.parametrize(
    ("system", "files"),
    [
        ("own", ["conf/own.yaml"]),
        ("sls", ["../../conf/systems/sls.yaml", "conf/sls.yaml"]),
    ],
)
def test_configuration_of_a_system(recipe, system, files):
    (recipe / "conf/sls.yaml").touch()
    result = run(recipe, "--system", system, "--stage", "4", "--stop_stage", "4")
    assert result.returncode == 0, result.stderr
    (words,) = calls(recipe, "train")
    assert [words[i + 1] for i, word in enumerate(words) if word == "--config"] == files


def test_published_results_are_passed_where_there_are_any(recipe):
    assert run(recipe, "--system", "sls", "--stage", "7").returncode == 0
    (recipe / "conf/published.tsv").touch()
    assert run(recipe, "--system", "sls", "--stage", "7").returncode == 0
    assert [option(words, "--published") for words in calls(recipe, "report") if "--published" in words] == [
        "conf/published.tsv"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "1 x"], "option --seeds needs whole numbers, found 'x'"),
        (["--seeds", "1 -2"], "option --seeds needs whole numbers, found '-2'"),
        (["--seeds", "1,2"], "option --seeds needs whole numbers, found '1,2'"),
        (["--seeds", "01 1"], "option --seeds needs whole numbers, found '01'"),
        (["--seeds", "3 1 3"], "option --seeds names 3 twice"),
        (["--seeds", "1 1"], "option --seeds names 1 twice"),
        (["--seeds", " "], "option --seeds names no seed"),
        (["--seed", "1", "--seeds", "1 2"], "give --seed or --seeds, not both"),
        (["--seed", ""], "option --seed needs a whole number, found ''"),
        (["--num_nodes", "two"], "option --num_nodes needs a whole number, found 'two'"),
        (["--num_nodes", "0"], "option --num_nodes needs at least 1"),
        (["--num_nodes", "2", "--system", "sls"], "option --num_nodes needs cmd_backend=slurm"),
        (["--system", "slss"], "no system 'slss' in conf/systems or the recipe's conf: own sls"),
    ],
)
def test_options_that_make_no_sense(recipe, options, message):
    result = run(recipe, *options, "--stage", "4")
    assert result.returncode == 1
    assert f"run.sh: {message}" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (recipe / "exp").exists()


@pytest.mark.slow
def test_three_seeds_of_a_real_system(tmp_path):
    recipe = checkout(tmp_path / "a checkout", "mini")
    options = ["--system", "lfcc_linear", "--seeds", "3 1 2", "--train_args", "--trainer.max_epochs 2", "--nj", "2"]
    result = run(recipe, *options)
    assert result.returncode == 0, result.stderr[-3000:]
    rates = {
        seed: 100 * json.loads((recipe / f"exp/lfcc_linear_s{seed}/eval/metrics.json").read_text())["eer"]
        for seed in (1, 2, 3)
    }
    text = (recipe / "RESULTS.md").read_text(encoding="utf-8")
    row = next(line for line in text.split("## eval\n")[1].splitlines() if re.match(r"\| lfcc_linear +\| EER % ", line))
    best = min(rates, key=rates.get)
    values = [rates[best], statistics.mean(rates.values()), statistics.stdev(rates.values())]
    assert [cell.strip() for cell in row.strip("|").split("|")][2:6] == [
        "3", f"{values[0]:.2f} ({best})", f"{values[1]:.2f}", f"{values[2]:.2f}",
    ]  # fmt: skip
