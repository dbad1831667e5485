"""Recipes run commands forked from a server, because importing takes most of the time of a miniature."""

import checkouts
import pytest
from checkouts import ROOT
from helpers.fork_server import tools_folder

REAL = {"test_kill", "test_mini"}  # these run the commands that users run


@pytest.fixture(scope="session")
def forking_tools(tmp_path_factory):
    with tools_folder(ROOT / "tools", tmp_path_factory.mktemp("fork")) as tools:
        yield tools


@pytest.fixture(scope="module", autouse=True)
def commands(request):
    """Return the folder that ``checkout`` links as ``tools``."""
    real = request.module.__name__.rpartition(".")[2] in REAL
    checkouts.TOOLS = ROOT / "tools" if real else request.getfixturevalue("forking_tools")
