"""The documentation site builds without warnings and without a network; its picture of the rooms is current."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.documents import DOCUMENTS, ROOT

pytest.importorskip("mkdocs", reason="the documentation tools are in the extra dev")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_every_document_is_a_page(site):
    assert len(list(site.rglob("*.html"))) >= len(DOCUMENTS)
    assert (site / "recipes/mini.html").exists()
    assert "ArchiveReader" in (site / "api.html").read_text(encoding="utf-8")


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=[\"']?(https?:)?//[^>]*>", text)
        assert loaded == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_links_between_documents_are_links_between_pages(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="own-data.html#score-recordings"' in page
    assert 'src="images/det_eval.png"' in page
    assert "../index.html" in (site / "recipes/mini.html").read_text(encoding="utf-8")


def test_the_picture_of_the_rooms_is_current():
    module = load(ROOT / "tools/draw_rooms.py")
    layers = module.read_layers(ROOT / "pyproject.toml")
    rooms = {path.parent.name for path in ROOT.glob("lib/spooftrace/*/__init__.py")}
    assert {name for names in layers for name in names} == set(module.CAPTIONS) == rooms
    picture = (ROOT / "docs/images/rooms.svg").read_text(encoding="utf-8")
    assert picture == module.draw(layers), "run: python3 tools/draw_rooms.py docs/images/rooms.svg"


def test_citation_has_the_version_of_the_package():
    import spooftrace

    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == spooftrace.__version__


def test_pre_commit_calls_installed_tools():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "mypy"]
    for hook in hooks:
        assert hook["language"] == "system" and Path(ROOT / hook["entry"].split()[0]).exists()


def test_the_readme_fits_on_a_few_screens():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
