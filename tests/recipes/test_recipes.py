"""Every recipe from stage 0 to 7 on a miniature of its corpora, laid out as the official releases are.

The table below is the whole plan: a recipe, the variables of its db.sh with the miniature of each, the test sets whose
metrics must come out.
"""

from __future__ import annotations

import csv
import importlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from checkouts import checkout, run

pytestmark = pytest.mark.slow

QUICK = ["--system", "lfcc_linear", "--allow_partial", "true", "--train_args", "--trainer.max_epochs 3", "--nj", "2"]


@dataclass(frozen=True)
class Case:
    """One recipe. ``corpora`` maps a variable of db.sh to the module of ``miniature`` that lays the corpus out."""

    recipe: str
    corpora: dict[str, str]
    tests: list[str]
    derived: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)  # of a task with more classes than bona fide and spoof

    def __str__(self) -> str:
        return " ".join([self.recipe, *self.options])


CASES = [
    Case(
        "asvspoof2019",
        {"ASVSPOOF2019": "asvspoof2019", "ASVSPOOF2021": "asvspoof2021", "IN_THE_WILD": "in_the_wild"},
        ["eval", "la_eval", "df_eval", "in_the_wild"],
    ),
    Case("asvspoof5", {"ASVSPOOF5": "asvspoof5"}, ["dev", "eval"], ["eval_C01"]),
    Case(
        "codecfake",
        {"CODECFAKE_WU": "codecfake_wu", "CODECFAKE_XIE": "codecfake_xie"},
        ["eval", *(f"C{number}" for number in range(1, 8)), "A1", "A2", "A3"],
    ),
    Case(
        "codecfake_plus",
        {"CODECFAKE_PLUS": "codecfake_plus"},
        ["test_vq_trim", "cors_test_trim", "cosg_all_trim", "cosg_known_trim"],
        ["test_aux_gt250"],
        ["--trim", "true"],
    ),
    Case("ctrsvdd", {"CTRSVDD": "ctrsvdd"}, ["dev", "eval"], ["eval_ranked"]),
    Case("partialspoof", {"PARTIALSPOOF": "partialspoof"}, ["dev", "eval"]),
    Case(
        "codecfake_plus",
        {"CODECFAKE_PLUS": "codecfake_plus"},
        ["test_vq", "cors_test", "cosg_all", "cosg_known"],
        options=["--task", "vq"],
        classes=["real", "mvq", "svq", "sq"],
    ),
    Case("st_codecfake", {"ST_CODECFAKE": "st_codecfake"}, ["eval_id", "eval_unseen", "eval_alm"], ["real"]),
    Case(
        "st_codecfake",
        {"ST_CODECFAKE": "st_codecfake"},
        ["eval_id", "eval_open"],
        options=["--task", "codec"],
        classes=["real", "mimi", "speechtokenizer", "funcodec", "encodec", "facodec", "snac"],
    ),
]


@dataclass(frozen=True)
class Finished:
    """A recipe after its run.sh, beside its corpora."""

    recipe: Path
    result: subprocess.CompletedProcess[str]
    corpora: Path
    before: list[tuple[str, int]]  # content of ``corpora``


@pytest.fixture(scope="module")
def finished(speech, tmp_path_factory) -> Iterator[Callable[[Case], Finished]]:
    """Run each recipe once for all tests that use it, and print a table of the times at the end."""
    done: dict[str, Finished] = {}
    seconds: dict[str, float] = {}

    def finish(case: Case) -> Finished:
        if str(case) not in done:
            folder = tmp_path_factory.mktemp("recipes")
            recipe, corpora = checkout(folder / "a checkout", case.recipe), folder / "the corpora"
            for name in case.corpora.values():
                (corpora / name).mkdir(parents=True)
                importlib.import_module(f"miniature.{name}").lay_out(speech, corpora / name)
            before = listing(corpora)
            roots = {variable: str(corpora / name) for variable, name in case.corpora.items()}
            started = time.monotonic()
            result = run(recipe, *QUICK, *case.options, cwd=Path("/"), **roots)
            seconds[str(case)] = time.monotonic() - started
            done[str(case)] = Finished(recipe, result, corpora, before)
        return done[str(case)]

    yield finish
    lines = [f"  {name:25s} 0 to 7  {value:5.0f} s" for name, value in seconds.items()]
    print("\n".join(["", "recipes on miniatures: stages, time", *lines]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_stages(case, finished):
    done = finished(case)
    assert done.result.returncode == 0, done.result.stderr[-3000:]
    (exp,) = (done.recipe / "exp").iterdir()
    for name in case.tests:
        check(json.loads((exp / name / "metrics.json").read_text(encoding="utf-8")), case)
    assert "lfcc_linear" in (done.recipe / "RESULTS.md").read_text(encoding="utf-8")
    for name in case.derived:
        assert (done.recipe / "data" / name / "utt2spk").is_file()
    assert listing(done.corpora) == done.before, "a corpus is only read"


def check(metrics: dict[str, Any], case: Case) -> None:
    """Check the metrics of the task of this case over the whole set."""
    if case.classes:
        assert (metrics["task"], metrics["label_table"]) == ("attribution", f"utt2{case.options[-1]}")
        assert metrics["model_classes"] == case.classes
        assert metrics["known_trials"] > 0 and metrics["not_judged"] == 0
        assert 0 <= metrics["macro_f1"] <= 1
    else:
        assert metrics["bonafide"] > 0
        assert metrics["spoof"] > 0
        assert 0 <= metrics["eer"] <= 1


@pytest.mark.parametrize("case", {case.recipe: case for case in CASES}.values(), ids=lambda case: case.recipe)
def test_without_a_corpus_stage_0_says_what_to_get(case, tmp_path):
    recipe = checkout(tmp_path / "a checkout", case.recipe)
    result = run(recipe, "--system", "lfcc_linear")
    assert result.returncode != 0
    variable = next(iter(case.corpora))
    assert f"set {variable} to where it lies" in result.stderr
    assert "http" in result.stdout, "where to get it from"


@pytest.mark.parametrize("stage", ["3", "4", "5"])
@pytest.mark.parametrize("name", sorted({case.recipe for case in CASES}))
def test_without_data_directories_no_job_is_started(name, stage, tmp_path):
    recipe = checkout(tmp_path / "a checkout", name)
    result = run(recipe, "--system", "lfcc_linear", "--stage", stage)
    assert result.returncode == 1
    assert "run stages 1 and 2 first" in result.stderr.splitlines()[-1]
    assert not {"dump", "exp"} & {path.name for path in recipe.iterdir()}


@pytest.mark.parametrize(("name", "audio"), [("asvspoof5", "flac_E_eval"), ("ctrsvdd", "test_set")])
def test_an_eval_set_that_is_not_there_is_left_out(speech, tmp_path, name, audio):
    recipe = checkout(tmp_path / "a checkout", name)
    importlib.import_module(f"miniature.{name}").lay_out(speech, tmp_path / name)
    shutil.rmtree(tmp_path / name / audio)
    result = run(recipe, *QUICK, "--stop_stage", "2", **{name.upper(): str(tmp_path / name)})
    assert result.returncode == 0, result.stderr[-3000:]
    assert "data/eval is not there, so it is left out" in result.stderr
    assert (recipe / "data/dev/utt2dur").is_file()


def test_singing_without_timestamps(speech, tmp_path):
    recipe = checkout(tmp_path / "a checkout", "ctrsvdd")
    importlib.import_module("miniature.ctrsvdd").lay_out(speech, tmp_path / "ctrsvdd")
    result = run(recipe, *QUICK, "--stage", "1", CTRSVDD=str(tmp_path / "ctrsvdd"), ONIKU=str(tmp_path))
    assert result.returncode == 1
    assert "--bonafide needs --timestamps" in result.stderr


def test_later_stages_need_no_roots(speech, tmp_path):
    """A run continued with ./run.sh --stage 3 in another shell keeps the optional test sets."""
    recipe = checkout(tmp_path / "a checkout", "codecfake")
    for name in ("codecfake_wu", "codecfake_xie"):
        importlib.import_module(f"miniature.{name}").lay_out(speech, tmp_path / name)
    roots = {name.upper(): str(tmp_path / name) for name in ("codecfake_wu", "codecfake_xie")}
    for options, variables in (["--stop_stage", "1"], roots), (["--stage", "3", "--stop_stage", "3"], {}):
        result = run(recipe, *QUICK, *options, **variables)
        assert result.returncode == 0, result.stderr[-3000:]
    assert list(recipe.glob("dump/*/A1/feats.scp"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stage", "two"], "option --stage needs a whole number, found 'two'"),
        (["--stage", "5", "--stop_stage", "1"], "no stages from 5 to 1: they are 0 to 7"),
        (["--stage", "8", "--stop_stage", "9"], "no stages from 8 to 9"),
        (["--nj", "0"], "option --nj needs at least 1"),
        (["--on_bad_audio", "ignore"], "option --on_bad_audio needs fail or skip, found 'ignore'"),
        (["--allow_partial", "yes"], "option --allow_partial needs true or false, found 'yes'"),
        (["--sytem", "aasist"], "unknown option --sytem"),
        (["--system", "aasit"], "no system 'aasit' in conf/systems"),
        (["--system", ""], "option --system names no system"),
        (["--stage", "1"], "db.sh has no folder for asvspoof2019; stage 0 says what to set"),
        (["aasist"], "unexpected argument 'aasist'"),
    ],
)
def test_options_that_make_no_sense_stop_at_once(tmp_path, options, message):
    recipe = checkout(tmp_path / "a checkout", "asvspoof2019")
    result = run(recipe, *options, ASVSPOOF2019="")
    assert result.returncode == 1
    assert f"run.sh: {message}" in result.stderr
    assert not (recipe / "data").exists()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("codecfake_plus", ["--task", "foo"], "option --task needs bin, vq, aux or dec, found 'foo'"),
        ("codecfake_plus", ["--analysis", "foo"], "option --analysis needs silence, content or attention, found 'foo'"),
        ("codecfake_plus", ["--tuned", "no"], "option --tuned needs true or false, found 'no'"),
        ("st_codecfake", ["--task", "foo"], "option --task needs detect, codec or parse, found 'foo'"),
        ("st_codecfake", ["--task", "parse", "--ptm", "foo"], "no model 'foo' in conf/vectors: ecapa mms_1b"),
        ("st_codecfake", ["--task", "parse", "--ptm", ""], "option --ptm names no model"),
        ("codecfake", ["--task", "vq"], "option --task needs detect or parse, found 'vq'"),
        ("codecfake", ["--task", "parse", "--ptm", "xvector,foo"], "no model 'foo' in conf/vectors: ecapa mms_1b"),
        ("mini", ["--task", "foo"], "option --task needs detect, vq, aux, dec, codec or parse, found 'foo'"),
    ],
)
def test_tasks_that_make_no_sense_are_refused_before_anything_is_installed(tmp_path, name, options, message):
    recipe = checkout(tmp_path / "a checkout", name)
    (recipe / "path.sh").write_text("echo installing >&2\n")
    result = run(recipe, *options)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"run.sh: {message}")


def test_one_table_across_corpora(finished, tmp_path):
    recipe = checkout(tmp_path / "a checkout", "asvspoof2019", "partialspoof", "mini")
    for case in CASES:
        if case.recipe in ("asvspoof2019", "partialspoof"):  # one set of each
            shutil.copytree(finished(case).recipe / "data/eval", recipe.parent / case.recipe / "data/eval")
            if case.recipe == recipe.name:
                shutil.copytree(finished(case).recipe / "exp", recipe / "exp")

    matrix = tmp_path / "a checkout/utils/make_matrix.sh"
    command = [str(matrix), "--out", "a matrix", "--nj", "2", str(recipe / "exp/lfcc_linear_s1234")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    with open(tmp_path / "a matrix/matrix.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == ["system", "asvspoof2019/eval", "partialspoof/eval", "incomplete"]
    assert row["system"] == "asvspoof2019/lfcc_linear_s1234"
    # A miniature has few trials of its protocol in every set of the table.
    assert all(f"{name}: " in row["incomplete"] for name in ("train", "dev", "asvspoof2019/eval", "partialspoof/eval"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no experiment given"),
        (["--sest", "x"], "unknown option --sest"),
        (["--nj", "0", "exp"], "option --nj needs at least 1"),
        (["--ngpu", "one", "exp"], "option --ngpu needs a whole number, found 'one'"),
        (["exp"], "exp: no model.safetensors, so no trained system"),
        (["--sets", "nowhere", "trained"], "nowhere: not RECIPE/data/SET"),
        (["--sets", "a/data/b", "trained"], "a/data/b: no utt2label; prepare it first"),
        (["--sets", "c/data/fakes", "trained"], "no prepared test set with both classes"),
    ],
)
def test_a_table_that_cannot_be_made(tmp_path, options, message):
    checkout(tmp_path / "a checkout", "mini")
    for file, text in {"trained/model.safetensors": "", "c/data/fakes/utt2label": "u1 spoof\n"}.items():
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    command = [str(tmp_path / "a checkout/utils/make_matrix.sh"), "--out", "a matrix", *options]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert f"make_matrix.sh: {message}" in result.stderr
    assert not (tmp_path / "a matrix").exists()


def listing(folder: Path) -> list[tuple[str, int]]:
    """Return every file below a folder with its modification time."""
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))
