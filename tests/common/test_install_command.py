"""The command that a message names for a package that is not installed: it works where it is pasted."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from spooftrace.common import install
from spooftrace.common.install import pip_install

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("folder", [ROOT, ROOT / "egs" / "mini", Path(sys.executable).parent, Path("/")])
def test_it_names_this_python_and_the_pinned_versions_from_any_folder(monkeypatch, folder):
    monkeypatch.chdir(folder)
    python, *words, constraints = shlex.split(pip_install("av"))
    assert words == ["-m", "pip", "install", "av", "-c"]
    assert os.sep in python and os.path.normpath(folder / python) == sys.executable  # not where it links to
    assert (folder / constraints).samefile(ROOT / "tools" / "constraints.txt")


def test_blanks_are_quoted_and_an_installed_package_has_no_constraints(monkeypatch, tmp_path):
    folder = tmp_path / "two words"
    folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(install, "CHECKOUT", folder)
    assert shlex.split(pip_install("webrtcvad-wheels"))[-4:] == ["-m", "pip", "install", "webrtcvad-wheels"]
    assert Path(shlex.split(pip_install("webrtcvad-wheels"))[0]).name == "python"
    assert "two words/python'" in pip_install("av")
