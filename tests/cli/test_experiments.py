"""Plans of experiments and placeholders in commands; tests/recipes runs whole recipes."""

import pytest

from spooftrace.jobs.arrays import fill
from spooftrace.jobs.plan import Choice, Experiment, experiments


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe with systems of a task, of several tasks at once, and on vectors of a pretrained model."""
    files = {
        "conf/systems/s_vq.yaml": "seed_everything: 7\n",
        "conf/systems/multi.yaml": "task: {class_path: MultiAttribution}\n",
        "conf/systems/sastnet.yaml": "",
        "conf/systems/probe.yaml": "streams:\n  vector: {}\n",
        "conf/vectors/xvector.yaml": "",
        "conf/tasks/vq.yaml": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "egs/one/conf").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "egs/one")


def test_a_plan_file_keeps_experiments(recipe):
    choice = Choice(["s", "sastnet"], task="vq", seeds=[1, 2], tag="x", start_from={"sastnet": "s_vq"})
    plan = list(experiments(choice))
    assert [Experiment.from_line(experiment.to_line()) for experiment in plan] == plan
    assert [(experiment.exp, experiment.start) for experiment in plan] == [
        ("exp/s_vq_x_s1", ""), ("exp/s_vq_x_s2", ""),
        ("exp/sastnet_vq_x_s1", "exp/s_vq_x_s1"), ("exp/sastnet_vq_x_s2", "exp/s_vq_x_s2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "exp", "configs"),
    [
        (Choice(["s"], task="vq"), "exp/s_vq_s7", ["systems/s_vq.yaml"]),
        (Choice(["multi"], task="vq"), "exp/multi_vq_s1234", ["systems/multi.yaml"]),
        (Choice(["sastnet"], task="vq", variants={"sastnet": "pretrained"}, variant="trim"),
         "exp/sastnet_vq_pretrained_trim_s1234", ["systems/sastnet.yaml", "tasks/vq.yaml"]),
        (Choice(["probe"], ptm=["xvector"], seed=5), "exp/probe_xvector_s5",
         ["systems/probe.yaml", "vectors/xvector.yaml"]),
        (Choice(["sastnet"], ptm=["xvector"]), "exp/sastnet_s1234", ["systems/sastnet.yaml"]),
    ],
)  # fmt: skip
def test_names_and_configurations(recipe, choice, exp, configs):
    (experiment,) = experiments(choice)
    assert experiment.exp == exp
    assert experiment.configs == tuple(f"../../conf/{config}" for config in configs)


def test_placeholders_are_whole_words():
    experiment = Experiment("exp/a_s1", "a", 1, "dump", "exp/b_s1", ("x.yaml", "y.yaml"))
    command = "train CONFIG --exp EXP --seed SEED START --title EXPERIMENT --text=EXP --dump DUMP".split()
    expected = "train --config x.yaml --config y.yaml --exp exp/a_s1 --seed 1 --trainer.start_from exp/b_s1"
    assert list(fill(command, experiment)) == [*expected.split(), *"--title EXPERIMENT --text=EXP --dump dump".split()]
