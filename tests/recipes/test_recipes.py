"""Every recipe from stage 0 to 7 on a miniature of its corpora, laid out as the official releases are.

The table below is the whole plan: a recipe, the variables of its db.sh with the miniature of each, the test sets whose
metrics must come out.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

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
    Case("st_codecfake", {"ST_CODECFAKE": "st_codecfake"}, ["eval_id", "eval_unseen", "eval_alm"], ["real"]),
]


@pytest.fixture(scope="module")
def durations() -> Iterator[dict[str, float]]:
    """Seconds of each recipe, printed as a table in the end."""
    seconds: dict[str, float] = {}
    yield seconds
    lines = [f"  {name:16s} 0 to 7  {value:5.0f} s" for name, value in seconds.items()]
    print("\n".join(["", "recipes on miniatures: stages, time", *lines]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.recipe)
def test_all_stages(case, speech, durations, tmp_path, capsys):
    recipe = checkout(tmp_path / "a checkout", case.recipe)
    roots = {}
    for variable, name in case.corpora.items():
        roots[variable] = str(tmp_path / "the corpora" / name)
        Path(roots[variable]).mkdir(parents=True)
        importlib.import_module(f"miniature.{name}").lay_out(speech, Path(roots[variable]))
    before = listing(tmp_path / "the corpora")

    started = time.monotonic()
    result = run(recipe, *QUICK, *case.options, cwd=Path("/"), **roots)
    durations[case.recipe] = time.monotonic() - started
    with capsys.disabled():
        print(f"\n{case.recipe}: stages 0 to 7 in {durations[case.recipe]:.0f} s", end=" ")

    assert result.returncode == 0, result.stderr[-3000:]
    (exp,) = (recipe / "exp").iterdir()
    for name in case.tests:
        metrics = json.loads((exp / name / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["bonafide"] > 0
        assert metrics["spoof"] > 0
        assert 0 <= metrics["eer"] <= 1
    assert "lfcc_linear" in (recipe / "RESULTS.md").read_text(encoding="utf-8")
    for name in case.derived:
        assert (recipe / "data" / name / "utt2spk").is_file()
    assert listing(tmp_path / "the corpora") == before, "a corpus is only read"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.recipe)
def test_without_a_corpus_stage_0_says_what_to_get(case, tmp_path):
    recipe = checkout(tmp_path / "a checkout", case.recipe)
    result = run(recipe, "--system", "lfcc_linear")
    assert result.returncode != 0
    variable = next(iter(case.corpora))
    assert f"set {variable} to where it lies" in result.stderr
    assert "http" in result.stdout, "where to get it from"


def test_one_table_across_corpora(speech, tmp_path):
    recipe = checkout(tmp_path / "a checkout", "asvspoof2019", "partialspoof", "mini")
    for name in ("asvspoof2019", "partialspoof"):
        root = tmp_path / name
        importlib.import_module(f"miniature.{name}").lay_out(speech, root)
        last = "5" if name == "asvspoof2019" else "1"
        result = run(recipe.parent / name, *QUICK, "--stop_stage", last, **{name.upper(): str(root)})
        assert result.returncode == 0, result.stderr[-3000:]

    matrix = tmp_path / "a checkout/utils/make_matrix.sh"
    command = [str(matrix), "--out", "a matrix", "--nj", "2", str(recipe / "exp/lfcc_linear_s1234")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    header, row = (tmp_path / "a matrix/matrix.csv").read_text(encoding="utf-8").splitlines()
    assert header == "system,asvspoof2019/eval,partialspoof/eval"
    assert row.startswith("asvspoof2019/lfcc_linear_s1234,")


def listing(folder: Path) -> list[tuple[str, int]]:
    """Every file below a folder and when it was changed."""
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))
