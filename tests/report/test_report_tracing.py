"""Attribution and parsing in the report, on small experiment trees made by the real evaluation."""

import json
import statistics
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run_command

from spooftrace.common.errors import InputError
from spooftrace.datadir import write_table
from spooftrace.evaluation.attribution import evaluate_attribution
from spooftrace.evaluation.parsing import evaluate_parsing
from spooftrace.metrics.attribution import tracing_report
from spooftrace.metrics.regression import target_errors
from spooftrace.report.names import ATTRIBUTION, PARSING
from spooftrace.report.published import COLUMNS, published_table, read_published

CLASSES = ("real", "mvq", "svq", "sq")
# attack -> its class, subset, and the kHz, kbit/s and quantizers of its codec; None: a vocoder, nothing to trace
ATTACKS = {
    "rvq_q8": ("mvq", "seen", "16 3.2 8"),
    "single": ("svq", "seen", "24 2 1"),
    "rvq_q4": ("mvq", "unseen_setting", "16 1.6 4"),
    "fsq": ("sq", "unseen_codec", "16 - 24"),
    "world": ("-", "vocoder", "- - -"),
}


def made_up(folder, per_attack=6, bonafide=True):
    """A data directory with utterances of each attack, and bona fide ones."""
    rows = [
        (f"{attack}-{number}", "spoof", attack, subset, vq, "-" if nac == "- - -" else attack.split("_q")[0], nac)
        for (attack, (vq, subset, nac)), number in product(ATTACKS.items(), range(per_attack))
    ]
    rows += [(f"b{number}", "bonafide", "-", "-", "real", "-", "- - -") for number in range(5 if bonafide else 0)]
    names = ("utt2label", "utt2attack", "utt2subset", "utt2vq", "utt2codec", "utt2nac")
    for column, name in enumerate(names, start=1):
        write_table(folder / name, {row[0]: row[column] for row in sorted(rows)})
    return folder


def table_of(data, name):
    return dict(line.split(maxsplit=1) for line in (data / name).read_text().splitlines())


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
    return path


def write_logits(path, data, seed, strength=1.5, classes=CLASSES):
    rng = np.random.default_rng(seed)
    truth = table_of(data, "utt2vq")
    lines = [
        (utt, *(f"{rng.normal() + strength * (name == label):.4f}" for name in classes)) for utt, label in truth.items()
    ]
    return write_lines(path, [("utt", *classes), *lines])


def write_values(path, data, seed, noise=1.0):
    rng = np.random.default_rng(seed)
    known = {utt: nac.replace("-", "3") for utt, nac in table_of(data, "utt2nac").items() if nac != "- - -"}
    lines = [(utt, *(f"{float(x) + noise * rng.normal():.4f}" for x in nac.split())) for utt, nac in known.items()]
    return write_lines(path, [("utt", "khz", "kbps", "quantizers"), *lines])


def evaluate(*words):
    run_command("evaluate", *words)


def make_report(*words):
    run_command("report", "--exp", "exp", "--out", "RESULTS.md", "--figures", "my figures", *words)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe folder, and the current directory, with a test set, its trimmed copy and a training set."""
    folder = tmp_path / "my recipe"
    made_up(folder / "data/eval")
    made_up(folder / "data/eval_trim")
    train = made_up(folder / "data/train", bonafide=False)
    for name in ("utt2nac", "utt2codec"):
        kept = {utt: value for utt, value in table_of(train, name).items() if utt.startswith(("rvq_q8", "single"))}
        write_table(train / name, kept)
    monkeypatch.chdir(folder)
    return folder


def add_info(folder, system, seed):
    (folder / "run.json").write_text(json.dumps({"system": system, "seed": seed}))
    (folder / "config.yaml").write_text(f"seed_everything: {seed}\nsystem: {system}\n")


def add_tracer(name, system="s_vq", seed=1, sets=("eval",), strength=1.5, classes=CLASSES):
    for test_set in sets:
        weaker = strength / (2 if test_set.endswith("_trim") else 1)
        data, folder = Path("data", test_set), Path("exp", name, test_set)
        scores = write_logits(folder / "scores.txt", data, seed, weaker, classes)
        evaluate(
            "--task", "attribution", "--data", f"data/{test_set}", "--scores", scores, "--out", folder / "metrics.json"
        )
    add_info(Path("exp", name), system, seed)


def add_parser(name, system="hydra", seed=1, sets=("eval",)):
    for test_set in sets:
        folder = Path("exp", name, test_set)
        scores = write_values(folder / "scores.txt", Path("data", test_set), seed)
        evaluate(
            "--task", "parsing", "--data", f"data/{test_set}", "--scores", scores, "--train-data", "data/train",
            "--out", folder / "metrics.json",
        )  # fmt: skip
    add_info(Path("exp", name), system, seed)


def metrics_of(name, test_set="eval"):
    return json.loads(Path("exp", name, test_set, "metrics.json").read_text())


def page():
    return Path("RESULTS.md").read_text()


def tables_of(text, heading):
    """The tables below a heading, each a list of rows of cells."""
    body = text.split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    found = []
    for block in body.strip().split("\n\n"):
        if block.startswith("|"):
            lines = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in block.splitlines()]
            found.append([lines[0], *lines[2:]])
    return found


def table_with(text, heading, column):
    (found,) = [table for table in tables_of(text, heading) if column in table[0]]
    return found


def rows_by(table, *columns):
    """Rows as dicts by the cells of these columns."""
    places = [table[0].index(column) for column in columns]
    return {tuple(row[place] for place in places): dict(zip(table[0], row, strict=True)) for row in table[1:]}


# ---------------------------------------------------------------- evaluation


def test_subsets_count_bona_fide_and_attacks_do_not(tmp_path):
    data = made_up(tmp_path / "eval")
    metrics = evaluate_attribution(data, write_logits(tmp_path / "o.tsv", data, 3))
    outputs = [line.split("\t") for line in (tmp_path / "o.tsv").read_text().splitlines()[1:]]
    decided = {utt: CLASSES[int(np.argmax(list(map(float, logits))))] for utt, *logits in outputs}
    truth, subset, attack = (table_of(data, name) for name in ("utt2vq", "utt2subset", "utt2attack"))
    assert list(metrics["by_subset"]) == ["seen", "unseen_codec", "unseen_setting"], "vocoders have nothing to trace"
    for name, cell in metrics["by_subset"].items():
        utts = [utt for utt in truth if truth[utt] != "-" and subset[utt] in (name, "-")]
        expected = tracing_report([truth[utt] for utt in utts], [decided[utt] for utt in utts])
        for figure in ("accuracy", "macro_f1", "weighted_f1", "num_classes"):
            assert cell[figure] == getattr(expected, figure)
        assert cell["trials"] == len(utts)
    assert list(metrics["by_attack"]) == ["fsq", "rvq_q4", "rvq_q8", "single"]
    for name, cell in metrics["by_attack"].items():
        own = [utt for utt in truth if attack[utt] == name]
        assert cell["accuracy"] == pytest.approx(np.mean([decided[utt] == truth[utt] for utt in own]))


def test_a_part_of_unknown_classes_has_no_figures(tmp_path):
    data = made_up(tmp_path / "eval")
    metrics = evaluate_attribution(data, write_logits(tmp_path / "o.tsv", data, 3, classes=("real", "mvq", "svq")))
    empty = metrics["by_subset"]["unseen_codec"]
    assert (empty["trials"], empty["known_trials"], empty["macro_f1"]) == (11, 5, None), "not those of bona fide speech"
    assert metrics["by_attack"]["fsq"]["accuracy"] is None
    json.dumps(metrics, allow_nan=False)


def test_an_utterance_without_a_subset_is_named(tmp_path):
    data = made_up(tmp_path / "my eval")
    write_table(data / "utt2subset", {utt: name for utt, name in table_of(data, "utt2subset").items() if utt != "b0"})
    with pytest.raises(InputError, match=r"my eval/utt2subset: no entry for 1 of 29 utterances \(b0\)"):
        evaluate_attribution(data, write_logits(tmp_path / "o.tsv", data, 3))


def test_parsing_by_subset_and_against_the_mean(recipe):
    outputs = write_values(recipe / "o.tsv", recipe / "data/eval", 1)
    metrics = evaluate_parsing(recipe / "data/eval", outputs, recipe / "data/train")
    assert list(metrics["by_subset"]) == ["seen", "unseen_codec", "unseen_setting"]
    assert [cell["trials"] for cell in metrics["by_subset"].values()] == [12, 6, 6]
    assert metrics["by_attack"]["rvq_q4"]["targets"] == metrics["by_subset"]["unseen_setting"]["targets"]
    assert metrics["by_codec"]["fsq"]["true"] == {"sampling_rate_khz": 16, "bitrate_kbps": None, "quantizers": 24}
    spread = metrics["by_codec"]["fsq"]["predicted"]["quantizers"]
    assert spread["p05"] < spread["median"] < spread["p95"]
    assert abs(spread["median"] - 24) < 2
    # 16 and 24 kHz, 3.2 and 2 kbit/s, 8 and 1 quantizers, as often in the training set: 20, 2.6 and 4.5
    closed, opened = (metrics[part]["training_mean"]["targets"] for part in ("closed_set", "open_set"))
    assert opened["quantizers"] == {"count": 6, "rmse": pytest.approx(19.5), "mae": pytest.approx(19.5)}
    truth = [[16, 3.2, 8]] * 6 + [[16, 1.6, 4]] * 6 + [[24, 2, 1]] * 6
    errors = target_errors(truth, [[20, 2.6, 4.5]] * 18)
    assert [cell["rmse"] for cell in closed.values()] == pytest.approx(errors.rmse.tolist())
    json.dumps(metrics, allow_nan=False)


# ---------------------------------------------------------------- attribution


def test_attribution_figures_are_those_of_the_metrics(recipe, capsys):
    for seed in (1, 2, 3):
        add_tracer(f"s_vq_s{seed}", seed=seed)
    add_tracer("sastnet_s1", "sastnet", strength=4.0)
    capsys.readouterr()
    make_report()
    heading = "eval: attribution by utt2vq"
    results, seeds = tables_of(page(), heading)[:2]
    assert results[0] == ["System", "Seed", "Parameters (trained)", "Macro F1 %", "Weighted F1 %", "Accuracy %"]
    names = [(row[0], row[1]) for row in results[1:]]
    seeds_of_one = [("s_vq", seed) for seed in ("1", "2", "3", "mean of 3", "range")]
    assert names == [*seeds_of_one, ("sastnet", "1"), ("random, 4 classes", ""), ("majority class", "")]
    metrics = {seed: metrics_of(f"s_vq_s{seed}") for seed in (1, 2, 3)}
    rows = rows_by(results, "System", "Seed")
    for key, column in (("macro_f1", "Macro F1 %"), ("weighted_f1", "Weighted F1 %"), ("accuracy", "Accuracy %")):
        values = [100 * one[key] for one in metrics.values()]
        assert [rows["s_vq", str(seed)][column] for seed in (1, 2, 3)] == [f"{value:.2f}" for value in values]
        assert rows["s_vq", "mean of 3"][column] == f"{statistics.mean(values):.2f}"
        row = rows_by(seeds, "System", "Metric")["s_vq", column]
        assert row["SD"] == f"{statistics.stdev(values):.2f}"
        best = int(np.argmax(values))
        assert row["Best (seed)"] == f"{values[best]:.2f} ({best + 1})", "the highest"
        for name, floor in (("random, 4 classes", "random"), ("majority class", "majority")):
            assert rows[name, ""][column] == f"{100 * metrics[1]['chance'][floor][key]:.2f}"
    printed = capsys.readouterr().out
    assert printed.startswith(f"{heading}\n\n| System ") and printed.endswith("wrote RESULTS.md\n")
    assert f" {100 * metrics[1]['macro_f1']:.2f} |" in printed


def test_per_class_attacks_subsets_and_confusions(recipe):
    for seed in (1, 2):
        add_tracer(f"s_vq_s{seed}", seed=seed)
    make_report()
    text, heading, both = page(), "eval: attribution by utt2vq", [metrics_of("s_vq_s1"), metrics_of("s_vq_s2")]

    def spread(values):
        return f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f}"

    header, row, counts = table_with(text, heading, "F1 % by class")
    assert header[2:] == list(CLASSES), "in the order of the model"
    assert row[2:] == [spread([one["by_class"][name]["f1"] for one in both]) for name in CLASSES]
    assert counts[2:] == ["5", "12", "6", "6"]
    header, row, _ = table_with(text, heading, "Accuracy % by attack")
    assert header[2:] == ["fsq", "rvq_q4", "rvq_q8", "single"]
    assert row[2] == spread([one["by_attack"]["fsq"]["accuracy"] for one in both])
    parts = table_with(text, heading, "unseen_setting")
    assert parts[0] == ["System", "Runs", "Metric", "all", "seen", "unseen_codec", "unseen_setting"]
    rows = rows_by(parts, "System", "Metric")
    values = [one["by_subset"]["unseen_codec"]["weighted_f1"] for one in both]
    assert rows["s_vq", "Weighted F1 %"]["unseen_codec"] == spread(values)
    at_random = both[0]["by_subset"]["unseen_codec"]["chance"]["random"]
    assert rows["random, 4 classes", "Macro F1 %"]["unseen_codec"] == f"{100 * at_random['macro_f1']:.2f}"
    header, *rows = table_with(text, heading, "True class")
    assert header[3:] == [f"decided {name} %" for name in CLASSES]
    total = np.sum([one["confusion"]["counts"] for one in both], axis=0)
    order = [both[0]["confusion"]["rows"].index(name) for name in CLASSES]
    total = total[np.ix_(order, order)]
    assert [row[1] for row in rows] == list(CLASSES)
    assert [[float(cell) for cell in row[3:]] for row in rows] == pytest.approx(
        (100 * total / total.sum(axis=1, keepdims=True)).round(1)
    )
    assert "![Confusions of eval by utt2vq](my%20figures/confusion_utt2vq_eval.png)" in text
    assert (recipe / "my figures/confusion_utt2vq_eval.png").read_bytes().startswith(b"\x89PNG")


def test_trimmed_set_is_a_second_block_with_differences(recipe):
    for seed in (1, 2):
        add_tracer(f"s_vq_s{seed}", seed=seed, sets=("eval", "eval_trim"))
    make_report()
    text = page()
    assert "## eval_trim" not in text
    rows = rows_by(table_with(text, "eval: attribution by utt2vq", "all, trimmed"), "System", "Metric")
    row = rows["s_vq", "Macro F1 %"]
    pairs = [[100 * metrics_of(f"s_vq_s{s}", name)["macro_f1"] for name in ("eval", "eval_trim")] for s in (1, 2)]
    differences = [trimmed - original for original, trimmed in pairs]
    mean = statistics.mean(differences)
    assert row["all, difference"] == f"{mean:+.2f} ± {statistics.stdev(differences):.2f}"
    assert row["all, trimmed"].startswith(f"{statistics.mean(pair[1] for pair in pairs):.2f} ± ")
    assert "seen, difference" in row
    assert "Differences are trimmed - original" in text


def test_metrics_of_earlier_versions_are_read(recipe):
    """They called the convention of subsets that of parts."""
    add_tracer("s_vq_s1")
    make_report()
    expected = page()
    files = list((recipe / "exp/s_vq_s1").glob("*/metrics.json"))
    assert files
    for path in files:
        text = path.read_text()
        assert '"subset_convention"' in text and json.loads(text)["subset_convention"] in expected
        path.write_text(text.replace('"subset_convention"', '"part_convention"'))
    make_report()
    assert page() == expected


def test_open_set_metrics(recipe):
    add_tracer("s_vq_s1", classes=("real", "mvq", "svq"))
    make_report()
    header, row, _ = table_with(page(), "eval: attribution by utt2vq", "Rejection by")
    figures = metrics_of("s_vq_s1")["open_set"]["energy"]
    assert header[3:] == ["AUROC %", "FPR95 (unknown pos.) %", "FPR95 (known pos.) %", "EER %", "OSCR %"]
    assert row[:3] == ["s_vq", "energy", "1"]
    assert row[3:5] == [f"{100 * figures[key]:.2f}" for key in ("auroc", "fpr95_ood_positive")]
    assert "- Of unknown classes: sq 6;" in page()


def test_many_classes_are_drawn_but_not_listed(recipe):
    names = [f"codec_{number:02d}" for number in range(30)]
    utts = sorted(f"{name}-{number}" for name in names for number in range(2))
    write_table(recipe / "data/codecs/utt2codec", {utt: utt.split("-")[0] for utt in utts})
    folder = recipe / "exp/many/codecs"
    write_lines(folder / "scores.txt", [("utt", "predicted"), *((utt, names[0]) for utt in utts)])
    evaluate(
        "--task", "attribution", "--labels", "utt2codec", "--data", "data/codecs", "--scores", folder / "scores.txt",
        "--out", folder / "metrics.json",
    )  # fmt: skip
    make_report()
    assert len(tables_of(page(), "codecs: attribution by utt2codec")) == 1
    assert "- 30 classes: their metrics are in the tables of each run." in page()
    assert (recipe / "my figures/confusion_utt2codec_codecs.png").exists()


def test_heads_of_one_system_have_their_own_sections(recipe):
    write_table(
        recipe / "data/eval/utt2dec",
        {utt: "real" if utt[0] == "b" else "time" for utt in table_of(recipe / "data/eval", "utt2vq")},
    )
    add_tracer("m1_s1", "m1")
    folder = recipe / "exp/m1_s1/eval"
    (folder / "metrics.json").rename(folder / "metrics_vq.json")
    utts = table_of(recipe / "data/eval", "utt2dec")
    write_lines(folder / "scores_dec.txt", [("utt", "predicted"), *((utt, "time") for utt in utts)])
    words = (
        "--task",
        "attribution",
        "--labels",
        "utt2dec",
        "--data",
        "data/eval",
        "--scores",
        folder / "scores_dec.txt",
    )
    evaluate(*words, "--out", folder / "metrics_dec.json")
    make_report()
    headings = [line for line in page().splitlines() if line.startswith("## ")]
    assert headings[:2] == ["## eval: attribution by utt2dec", "## eval: attribution by utt2vq"]
    assert page().count("| m1_s1 |") == 1, "one line of the runs"
    evaluate(*words, "--out", folder / "metrics_again.json")
    with pytest.raises(InputError, match=r"metrics_dec.json: a second evaluation of the same outputs"):
        make_report()


def test_all_tasks_on_one_page(recipe):
    rng = np.random.default_rng(0)
    folder = recipe / "exp/aasist_s1/eval"
    lines = [(utt, f"{rng.normal():.4f}") for utt in table_of(recipe / "data/eval", "utt2label")]
    write_lines(folder / "scores.txt", lines)
    evaluate("--data", "data/eval", "--scores", folder / "scores.txt", "--out", folder / "metrics.json")
    add_tracer("s_vq_s1")
    add_parser("hydra_s1")
    make_report()
    headings = [line for line in page().splitlines() if line.startswith("## ")]
    assert headings == [
        "## eval", "## eval: attribution by utt2vq", "## eval: parsing", "## Conventions", "## Runs",
    ]  # fmt: skip
    assert page().count("- Rows of means and ranges") == 1
    before = [path.read_bytes() for path in sorted((recipe / "my figures").iterdir())]
    text = page()
    make_report()
    assert [path.read_bytes() for path in sorted((recipe / "my figures").iterdir())] == before
    assert page() == text


# ---------------------------------------------------------------- parsing


def test_parsing_tables(recipe):
    for seed in (1, 2):
        add_parser(f"hydra_s{seed}", seed=seed)
    make_report()
    text, heading, both = page(), "eval: parsing", [metrics_of("hydra_s1"), metrics_of("hydra_s2")]
    targets = {"kHz": "sampling_rate_khz", "kbit/s": "bitrate_kbps", "quantizers": "quantizers"}
    for title, part in (("System, closed set", "closed_set"), ("System, open set", "open_set")):
        table = table_with(text, heading, title)
        rows = rows_by(table, title)
        for (unit, target), measure in product(targets.items(), ("rmse", "mae")):
            column, values = f"{unit} {measure.upper()}", [one[part]["targets"][target][measure] for one in both]
            if values[0] is None:
                assert rows["hydra",][column] == "n/a", "the bit rate of the only unknown codec is not known"
                continue
            assert rows["hydra",][column] == f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
            floor = both[0][part]["training_mean"]["targets"][target][measure]
            assert rows["mean of the training set",][column] == f"{floor:.2f}"
        values = [100 * one[part]["nearest_codec_accuracy"] for one in both]
        expected = f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
        assert rows["hydra",]["Nearest codec %"] == expected
    rows = rows_by(table_with(text, heading, "Codec"), "Codec")
    assert [row["Set"] for row in rows.values()] == ["closed set"] * 3 + ["open set"]
    assert rows["fsq",]["Utterances"] == "6"
    parts = table_with(text, heading, "unseen_setting")
    assert parts[0][3:] == ["all", "seen", "unseen_codec", "unseen_setting"]
    assert "- Open set, 6 utterances: fsq." in text
    assert "![Predictions of hydra on eval](my%20figures/parsing_eval_hydra_s1.png)" in text
    assert (recipe / "my figures/parsing_eval_hydra_s1.png").read_bytes().startswith(b"\x89PNG")


def test_parsing_of_the_trimmed_set(recipe):
    add_parser("hydra_s1", sets=("eval", "eval_trim"))
    make_report()
    row = rows_by(table_with(page(), "eval: parsing", "all, difference"), "System", "Metric")["hydra", "kHz RMSE"]
    assert row["all"] == row["all, trimmed"] and row["all, difference"] == "+0.00"


def test_runs_on_other_utterances_are_refused(recipe):
    add_parser("hydra_s1")
    add_parser("hydra_s2", seed=2)
    path = recipe / "exp/hydra_s2/eval/metrics.json"
    metrics = metrics_of("hydra_s2")
    metrics["by_codec"]["fsq"]["utterances"] = 5
    path.write_text(json.dumps(metrics))
    with pytest.raises(InputError, match=r"hydra_s2/eval/metrics.json: made on other trials .* or other codecs"):
        make_report()
    path.write_text(json.dumps({"task": "parsing", "trials": 3}))
    with pytest.raises(InputError, match=r"metrics.json: lacks by_codec, .*; evaluate this set again"):
        make_report()


# ---------------------------------------------------------------- published figures and curvatures

HEADER = "\t".join(COLUMNS)


def test_published_figures_of_a_label_table_stay_in_its_section(recipe):
    add_tracer("s_vq_s1")
    lines = [
        f"s_vq\t-\teval\t{table}.weighted_f1\t{value}\tsingle\tauthors\tA et al."
        for table, value in (("utt2vq", "97.39"), ("utt2aux", "97.15"))
    ]
    (recipe / "published.tsv").write_text("\n".join([HEADER, *lines]) + "\n")
    make_report("--published", "published.tsv")
    ours, quoted = page().split("**Published, not ours.**")
    assert "97.39" in quoted and "utt2vq: weighted F1 %" in quoted
    assert "97.39" not in ours and "97.15" not in page()


def test_an_rmse_below_the_mae_is_marked(recipe):
    values = {
        "open_set.rmse_khz": "12.69",
        "open_set.mae_khz": "13.29",
        "open_set.rmse_kbps": "4.54",
        "open_set.mae_kbps": "4.54",
    }
    values |= {"closed_set.mae_khz": "14"}
    lines = [f"cnn\tx-vector\teval\t{metric}\t{value}\tsingle\tauthors\tB et al." for metric, value in values.items()]
    path = recipe / "published.tsv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    text = published_table(read_published(path))
    header, _, row = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[:3])
    assert dict(zip(header[5:], row[5:], strict=True)) == {
        "open set: RMSE kHz": "12.69 (!)",
        "open set: MAE kHz": "13.29 (!)",
        "open set: RMSE kbit/s": "4.54",
        "open set: MAE kbit/s": "4.54",
        "closed set: MAE kHz": "14",
    }
    assert text.count("(!) Cannot be") == 1
    path.write_text("\n".join([HEADER, *lines[2:]]) + "\n")
    assert "(!)" not in published_table(read_published(path))


def test_names_of_published_metrics_are_those_of_the_documentation():
    assert {"utt2vq.macro_f1", "utt2aux.weighted_f1", "utt2dec.f1", "utt2codec.accuracy"} <= ATTRIBUTION.keys()
    assert len(PARSING) == 18 and {"rmse_khz", "closed_set.mae_kbps", "open_set.rmse_quantizers"} <= PARSING.keys()


def test_curvatures_are_drawn_where_there_are_any(recipe):
    add_parser("hydra_s1")
    epochs = recipe / "exp/hydra_s1/epochs.tsv"
    write_lines(epochs, [("epoch", "dev_rmse"), (1, 0.5)])
    make_report()
    assert "curvatures" not in page()
    write_lines(
        epochs, [("epoch", "dev_rmse", "curvature_khz", "curvature_kbps"), (1, 0.5, 1.0, 1.0), (2, 0.4, 0.9, 1.2)]
    )
    make_report()
    assert "![Learned curvatures of hydra](my%20figures/hydra_s1_curvatures.png)" in page()
    assert (recipe / "my figures/hydra_s1_curvatures.png").read_bytes().startswith(b"\x89PNG")
    write_lines(epochs, [("epoch", "curvature_khz"), (1, 1.0), (2, "high")])
    with pytest.raises(InputError, match=r"hydra_s1/epochs.tsv:3: not 2 numbers; restore or remove it"):
        make_report()
