"""Whole files, what a killed writer leaves behind, and sums of their content."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spooftrace.common.atomic import atomic_write, remove_leftovers
from spooftrace.common.provenance import file_sha256

WRITER = """
import sys
from spooftrace.common.atomic import atomic_write
with atomic_write(sys.argv[1], "wb") as file:
    file.write(b"half")
    file.flush()
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer():
    """Starts a process that is in the middle of writing a file; all are killed at the end."""
    started = []

    def start(path: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", WRITER, str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen) -> None:
    process.kill()
    assert process.wait() == -signal.SIGKILL


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


LONG = "ä" * 120 + ".ckpt"  # 245 bytes of the 255 that a name may have


@pytest.mark.parametrize("name", ["last.ckpt", "an utterance.wav", LONG])
def test_next_write_leaves_nothing_of_killed_ones(tmp_path, writer, name):
    path = tmp_path / name
    path.write_bytes(b"before")
    for _ in range(3):
        kill(writer(path))
    assert len(names(tmp_path)) == 2  # however often it was killed
    assert path.read_bytes() == b"before"
    with atomic_write(path, "wb") as file:
        file.write(b"new")
    assert names(tmp_path) == {name}
    assert path.read_bytes() == b"new"


def test_living_writers_are_left_alone(tmp_path, writer):
    path = tmp_path / "scores.txt"
    living = writer(path)
    before = names(tmp_path)
    with atomic_write(path) as file:
        file.write("new")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == before | {"scores.txt"}
    living.communicate()
    assert path.read_bytes() == b"half"
    assert names(tmp_path) == {"scores.txt"}


def test_threads_and_forked_processes_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "table"

    def write(text: str) -> None:
        with atomic_write(path) as file:
            file.write(text)

    with atomic_write(path) as file:
        file.write("outer")
        for context in (threading.Thread, multiprocessing.get_context("fork").Process):
            other = context(target=write, args=("inner",))
            other.start()
            other.join()
            assert path.read_text(encoding="utf-8") == "inner"
    assert path.read_text(encoding="utf-8") == "outer"
    assert names(tmp_path) == {"table"}


def test_writers_at_the_same_time_never_mix(tmp_path):
    """Each file that appears is one writer's whole text, also where one takes over as another ends."""
    path = tmp_path / "table"
    texts = [str(number) * 20_000 for number in range(4)]
    broken = []

    def write(text: str) -> None:
        for _ in range(30):
            with atomic_write(path) as file:
                file.write(text)
            if path.read_text(encoding="utf-8") not in texts:
                broken.append(text)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    assert names(tmp_path) == {"table"}


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_in_the_way_is_not_written_to(tmp_path, writer, kind):
    path, victim = tmp_path / "a", tmp_path / "victim"
    victim.write_text("untouched", encoding="utf-8")
    kill(writer(path))
    (leftover,) = tmp_path.glob(".a.*.tmp")
    leftover.unlink()
    if kind == "link":
        leftover.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(leftover)
    else:
        leftover.mkdir()
    with atomic_write(path) as file:
        file.write("new")
    assert path.read_text(encoding="utf-8") == "new"
    assert victim.read_text(encoding="utf-8") == "untouched"
    assert names(tmp_path) == {"a", "victim", leftover.name}


def test_leftovers_of_other_machines_are_removed_on_request(tmp_path, writer):
    for name in (".last.ckpt.0123456789ab.tmp", ".epoch000.ckpt.ab12cd34.tmp", ".other.0123456789ab.tmp"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "kept.tmp").touch()
    remove_leftovers(tmp_path, "last.ckpt", "epoch000.ckpt")
    assert names(tmp_path) == {".other.0123456789ab.tmp", "kept.tmp"}
    remove_leftovers(tmp_path)
    assert names(tmp_path) == {"kept.tmp"}
    remove_leftovers(tmp_path / "missing")


def test_error_leaves_nothing(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("half")
        1 / 0  # noqa: B018
    assert names(tmp_path) == set()


@pytest.mark.parametrize("size", [0, 5, (1 << 20) + 1])
def test_sum_needs_nothing_newer_than_python_3_10(tmp_path, monkeypatch, size):
    monkeypatch.delattr(hashlib, "file_digest", raising=False)
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
