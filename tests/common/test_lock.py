"""One training at a time in a folder; a lock that dies with its holder."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys

import pytest

from spooftrace.cli.main import main
from spooftrace.common import lock
from spooftrace.common.errors import InputError
from spooftrace.common.lock import hold, holder

# Holds the lock; a process that it has forked outlives it by a while, as readers of batches do.
HOLDER = """
import os, sys, time
from pathlib import Path
from spooftrace.common.lock import hold
with hold(Path(sys.argv[1]), "training"):
    if os.fork():
        print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """A lock in a folder with a space, and the process that holds it."""
    path = tmp_path / "exp 1/.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "held\n"
    yield path, process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_the_second_is_told_who_the_first_is(held):
    path, process = held
    who = f"process {process.pid} on {socket.gethostname()}"
    with pytest.raises(InputError) as error, hold(path, "training"):
        pass
    assert str(error.value) == f"{path.parent}: {who} is training there; wait for it or stop it"
    assert holder(path) == who


def test_a_killed_holder_leaves_nothing_to_clean_up(held):
    path, process = held
    process.kill()
    process.wait()
    os.killpg(process.pid, 0)  # what it has forked goes on
    assert holder(path) is None
    with hold(path, "training"):
        assert path.read_text(encoding="utf-8") == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_asking_who_holds_it_keeps_nobody_out(tmp_path):
    path = tmp_path / ".lock"
    path.touch()
    ask = "import fcntl, time; f = open('.lock'); fcntl.lockf(f, fcntl.LOCK_SH); print(1, flush=True); time.sleep(0.2)"
    process = subprocess.Popen([sys.executable, "-c", ask], stdout=subprocess.PIPE, cwd=tmp_path)
    with process.stdout:
        process.stdout.readline()
        with hold(path, "training"):
            pass
    process.wait()


@pytest.mark.parametrize("rank", [{"LOCAL_RANK": "1"}, {"RANK": "2", "LOCAL_RANK": "0"}])
def test_only_the_first_of_several_processes_takes_it(held, monkeypatch, rank):
    for name, value in rank.items():
        monkeypatch.setenv(name, value)
    with hold(held[0], "training"):
        pass
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError), hold(held[0], "training"):
        pass


def test_without_locks_it_goes_on_and_says_so(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with hold(tmp_path / ".lock", "training"):
        pass
    assert "its file system has no locks (No locks available): take care" in capsys.readouterr().err
    assert holder(tmp_path / ".lock") is None


def test_no_lock_file_is_nobody(tmp_path):
    assert holder(tmp_path / "none") is None


def test_a_second_training_is_refused(held, make_data, write_config, capsys, monkeypatch):
    monkeypatch.setattr(lock, "PAUSE", 0.0)
    path, process = held
    config = write_config()
    data = [str(make_data(name, 6)) for name in ("train", "dev")]
    command = ["train", "--config", str(config), "--train", data[0], "--dev", data[1], "--exp", str(path.parent)]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"spooftrace train: error: {path.parent}: process {process.pid} on ")
    assert len(error.splitlines()) == 1
    assert [file.name for file in path.parent.iterdir()] == [".lock"]
