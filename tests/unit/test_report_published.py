"""Published figures: the files of the recipes, their tables in the READMEs, and files that cannot be read."""

from pathlib import Path

import pytest

from spooftrace.errors import InputError
from spooftrace.report.published import COLUMNS, published_table, read_published

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("egs/*/conf/published.tsv"))
HEADER = "\t".join(COLUMNS)
GOOD = "sls\t-\teval\teer\t1.92\tbest of 3\tauthors\tZhang et al. 2024"
# Challenge baselines that conf/systems does not have.
NOT_OURS = {"baseline_b01", "baseline_b02"}


def test_recipes_have_published_figures():
    assert {path.parts[-3] for path in FILES} == {"asvspoof2019", "asvspoof5", "ctrsvdd"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parts[-3])
def test_readme_shows_the_file(path):
    table = published_table(read_published(path))
    assert table in (path.parents[1] / "README.md").read_text(encoding="utf-8"), f"put this there:\n{table}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parts[-3])
def test_figures_belong_to_systems_and_sets_of_the_recipe(path):
    recipe = path.parents[1]
    systems = {file.stem for folder in (ROOT / "conf/systems", recipe / "conf") for file in folder.glob("*.yaml")}
    script = (recipe / "run.sh").read_text(encoding="utf-8")
    for result in read_published(path):
        assert result.system in systems | NOT_OURS
        assert result.set in script


def read(tmp_path, *lines):
    path = tmp_path / "my published.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_published(path)


def test_columns_are_sets_and_metrics(tmp_path):
    results = read(
        tmp_path,
        HEADER,
        GOOD,
        "sls\t-\tin_the_wild\teer\t7.46\tbest of 3\tauthors\tZhang et al. 2024",
        "aasist\t-\teval\tmin_tdcf\t0.0275\tsingle\tauthors\tJung et al. 2022",
    )
    header, _, *rows = published_table(results).split("\n\n")[0].splitlines()
    names = [cell.strip() for cell in header.strip("|").split("|")]
    assert names[5:] == ["eval: EER %", "in_the_wild: EER %", "eval: min t-DCF"]
    assert [[cell.strip() for cell in row.strip("|").split("|")][5:] for row in rows] == [
        ["1.92", "7.46", ""],
        ["", "", "0.0275"],
    ]
    assert published_table([]) == ""


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([GOOD], r"published.tsv:1: the first line must name the columns system setting set metric value runs by"),
        ([HEADER, "# c", GOOD.replace("\t", " ")], r":3: 1 columns instead of the 8"),
        ([HEADER, GOOD + "\tmore"], r":2: 9 columns instead of the 8"),
        ([HEADER, GOOD.replace("\t-\t", "\t\t")], r":2: column setting is empty; write -"),
        ([HEADER, GOOD.replace("eer", "EER")], r":2: unknown metric 'EER'; known are eer, "),
        ([HEADER, GOOD.replace("1.92", "1.92%")], r":2: value '1.92%' is no number"),
        ([HEADER, GOOD.replace("1.92", "nan")], r":2: value 'nan' is no number"),
        ([HEADER, GOOD.replace("best of 3", "median")], r":2: runs 'median' must be single, best or mean"),
        ([HEADER, GOOD.replace("authors", "us")], r":2: by 'us' must be authors or others"),
        ([HEADER, GOOD, GOOD.replace("1.92", "1.91")], r":3: this figure is there already"),
    ],
)
def test_bad_files_are_named_with_the_line(tmp_path, lines, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, *lines)
    assert "\n" not in str(error.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match=r"absent.tsv: cannot be read"):
        read_published(tmp_path / "absent.tsv")
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary.tsv: cannot be read"):
        read_published(tmp_path / "binary.tsv")
