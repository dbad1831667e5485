"""A mistake on the command line is said of the option, one in a file of the file."""

import pytest

from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trainer.max_epoch", "3"], "--trainer.max_epoch: no such key; did you mean max_epochs?"),
        (["--trainr.max_epochs", "3"], "--trainr.max_epochs: "),
        (["--trainer.max_epochs", "many"], "--trainer.max_epochs: must be a whole number, not many"),
        (["--data.pad", "never"], "--data.pad: must be one of"),
        (["--data", "{crop: long}"], "--data: data.crop: must be a whole number, not long"),
        (["--trainer.patience", "0"], "--trainer.patience is 0; it must be 1 or more"),
        (["--backend.class_path", "AASISTT"], "--backend.class_path: no class 'AASISTT'"),
        (["--optimizer.init_args.capturable", "true"], "--optimizer.init_args.capturable: "),
        (["--data.crop", "1600", "--seed_everything", "x"], "--seed_everything: must be a whole number, not x"),
        (["--data.cached.lfcc", "true"], "--data.cached.lfcc: data.cached: must be a list"),
    ],
)
def test_the_option_is_named(write_config, words, said):
    with pytest.raises(InputError) as refusal:
        load_config([write_config()], words)
    assert str(refusal.value).startswith(said)
    assert "yaml" not in str(refusal.value)


@pytest.mark.parametrize(
    "words", [[], ["--data.pad", "repeat"], ["--data", "{pad: repeat}"], ["--trainer.patience", "3"]]
)
def test_the_file_is_named_where_the_mistake_is_in_it(write_config, words):
    config = write_config(data={"crop": "long"})
    with pytest.raises(InputError) as refusal:
        load_config([config], words)
    assert str(refusal.value).startswith(f"{config}: data.crop: must be a whole number, not long")


def test_an_option_that_mends_a_file_is_not_blamed(write_config):
    assert load_config([write_config(data={"crop": "long"})], ["--data.crop", "1600"]).data.crop == 1600
