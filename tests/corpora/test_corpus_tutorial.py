"""The module in the tutorial on adding a corpus is enough to add one."""

import re
import sys
import types
from pathlib import Path

import pytest
from helpers.commands import run_command

from spooftrace import corpora
from spooftrace.common.errors import InputError
from spooftrace.corpora import download

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def added(monkeypatch):
    """The module of the tutorial, added as it says."""
    tutorial = (ROOT / "docs/adding/corpus.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", tutorial, re.DOTALL)
    module = types.ModuleType("spooftrace.corpora.mine")
    exec(code[1], module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(corpora.CORPORA, "mine", "my corpus")
    return module


def lay_out(root):
    labels = {"train": "bonafide bonafide spoof spoof", "eval": "bonafide spoof spoof spoof"}
    for name, words in labels.items():
        (root / name / "flac").mkdir(parents=True)
        (root / "protocols").mkdir(exist_ok=True)
        lines = [f"s{index} {name}{index} {label}\n" for index, label in enumerate(words.split())]
        (root / "protocols" / f"{name}.txt").write_text("".join(lines))
        for index in range(4):
            (root / name / "flac" / f"{name}{index}.flac").write_bytes(b"fLaC")


def prepare(root, out, *options):
    run_command("prepare", "mine", "--root", root, "--out", out, *options)


@pytest.mark.parametrize("place", ["", "MyCorpus", "a/b c/MyCorpus"])
def test_the_corpus_of_the_tutorial(added, tmp_path, place):
    lay_out(tmp_path / "corpus" / place)
    prepare(tmp_path / "corpus", tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"train", "eval"}


def test_its_counts_are_checked(added, tmp_path):
    lay_out(tmp_path / "corpus")
    protocol = tmp_path / "corpus/protocols/eval.txt"
    protocol.write_text(protocol.read_text().replace("eval0 bonafide", "eval0 spoof"))
    with pytest.raises(InputError, match=r"not prepared: eval .*0 bonafide instead of 1; 4 spoof instead of 3"):
        prepare(tmp_path / "corpus", tmp_path / "data")


def test_every_corpus_is_in_both_tables():
    assert set(corpora.CORPORA) - {"mini"} == set(download.SOURCES)


def test_every_recipe_takes_its_path_and_command_files_from_egs_common():
    for recipe in ROOT.glob("egs/*/run.sh"):
        for name in ("path.sh", "cmd.sh"):
            lines = recipe.with_name(name).read_text(encoding="utf-8").splitlines()
            assert lines[-1] == f'. "$(dirname "${{BASH_SOURCE[0]}}")/../common/{name}"', recipe
