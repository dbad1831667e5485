"""Where a result comes from: the commit and the versions that made it, the content of files."""

from __future__ import annotations

import platform
import subprocess
from hashlib import sha256
from importlib import metadata
from pathlib import Path

PACKAGES = ("spooftrace", "torch", "lightning", "transformers", "numpy", "scipy", "soundfile")
BLOCK = 1 << 20  # bytes


def git_commit() -> str:
    """Commit of the checkout that this package runs from, ``+changes`` when tracked files differ, or ``unknown``."""
    folder = Path(__file__).resolve().parent
    try:
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed else "")


def versions() -> dict[str, str]:
    """Python, the operating system and the packages that decide the numbers."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal, as ``sha256sum`` prints it; the file may exceed the memory."""
    digest = sha256()  # hashlib.file_digest needs Python 3.11
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
