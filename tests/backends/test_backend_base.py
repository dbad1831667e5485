"""A user's back-end that does not derive from Backend, or lacks an attribute, gives one line that names it."""

import pytest
import torch
from torch import nn

from spooftrace.backends import Backend, LinearProbe
from spooftrace.backends.base import check_backend
from spooftrace.cli.main import main
from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config
from spooftrace.system.system import System


class Bare(Backend):
    """Defines neither ``layouts`` nor ``num_outputs``."""

    def __init__(self, num_outputs: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(60, num_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean(1))  # (B, T, D) -> (B, num_outputs)


class Counted(Bare):
    num_outputs = 2


class Laid(Bare):
    layouts = (("frames",),)


class Flat(Counted):
    layouts = ("frames",)


class Odd(Counted):
    layouts = (("frame",),)


class Whole(Counted):
    layouts = (("frames",),)


class Uncounted(Laid):
    num_outputs = "two"


class Plain(nn.Module):
    layouts = (("frames",),)
    num_outputs = 2


WRONG = [
    (Bare, "backend Bare: has no attribute num_outputs (the number of its outputs) and no layouts (for each"),
    (Counted, "backend Counted: has no attribute layouts (for each of its streams"),
    (Laid, "backend Laid: has no attribute num_outputs (the number of its outputs)"),
    (Flat, "backend Flat: layouts is ('frames',); for each stream"),
    (Odd, "backend Odd: layouts is (('frame',),); for each stream"),
    (Plain, "backend Plain: does not derive from spooftrace.backends.Backend"),
    (Uncounted, "backend Uncounted: num_outputs is 'two'; it must be a whole number"),
]


@pytest.mark.parametrize(("kind", "message"), WRONG, ids=[kind.__name__ for kind, _ in WRONG])
def test_what_is_missing_is_named(write_config, kind, message):
    config = load_config([write_config(backend={"class_path": f"{__name__}.{kind.__name__}"}, data={})])
    with pytest.raises(InputError) as caught:
        System(config, {})
    assert str(caught.value).startswith(message) and "docstring of spooftrace.backends.Backend" in str(caught.value)


def test_summary_names_it_too(write_config, capsys):
    assert main(["summary", "--config", str(write_config(backend={"class_path": f"{__name__}.Bare"}, data={}))]) == 0
    assert "backend (Bare) is not counted: backend Bare: has no attribute" in capsys.readouterr().out


def test_a_complete_back_end_is_accepted(write_config):
    config = load_config([write_config(backend={"class_path": f"{__name__}.Whole"}, data={})])
    batch = {"wave": torch.zeros(1, 3200), "wave_len": torch.tensor([3200]), "utt": ["u"]}
    assert System(config, {})(batch).shape == (1, 2)
    probe = LinearProbe(60)
    assert check_backend(probe) is probe


def test_optional_hooks_do_nothing_by_default():
    probe, loss = LinearProbe(60), torch.tensor(0.5)
    assert probe.total_loss(loss, torch.tensor([0, 1])) is loss
    assert (probe.figures(), probe.optimizer_groups(), probe.initialise()) == ({}, [], None)
    with pytest.raises(ValueError, match="LinearProbe has no tables of code vectors"):
        probe.start_from(torch.zeros(2, 4, 3))
