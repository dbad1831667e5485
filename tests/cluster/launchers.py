"""Launchers as tests start them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# A command that a queue may interrupt: python3 -c SAVES TASK [warn]. It runs until it is told that its time is over,
# saves its work and, started again, goes on from there. With warn it makes its runner tell it, as a queue would.
SAVES = """\
import os, pathlib, signal, sys, time

saved = pathlib.Path("saved." + sys.argv[1])


def save(signum, frame):
    saved.touch()
    print("saved", flush=True)
    sys.exit(75 if signum == signal.SIGUSR1 else 143)


if saved.exists():
    sys.exit(print("goes on"))
signal.signal(signal.SIGUSR1, save)
signal.signal(signal.SIGTERM, save)
print("on", flush=True)
if "warn" in sys.argv:
    runner = pathlib.Path(f"/proc/{os.getppid()}/stat").read_text().split()[3]
    os.kill(int(runner), signal.SIGUSR1)
time.sleep(1000)
"""


def python_script(name: str) -> list[str]:
    """A launcher of utils/; with -I -S no installed package is visible, as on a machine where nothing is set up yet."""
    return [sys.executable, "-I", "-S", str(REPOSITORY / "utils" / name)]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.05)


class Launcher:
    """A launcher, always started in a folder whose name has a space, with its own additions to the environment."""

    def __init__(self, command: list[str], folder: Path, **env: str) -> None:
        self.command = command
        self.folder = folder
        self.env = env
        self.processes: list[subprocess.Popen] = []
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
        self.processes.append(process)
        return process

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing running that a failed test has started."""
        for process in self.processes:
            process.kill()
            process.wait()

    def tool(self, *words: str) -> str:
        """What one of the queue's own programs prints."""
        env = {**os.environ, **self.env}
        return subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip()

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def started(self, log: str) -> str:
        """The id of the job that writes this log, once its command has printed something."""
        wait_for(lambda: (self.folder / log).exists() and self.output(log))
        return re.search(r"^# Running on .*, job (\d+)_", self.text(log), re.MULTILINE)[1]

    def output(self, log: str) -> str:
        """What the command printed: a log without its comment lines."""
        return "".join(line for line in self.text(log).splitlines(keepends=True) if not line.startswith("#"))


class Scenarios:
    """Tests that wait most of their time, as functions of a launcher: they run side by side and report one by one."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._plays: list[Callable[[Launcher], None]] = []

    def __call__(self, play: Callable[[Launcher], None]) -> Callable[[Launcher], None]:
        self.names.append(play.__name__)
        self._plays.append(play)
        return play

    def run(self, command: list[str], folder: Path, **env: str) -> dict[str, Future]:
        """Name -> how it ended."""

        def run(name: str, play: Callable[[Launcher], None]) -> None:
            with Launcher(command, folder / name, **env) as launcher:
                play(launcher)

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(run, *scenario) for scenario in zip(self.names, self._plays, strict=True)]
            return dict(zip(self.names, futures, strict=True))


def no_environment(launch: Launcher, submit: str) -> None:
    """A scenario: when the job starts, what was there when it was submitted is not."""
    python, script = launch.folder / "python", launch.folder / "submit"
    python.symlink_to(sys.executable)
    script.write_text(f'#!/bin/sh\nrm python\nexec {submit} "$@"\n')
    script.chmod(0o755)
    (launch.folder / "my.conf").write_text("command ./submit\n")
    launch.command = [str(python), *launch.command[1:]]
    done = launch("--config", "my.conf", "x.log", "touch", "ran")
    assert done.returncode == 1 and "job failed: " in done.stderr and "end of" not in done.stderr
    assert f"has no {python}: install the environment where all nodes see it" in done.stderr
    assert not (launch.folder / "ran").exists()


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
