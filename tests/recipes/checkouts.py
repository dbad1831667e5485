"""Recipes in a checkout of their own, so that tests neither see nor leave results in this one."""

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
TOOLS = ROOT / "tools"  # conftest.py puts another folder here whose spooftrace starts faster


def checkout(folder: Path, *recipes: str) -> Path:
    """A checkout in ``folder`` that shares everything but its recipes with this one; returns the first recipe."""
    (folder / "egs").mkdir(parents=True)
    for source in (ROOT / "conf", ROOT / "lib", TOOLS, ROOT / "utils"):
        (folder / source.name).symlink_to(source)
    made = shutil.ignore_patterns("data", "dump", "exp", "figures", "RESULTS.md", "downloads")
    for recipe in recipes:
        shutil.copytree(ROOT / "egs" / recipe, folder / "egs" / recipe, ignore=made)
    return folder / "egs" / recipes[0]


def run(recipe: Path, *options: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """``./run.sh`` of a recipe, with the environment variables of its db.sh."""
    return subprocess.run(
        [str(recipe / "run.sh"), *options],
        cwd=cwd or recipe,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def override(recipe: Path, name: str, *changes: Mapping[str, Any]) -> None:
    """Lay changes over the recipe's own overrides of a system, ``conf/<name>.yaml``; later ones win."""
    path = recipe / f"conf/{name}.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    for change in changes:
        config = merge(config, change)
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
