"""What documents name exists: links, files, modules, subcommands and options."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import io
import re
import subprocess
from pathlib import Path

import pytest
from helpers.documents import DOCUMENTS, FENCE, ROOT, name_of, read_blocks

from spooftrace.cli.main import main
from spooftrace.config.settings import Data, Schedule, Training

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w.-])--[A-Za-z][\w.-]*")
SUBCOMMAND = re.compile(r"(?:^\s*|[;|&(] *|do )spooftrace ((?:[a-z]+-)*[a-z]+\b)([^;|&\n]*)", re.MULTILINE)
RECIPE = re.compile(r"(?:(?<=egs/)(\w+)/|\./|(?<![\w/]))run\.sh([^;|&\n]*)")
PATH = re.compile(r"(?<![\w./$-])(?:conf|docs|egs|lib|tests|tools|utils)/[\w./<>*{},-]*")
MODULE = re.compile(r"(?<![\w./])spooftrace(?:\.[A-Za-z_]\w*)+")
GENERATED = re.compile(r"egs/[^/]+/(data|downloads|dump|exp|figures|RESULTS\.md)(/|$)|tools/(venv|models)(/|$)")
SECTIONS = {"data": Data, "schedule": Schedule, "trainer": Training}
CLASSES = {"streams", "backend", "task", "optimizer", "schedule"}
# Of mkdocs; of Grid Engine's launcher, whose options are keys of conf/cluster/sge.conf; of every program.
OTHER_OPTIONS = {"--strict", "--soft-time", "--help", "--version"}
RECIPES = sorted(path.parent.name for path in ROOT.glob("egs/*/run.sh"))
NESTED = {"prepare": "asvspoof5", "codec": None}  # subcommand -> the choice whose help counts where the text names none
for_each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=map(name_of, DOCUMENTS))


def command_texts(document: Path) -> list[str]:
    """Command lines of the code blocks, with continuations joined and comments cut off; then inline code."""
    lines = []
    for block in read_blocks(document):
        if block.language in ("", "bash"):
            lines += [re.sub(r"(^|\s)# .*", "", line) for line in block.code.replace("\\\n", " ").splitlines()]
    return lines + INLINE.findall(FENCE.sub("", document.read_text(encoding="utf-8")))


@functools.cache
def help_of(*words: str) -> str:
    """Help of a subcommand; empty where there is no such subcommand."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            status = main([*words, "--help"])
        except SystemExit as error:
            status = error.code
    return text.getvalue() if status == 0 else ""


@functools.cache
def recipe_help(recipe: str) -> str:
    return subprocess.run([str(ROOT / f"egs/{recipe}/run.sh"), "--help"], capture_output=True, text=True).stdout


@functools.cache
def all_options() -> set[str]:
    """Options of all commands, recipes, shell tools and launchers."""
    texts = [help_of(name) for name in re.findall(r"^  ([a-z-]+) ", help_of(), re.MULTILINE)]
    texts += [help_of("codec", name) for name in ("train", "resynthesize", "list")]
    texts += [help_of("prepare", name) for name in ("asvspoof5", "codecfake_plus", "ctrsvdd")]
    texts += [recipe_help(name) for name in RECIPES]
    patterns = (
        "utils/*",
        "tools/*.sh",
        "egs/*/local/*.py",
        "lib/spooftrace/jobs/*.py",
        "lib/spooftrace/datadir/*.py",
        "conf/cluster/*",
    )
    texts += [path.read_text(encoding="utf-8") for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]
    return {option for text in texts for option in OPTION.findall(text)}


def is_override(option: str) -> bool:
    """Whether an option is a key of a configuration."""
    section, _, key = option.removeprefix("--").partition(".")
    if section in SECTIONS and key.split(".")[0] in {field.name for field in dataclasses.fields(SECTIONS[section])}:
        return True
    return section == "seed_everything" or (
        section in CLASSES and re.match(r"(\w+\.)?init_args\.|class_path", key) is not None
    )


def missing_from(known: set[str], words: str) -> list[str]:
    """Options among ``words`` that are neither known nor keys of a configuration."""
    return [
        option for option in OPTION.findall(words) if option not in known | OTHER_OPTIONS and not is_override(option)
    ]


def unknown_options(document: Path, texts: list[str]) -> list[str]:
    """Subcommands and options in command lines of a document that do not exist."""
    own = [document.parent.name] if document.parent.parent.name == "egs" else RECIPES
    problems = []
    for text in texts:
        rest = text
        for name, words in SUBCOMMAND.findall(text):
            following = re.match(r" *([a-z]\w*)", words) if name in NESTED else None
            choice = following[1] if following and following[1] != "mine" else NESTED.get(name)  # a tutorial's corpus
            known = help_of(name, *([choice] if choice else []))
            if not known:
                problems.append(f"spooftrace {name}: no such subcommand")
            problems += [f"spooftrace {name}: {option}" for option in missing_from(set(OPTION.findall(known)), words)]
            rest = rest.replace(words, "")
        for recipe, words in RECIPE.findall(rest):
            known = " ".join(recipe_help(name) for name in ([recipe] if recipe in RECIPES else own))
            problems += [f"run.sh: {option}" for option in missing_from(set(OPTION.findall(known)), words)]
            rest = rest.replace(words, "")
        problems += missing_from(all_options(), rest)
    return problems


@for_each_document
def test_subcommands_and_options_exist(document):
    assert unknown_options(document, command_texts(document)) == []


def test_unknown_options_are_detected():
    wrong = {
        "spooftrace score --exp E --jobs 3": "spooftrace score: --jobs",
        "./run.sh --stages 3": "run.sh: --stages",
        "spooftrace rate x": "spooftrace rate: no such subcommand",
        "x --no-such-option": "--no-such-option",
        "--data.no_key 3": "--data.no_key",
    }
    assert unknown_options(ROOT / "README.md", [*wrong, "--trainer.max_epochs 3"]) == list(wrong.values())


@for_each_document
def test_links_lead_to_files(document):
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    targets = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    assert [target for target in targets if target and not (document.parent / target).exists()] == []


def files_of_tutorial(document: Path) -> set[str]:
    """Files that a tutorial creates, and the folders of its recipe."""
    text = document.read_text(encoding="utf-8")
    files = re.findall(r"<!-- file: (\S+) -->", text) + re.findall(r"> ((?:conf|egs)/\S+)", text)
    return {*files, *(str(Path(path).parent) for path in files if path.startswith("egs/"))}


@for_each_document
def test_named_files_exist(document):
    folders = [ROOT, document.parent] if document.parent.parent.name == "egs" else [ROOT]
    created = files_of_tutorial(document)
    missing = []
    for path in {match.rstrip(".,/") for text in command_texts(document) for match in PATH.findall(text)}:
        if GENERATED.match(path) or created & {path, *map(str, Path(path).parents)}:
            continue
        pattern = re.sub(r"<[^>]*>|\b[A-Z]{2,}\b(?!\.md)|\{[^}]*\}", "*", path)
        if not any(list(folder.glob(pattern)) for folder in folders):
            missing.append(path)
    assert missing == []


@for_each_document
def test_named_modules_exist(document):
    created = {path.removeprefix("lib/").removesuffix(".py").replace("/", ".") for path in files_of_tutorial(document)}
    names = set(MODULE.findall(document.read_text(encoding="utf-8"))) - created
    assert [name for name in sorted(names) if not exists(name)] == []


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def test_documents_name_no_path_of_a_machine():
    for document in DOCUMENTS:
        assert not re.search(r"/(home|Users|root|work|mnt)/", document.read_text(encoding="utf-8")), name_of(document)
