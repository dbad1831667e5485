"""utils/sweep.sh: recipes x systems x seeds, with one array job for all trainings and one for all scorings.

``spooftrace`` computes nothing here, but it leaves files and does no work twice.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from checkouts import calls, make_recipe, option

# Notes how it was called, unless that is done; scores need a model, figures scores. Fails where $FAIL matches a part
# of the call.
SPOOFTRACE = """#!/usr/bin/env bash
set -e
note() { printf -v line '%s|' "GPU ${CUDA_VISIBLE_DEVICES-all}" "$@"; echo "$line" >>calls; }
case "$PWD $* " in *${FAIL:-nothing of this}*) echo "no luck"; exit 1 ;; esac
words=("$@") job=1
for i in "${!words[@]}"; do
  case ${words[i]} in --exp) exp=${words[i+1]} ;; --scores) scores=${words[i+1]} ;; --job) job=${words[i+1]} ;; esac
done
case $1 in
  train) [ -f "$exp/model" ] || { note "$@"; touch "$exp/model"; } ;;
  score)
    [ -f "$exp/model" ]
    case " $* " in
      *" --collect "*) note "$@"; ls "$exp"/part.[12] >/dev/null ;;
      *) [ -f "$exp/part.$job" ] || { note "$@"; touch "$exp/part.$job"; } ;;
    esac
    mkdir -p "$exp/eval"; touch "$exp/eval/scores.txt" ;;
  evaluate) note "$@"; [ -f "$scores" ] ;;
  *) note "$@" ;;
esac
"""
SYSTEMS = ["--system", "sls,own", "--seeds", "1 2"]
SLS = ["exp/sls_s1", "exp/sls_s2"]
EXPS = ["exp/own_s1", "exp/own_s2", *SLS]


@pytest.fixture
def egs(tmp_path):
    """Return the recipes of a checkout in a folder with a space."""
    egs = tmp_path / "a checkout/egs"
    for name in ("one", "two"):
        (make_recipe(egs / name, SPOOFTRACE) / "calls").touch()
    return egs


def sweep(egs: Path, *options: str, recipes: str = "one two", **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(egs / "../utils/sweep.sh"), "--recipes", recipes, *options]
    return subprocess.run(command, cwd="/", env={**os.environ, **variables}, capture_output=True, text=True)


def done(egs: Path, command: str) -> dict[str, list[str]]:
    """Return the experiments that ``spooftrace command`` processed, by recipe."""
    wanted = "--out" if command == "evaluate" else "--exp"
    found = {name: [option(words, wanted) for words in calls(egs / name, command)] for name in ("one", "two")}
    return {name: sorted(path.removesuffix("/eval/metrics.json") for path in paths) for name, paths in found.items()}


def test_all_trainings_are_one_array_and_all_scorings_another(egs):
    result = sweep(egs, *SYSTEMS, "--train_args", "--a 'b  c'", "--nj", "2")
    assert result.returncode == 0, result.stderr
    for command in ("train", "score", "evaluate"):
        assert done(egs, command) == {"one": EXPS, "two": EXPS}, command
    assert all(len(calls(egs / name, "report")) == 1 for name in ("one", "two"))
    (folder,) = (egs / "one/exp/log").iterdir()
    assert (egs / "two/exp/log" / folder.name).resolve() == folder, "where the second recipe finds its logs"
    for step in ("train", "score"):
        logs = [folder.joinpath(f"{step}.{number}.log") for number in range(1, 9)]
        assert [log.resolve() for log in logs] == [
            egs / name / "exp" / exp / f"{step}.log"
            for name in ("one", "two")
            for exp in ("sls_s1", "sls_s2", "own_s1", "own_s2")
        ]
        assert f"# spooftrace {step} " in logs[7].read_text(encoding="utf-8")
    assert result.stderr.index("stage 4: train own in exp/own_s2") < result.stderr.index("stage 5")


@pytest.mark.parametrize(
    ("fail", "going_on", "message"),
    [
        ("one train *sls_s2", 1, "failed: egs/one/exp/sls_s2/train.log (the same command again does what is missing)"),
        ("one score *sls_s2", 1, "failed: egs/one/exp/sls_s2/score.log (the same command again does what is missing)"),
        ("one train ", 0, "ended before the last stage: one"),
        ("one extract ", 0, "ended before the last stage: one"),
        ("one report ", 2, "ended before the last stage: one"),
    ],
    ids=["a training", "a scoring", "all trainings of a recipe", "the streams of a recipe", "a report"],
)
def test_what_fails_is_named_and_stops_nothing_else(egs, fail, going_on, message):
    options = ["--system", "sls", "--seeds", "1 2"]
    result = sweep(egs, *options, FAIL=fail)
    assert result.returncode == 1, result.stderr
    assert f"sweep.sh: {message}" in result.stderr.splitlines()
    assert done(egs, "evaluate") == {"one": SLS[:going_on], "two": SLS}
    assert len(calls(egs / "two", "report")) == 1
    if going_on != 1:
        return
    trained, scored = done(egs, "train"), done(egs, "score")
    again = sweep(egs, *options)
    assert again.returncode == 0, again.stderr
    missing = {"one": SLS[1:], "two": []}
    assert done(egs, "train") == {name: sorted({*trained[name], *missing[name]}) for name in trained}
    assert done(egs, "score") == {name: sorted([*scored[name], *missing[name]]) for name in scored}
    assert set(done(egs, "evaluate")["one"]) == set(SLS)


def test_single_stages(egs):
    assert sweep(egs, *SYSTEMS, "--stage", "4", "--stop_stage", "4").returncode == 0
    assert done(egs, "train") == {"one": EXPS, "two": EXPS}
    for command in ("extract", "score", "evaluate", "report"):
        assert not [*calls(egs / "one", command), *calls(egs / "two", command)], command


def test_parts_of_scorings_are_joined(egs):
    options = ["--system", "sls", "--stage", "4", "--stop-stage", "6", "--ngpu", "2"]
    result = sweep(egs, *options, CUDA_VISIBLE_DEVICES="0,1,2,3")
    assert result.returncode == 0, result.stderr
    for name in ("one", "two"):
        scored = calls(egs / name, "score")
        assert sorted(option(words, "--job") for words in scored if "--job" in words) == ["1", "2"]
        assert len([words for words in scored if "--collect" in words]) == 1
        assert len(calls(egs / name, "evaluate")) == 1


def test_a_system_that_starts_from_another_is_trained_after_it(egs):
    script = (egs / "one/run.sh").read_text(encoding="utf-8").replace("start\n", "start --start-from sls=own\n", 1)
    (egs / "one/run.sh").write_text(script, encoding="utf-8")
    result = sweep(egs, *SYSTEMS, "--stage", "4", "--stop_stage", "5")
    assert result.returncode == 0, result.stderr
    assert done(egs, "score") == {"one": EXPS, "two": EXPS}
    started = [words for words in calls(egs / "one", "train") if "--trainer.start_from" in words]
    assert [option(words, "--trainer.start_from") for words in started] == ["exp/own_s1", "exp/own_s2"]
    arrays = {step: len(list((egs / "one/exp/log").glob(f"*/{step}.*.log"))) for step in ("train", "tune", "score")}
    assert arrays == {"train": 6, "tune": 2, "score": 8}


@pytest.mark.parametrize(
    ("recipes", "options", "message"),
    [
        ("", [], "sweep.sh: option --recipes names no recipe"),
        ("one three", [], "sweep.sh: no recipe 'three' in egs: one two"),
        ("egs/one", [], "sweep.sh: no recipe 'egs/one' in egs: one two"),
        ("one one", [], "sweep.sh: option --recipes names one twice"),
        ("one", ["sls"], "sweep.sh: options have the form --name VALUE, found 'sls'"),
        ("one", ["--seeds"], "sweep.sh: options have the form --name VALUE, found '--seeds'"),
        ("one two", ["--system", "sls", "--sede", "1"], "run.sh: unknown option --sede; see run.sh --help"),
        (
            "one two",
            ["--system", "sls", "--stage", "four"],
            "run.sh: option --stage needs a whole number, found 'four'",
        ),
        (
            "one two",
            ["--system", "two_own"],
            "run.sh: no system 'two_own' in conf/systems or the recipe's conf: own sls",
        ),
    ],
)
def test_nothing_begins_when_a_recipe_cannot(egs, recipes, options, message):
    (egs / "two/conf/two_own.yaml").touch()
    result = sweep(egs, *options, recipes=recipes)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.removesuffix(" (try --help)") == message
    assert not any(path.read_text(encoding="utf-8") for path in egs.glob("*/calls"))


def test_help(egs):
    result = sweep(egs, "--help", PATH="/usr/bin:/bin")
    assert result.returncode == 0 and "Usage: utils/sweep.sh --recipes" in result.stdout


@pytest.mark.parametrize("command", ["extract", "train"])
def test_an_interrupt_ends_the_sweep(egs, command):
    """Ctrl-C reaches every process and ends the whole sweep, not only the stage of a recipe."""
    stop = (
        f'[ $1 != {command} ] || {{ echo >>"{egs}/stopped"; kill -INT -- -$(cat "{egs}/group"); sleep 5; }}\nset -e\n'
    )
    for name in ("one", "two"):
        script = (egs / name / "bin/spooftrace").read_text(encoding="utf-8").replace("set -e\n", stop)
        (egs / name / "bin/spooftrace").write_text(script, encoding="utf-8")
    script = 'echo $$ >"$1/group"; exec "$1/../utils/sweep.sh" --recipes "one two" --system sls --nj 1'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", str(egs)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in (2, 130), stderr
    assert (egs / "stopped").read_text(encoding="utf-8") == "\n", "nothing was begun after it"
    assert done(egs, "train") == {"one": [], "two": []}
