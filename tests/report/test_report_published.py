"""Published figures: the files of the recipes, their tables in the READMEs, and files that cannot be read."""

from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from spooftrace.common.errors import InputError
from spooftrace.corpora import codecfake_plus_codecs as cors
from spooftrace.corpora import codecfake_wu, st_codecfake
from spooftrace.evaluation.chance import chance
from spooftrace.report.published import COLUMNS, published_table, read_published

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("egs/*/conf/published.tsv"))
HEADER = "\t".join(COLUMNS)
GOOD = "sls\t-\teval\teer\t1.92\tbest of 3\tauthors\tZhang et al. 2024"
# Challenge baselines that conf/systems does not have, and decisions at random.
NOT_OURS = {"baseline_b01", "baseline_b02", "random"}
# What recipes add to the name of a system: no tuned front-end, the pretrained model of codec parsing.
VARIANTS = ["", "_pretrained", *(f"_{file.stem}" for file in ROOT.glob("conf/vectors/*.yaml"))]


def test_recipes_have_published_figures():
    recipes = {"asvspoof2019", "asvspoof5", "codecfake", "codecfake_plus", "ctrsvdd", "st_codecfake"}
    assert {path.parts[-3] for path in FILES} == recipes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parts[-3])
def test_readme_shows_the_file(path):
    """In one table, or in one for each label table, for the closed and for the open set."""
    readme = (path.parents[1] / "README.md").read_text(encoding="utf-8")
    results = sorted(read_published(path), key=part)
    for _, group in groupby(results, key=part):
        table = published_table(list(group))
        assert table in readme, f"put this there:\n{table}"


def part(result):
    return result.metric.rpartition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parts[-3])
def test_figures_belong_to_systems_and_sets_of_the_recipe(path):
    recipe = path.parents[1]
    systems = {file.stem for folder in (ROOT / "conf/systems", recipe / "conf") for file in folder.glob("*.yaml")}
    script = (recipe / "run.sh").read_text(encoding="utf-8")
    known = {f"{system}{variant}" for system in systems for variant in VARIANTS} | NOT_OURS
    for result in read_published(path):
        assert result.system in known
        assert result.set in script


def test_an_impossible_figure_is_marked():
    results = read_published(ROOT / "egs/st_codecfake/conf/published.tsv")
    marked = [line for line in published_table(results).splitlines() if line.startswith("|") and "(!)" in line]
    (row,) = marked
    assert "nacsp_cnn_xvector" in row
    assert "12.69 (!)" in row
    assert "13.29 (!)" in row


@pytest.mark.parametrize(
    ("recipe", "parameters"),
    [
        ("st_codecfake", [st_codecfake.PARAMETERS[st_codecfake.CODECS[str(kind)]] for kind in range(1, 7)]),
        ("codecfake", list(codecfake_wu.CODECS.values())),
    ],
)
def test_readmes_say_what_the_mean_of_the_training_set_reaches(recipe, parameters):
    """Every codec has as many utterances, so its RMSE is the deviation over the codecs."""
    values = np.array([row.replace("-", "nan").split() for row in parameters], dtype=float)  # (codecs, 3)
    khz, kbps, quantizers = np.nanstd(values, axis=0)
    assert f"RMSE of {khz:.2f} kHz, {kbps:.2f} kbit/s and {quantizers:.2f} quantizers" in readme_text(recipe)


@pytest.mark.slow
def test_readme_says_what_random_decisions_reach_on_the_test_lists_of_cors():
    """In ``cors_test`` every codec has a copy of each of 755 utterances, in a balanced list one of them."""
    codecs = list(cors.CODECS.values())
    of_list = [codec for key, codec in cors.CODECS.items() if key != cors.NOT_IN_CORS_ALL]
    everything, all_30, balanced = [], [], []
    for task, classes in cors.TASKS.items():
        everything.append(random_f1({name: 755 * count for name, count in classes_of(codecs, task).items()}))
        all_30.append(random_f1({name: 755 * count for name, count in classes_of(of_list, task).items()}))
        balanced.append(random_f1({name: round(755 / len(classes)) for name in classes}))
    said = ["{:.1f}, {:.1f} and {:.1f} %".format(*f1s) for f1s in (everything, all_30, balanced)]
    text = readme_text("codecfake_plus")
    assert f"{said[0]} (VQ, AUX, DEC) on `cors_test`, {said[1]} on `cors_all`, but {said[2]} on" in text


def classes_of(codecs, task):
    return Counter(getattr(codec, task) for codec in codecs)


def random_f1(spoof):
    return 100 * chance({"real": 755} | spoof, choices=len(spoof) + 1)["random"]["weighted_f1"]


def readme_text(recipe):
    return " ".join((ROOT / f"egs/{recipe}/README.md").read_text(encoding="utf-8").split())


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
        ([HEADER, GOOD, GOOD.replace("1.92", "1.91")], r":3: this value is listed already"),
    ],
)
def test_bad_files_are_named_with_the_line(tmp_path, lines, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, *lines)
    assert "\n" not in str(error.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match=r"absent.tsv: no such file"):
        read_published(tmp_path / "absent.tsv")
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary.tsv:1: begins as UTF-16 text"):
        read_published(tmp_path / "binary.tsv")
