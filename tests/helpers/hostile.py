"""Detect code that is run or imported, and files that are read or written, in tests with hostile inputs."""

import importlib
import sys
from pathlib import Path

import pytest

from spooftrace.config import classes as config_classes

BASE = Path(__file__).resolve().parents[2] / "conf/systems/lfcc_linear.yaml"
EVIL = """
from pathlib import Path
Path(r"{marker}").touch()
class Net:
    def __init__(self, **arguments):
        pass
FrontEnd = Task = Adam = Loss = Noise = Net
lr = relu = arguments = 1
"""
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "ctypes.dlopen")


class Watch:
    """Events since the watch began.

    Attributes:
        marker: A file that hostile inputs try to make.
        secret: A file that they try to read.
        events: Processes that were started, and files of ``secret``'s folder that were opened.
    """

    def __init__(self, folder: Path) -> None:
        self.marker = folder / "marker of evil"
        self.secret = folder / "secret.yaml"
        self.events: list[str] = []

    def see(self, event: str, arguments: tuple) -> None:
        started = event.startswith(STARTS)
        if started or (event == "open" and str(arguments[0]).endswith(self.secret.name)):
            self.events.append(f"{event} {arguments[0]}")


_watches: list[Watch] = []  # an audit hook cannot be removed, so a single hook serves all tests


def _hook(event: str, arguments: tuple) -> None:
    for watch in _watches:
        watch.see(event, arguments)


sys.addaudithook(_hook)


def module_names() -> set[str]:
    """Return the hostile modules that have been imported."""
    return {name for name in sys.modules if name.partition(".")[0] == "evil"}


@pytest.fixture
def nothing_happens(tmp_path, monkeypatch):
    """Put a hostile module and a secret file into the current folder, and assert at the end that neither was used."""
    for package in (*config_classes.PACKAGES.values(), config_classes.LOSSES):
        importlib.import_module(package)  # before the watch, so that imports of our own packages are not events

    monkeypatch.setattr(config_classes, "_allowed", [])
    watch = Watch(tmp_path)
    folder = tmp_path / "here"
    for place in (folder, folder / "site/evil", folder / "site/minesweeper"):
        place.mkdir(parents=True, exist_ok=True)
        if place != folder:
            (place / "__init__.py").write_text(EVIL.format(marker=watch.marker), encoding="utf-8")
    (folder / "site/evil/sub.py").write_text(EVIL.format(marker=watch.marker), encoding="utf-8")
    (folder / "evil.py").write_text(EVIL.format(marker=watch.marker), encoding="utf-8")
    (folder / "secret.yaml").write_text("{class_path: SLS}\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder / "site"))
    before = set(tmp_path.rglob("*"))
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)
    assert not module_names()
    assert not watch.events
    outside = {path for path in set(tmp_path.rglob("*")) - before if folder not in path.parents}
    assert not outside and not watch.marker.exists()
