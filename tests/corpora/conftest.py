"""The miniatures of the corpora, laid out as their authors distribute them."""

import importlib
import shutil

import pytest
from miniature.preparing import Silence, prepare


@pytest.fixture(scope="module")
def root(request, speech, tmp_path_factory):
    """The miniature of the corpus that a module ``test_corpus_NAME`` is about, laid out."""
    name = request.module.__name__.removeprefix("test_corpus_")
    folder = tmp_path_factory.mktemp("a corpus")
    importlib.import_module(f"miniature.{name}").lay_out(speech, folder)
    return folder


@pytest.fixture(scope="module")
def lay_out(tmp_path_factory):
    """Copies of the official layout of a corpus, and the data directories that come of it."""
    official = {}

    def make(corpus, root):
        if corpus not in official:
            folder = tmp_path_factory.mktemp(corpus)
            importlib.import_module(f"miniature.{corpus}").lay_out(Silence(), folder / "a corpus")
            if corpus == "codecfake_wu":
                shutil.rmtree(folder / "a corpus/valle")  # not named by its files
                table = folder / "a corpus/datalist.csv"
                table.write_text("".join(line for line in table.open() if "valle" not in line))
            official[corpus] = (
                folder / "a corpus",
                prepare(corpus, folder / "a corpus", folder / "data", "--allow-partial"),
            )
        shutil.copytree(official[corpus][0], root)
        return official[corpus]

    return make
