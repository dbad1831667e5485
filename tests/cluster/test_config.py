"""Configuration files of slurm.py and sge.py, and what these say when a cluster cannot be used."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.launchers import REPOSITORY, Launcher, python_script
from spooftrace.jobs import contract, node
from spooftrace.jobs.config import read_config

CONF = """\
# A comment with an apostrophe doesn't matter.
command qsub -v PATH -l 'arch=*64*' # nor does one here
option mem=* -l mem_free=$0,ram_free=$0
option mem=0          # nothing
option num_threads=1
option num_threads=* -pe smp $0
option gpu=0
option gpu=* -l gpu=$0 -q "gpu queue"
option comment=* -ac note=$0
option fast=*
default gpu=0
default num-threads=2
"""

WORDS = {
    "defaults": ([], ["-pe", "smp", "2"]),
    "template": (["--mem", "4G"], ["-pe", "smp", "2", "-l", "mem_free=4G,ram_free=4G"]),
    "exact value goes first": (["--mem", "0", "--num-threads", "1"], []),
    "quoted text": (["--gpu", "2"], ["-l", "gpu=2", "-q", "gpu queue", "-pe", "smp", "2"]),
    "an option of the file": (["--comment", "a b $0"], ["-pe", "smp", "2", "-ac", "note=a b $0"]),
    "an option without text": (["--fast", "yes"], ["-pe", "smp", "2"]),
    "options for the launcher only": (["--retry", "1", "-tc", "3", "--pick", "failed"], ["-pe", "smp", "2"]),
}


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "my.conf"
    path.write_text(CONF)
    return path


def job_of(words: list[str]) -> contract.Job:
    return contract.parse([*words, "x.log", "true"], "sge.py", configurable=True)


@pytest.mark.parametrize("case", WORDS)
def test_options_become_words(conf, case):
    options, words = WORDS[case]
    config = read_config(conf)
    assert config.command == ["qsub", "-v", "PATH", "-l", "arch=*64*"]
    assert config.words(job_of(options)) == words


@given(value=st.text(min_size=1).filter(lambda text: not text.startswith("-") and not text.endswith(".log")))
def test_values_stay_one_word(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "values.conf"
    path.write_text("command sbatch\noption note=* --comment=$0\n")
    job = contract.Job("x.log", ("true",), more={"note": value})
    assert read_config(path).words(job) == [f"--comment={value}"]


UNKNOWN = {
    "unknown": (["--foo-bar", "1"], "unknown option --foo-bar; the options are --max-jobs-run"),
    "known to the file": (["--foo-bar", "1"], "-tc --comment --fast (the last ones from "),
    "no line for it": (["--time", "1:00:00"], "--time 1:00:00: "),
    "what to add": (["--time", "1:00:00"], "does not say what it means; add a line 'option time=* ...'"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_option_without_a_line(conf, case):
    options, message = UNKNOWN[case]
    with pytest.raises(contract.LauncherExit) as caught:
        read_config(conf).words(job_of(options))
    assert message in str(caught.value) and "\n" not in str(caught.value)


BAD_FILES = {
    "nothing": ("", "my.conf: no line 'command ...'"),
    "empty command": ("command # sbatch", "my.conf:1: 'command' needs the submit command"),
    "unknown word": ("command qsub\n\noptoin mem=* -l", "my.conf:3: 'optoin mem=* -l' is none of: command TEXT"),
    "word alone": ("command qsub\noption", "my.conf:2: 'option' is none of"),
    "no value": ("command qsub\noption mem -l mem=$0", "my.conf:2: 'option mem -l mem=$0' is none of"),
    "default with text": ("command qsub\ndefault gpu=0 -q c", "my.conf:2: 'default gpu=0' is followed by '-q c'"),
    "default of nothing": ("command qsub\ndefault gpu=0", "my.conf: 'default gpu=...' without a line 'option gpu=...'"),
    "default no number": ("command qsub\noption gpu=*\ndefault gpu=all", "my.conf:3: gpu needs a whole number"),
    "open quote": ("command qsub\noption mem=* 'a", "my.conf:2: no closing quotation in 'a"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file(tmp_path, case):
    text, message = BAD_FILES[case]
    path = tmp_path / "my.conf"
    path.write_text(text)
    with pytest.raises(contract.LauncherExit) as caught:
        read_config(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.status == 255


@pytest.mark.parametrize("content", [None, b"command \xff\xfe"])
def test_unreadable_file(tmp_path, content):
    path = tmp_path / "my.conf"
    if content:
        path.write_bytes(content)
    with pytest.raises(contract.LauncherExit, match=r"cannot read .*my\.conf: .*; name another with --config"):
        read_config(path)


@pytest.mark.parametrize("name", ["slurm", "sge"])
def test_files_of_the_repository(name):
    config = read_config(REPOSITORY / "conf" / "cluster" / f"{name}.conf")
    options = ["--mem", "4G", "--time", "1:00:00", "--num-threads", "2", "--gpu", "1", "--max-jobs-run", "3"]
    assert config.words(job_of(options)) and config.words(job_of([])) == []
    with pytest.raises(contract.LauncherExit, match="unknown option --partitoin"):
        config.words(job_of(["--partitoin", "gpu"]))


# ---- the command line, where there is no cluster ----


@pytest.fixture(params=["slurm.py", "sge.py"])
def alone(request, tmp_path):
    """A launcher on a machine with no queue's programs."""
    (tmp_path / "bin").mkdir()
    return Launcher(python_script(request.param), tmp_path / "work here", PATH=str(tmp_path / "bin"))


def test_no_submit_command(alone):
    done = alone("x.log", "true")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert "not found: use a machine that can submit jobs, or cmd_backend=local in cmd.sh" in done.stderr
    assert list(alone.folder.iterdir()) == []


def test_missing_configuration(alone):
    done = alone("--config", "conf/none.conf", "x.log", "true")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert "cannot read conf/none.conf: No such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--nonsense", "unknown option --nonsense; the options are --max-jobs-run "),
        ("--config", "my.conf:2: 'optoin mem=* -l' is none of: command TEXT, "),
    ],
)
def test_wrong_option_or_file(alone, option, message):
    (alone.folder / "my.conf").write_text(BAD_FILES["unknown word"][0].replace("\n\n", "\n"))
    done = alone(option, "my.conf", "x.log", "true")
    assert done.returncode == 255 and done.stderr.count("\n") == 1 and message in done.stderr
    assert [path.name for path in alone.folder.iterdir()] == ["my.conf"]


# ---- nodes that are not as they should be ----


def run_script(tmp_path: Path, text: str) -> subprocess.CompletedProcess:
    path = tmp_path / "job.sh"
    path.write_text(text)
    return subprocess.run(
        ["bash", str(path)], cwd=tmp_path, env={**os.environ, "INDEX": "5"}, capture_output=True, text=True
    )


@pytest.fixture
def script(tmp_path, monkeypatch):
    (tmp_path / "it's here").mkdir()
    monkeypatch.chdir(tmp_path / "it's here")
    monkeypatch.setenv("PWD", str(tmp_path / "it's here"))
    job = contract.Job("x.JOB.log", ("echo", "a  $b 'c'", "JOB"), "JOB", 3, 9)
    return node.script(job, "slurm.py", [3, 9], "INDEX - 4", {"num_threads": "2"})


def test_script(tmp_path, script):
    done = run_script(tmp_path, script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "\na  $b 'c' 9\n" in (tmp_path / "it's here" / "x.9.log").read_text()


def test_node_without_the_folder(tmp_path, script):
    (tmp_path / "it's here").rmdir()
    done = run_script(tmp_path, script)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"has no folder {tmp_path}/it's here: jobs need a file system that all nodes share" in done.stderr


def test_node_without_the_environment(tmp_path, script):
    line = next(line for line in script.splitlines() if line.startswith("python="))
    done = run_script(tmp_path, script.replace(line, "python=" + shlex.quote("/no/venv/bin/python")))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "has no /no/venv/bin/python: install the environment where all nodes see it" in done.stderr
