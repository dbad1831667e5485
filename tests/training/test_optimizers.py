"""Every optimizer of a configuration trains a small system, or its name is refused when the configuration is read."""

import pytest
import torch

from spooftrace.common.errors import InputError
from spooftrace.config.classes import find_class
from spooftrace.config.loading import build, load_config

NAMES = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
)
REFUSED = {"SparseAdam": "use Adam", "Muon": "use AdamW"}


@pytest.mark.parametrize("name", NAMES)
def test_optimizers_train_or_are_refused(write_config, name):
    config = write_config(optimizer={"class_path": f"torch.optim.{name}", "init_args": {"lr": 0.01}})
    if name in REFUSED:
        with pytest.raises(InputError, match=f"optimizer.class_path: {name} .*{REFUSED[name]}"):
            load_config([config])
        return
    node = load_config([config]).optimizer
    torch.manual_seed(0)
    system = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(18, 2))
    before = [parameter.detach().clone() for parameter in system.parameters()]
    optimizer = build({**node, "init_args": {**node["init_args"], "params": list(system.parameters())}})
    batch = torch.randn(4, 2, 8)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = system(batch).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert any(not torch.equal(old, new) for old, new in zip(before, system.parameters(), strict=True))


@pytest.mark.parametrize("key", ["capturable", "differentiable"])
@pytest.mark.parametrize("name", ["Adam", "NAdam", "RMSprop"])
def test_arguments_that_cannot_train_are_refused(write_config, name, key):
    config = write_config(optimizer={"class_path": name, "init_args": {key: True}})
    with pytest.raises(InputError, match=f"optimizer.init_args.{key}: is for .*; leave it out"):
        load_config([config])
    assert load_config([config], [f"--optimizer.init_args.{key}", "false"])


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("optimizer", "torch.optim.lr_scheduler.StepLR"),
        ("optimizer", "torch.optim.lr_scheduler.ExponentialLR"),
        ("optimizer", "spooftrace.backends.AASIST"),
        ("backend", "torch.optim.SGD"),
        ("task", "spooftrace.backends.AASIST"),
        ("streams.lfcc", "spooftrace.tasks.Detection"),
    ],
)
def test_classes_of_another_section_are_refused_in_plain_words(write_config, key, path):
    find_class(path)  # the name is allowed, but the class may not be installed
    with pytest.raises(InputError) as refusal:
        load_config([write_config()], [f"--{key}.class_path", path])
    assert f"{key}.class_path: '{path}' is not a class of " in str(refusal.value)
    assert ("section schedule" in str(refusal.value)) == path.endswith("LR")
