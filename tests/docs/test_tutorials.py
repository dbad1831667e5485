"""The commands of the documents that are marked as tested run, in order, in a checkout of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.documents import DOCUMENTS, ROOT, apply_edit, name_of, read_blocks

from spooftrace.datadir import DataDir

TESTED = [document for document in DOCUMENTS if any(block.action for block in read_blocks(document))]
SLOW = {"docs/adding/backend.md", "docs/adding/corpus.md", "docs/adding/task.md", "docs/own-data.md"}
SESSION = """
set -euo pipefail
if [ -f "$STATE.env" ]; then . "$STATE.env"; cd "$(cat "$STATE.cwd")"; fi
{code}
export -p > "$STATE.env"
pwd > "$STATE.cwd"
"""


@pytest.fixture
def checkout(tmp_path, speech):
    """A repository whose files can be edited, with small data directories in egs/mini."""
    root = tmp_path / "repository"
    root.mkdir()
    ignored = shutil.ignore_patterns("data", "dump", "exp", "figures", "downloads", "__pycache__", "site")
    for name in ("conf", "docs", "egs", "lib", "utils"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    (root / "tools").symlink_to(ROOT / "tools")
    for name, count, first in (("train", 12, 0), ("dev", 6, 12), ("eval", 6, 18)):
        write_data(root / "egs/mini", name, count, first, speech)
    for name in ("train", "dev", "eval"):
        for label in ("bonafide", "spoof"):
            for index in range(8):  # an audit needs 20 utterances of each class
                speech.write(root / f"my_corpus/{name}/{label}/{index}.wav", label, index)
    return root


def write_data(recipe: Path, name: str, count: int, first: int, speech) -> None:
    """``data/<name>`` of ``count`` utterances: bona fide speech, copies by two codecs, and copies by a vocoder."""
    tables: dict[str, dict[str, str]] = {
        table: {} for table in ("wav.scp", "utt2spk", "utt2label", "utt2codec", "utt2nac", "utt2dur")
    }
    kinds = [
        ("real", "- - -"),
        ("a", "16 2.0 4"),
        ("real", "- - -"),
        ("b", "16 4.0 8"),
        ("-", "- - -"),
        ("a", "16 2.0 4"),
    ]
    for index in range(count):
        codec, nac = kinds[index % len(kinds)]
        label = "bonafide" if codec == "real" else "spoof"
        utt = f"{name}-{index:03d}"
        path = recipe / f"data/audio/{utt}.wav"
        speech.write(path, label, first + index)
        values = (f"data/audio/{utt}.wav", utt, label, codec, nac, "2.0")
        for table, value in zip(tables, values, strict=True):
            tables[table][utt] = value
    DataDir.write(recipe / "data" / name, tables)


@pytest.mark.parametrize(
    "document",
    [pytest.param(path, marks=pytest.mark.slow if name_of(path) in SLOW else (), id=name_of(path)) for path in TESTED],
)
def test_marked_commands_run(document, checkout, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{ROOT / 'tools/venv/bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(checkout / "lib"),
        "STATE": str(tmp_path / "state"),
    }
    for block in read_blocks(document):
        if block.action == "test":
            code = block.code.replace("/tmp/", f"{temporary}/")
            script = SESSION.replace("{code}", code)
            result = subprocess.run(
                ["bash", "-c", script],
                cwd=checkout,
                env=environment,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
            )
            assert result.returncode == 0, f"{name_of(document)}:{block.line}\n{result.stdout}\n{result.stderr}"
        elif block.action:
            apply_edit(block, checkout)
