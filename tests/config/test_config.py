"""Configuration: merging, overrides, and errors that name the key."""

from pathlib import Path

import pytest
import yaml

from spooftrace.common.errors import InputError
from spooftrace.config.loading import build, load_config, merge, save_config
from spooftrace.config.messages import explain

ROOT = Path(__file__).resolve().parents[2]
LFCC = ROOT / "conf/systems/lfcc_linear.yaml"


def test_later_files_and_the_command_line_win(tmp_path):
    (tmp_path / "mine.yaml").write_text("data: {crop: 48000}\n", encoding="utf-8")
    config = load_config([LFCC, tmp_path / "mine.yaml"], ["--data.batch_size", "8", "--optimizer.init_args.lr", "1e-5"])
    assert config.data.crop == 48000
    assert config.data.batch_size == 8
    assert config.data.pad == "repeat"
    assert config.optimizer["init_args"]["lr"] == 1e-5


def test_saved_configuration_reads_back_the_same(tmp_path):
    config = load_config([LFCC], ["--trainer.max_epochs", "3"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config([tmp_path / "config.yaml"]) == config


def test_another_class_drops_the_arguments_of_the_old_one():
    old = {"class_path": "AASIST", "init_args": {"filts": [70]}}
    assert merge(old, {"class_path": "LinearProbe"}) == {"class_path": "LinearProbe"}
    assert merge(old, {"class_path": "AASIST"}) == old


def test_build_constructs_the_named_class():
    backend = build(load_config([LFCC]).backend)
    assert type(backend).__name__ == "LinearProbe"
    assert backend.input_dim == 60


def test_values_that_a_class_refuses_are_named():
    config = load_config([ROOT / "conf/systems/whisper_nes2net_x.yaml"], ["--backend.init_args.input_dim", "500"])
    with pytest.raises(InputError, match="Nes2NetX: input_dim must be a multiple of 8") as caught:
        build(config.backend)
    assert "\n" not in str(caught.value)


MISTAKES = [  # what is written -> key, what is wrong with it
    ({"data": {"batchsize": 4}}, "data.batchsize: no such key; did you mean batch_size?"),
    ({"data": {"batch_size": "many"}}, "data.batch_size: must be a whole number, not many"),
    ({"data": {"pad": "mirror"}}, "data.pad: must be one of 'repeat', 'zero', not mirror"),
    ({"data": {"noise": {"snrs": 3, "scp": "a"}}}, "data.noise.snrs: no such key; did you mean snr?"),
    ({"data": {"reverb": {"scp": 3}}}, "data.reverb.scp: must be text, not 3"),
    ({"data": {"cached": ["whisper"]}}, "data.cached names no stream: whisper"),
    ({"data": {"cached": "lfcc"}}, "data.cached: must be a list, not lfcc"),
    ({"data": {"eval_hop": 100}}, "data.eval_hop belongs to data.eval_crop: windows, not full"),
    ({"data": {"eval_hop": "long"}}, "data.eval_hop: must be a whole number"),
    ({"data": {"eval_crop": "windows", "eval_hop": 0}}, "data.eval_hop is 0; it must be 1 or more"),
    ({"data": {"batch_size": 0}}, "data.batch_size is 0; it must be 1 or more"),
    ({"seed_everything": -1}, "seed_everything is -1; it must be from 0 to 4294967295"),
    ({"seed_everything": 10**14}, "seed_everything is 100000000000000; it must be from 0 to 4294967295"),
    ({"trainer": {"gradient_clip_val": float("nan")}}, "trainer.gradient_clip_val is nan; it must be 0 or more"),
    ({"trainer": {"checkpoint_minutes": -3}}, "trainer.checkpoint_minutes is -3.0; it must be 0 or more"),
    ({"data": 5}, "data: must be a mapping of keys to values, not 5"),
    ({"trainer": {"max_epoch": 4}}, "trainer.max_epoch: no such key; did you mean max_epochs?"),
    ({"trainer": {"max_epochs": 4.5}}, "trainer.max_epochs: must be a whole number, not 4.5"),
    ({"trainer": {"monitor": "dev_loss_augmented"}}, "trainer.monitor dev_loss_augmented needs data.augment_dev: both"),
    ({"trainer": {"monitor": "last_epoch"}}, "trainer.monitor last_epoch selects no epoch"),
    ({"trainer": {"backend_only_epochs": 2}}, "trainer.backend_only_epochs: no stream has finetune: true"),
    ({"schedule": {"kind": "staircase", "factor": 0.5}}, "schedule.kind staircase needs schedule.epochs"),
    (
        {"backend": {"init_args": {"input_dims": 60}}},
        "backend.init_args.input_dims: no such key; did you mean input_dim?",
    ),
    ({"backend": {"init_args": {"input_dim": "x"}}}, "backend.init_args.input_dim: must be a whole number, not x"),
    ({"backend": {"class_path": "AASSIST"}}, "backend.class_path: no class 'AASSIST'; there are AASIST,"),
    (
        {"backend": {"class_path": "nowhere.AASIST"}},
        "backend.class_path: 'nowhere.AASIST' is not a class of spooftrace, and a configuration runs no other code; "
        "if nowhere is yours, give --allow-module nowhere",
    ),
    ({"task": {"class_path": "Detektion"}}, "task.class_path: no class 'Detektion'; there are Attribution"),
    ({"task": {"init_args": {"loss": {"class_path": "OCSoftmax"}}}}, "task.init_args.loss.init_args.dim: is missing"),
    ({"streams": {"lfcc": {"class_path": "LFC"}}}, "streams.lfcc.class_path: no class 'LFC'"),
    ({"streams": {"lfcc": {"init_args": {"bands": 3}}}}, "streams.lfcc.init_args.bands: no such key; there are cmn"),
    ({"optimizer": {"init_args": {"learning_rate": 0.1}}}, "optimizer.init_args.learning_rate: no such key"),
    (
        {"optimizer": {"class_path": "torch.optim.Adan"}},
        "optimizer.class_path: no class 'torch.optim.Adan'; did you mean Adam?",
    ),
    ({"rawboost": 3}, "rawboost: no such key; there are backend, data, optimizer"),
]


@pytest.mark.parametrize(("change", "problem"), MISTAKES, ids=[problem.split(":")[0] for _, problem in MISTAKES])
def test_mistakes_are_one_line_that_begins_with_the_key(tmp_path, change, problem):
    mistake = tmp_path / "mistake.yaml"
    mistake.write_text(yaml.safe_dump(change), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config([LFCC, mistake])
    assert str(caught.value).startswith(f"{LFCC}, {mistake}: {problem}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) - len(f"{LFCC}, {mistake}") < 250


def test_messages_of_unknown_form_are_passed_on():
    """A new version of jsonargparse may say things differently."""
    message = 'Parser key "backend":\n  Something new about it'
    assert explain(message, lambda section: []) == "backend: Something new about it"


@pytest.mark.parametrize(
    ("words", "named"),
    [(["--data.crop"], "value is missing"), (["data.crop", "3"], "data.crop"), (["--data.crop=3"], "data.crop=3")],
)
def test_overrides_are_strict(words, named):
    with pytest.raises(InputError, match=named):
        load_config([LFCC], words)


def test_bad_files(tmp_path):
    with pytest.raises(InputError, match="no such configuration"):
        load_config([tmp_path / "absent.yaml"])
    (tmp_path / "broken.yaml").write_text("data: {crop: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"broken.yaml:2: not valid YAML"):
        load_config([tmp_path / "broken.yaml"])


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("backend: {init_args: {input_dim: 512}}\n", "streams, task, optimizer: are missing"),
        ("data: {cached: [whisper]}\n", "streams, backend, task, optimizer: are missing"),
        ("{}\n", "streams, backend, task, optimizer: are missing"),
        (LFCC.read_text(encoding="utf-8").replace("task:", "taks:"), "task: is missing"),
        (LFCC.read_text(encoding="utf-8").replace("optimizer:", "optimiser:"), "optimizer: is missing"),
    ],
    ids=["override", "data only", "empty", "misspelt task", "misspelt optimizer"],
)
def test_sections_that_are_missing_are_named(tmp_path, text, missing):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config([tmp_path / "mine.yaml"])
    assert str(caught.value).startswith(f"{tmp_path / 'mine.yaml'}: {missing}")
    assert "conf/systems" in str(caught.value)


def test_overrides_of_a_recipe_alone_are_named():
    with pytest.raises(InputError, match=r"whisper_linear.yaml: .*missing"):
        load_config([ROOT / "egs/mini/conf/whisper_linear.yaml"])


def test_yaml_cannot_execute(tmp_path):
    (tmp_path / "evil.yaml").write_text("data: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(InputError, match="not valid YAML"):
        load_config([tmp_path / "evil.yaml"])
