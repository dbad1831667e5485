"""utils/parse_options.sh: what a script's variables and "$@" are after it, or how it ends the script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PARSE_OPTIONS = Path(__file__).resolve().parents[2] / "utils" / "parse_options.sh"

SCRIPT = f"""\
#!/usr/bin/env bash
# Train one system.
#
# Usage: ./run.sh [options] CORPUS
#   --stage N    where to start
set -euo pipefail
# not part of the help
stage=0
resume=true
train_args=
tag_name='first try'
. "{PARSE_OPTIONS}" || exit 3
printf '%s|' "$stage" "$resume" "$train_args" "$tag_name"
printf '<%s>' "$@"
"""


@pytest.fixture
def run(tmp_path):
    script = tmp_path / "a recipe" / "run.sh"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    script.chmod(0o755)

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([script, *words], cwd=script.parent, capture_output=True, text=True)

    run.folder = script.parent
    return run


ACCEPTED = {
    "defaults": ([], "0|true||first try|<>"),
    "a value": (["--stage", "3"], "3|true||first try|<>"),
    "dash in the name": (["--tag-name", "b"], "0|true||b|<>"),
    "underscore in the name": (["--tag_name", "b"], "0|true||b|<>"),
    "spaces": (["--tag-name", " a  b "], "0|true|| a  b |<>"),
    "quotes": (["--tag-name", """it's "so" """], """0|true||it's "so" |<>"""),
    "dollar, backslash, percent, star": (["--tag-name", r"$HOME \n %s `id` *"], r"0|true||$HOME \n %s `id` *|<>"),
    "new line": (["--tag-name", "a\nb"], "0|true||a\nb|<>"),
    "empty value": (["--tag-name", ""], "0|true|||<>"),
    "value that is an option of another program": (["--train-args", "--lr 1"], "0|true|--lr 1|first try|<>"),
    "value with an equals sign": (["--train-args", "--lr=1"], "0|true|--lr=1|first try|<>"),
    "negative number": (["--stage", "-1"], "-1|true||first try|<>"),
    "boolean": (["--resume", "false"], "0|false||first try|<>"),
    "the last one wins": (["--stage", "1", "--stage", "2"], "2|true||first try|<>"),
    "positional only": (["corpus a", ""], "0|true||first try|<corpus a><>"),
    "stops at the first positional": (["--stage", "1", "x", "--stage", "2"], "1|true||first try|<x><--stage><2>"),
    "single dash is positional": (["-x", "--stage", "2"], "0|true||first try|<-x><--stage><2>"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(run, case):
    words, expected = ACCEPTED[case]
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


REFUSED = {
    "unknown option": (["--stages", "3"], "unknown option --stages; see run.sh --help"),
    "not a variable name": (["--a.b", "3"], "unknown option --a.b"),
    "two dashes only": (["--", "3"], "unknown option --;"),
    "equals sign": (["--stage=3"], "write '--stage 3', not '--stage=3'"),
    "no value at the end": (["--tag-name", "a", "--stage"], "option --stage needs a value"),
    "an option for a value": (
        ["--tag-name", "--stage", "4"],
        "option --tag-name needs a value, found the option --stage",
    ),
    "help for a value": (["--tag-name", "--help"], "option --tag-name needs a value, found the option --help"),
    "boolean": (["--resume", "yes"], "option --resume needs true or false, found 'yes'"),
    "empty boolean": (["--resume", ""], "option --resume needs true or false, found ''"),
    "missing config": (["--config", "no/such"], "--config: cannot read the file 'no/such'"),
    "a folder as config": (["--config", "."], "--config: cannot read the file '.'"),
    "config without a value": (["--config"], "option --config needs a value"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(run, case):
    words, message = REFUSED[case]
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"run.sh: {message}") and done.stderr.count("\n") == 1


def test_config_comes_before_all_other_options(run):
    (run.folder / "my conf").write_text('stage=5\ntag_name="from the config"  # it\'s a comment\n')
    done = run("--stage", "7", "--config", "my conf", "--train-args", "a", "corpus")
    assert (done.returncode, done.stdout) == (0, "7|true|a|from the config|<corpus>")


def test_config_after_the_first_positional_is_left_alone(run):
    (run.folder / "conf").write_text("stage=5\n")
    assert run("corpus", "--config", "conf").stdout == "0|true||first try|<corpus><--config><conf>"


def test_config_is_not_searched_along_path(run):
    (run.folder / "ls").write_text("stage=5\n")
    assert run("--config", "ls").stdout == "5|true||first try|<>"


HELP = "Train one system.\n\nUsage: ./run.sh [options] CORPUS\n  --stage N    where to start\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--stage", "2", "--help"]])
def test_help_is_the_header_comment(run, words):
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, HELP, "")


def test_help_of_a_script_that_changed_to_its_own_directory(tmp_path):
    (tmp_path / "egs").mkdir()
    (tmp_path / "egs" / "run.sh").write_text(SCRIPT.replace("stage=0", 'cd "$(dirname "$0")"\nstage=0'))
    done = subprocess.run(["bash", "egs/run.sh", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, HELP)


def test_leaves_no_names_behind(tmp_path):
    script = tmp_path / "run.sh"
    script.write_text(f'stage=0\n. "{PARSE_OPTIONS}"\ncompgen -v _opt || true\ncompgen -A function _opt || true\n')
    assert subprocess.run(["bash", script, "--stage", "1"], capture_output=True, text=True).stdout == ""
