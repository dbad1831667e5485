"""Configurations of strangers are data: nothing in one is run, imported, read or written."""

import sys
from pathlib import Path

import pytest
import yaml
from helpers.hostile import BASE

from spooftrace.cli.main import main
from spooftrace.common.errors import InputError
from spooftrace.config import classes as config_classes
from spooftrace.config.loading import build, load_config

READ = "spooftrace.audio.reading"
TOUCH = "touch MARKER"
PIPE = {"path": "touch MARKER |", "allow_pipes": True}
EVIL = {"class_path": "evil.Net"}


def backend(class_path, **arguments):
    return {"backend": {"class_path": class_path, "init_args": arguments}}


def linear(value):
    return backend("torch.nn.Linear", in_features=1, out_features=1, device=value)


def argument(section, **arguments):
    return {section: {"init_args": arguments}}


NODES = {
    "function of ours in an untyped argument": linear({"class_path": f"{READ}.read_audio", "init_args": PIPE}),
    "private function of ours": linear({"class_path": f"{READ}._command_output", "init_args": {"command": TOUCH}}),
    "torch.load": linear({"class_path": "torch.load", "init_args": {"f": "evil.pt", "weights_only": False}}),
    "torch.hub": backend("torch.hub.load", repo_or_dir=".", model="evil", source="local"),
    "function of the system": backend("os.system", command=TOUCH),
    "its C name": backend("posix.system", command=TOUCH),
    "class that starts a process": backend("subprocess.Popen", args=TOUCH, shell=True),
    "builtin": {"optimizer": {"class_path": "builtins.eval", "init_args": {"source": "open('MARKER', 'w')"}}},
    "foreign back-end": {"backend": EVIL},
    "foreign task": {"task": {"class_path": "evil.Task"}},
    "foreign front-end": {"streams": {"lfcc": {"class_path": "evil.FrontEnd"}}},
    "foreign optimizer": {"optimizer": {"class_path": "evil.Adam"}},
    "foreign submodule": {"backend": {"class_path": "evil.sub.Net"}},
    "module that a room imports": backend("spooftrace.backends.aasist.torch.load", f="evil.pt"),
    "module that a room does not even import": backend("spooftrace.backends.os.system", command=TOUCH),
    "module of ours that imports by name": backend("spooftrace.pretrained.packages.import_package", module="evil"),
    "class of ours of no room": backend("spooftrace.common.atomic.atomic_write", path="MARKER"),
    "attribute of a class": backend("spooftrace.backends.AASIST.__init__"),
    "class of a class": backend("spooftrace.backends.AASIST.__class__"),
    "base class of a room": {"streams": {"lfcc": {"class_path": "spooftrace.frontends.FrontEnd"}}},
    "class of another room": {"backend": {"class_path": "spooftrace.tasks.os.system"}},
    "optimizer's module": {"optimizer": {"class_path": "torch.optim.adam.torch.load"}},
    "function of torch.optim": {"optimizer": {"class_path": "torch.optim.swa_utils.update_bn"}},
    "base class of torch.optim": {"optimizer": {"class_path": "torch.optim.Optimizer"}},
    "unknown loss": argument("task", loss=EVIL),
    "loss that is a function": argument("task", loss={"class_path": f"{READ}.read_audio", "init_args": PIPE}),
    "loss by text": argument("task", loss="evil.Loss"),
    "loss by text that is YAML": argument("task", loss="{class_path: evil.Loss}"),
    "loss by a file": argument("task", loss="secret.yaml"),
    "node in a list": argument("task", class_weight=[0.1, EVIL]),
    "node in a tuple of an optimizer": argument("optimizer", betas=[EVIL, 0.9]),
    "node deep in an unknown argument": argument("optimizer", more={"a": [{"b": [EVIL]}]}),
    "node as a number": argument("optimizer", lr=EVIL),
    "text as a tensor": argument("optimizer", lr="evil.lr"),
    "text as a tensor, of YAML": argument("optimizer", lr="{class_path: evil.Net}"),
    "text as a tensor, of a list": argument("optimizer", lr="[evil.lr]"),
    "text as an activation": backend("Nes2Net", input_dim=60, activation="evil.relu"),
    "text as arguments": {"backend": {"class_path": "LinearProbe", "init_args": "evil.arguments"}},
    "text as settings": {"data": {"noise": "evil.Noise"}},
    "node as settings": {"data": {"noise": EVIL}},
    "settings by a file": {"data": {"reverb": "secret.yaml"}},
    "node in settings": {"data": {"codec": {"names": [EVIL]}}},
    "node as a section": {"data": EVIL},
    "node as the schedule": {"schedule": EVIL},
    "node in the trainer": {"trainer": {"monitor": EVIL}},
    "node as the seed": {"seed_everything": EVIL},
    "node as all streams": {"streams": EVIL},
    "more arguments than the signature has": {"backend": {"class_path": "LinearProbe", "dict_kwargs": {"x": EVIL}}},
    "file in place of a section": {"backend": "secret.yaml"},
    "file of jsonargparse": {"backend": {"__path__": "secret.yaml"}},
    "file of jsonargparse at the top": {"__path__": "secret.yaml", "__default_config__": "secret.yaml"},
    "schema": {"$schema": "secret.yaml"},
    "configuration option": {"config": "secret.yaml"},
    "class that is a list": {"backend": {"class_path": ["evil.Net"]}},
    "class that is a node": {"backend": {"class_path": EVIL}},
    "class that is empty": {"backend": {"class_path": ""}},
    "class with a blank": {"backend": {"class_path": " evil.Net"}},
    "class with a newline": {"backend": {"class_path": "spooftrace.backends.AASIST\n"}},
    "class with a colon": {"backend": {"class_path": "evil:Net"}},
    "class by its file": {"backend": {"class_path": "./evil.py"}},
    "class by an address": {"backend": {"class_path": "http://localhost/evil.Net"}},
    "class with wide letters": {"backend": {"class_path": "\uff45vil.Net"}},
    "class with two dots": {"backend": {"class_path": "spooftrace..backends.AASIST"}},
    "stream outside of the dump": {"streams": {"../../x": {"class_path": "LFCC"}}},
    "stream with an absolute path": {"streams": {"/tmp/x": {"class_path": "LFCC"}}},
    "stream that is a method of a module": {"streams": {"train": {"class_path": "LFCC"}}},
    "stream without a name": {"streams": {"": {"class_path": "LFCC"}}},
    "message that looks like one of jsonargparse": {"data": {"crop": "Problem with given class_path 'evil.Net': x"}},
}  # fmt: skip

TEXTS = {
    "python object": "data: !!python/object/apply:os.system ['touch MARKER']",
    "python name": "backend: !!python/name:evil.Net",
    "python module": "backend: !!python/module:evil",
    "python object by its class": "backend: !!python/object/new:evil.Net []",
    "aliases of aliases": "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    ),
    "merge keys of merge keys": "\n".join(
        ["m0: &m0 {x: 1}"]
        + [f"m{n}: &m{n} {{y: [*m{n - 1}, *m{n - 1}, *m{n - 1}], <<: *m{n - 1}}}" for n in range(1, 25)]
    ),
    "alias of itself": "data: &a [*a]",
    "alias of itself in a mapping": "data: &a {crop: *a}",
    "chain of aliases": "\n".join(["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200)]),
    "brackets": "[" * 20000,
    "braces": "{a: " * 20000,
    "dashes": "- " * 20000,
    "indents": "".join(f"{' ' * n}a:\n" for n in range(1000)),
    "whole number of a million digits": f"data: {{crop: {'9' * 9000}}}",
    "base sixty": f"data: {{crop: {'1:' * 4000}1}}",
    "long text": f"data: {{pad: {'x' * 500_000}}}",
    "megabytes": "# " + "x" * 3_000_000,
    "number that is none": "data: {crop: 0b}\nseed_everything: !!int x",
    "key that is a list": "? [a, b]\n: 1",
    "key twice": "data: {crop: 1}\ndata: {crop: 2}",
    "two documents": "data: {crop: 1}\n---\ndata: {crop: 2}",
    "bytes": "data: !!binary aGVsbG8=",
    "set": "data: !!set {crop}",
    "no text": "\x00\x01\x02",
    "a list": "- data",
    "nothing": "",
}


@pytest.mark.parametrize("change", NODES.values(), ids=NODES)
def test_a_configuration_names_no_code(nothing_happens, change):
    text = yaml.safe_dump(change).replace("MARKER", str(nothing_happens.marker))
    Path("evil.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        config = load_config([BASE, "evil.yaml"])
        for node in (config.backend, config.task, *config.streams.values()):
            build(node)
    assert str(caught.value).startswith(f"{BASE}, evil.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_file_is_bounded(nothing_happens, text):
    Path("evil.yaml").write_text(text.replace("MARKER", str(nothing_happens.marker)), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_config([BASE, "evil.yaml"])
    assert str(caught.value).startswith("evil.yaml:")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_an_override_is_no_code_either(nothing_happens):
    for words in (["--backend.class_path", "evil.Net"], ["--task.init_args.loss", "{class_path: evil.Loss}"]):
        with pytest.raises(InputError, match="--allow-module evil"):
            load_config([BASE], words)


def test_nothing_else_is_built(nothing_happens):
    """What never was in a file is refused as well: ``build`` looks by itself."""
    for path in ("evil.Net", "os.system", f"{READ}.read_audio", "torch.nn.Linear", "torch.optim.adam.torch.load"):
        with pytest.raises(InputError):
            build({"class_path": path, "init_args": {}})


MINE = """
import subprocess
from subprocess import Popen
from torch import nn
from spooftrace.backends import Backend

class Net(Backend):
    layouts, num_outputs = (("frames",),), 2
    def __init__(self, inner=None, act: "Callable[[int], int]" = None, parts: "list[nn.Module]" = ()):
        super().__init__()
        self.inner, self.act, self.parts = inner, act, nn.ModuleList(parts)

from typing import Callable

class Inner(nn.Module):
    pass

def make():
    return Net()
"""


@pytest.fixture
def mine(nothing_happens, monkeypatch):
    Path("site/mine.py").write_text(MINE, encoding="utf-8")
    config_classes.allow_modules(["mine"])
    yield nothing_happens
    sys.modules.pop("mine", None)


def test_a_module_of_the_user_is_allowed_by_the_command_line(mine):
    arguments = {"inner": {"class_path": "mine.Inner"}, "parts": [{"class_path": "mine.Inner"}, {"class_path": "SLS"}]}
    arguments["parts"][1]["class_path"] = "spooftrace.backends.LinearProbe"
    arguments["parts"][1]["init_args"] = {"input_dim": 3}
    Path("mine.yaml").write_text(yaml.safe_dump(backend("mine.Net", **arguments)), encoding="utf-8")
    net = build(load_config([BASE, "mine.yaml"]).backend)
    assert [type(part).__name__ for part in (net, net.inner, *net.parts)] == ["Net", "Inner", "Inner", "LinearProbe"]


OF_MINE = {
    "nested function of the system": backend("mine.Net", inner={"class_path": "os.system"}),
    "nested foreign class": backend("mine.Net", inner={"class_path": "evil.Net"}),
    "nested in a list of a mapping": backend("mine.Net", inner={"a": [{"class_path": "evil.Net"}]}),
    "text for a function": backend("mine.Net", act="evil.relu"),
    "text for a function of the system": backend("mine.Net", act="os.system"),
    "text that is YAML": backend("mine.Net", act="{class_path: evil.Net}"),
    "module that it imports": backend("mine.subprocess.Popen", args=TOUCH),
    "class that it imports": backend("mine.Popen", args=TOUCH),
    "function": backend("mine.make"),
    "name that begins alike": backend("minesweeper.Net"),
    "submodule that there is not": backend("mine.sub.Net"),
}  # fmt: skip


@pytest.mark.parametrize("change", OF_MINE.values(), ids=OF_MINE)
def test_a_module_of_the_user_opens_no_other_door(mine, change):
    text = yaml.safe_dump(change).replace("MARKER", str(mine.marker))
    Path("evil.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        build(load_config([BASE, "evil.yaml"]).backend)


@pytest.mark.parametrize("content", [None, "import nowhere_else\n"], ids=["not installed", "needs another module"])
def test_a_module_of_the_user_that_cannot_be_imported(nothing_happens, capsys, monkeypatch, content):
    monkeypatch.setattr(config_classes, "_allowed", [])
    if content is not None:
        Path("site/unmet.py").write_text(content, encoding="utf-8")
    Path("mine.yaml").write_text(yaml.safe_dump(backend("unmet.Net")), encoding="utf-8")
    assert main(["summary", "--config", str(BASE), "--config", "mine.yaml", "--allow-module", "unmet"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "backend.class_path: No module named" in said
    assert "PYTHONPATH" in said


@pytest.mark.parametrize("name", ["", "a-b", "../evil", "os;x", "jsonargparse", "jsonargparse.typing"])
def test_the_option_takes_names_of_modules(name, nothing_happens, capsys):
    assert main(["summary", "--config", str(BASE), "--allow-module", name]) == 1
    assert "not the name of a module" in capsys.readouterr().err


def test_other_parsers_of_the_process_keep_their_rules():
    from jsonargparse import ArgumentParser

    load_config([BASE])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--counter", type=dict[str, int] | type)
    assert parser.parse_args(["--counter", "collections.Counter"]).counter.__name__ == "Counter"
