"""``kill -9`` at random moments of stages 3 to 7, then run again: nothing is lost, and nothing is done twice.

A run is the commands that run.sh gives, one after another in a process of its own; what follows a kill starts again
with the first one. The processes are forks of one that has imported everything, or starting would take all the time.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import yaml
from miniature import asvspoof2019

from spooftrace.cli import main

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
TRAINING, CHECKPOINTS = 4, 10  # more than what two killed runs get is there for a third: 24
IMPORTED = [
    "lightning.pytorch", "spooftrace.learner", "spooftrace.extraction.pipeline", "spooftrace.scoring.scorer",
    "spooftrace.evaluation.commands", "spooftrace.report.commands", "matplotlib.backends.backend_agg",
]  # fmt: skip

pytestmark = pytest.mark.slow


def stages(folder: Path, begun: Connection) -> None:
    """All stages in ``folder``; tells which one begins."""
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    log = open("log", "a", encoding="utf-8")  # noqa: SIM115  (until the process ends)
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    for stage, commands in STAGES.items():
        begun.send(stage)
        for command in commands:
            if main(shlex.split(command)):
                sys.exit(1)


class Run:
    """A process that goes through all stages in ``folder``."""

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self.folder = folder
        self.stage = 0
        self._begun, other = context.Pipe(duplex=False)
        self._process = context.Process(target=stages, args=(folder, other))
        self._process.start()
        other.close()

    def next_stage(self, timeout: float | None = None) -> bool:
        """Wait until another stage begins; False when none does."""
        try:
            if not self._begun.poll(timeout):
                return False
            self.stage = self._begun.recv()
        except EOFError:
            return False
        return True

    def next_checkpoint(self) -> None:
        """Wait until another checkpoint is there, or the training is over."""
        last = self.folder / EXP / "checkpoints/last.ckpt"
        before = last.stat().st_mtime_ns if last.exists() else None
        while self._process.is_alive() and not self._begun.poll(0.002):
            if last.exists() and last.stat().st_mtime_ns != before:
                return

    def kill(self) -> int:
        """The stage in which it was killed; 0 if it had ended before."""
        self._process.kill()
        self._process.join()
        while self.next_stage(0):
            pass
        if self._process.exitcode == -signal.SIGKILL:
            return self.stage
        self.finish()
        return 0

    def finish(self) -> None:
        """Wait for its end, which has to be a good one."""
        self._process.join()
        assert self._process.exitcode == 0, (self.folder / "log").read_text(encoding="utf-8")[-2000:]


@pytest.fixture
def data(speech, tmp_path, monkeypatch):
    """A folder with the data directories and the configuration."""
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
    seconds = {}
    whole = Run(shutil.copytree(data, tmp_path / "whole"))
    since = time.monotonic()
    while whole.next_stage():
        seconds[whole.stage - 1], since = time.monotonic() - since, time.monotonic()
    whole.finish()
    seconds[whole.stage] = time.monotonic() - since
    expected = results(whole.folder)

    moments = random.Random(1234)
    killed: Counter[int] = Counter()
    resumed = 0  # trainings killed between the first checkpoint and the end
    for number in range(ROUNDS):
        folder = shutil.copytree(data, tmp_path / f"killed {number}")
        for stage in KILLS:
            run = Run(folder)
            while run.stage < stage and run.next_stage():
                pass
            if stage == TRAINING:
                for _ in range(moments.randint(0, CHECKPOINTS)):
                    run.next_checkpoint()
                time.sleep(moments.uniform(0, 0.05))
            else:
                time.sleep(moments.uniform(0, 0.9) * seconds[stage])
            killed[run.kill()] += 1
            if stage == TRAINING:
                exp = folder / EXP
                resumed += (exp / "checkpoints/last.ckpt").exists() and not (exp / "run.json").exists()
        run = Run(folder)
        run.finish()
        assert results(folder) == expected
        assert (folder / "RESULTS.md").is_file()
    ended_before = killed.pop(0, 0)
    print(f"killed in stage {dict(sorted(killed.items()))}, {resumed} inside epochs; {ended_before} had ended before")
    assert killed.total() >= 20
    assert set(killed) == set(STAGES)
    assert resumed >= ROUNDS
