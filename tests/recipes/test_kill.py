"""``kill -9`` at random moments of stages 3 to 7, then a run in another place: no work is lost or repeated.

A run is the commands that run.sh gives, one after another in a process of its own; what follows a kill starts again
with the first one, after the folder has been moved. The processes are forks of one that has imported everything, or
starting would take all the time.

The moments are counted in what a run does to its files, not in seconds, so that every kill comes in the stage that it
is meant for, however busy the machine is: at a chosen one of these events a timer of some milliseconds starts, and a
run that would get too far waits for it.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shlex
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import yaml
from miniature import asvspoof2019

from spooftrace.cli.main import main

SETS = "data/train data/dev data/eval"
EXP = "exp/lfcc_s1"
EXTRACT = f"extract --config system.yaml --data {SETS}"
STAGES = {
    3: [f"{EXTRACT} --job 1 --num-jobs 2", f"{EXTRACT} --job 2 --num-jobs 2", f"{EXTRACT} --num-jobs 2 --collect"],
    4: [f"train --config system.yaml --train data/train --dev data/dev --exp {EXP}"],
    5: [f"score --exp {EXP} --data data/dev data/eval"],
    6: [
        f"evaluate --data data/{name} --scores {EXP}/{name}/scores.txt --out {EXP}/{name}/metrics.json "
        f"--tables {EXP}/{name}"
        for name in ("dev", "eval")
    ],
    7: ["report --exp exp --out RESULTS.md --figures figures"],
}
SYSTEM = {
    "streams": {"lfcc": {"class_path": "LFCC"}},
    "backend": {"class_path": "LinearProbe", "init_args": {"input_dim": 60, "num_outputs": 2}},
    "task": {"class_path": "Detection", "init_args": {"class_weight": [0.5, 0.5]}},
    "data": {
        "crop": 16000,
        "batch_size": 4,
        "eval_batch_size": 4,
        "cached": ["lfcc"],
        "eval_crop": "full",
        "num_workers": 0,
    },
    "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}},
    "schedule": {"kind": "cosine", "final_lr": 1e-4},
    # A checkpoint after every batch.
    "trainer": {"max_epochs": 4, "average_best": 2, "monitor": "dev_loss", "checkpoint_minutes": 0.0},
}
RESULTS = ["model.safetensors", "epochs.tsv"]
RESULTS += [f"{name}/{file}" for name in ("dev", "eval") for file in ("scores.txt", "metrics.json")]
ROUNDS = 4
KILLS = (3, 3, 4, 4, 5, 6, 7)  # stages of a round in which a run is killed
TRAINING, CHECKPOINTS = 4, 10  # enough for a third run after two killed ones: 24
DELAY = 0.03  # maximum seconds from an event to the kill
IMPORTED = [
    "lightning.pytorch", "spooftrace.training.learner", "spooftrace.extraction.pipeline", "spooftrace.scoring.scorer",
    "spooftrace.evaluation.evaluate", "spooftrace.report.results", "matplotlib.backends.backend_agg",
]  # fmt: skip

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Kill:
    """A run is killed ``delay`` seconds after event ``number`` of ``stage``, from 1, or at its last one.

    Events are the opening, renaming and removing of files, in a training the renaming of what becomes ``last.ckpt``.
    """

    stage: int
    number: int
    delay: float


class Watch:
    """Count the events of each stage, and kill this process at the planned event."""

    def __init__(self, folder: Path, kill: Kill | None) -> None:
        self.folder, self.kill = str(folder), kill
        self.stage = 0
        self.events: Counter[int] = Counter()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove") and isinstance(arguments[0], str):
            if not os.path.abspath(arguments[0]).startswith(self.folder):  # noqa: PTH100  (follows no link)
                return
            if self.stage == TRAINING and not (event == "os.rename" and str(arguments[1]).endswith("last.ckpt")):
                return
            self.events[self.stage] += 1
            if self.kill and self.stage == self.kill.stage:
                if self.events[self.stage] == self.kill.number:
                    threading.Timer(self.kill.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
                if self.events[self.stage] >= self.kill.number + 2:
                    time.sleep(60)

    def end_stage(self) -> None:
        if self.kill and self.stage == self.kill.stage:
            os.kill(os.getpid(), signal.SIGKILL)


def stages(folder: Path, kill: Kill | None, counts: Connection) -> None:
    """Run all stages in ``folder``, and report the number of events of each."""
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    log = open("log", "a", encoding="utf-8")  # noqa: SIM115  (until the process ends)
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    watch = Watch(folder, kill)
    sys.addaudithook(watch)
    for watch.stage, commands in STAGES.items():
        for command in commands:
            if main(shlex.split(command)):
                sys.exit(1)
        watch.end_stage()
    counts.send(watch.events)


def run(folder: Path, kill: Kill | None = None) -> Counter[int]:
    """Run all stages in ``folder`` in a process; return the number of events per stage, empty if it is killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=stages, args=(folder, kill, there))
    process.start()
    there.close()
    process.join()
    log = (folder / "log").read_text(encoding="utf-8")[-2000:]
    assert process.exitcode == (-signal.SIGKILL if kill else 0), log
    return Counter() if kill else here.recv()


@pytest.fixture
def data(speech, tmp_path, monkeypatch):
    """Return a folder with the data directories and the configuration."""
    folder = tmp_path / "a run"
    folder.mkdir()
    monkeypatch.chdir(folder)
    asvspoof2019.lay_out(speech, Path("../corpus"))
    assert main(["prepare", "asvspoof2019", "--root", "../corpus", "--out", "data", "--allow-partial"]) == 0
    Path("system.yaml").write_text(yaml.safe_dump(SYSTEM), encoding="utf-8")
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / EXP / name).read_bytes() for name in RESULTS}


def test_killed_at_any_moment(data, tmp_path):
    whole = shutil.copytree(data, tmp_path / "whole")
    events = run(whole)
    expected = results(whole)
    print(f"events {dict(events)}")
    assert set(events) == set(STAGES)
    assert events[TRAINING] > 2 * (CHECKPOINTS + 1)

    moments = random.Random(1234)
    resumed = 0  # trainings killed between the first checkpoint and the end
    for number in range(ROUNDS):
        folder = shutil.copytree(data, tmp_path / f"killed {number}")
        for move, stage in enumerate(KILLS):
            first = 2 if stage == TRAINING else 1  # before the second checkpoint is in its place, the first one is
            last = CHECKPOINTS if stage == TRAINING else events[stage]
            run(folder, Kill(stage, moments.randint(first, last), moments.uniform(0, DELAY)))
            if stage == TRAINING:
                exp = folder / EXP
                resumed += (exp / "checkpoints/last.ckpt").exists() and not (exp / "run.json").exists()
            folder = folder.rename(tmp_path / f"moved {number}.{move}")
        run(folder)
        assert results(folder) == expected
        assert (folder / "RESULTS.md").is_file()
        assert not list((folder / EXP).rglob("*.tmp"))
    assert resumed == ROUNDS * KILLS.count(TRAINING)
