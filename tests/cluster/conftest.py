"""A SLURM of our own, a Grid Engine that is only made believe, and launchers that use them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from helpers.programs import install_python

from cluster.launchers import REPOSITORY, Fifo, Launcher, python_script

LAB = REPOSITORY / "tools" / "slurm_lab.sh"


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """The environment in which jobs go to a real SLURM whose two nodes are this machine."""
    folder = tmp_path_factory.mktemp("slurm") / "lab"
    env = {"SLURM_CONF": str(folder / "slurm.conf"), "SLURM_LAB_PORT": str(_three_ports())}
    started = subprocess.run(
        [str(LAB), "start", str(folder)], env={**os.environ, **env}, capture_output=True, text=True
    )
    if started.returncode != 0:
        pytest.skip(started.stderr.strip())
    yield env
    subprocess.run([str(LAB), "stop", str(folder)], check=True)


def _three_ports() -> int:
    """A free port whose two successors are free too."""
    while True:
        with socket.socket() as first, socket.socket() as second, socket.socket() as third:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
                third.bind(("127.0.0.1", port + 2))
            except (OSError, OverflowError):
                continue
            return port


@pytest.fixture(scope="session")
def sge(tmp_path_factory):
    """The environment in which jobs go to Grid Engine, or to programs that answer as its own do: see fake_sge.py."""
    if shutil.which("qsub"):
        yield {}
        return
    print("no qsub: tests of sge.py run with programs that stand in for Grid Engine's")
    folder = tmp_path_factory.mktemp("sge")
    for name in ("qsub", "qstat", "qdel", "qacct", "qconf"):
        install_python(folder / name, Path(__file__).with_name("fake_sge.py").read_text(encoding="utf-8"), "-IS")
    yield {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE_SGE": str(folder / "jobs")}
    shutil.rmtree(folder)


@pytest.fixture(
    scope="module",
    params=["run.py", pytest.param("slurm.py", marks=pytest.mark.slow), pytest.param("sge.py", marks=pytest.mark.slow)],
)
def make_launcher(request):
    """Makes each of the launchers for a folder, which must not exist."""
    environment = {} if request.param == "run.py" else request.getfixturevalue(request.param.removesuffix(".py"))
    return lambda folder: Launcher(python_script(request.param), folder, **environment)


@pytest.fixture
def launcher(make_launcher, tmp_path):
    with make_launcher(tmp_path / "work here") as launcher:
        yield launcher


@pytest.fixture
def make_fifo():
    made = []

    def make(path: Path) -> Fifo:
        made.append(Fifo(path))
        return made[-1]

    yield make
    for fifo in made:
        os.close(fifo.reader)
