"""Recipes accept names of experiments and systems only if they are folder names without a path."""

import subprocess
from pathlib import Path

import pytest

MINI = Path(__file__).resolve().parents[2] / "egs/mini"


def run(*words: str) -> subprocess.CompletedProcess:
    command = ["bash", str(MINI / "run.sh"), "--stage", "7", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=MINI, check=False)


@pytest.mark.parametrize(
    "tag", ["a/b", "../../../x", "/tmp/x", "..", ".hidden", "-x y", "a b", "a\nb", "$(touch x)", "*"]
)
def test_a_tag_is_part_of_the_name_of_a_folder(tag):
    done = run("--tag", tag)
    assert done.returncode == 1
    assert "--tag" in done.stderr and "found" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("system", ["../../egs/mini/conf/lfcc_linear", "../systems/aasist", "/etc/x", "a b", ".."])
def test_a_system_is_the_name_of_a_file(system):
    done = run("--system", system)
    assert done.returncode == 1
    assert "option --system needs names" in done.stderr or "no system" in done.stderr


def test_a_module_is_checked_before_anything_runs():
    done = run("--allow_module", "../evil")
    assert done.returncode == 1
    assert "option --allow_module needs the name of a Python module" in done.stderr
