"""Options --task, --ptm and --analysis of recipes with several tasks: names, configurations, data, jobs.

``spooftrace`` only notes here how it was called; test_tracing_systems.py trains.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from checkouts import ROOT, SPOOFTRACE, calls, checkout, option, run

VECTORS = sorted(path.stem for path in (ROOT / "conf/vectors").glob("*.yaml"))
SETS = "train_parse dev_parse eval_parse eval_id eval_open test_vq test_aux cors_test cosg_all cosg_known".split()
SETS += [f"{name}_{task}" for name in ("train", "dev") for task in ("bin", "vq", "aux", "dec", "id")] + ["train", "dev"]


def noted(tmp_path: Path, name: str, *options: str) -> Path:
    """Return a recipe after ``./run.sh`` with these options, without any computation."""
    recipe = checkout(tmp_path / "a checkout", name)
    (recipe / "bin").mkdir()
    (recipe / "bin/spooftrace").write_text(SPOOFTRACE, encoding="utf-8")
    (recipe / "bin/spooftrace").chmod(0o755)
    (recipe / "path.sh").write_text('export PATH="$PWD/bin:$PWD/../../utils:$PATH"\n', encoding="utf-8")
    for one in SETS:
        (recipe / "data" / one).mkdir(parents=True)
        (recipe / "data" / one / "utt2spk").touch()
    result = run(recipe, *options, "--nj", "2")
    assert result.returncode == 0, result.stderr
    return recipe


def configs(words: list[str]) -> list[str]:
    """Return its configuration files, those of the repository as relative paths."""
    return [words[i + 1].removeprefix("../../") for i, word in enumerate(words) if word == "--config"]


@pytest.mark.parametrize(
    ("options", "exp", "files"),
    [
        ("--task vq", "s_vq", ["conf/systems/s_vq.yaml"]),
        ("--task vq --system s_vq", "s_vq", ["conf/systems/s_vq.yaml"]),
        ("--task aux --system d", "d_aux", ["conf/systems/d_aux.yaml"]),
        ("--task aux --system m1", "m1_aux", ["conf/systems/m1.yaml"]),
        ("--task vq --system lfcc_linear", "lfcc_linear_vq", ["conf/systems/lfcc_linear.yaml", "conf/tasks/vq.yaml"]),
        ("--task bin --system s", "s_bin", ["conf/systems/s_bin.yaml"]),
        ("--task bin --system m2", "m2", ["conf/systems/m2.yaml"]),
    ],
)
def test_a_task_is_part_of_the_name_and_of_the_configuration(tmp_path, options, exp, files):
    recipe = noted(tmp_path, "codecfake_plus", *options.split(), "--stage", "4", "--stop_stage", "6")
    (train,) = calls(recipe, "train")
    assert option(train, "--exp") == f"exp/{exp}_s1234"
    assert configs(train) == files
    task = options.split()[1]
    listed = "vq" if task == "bin" else task
    assert (option(train, "--train"), option(train, "--dev")) == (f"data/train_{listed}", f"data/dev_{listed}")
    evaluated = calls(recipe, "evaluate")
    assert {option(words, "--data") for words in evaluated} >= {f"data/test_{listed}", "data/cosg_all"}
    for words in evaluated:
        asked = [] if task == "bin" else ["--task", "attribution", "--labels", f"utt2{task}"]
        assert words[words.index("--scores") + 2 : words.index("--out")] == asked


def test_sastnet_starts_from_the_baseline_of_the_same_task_and_seed(tmp_path):
    options = "--task vq --system sastnet --seeds 1|2 --tag try --stage 4 --stop_stage 4"
    recipe = noted(tmp_path, "codecfake_plus", *(word.replace("|", " ") for word in options.split()))
    started = {option(words, "--exp"): option(words, "--trainer.start_from") for words in calls(recipe, "train")}
    assert started == {f"exp/sastnet_vq_try_s{seed}": f"exp/s_vq_try_s{seed}" for seed in (1, 2)}


def test_sastnet_without_the_baseline_is_another_experiment(tmp_path):
    options = "--task vq --system sastnet,s --tuned false --stage 4 --stop_stage 4"
    recipe = noted(tmp_path, "codecfake_plus", *options.split())
    trained = calls(recipe, "train")
    assert sorted(option(words, "--exp") for words in trained) == ["exp/s_vq_s1234", "exp/sastnet_vq_pretrained_s1234"]
    assert not any("--trainer.start_from" in words for words in trained)


@pytest.mark.slow
def test_the_whole_grid_is_one_array_of_jobs(tmp_path):
    recipe = noted(tmp_path, "st_codecfake", "--task", "parse", "--stage", "4", "--stop_stage", "6")
    trained = {option(words, "--exp"): words for words in calls(recipe, "train")}
    systems = ("parse_linear", "nacsp_cnn", "nacsp_hyperbolic", "hydra")
    cells = {f"exp/{system}_{vector}_s1234": vector for system in systems for vector in VECTORS}
    assert trained.keys() == {*cells, "exp/mio_s1234", "exp/aasist_parsing_s1234"}
    for exp, vector in cells.items():
        assert option(trained[exp], "--dump") == f"dump/{vector}", "the stream of every model is called vector"
        assert configs(trained[exp])[-1] == f"conf/vectors/{vector}.yaml"
    assert option(trained["exp/mio_s1234"], "--dump") == "dump"
    scored = {option(words, "--exp"): option(words, "--dump") for words in calls(recipe, "score")}
    assert scored == {exp: option(words, "--dump") for exp, words in trained.items()}
    for step in ("train", "score"):
        (folder,) = {path.parent for path in (recipe / "exp/log").glob(f"*/{step}.*.log")}
        assert len(list(folder.glob(f"{step}.*.log"))) == len(trained), "one array"
    assert {option(words, "--train-data") for words in calls(recipe, "evaluate")} == {"data/train_parse"}


@pytest.mark.parametrize(
    ("options", "folders"),
    [
        ("--ptm xvector", ["dump", "dump/xvector"]),
        ("--ptm xvector,ecapa --system hydra,nacsp_cnn", ["dump/ecapa", "dump/xvector"]),
        ("--system mio", ["dump"]),
    ],
)
def test_the_vectors_of_a_model_are_extracted_once(tmp_path, options, folders):
    stages = ["--stage", "3", "--stop_stage", "3"]
    recipe = noted(tmp_path, "st_codecfake", "--task", "parse", *options.split(), *stages)
    collected = [option(words, "--dump") for words in calls(recipe, "extract") if "--collect" in words]
    assert sorted(set(collected)) == folders
    assert all(collected.count(folder) == 1 for folder in folders if folder != "dump")


def test_codecs_as_classes_of_the_vectors(tmp_path):
    options = "--task codec --ptm xvector --stage 4 --stop_stage 6"
    recipe = noted(tmp_path, "st_codecfake", *options.split())
    (train,) = calls(recipe, "train")
    assert option(train, "--exp") == "exp/parse_linear_codec_xvector_s1234"
    assert configs(train) == [
        "conf/systems/parse_linear.yaml", "./conf/tasks/codec.yaml", "conf/vectors/xvector.yaml",
    ]  # fmt: skip
    assert {option(words, "--labels") for words in calls(recipe, "evaluate")} == {"utt2codec"}
