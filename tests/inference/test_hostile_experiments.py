"""Experiments, checkpoints and data of strangers through the commands: nothing of theirs runs, all ends in one line."""

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from helpers.hostile import BASE

from spooftrace.backends.parts.mae import MultiDecoderMAE
from spooftrace.backends.qaf import QAFStatic
from spooftrace.cli.main import main
from spooftrace.config.loading import load_config, save_config
from spooftrace.datadir import DataDir
from spooftrace.frontends import SmallCodec
from spooftrace.official.importing import import_system
from spooftrace.pretrained.convert import import_checkpoint
from spooftrace.system.system import System
from spooftrace.system.weights import load_weights, save_weights

COMMANDS = {
    "detect": ["detect", "--exp", "exp/evil", "x.wav"],
    "trace": ["trace", "--exp", "exp/evil", "x.wav"],
    "score": ["score", "--exp", "exp/evil", "--data", "data/ev"],
    "report": ["report", "--exp", "exp", "--out", "RESULTS.md", "--figures", "figures"],
    "status": ["status", "exp"],
    "train": ["train", "--config", str(BASE), "--train", "data/ev", "--dev", "data/ev", "--exp", "exp/evil"],
    "import-checkpoint": ["import-checkpoint", "aasist", "exp/evil/model.safetensors", "--out", "exp/imported"],
}
LIVE = ["--data.cached", "[]", "--data.crop", "3200", "--data.num_workers", "0", "--trainer.max_epochs", "1"]


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """A folder with a trained system, audio and a data directory."""
    folder = tmp_path_factory.mktemp("intact")
    exp = folder / "exp/evil"
    (exp / "checkpoints").mkdir(parents=True)
    config = load_config([BASE], LIVE)
    save_config(config, exp / "config.yaml")
    save_weights(System(config, {}).own_state(), exp / "model.safetensors")
    (exp / "run.json").write_text(json.dumps({"system": "evil", "seed": 1, "epochs": 1, "train_seconds": 1}))
    soundfile.write(folder / "x.wav", 0.1 * np.random.default_rng(0).standard_normal(3200), 16000)
    tables = {"wav.scp": "x.wav", "utt2spk": "s", "utt2label": "spoof", "utt2dur": "0.2"}
    DataDir.write(folder / "data/ev", {name: {"u": value} for name, value in tables.items()})
    return folder


@pytest.fixture
def evil(nothing_happens, intact):
    """An experiment in a copy of ``intact``, which is the current folder; tests then change one of the files."""
    shutil.copytree(intact, ".", dirs_exist_ok=True)
    return Path("exp/evil")


def fails_with_a_message(words: list[str], capsys) -> None:
    """The command refuses its input; the last line on standard error says why, and there is no traceback."""
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("spooftrace ") and "Traceback" not in error


def test_the_system_works_before_it_is_made_evil(evil, capsys):
    assert main(COMMANDS["detect"]) == 0
    assert main(COMMANDS["score"]) == 0


def pickles(marker: Path) -> dict[str, bytes]:
    """Pickles that act when they are read, in the forms that files have."""
    import builtins
    import os

    touch = f"touch '{marker}'"
    objects = {
        "system": Runs(os.system, touch),
        "popen": Runs(subprocess.Popen, ["touch", str(marker)]),
        "exec": Runs(builtins.exec, f"open({str(marker)!r}, 'w')"),
        "open": Runs(builtins.open, str(marker), "w"),
        "in a state dict": {"state_dict": {"weight": torch.zeros(2), "evil": Runs(os.system, touch)}},
        "as a key": {Runs(builtins.open, str(marker), "w"): 1},
    }
    found = {f"{name}, protocol {p}": pickle.dumps(o, p) for name, o in objects.items() for p in (0, 4)}
    by_name = {
        "import": b"cevil\nNet\n.",
        "nested name": b"\x80\x04\x8c\x05torch\x8c\x10serialization.os\x93.",
        "attribute of what is allowed": b"\x80\x04\x8c\x0bcollections\x8c\x13OrderedDict.__init__\x93.",
        "system by torch": f"\x80\x02ctorch.serialization\nos.system\n(X{chr(len(touch))}\0\0\0{touch}tR.".encode(
            "latin-1"
        ),
        "getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\nS'__call__'\ntR(S'evil'\ntR.",
        "a persistent id": b"\x80\x02X\x04\0\0\0evilQ.",
        "an extension": b"\x80\x02\x82\x01.",
        "a buffer": b"\x80\x05\x97.",
        "lists of lists": b"\x80\x02]q\0" + b"".join(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(60)) + b".",
        "a loop": b"\x80\x02]q\0h\0a.",
        "cut short": pickle.dumps({"a": 1})[:-2],
        "no pickle": b"MZ" + bytes(100),
        "empty": b"",
    }
    return found | by_name


def packed(content: bytes, path: Path) -> None:
    """As torch.save packs a pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")


NAMES = list(pickles(Path("x")))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_pickles_do_not_act(nothing_happens, name, zipped):
    content, file = pickles(nothing_happens.marker)[name], Path("weights.pt")
    packed(content, file) if zipped else file.write_bytes(content)
    readers = [
        lambda: load_weights(file),
        lambda: import_system("aasist", file, "exp/imported"),
        lambda: import_checkpoint(file, "imported"),
        lambda: SmallCodec(str(file)),
        lambda: QAFStatic(codebooks=str(file)),
        lambda: MultiDecoderMAE(2, (32, 32), 16, (32, 1, 2), (16, 1, 2)).load_pretrained(str(file)),
    ]
    for read in readers:
        with pytest.raises(ValueError):  # an InputError, or what `build` makes one of
            read()


@pytest.mark.parametrize("command", ["detect", "import-checkpoint"])
def test_pickles_do_not_act_in_commands(evil, nothing_happens, capsys, command):
    packed(pickles(nothing_happens.marker)["system, protocol 4"], evil / "model.safetensors")
    fails_with_a_message(COMMANDS[command], capsys)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", ["system, protocol 4", "in a state dict, protocol 0", "import", "empty"])
def test_a_checkpoint_to_go_on_from_does_not_act(evil, nothing_happens, capsys, name, zipped):
    content, last = pickles(nothing_happens.marker)[name], evil / "checkpoints/last.ckpt"
    packed(content, last) if zipped else last.write_bytes(content)
    (evil / "run.json").unlink()
    fails_with_a_message([*COMMANDS["train"], *LIVE], capsys)


CONFIGS = {
    "foreign class": {"backend": {"class_path": "evil.Net"}},
    "command": {"backend": {"class_path": "os.system", "init_args": {"command": "touch MARKER"}}},
    "pipe": {
        "task": {
            "class_path": "spooftrace.audio.reading.read_audio",
            "init_args": {"path": "touch MARKER |", "allow_pipes": True},
        }
    },
    "stream outside": {"streams": {"../../../out": {"class_path": "LFCC"}}, "data": {"cached": ["../../../out"]}},
    "code of a model": {"streams": {"ssl": {"class_path": "HuggingFace", "init_args": {"model": "model_with_code"}}}},
    "code of a tuned model": {
        "streams": {"ssl": {"class_path": "HuggingFace", "init_args": {"model": "x/tuned", "finetune": True}}}
    },
    "model named up": {
        "streams": {"ssl": {"class_path": "HuggingFace", "init_args": {"model": "..", "finetune": True}}}
    },
    "very large": {"backend": {"class_path": "LinearProbe", "init_args": {"input_dim": 10**15}}},
    "negative": {"backend": {"class_path": "LinearProbe", "init_args": {"input_dim": -4}}},
    "no dimensions": {"backend": {"class_path": "LSTMProbe", "init_args": {"input_dim": 0, "hidden_dim": 0}}},
    "workers without end": {"data": {"num_workers": 10**6}},
    "batch without end": {"data": {"crop": 10**15}},
    "table outside": {"task": {"class_path": "Attribution", "init_args": {"table": "../../x", "classes": ["a", "b"]}}},
    "classes with tabs": {
        "task": {"class_path": "Attribution", "init_args": {"table": "utt2x", "classes": ["a\tb", "c\nd"]}}
    },
    "codec that is a device": {
        "streams": {"c": {"class_path": "SmallCodec", "init_args": {"checkpoint": "/dev/null"}}}
    },
    "codec that is a folder": {"streams": {"c": {"class_path": "SmallCodec", "init_args": {"checkpoint": "data"}}}},
    "pipe for a codec": {
        "streams": {"c": {"class_path": "SmallCodec", "init_args": {"checkpoint": "touch MARKER |"}}}
    },
}  # fmt: skip


def hostile_models(evil: Path) -> None:
    """Folders of pretrained models that bring code."""
    for folder in (Path("model_with_code"), evil / "models/tuned"):
        folder.mkdir(parents=True)
        (folder / "evil.py").write_text(Path("evil.py").read_text(encoding="utf-8"), encoding="utf-8")
        content = {
            "model_type": "evil_model", "auto_map": {"AutoConfig": "evil.Net", "AutoModel": "evil.Net"},
            "architectures": ["Net"], "transformers_weights": "../../secret.yaml", "attn_implementation": "evil/kernel",
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize("command", ["detect", "score"])
@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS)
def test_configurations_of_experiments(evil, nothing_happens, capsys, change, command):
    hostile_models(evil)
    content = yaml.safe_load((evil / "config.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump({**content, **change}).replace("MARKER", str(nothing_happens.marker))
    (evil / "config.yaml").write_text(text, encoding="utf-8")
    fails_with_a_message(COMMANDS[command], capsys)


JSONS = [
    "[]",
    "3",
    "null",
    '"x"',
    "{",
    "[" * 100_000,
    '{"a": ' * 100_000,
    '{"epochs": 1e999, "train_seconds": 1}',
    "\x00",
]
METRICS = [
    {"task": "attribution", "label_table": "x/../../../outside"}, {"task": ["detection"]}, {"task": {"a": 1}},
    {"task": "detection"}, {"task": None},
]  # fmt: skip


READERS = [
    ("run.json", "status"), ("run.json", "detect"), ("ev/metrics.json", "report"), ("ev/metrics_vq.json", "report"),
    ("ev/scores.json", "score"), ("epochs.tsv", "status"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "command"), READERS)
@pytest.mark.parametrize("text", [*JSONS, *map(json.dumps, METRICS)], ids=lambda text: text[:20])
def test_files_of_results(evil, capsys, command, name, text):
    (evil / "ev").mkdir()
    (evil / "ev/scores.txt").write_text("u 1.0\n", encoding="utf-8")
    (evil / name).write_text(text, encoding="utf-8")
    assert main(COMMANDS[command]) in (0, 1)  # what the command does not need may be damaged
    assert "Traceback" not in capsys.readouterr().err


SCPS = {
    "a pipe": "touch MARKER |",
    "a pipe with a blank": " touch MARKER | ",
    "a pipe in front": "| touch MARKER",
    "a device": "/dev/zero",
    "a folder": "data",
    "a shell": "$(touch MARKER)",
    "an address": "http://localhost:1/x.wav",
    "a concatenation": "concat:secret.yaml|x.wav",
    "a subfile": "subfile,,start,0,end,9,,:secret.yaml",
    "a playlist": "list.m3u8",
}


@pytest.mark.parametrize("command", ["score", "durations"])
@pytest.mark.parametrize("entry", SCPS.values(), ids=SCPS)
def test_tables_of_a_data_directory(evil, nothing_happens, capsys, entry, command):
    Path("list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nsecret.yaml\n", encoding="utf-8")
    Path("data/ev/wav.scp").write_text(f"u {entry.replace('MARKER', str(nothing_happens.marker))}\n", encoding="utf-8")
    Path("data/ev/utt2dur").unlink()
    words = {"score": COMMANDS["score"], "durations": ["durations", "--data", "data/ev"]}[command]
    fails_with_a_message(words, capsys)


@pytest.mark.parametrize("command", ["detect", "trace", "score"])
def test_as_commands(evil, nothing_happens, command):
    """The same from a shell, in the folder of the hostile files."""
    text = yaml.safe_dump(CONFIGS["pipe"]).replace("MARKER", str(nothing_happens.marker))
    (evil / "config.yaml").write_text((evil / "config.yaml").read_text().split("task:")[0] + text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "spooftrace.cli", *COMMANDS[command]], capture_output=True, text=True, check=False
    )
    nothing_happens.events.clear()  # this test started the command
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
