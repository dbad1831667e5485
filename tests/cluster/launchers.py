"""Launchers as tests start them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def python_script(name: str) -> list[str]:
    """A launcher of utils/; with -I -S no installed package is visible, as on a machine where nothing is set up yet."""
    return [sys.executable, "-I", "-S", str(REPOSITORY / "utils" / name)]


class Launcher:
    """A launcher, always started in a folder whose name has a space, with its own additions to the environment."""

    def __init__(self, command: list[str], folder: Path, **env: str) -> None:
        self.command = command
        self.folder = folder
        self.env = env
        self.started: list[subprocess.Popen] = []
        folder.mkdir()

    def __call__(self, *words: str, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env={**os.environ, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=180,
        )

    def start(self, *words: str, **options) -> subprocess.Popen:
        process = subprocess.Popen(
            [*self.command, *words],
            cwd=self.folder,
            env={**os.environ, **self.env},
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Leave nothing running that a failed test has started."""
        for process in self.started:
            process.kill()
            process.wait()

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def output(self, log: str) -> str:
        """What the command printed: a log without its comment lines."""
        return "".join(line for line in self.text(log).splitlines(keepends=True) if not line.startswith("#"))


class Fifo:
    """Every process of a task holds it open, so it ends when the last of them is gone."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.ready = 0

    def _ended(self) -> bool:
        try:
            read = os.read(self.reader, 4096)
        except BlockingIOError:
            return False
        self.ready += read.count(b"ready")
        return read == b""

    def wait_until_ready(self, tasks: int) -> None:
        deadline = time.monotonic() + 60
        while self.ready < tasks:
            self._ended()
            assert time.monotonic() < deadline, "the tasks did not start"
            time.sleep(0.01)

    def wait_until_gone(self) -> None:
        deadline = time.monotonic() + 30
        while not self._ended():
            assert time.monotonic() < deadline, "a process of a task is still alive"
            time.sleep(0.01)
