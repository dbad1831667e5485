"""Configuration: merging, overrides, and errors that name the key."""

from pathlib import Path

import pytest
import yaml

from spooftrace.config import build, load_config, merge, save_config
from spooftrace.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = sorted((ROOT / "conf/systems").glob("*.yaml"))
LFCC = ROOT / "conf/systems/lfcc_linear.yaml"


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_published_systems_are_valid(path):
    config = load_config([path])
    assert config["streams"] and config["backend"]["class_path"].startswith("spooftrace.backends.")


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("egs/*/conf/*.yaml")), ids=lambda path: f"{path.parts[-3]}-{path.stem}"
)
def test_recipe_configurations_override_a_system(path):
    config = load_config([ROOT / "conf/systems" / path.name, path])
    assert config != load_config([ROOT / "conf/systems" / path.name])


def test_later_files_and_the_command_line_win(tmp_path):
    (tmp_path / "mine.yaml").write_text("data: {crop: 48000}\n", encoding="utf-8")
    config = load_config([LFCC, tmp_path / "mine.yaml"], ["--data.batch_size", "8", "--optimizer.init_args.lr", "1e-5"])
    assert config["data"]["crop"] == 48000
    assert config["data"]["batch_size"] == 8
    assert config["data"]["pad"] == "repeat"
    assert config["optimizer"]["init_args"]["lr"] == 1e-5


def test_saved_configuration_reads_back_the_same(tmp_path):
    config = load_config([LFCC], ["--trainer.max_epochs", "3"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config([tmp_path / "config.yaml"]) == config


def test_another_class_drops_the_arguments_of_the_old_one():
    old = {"class_path": "AASIST", "init_args": {"filts": [70]}}
    assert merge(old, {"class_path": "LinearProbe"}) == {"class_path": "LinearProbe"}
    assert merge(old, {"class_path": "AASIST"}) == old


def test_build_constructs_the_named_class():
    backend = build(load_config([LFCC])["backend"])
    assert type(backend).__name__ == "LinearProbe"
    assert backend.input_dim == 60


def test_values_that_a_class_refuses_are_named():
    config = load_config([ROOT / "conf/systems/whisper_nes2net_x.yaml"], ["--backend.init_args.input_dim", "500"])
    with pytest.raises(InputError, match="Nes2NetX: input_dim must be a multiple of 8") as caught:
        build(config["backend"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data": {"batchsize": 4}}, "batchsize"),
        ({"data": {"batch_size": "many"}}, "batch_size"),
        ({"data": {"pad": "mirror"}}, "pad"),
        ({"trainer": {"max_epoch": 4}}, "max_epoch"),
        ({"backend": {"init_args": {"input_dims": 60}}}, "input_dims"),
        ({"backend": {"class_path": "AASSIST"}}, "AASSIST"),
        ({"task": {"class_path": "Detektion"}}, "Detektion"),
        ({"streams": {"lfcc": {"class_path": "LFC"}}}, "LFC"),
        ({"streams": {"lfcc": {"init_args": {"coefficients": 3}}}}, "coefficients"),
        ({"optimizer": {"init_args": {"learning_rate": 0.1}}}, "learning_rate"),
        ({"data": {"cached": ["whisper"]}}, "whisper"),
        ({"rawboost": 3}, "rawboost"),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(tmp_path, change, named):
    mistake = tmp_path / "mistake.yaml"
    mistake.write_text(yaml.safe_dump(change), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config([LFCC, mistake])
    assert named in str(caught.value)
    assert "mistake.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


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
    with pytest.raises(InputError, match=r"broken.yaml: not valid YAML"):
        load_config([tmp_path / "broken.yaml"])


def test_yaml_cannot_execute(tmp_path):
    (tmp_path / "evil.yaml").write_text("data: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(InputError, match="not valid YAML"):
        load_config([tmp_path / "evil.yaml"])
