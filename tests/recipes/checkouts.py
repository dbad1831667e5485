"""Recipes in a separate checkout, to keep the results of tests out of this one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from spooftrace.config.loading import merge

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"  # conftest.py replaces it by a folder whose spooftrace starts faster

RUN = """#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ../../utils/recipe.sh
start
if runs 3; then extract_streams train; fi
if runs 4; then
  array train spooftrace train CONFIG --dump DUMP --train data/train --dev data/dev --exp EXP \\
    START "${train_options[@]}"
fi
if runs 5; then
  array score spooftrace score --exp EXP --dump DUMP --data data/eval data/more/C1 "${score_options[@]}"
fi
if runs 6; then
  exps=$(trained)
  for exp in $exps; do evaluate "$exp" scores.txt metrics.json eval; done
fi
if runs 7; then spooftrace report --exp exp --title "Title" "${report_options[@]}"; fi
"""
# Fails if the name of the experiment is in $FAIL, after a delay in which the others start.
SPOOFTRACE = """#!/usr/bin/env bash
printf -v line '%s|' "GPU ${CUDA_VISIBLE_DEVICES-all}" "$@"
echo "$line" >>calls  # in one go, for others write at the same time
case " $* " in *" --exp exp/${FAIL:-none} "*) echo "no luck"; exit 1 ;; esac
"""


def checkout(folder: Path, *recipes: str) -> Path:
    """Make a checkout in ``folder`` that shares all but its recipes with this one; return its first recipe."""
    (folder / "egs").mkdir(parents=True)
    for source in (ROOT / "conf", ROOT / "lib", TOOLS, ROOT / "utils"):
        (folder / source.name).symlink_to(source)
    made = shutil.ignore_patterns("data", "dump", "exp", "figures", "RESULTS.md", "downloads")
    for recipe in ("common", *recipes):
        shutil.copytree(ROOT / "egs" / recipe, folder / "egs" / recipe, ignore=made)
    return folder / "egs" / recipes[0]


def run(recipe: Path, *options: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``./run.sh`` of a recipe, with the environment variables of its db.sh."""
    return subprocess.run(
        [str(recipe / "run.sh"), *options],
        cwd=cwd or recipe,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def override(recipe: Path, name: str, *changes: Mapping[str, Any]) -> None:
    """Merge changes into the recipe's overrides of a system, ``conf/<name>.yaml``; later ones take precedence."""
    path = recipe / f"conf/{name}.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    for change in changes:
        config = merge(config, change)
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


def make_recipe(folder: Path, spooftrace: str = SPOOFTRACE) -> Path:
    """Make a recipe with two systems in ``folder`` below egs/ of a checkout; one system is specific to the recipe."""
    files = {
        "run.sh": RUN,
        "path.sh": 'export PATH="$PWD/bin:$PWD/../../utils:$PATH"\n',
        "cmd.sh": "cmd_backend=${cmd_backend:-local}\ntrain_cmd=run.py\ncuda_cmd=${cuda_cmd:-run.py}\n",
        "db.sh": "",
        "bin/spooftrace": spooftrace,
        "conf/own.yaml": "",
        **{f"data/{name}/utt2spk": "" for name in ("train", "dev", "eval", "more/C1")},
        "../../conf/systems/sls.yaml": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("run.sh", "bin/spooftrace"):
        (folder / name).chmod(0o755)
    utils = folder.parents[1] / "utils"
    if not utils.exists():
        utils.symlink_to(ROOT / "utils")
    return folder


def calls(recipe: Path, command: str) -> list[list[str]]:
    """Return the words of each call of ``spooftrace command``, sorted; the first word is the visible GPUs."""
    lines = (recipe / "calls").read_text(encoding="utf-8").splitlines()
    words = [line.removesuffix("|").split("|") for line in lines]
    return sorted(line for line in words if line[1] == command)


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]
