"""spooftrace status: what is said of experiments in every state."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from helpers.locks import held_elsewhere

from spooftrace.cli.main import main

EPOCHS = "epoch\ttrain_loss\tdev_eer\n" + "".join(f"{n}\t0.5\t{eer}\n" for n, eer in ((1, 0.25), (2, 0.125), (3, 0.2)))
LOG = "# spooftrace train\n# Started at Sat Nov 21 15:00:00 UTC 2026\n#\ntraining 122 of 122 parameters\n"


def write(path: str, text: str, ago: float = 0.0) -> None:
    """A file last written to so many seconds ago."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - ago,) * 2)


def experiment(
    name: str, begun: float = 100.0, epochs: str = EPOCHS, epochs_ago: float = 10.0, log: str = LOG, exp: str = "exp"
) -> None:
    """``exp/NAME`` of a training of at most 10 epochs that began so many seconds ago."""
    config = {"trainer": {"max_epochs": 10, "monitor": "dev_eer"}}
    write(f"{exp}/{name}/config.yaml", yaml.safe_dump(config), begun)
    write(f"{exp}/{name}/train.log", log, epochs_ago)
    if epochs:
        write(f"{exp}/{name}/epochs.tsv", epochs, epochs_ago)


def lines(capsys, *words: str) -> list[list[str]]:
    """The lines of the table as columns; a line of a failure is one."""
    assert main(["status", *words]) == 0
    header, *rest = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "experiment"
    return [[cell for cell in line.split("  ") if cell] for line in rest]


def words_of(cells: list[str]) -> list[str]:
    return [cell.strip() for cell in cells]


def test_trained(recipe, capsys):
    experiment("lfcc_s1")
    write("exp/lfcc_s1/run.json", json.dumps({"epochs": 3, "train_seconds": 36.0}))
    for name in ("dev/scores.json", "dev/metrics.json", "eval/scores.json", "tensorboard/events"):
        write(f"exp/lfcc_s1/{name}", "{}")
    row = ["lfcc_s1", "trained", "3/10", "dev_eer 0.1250", "12.0 s", "-", "evaluated dev; scored eval"]
    assert [words_of(cells) for cells in lines(capsys)] == [row]
    assert [words_of(cells) for cells in lines(capsys, "exp/lfcc_s1")] == [row], "the experiment alone"
    os.chdir("exp/lfcc_s1")
    assert [words_of(cells) for cells in lines(capsys, ".")] == [row]


def test_imported(recipe, capsys):
    """An imported system has no epochs, and its run.json is not damaged."""
    write("exp/sls_official/config.yaml", yaml.safe_dump({"trainer": {"max_epochs": 10, "monitor": "dev_eer"}}))
    write("exp/sls_official/run.json", json.dumps({"system": "sls", "imported": {"file": "MMpaper_model.pth"}}))
    assert [words_of(cells) for cells in lines(capsys)] == [["sls_official", "imported", *"-----"]]


@pytest.mark.parametrize(
    ("log", "epoch", "left"),
    [
        (f"{LOG}epoch   1  x\nepoch   2  x\nepoch   3  x\n", "30.0 s", "3 min"),  # 7 x 30 s, 10 s of them are over
        (f"{LOG}epoch   1  x\n{LOG}epoch   2  x\nepoch   3  x\n", "45.0 s", "5 min"),  # two since it was resumed
        ("", "-", "-"),
        (LOG, "-", "-"),
    ],
    ids=["at once", "resumed", "without a log", "before an epoch"],
)
def test_training_now(recipe, capsys, log, epoch, left):
    experiment("lfcc_s1", log=log)
    with held_elsewhere(Path("exp/lfcc_s1/.lock")):
        (row,) = lines(capsys)
    words = words_of(row)
    assert words[:5] == ["lfcc_s1", "training", "3/10", "dev_eer 0.1250", epoch] and words[6] == "-"
    assert words[5].startswith(left)
    (row,) = lines(capsys)
    assert words_of(row)[1] == "interrupted in epoch 4", "the lock ends with the process"


def test_interrupted_and_not_begun(recipe, capsys):
    experiment("a")
    experiment("b", epochs="")
    Path("exp/c").mkdir()  # a job that waits
    Path("exp/log").mkdir()
    rows = [words_of(row) for row in lines(capsys)]
    assert [row[:4] for row in rows] == [
        ["a", "interrupted in epoch 4", "3/10", "dev_eer 0.1250"],
        ["b", "interrupted in epoch 1", "0/10", "-"],
        ["c", "not begun", "0/?", "-"],
    ]


def test_failed_jobs_and_what_they_said_last(recipe, capsys):
    ended = "spooftrace train: error: no luck\n# Accounting: time=1 threads=1\n# Ended (code 1) at some time\n"
    experiment("a", log=LOG + ended)
    write("exp/a/.train.log.status", "1\n")
    experiment("b", log=LOG + ended)  # of an array job, which keeps its records with links
    experiment("c")
    write("exp/c/score.log", "killed\n", 5)
    write("exp/c/run.json", json.dumps({"epochs": 3, "train_seconds": 36.0}))
    Path("exp/log/a job").mkdir(parents=True)
    for number, (log, code) in enumerate((("b/train", 1), ("c/score", 137), ("c/train", 0)), 1):
        Path(f"exp/log/a job/x.{number}.log").symlink_to(f"../../{log}.log")
        write(f"exp/log/a job/.x.{number}.log.status", f"{code}\n")
    rows = [words_of(row) for row in lines(capsys)]
    assert [row[1:3] for row in rows[::2]] == [["failed", "3/10"], ["failed", "3/10"], ["trained", "3/10"]]
    assert rows[1::2] == [
        ["failed: a/train.log: spooftrace train: error: no luck"],
        ["failed: b/train.log: spooftrace train: error: no luck"],
        ["failed: c/score.log: killed"],
    ]
    write("exp/b/train.log", LOG, -5)  # run again by another launcher
    assert words_of(lines(capsys)[2])[1] == "interrupted in epoch 4"


def test_several_folders_are_one_table(recipe, capsys):
    """Of two recipes of a sweep: the first has the logs of its jobs, the second a link to that folder."""
    ended = "no luck\n# Ended (code 1) at some time\n"
    experiment("aasist_s1", exp="egs/one/exp")
    experiment("aasist_s1", exp="egs/the other/exp", log=LOG + ended)
    Path("egs/the other/exp/aasist_s2").mkdir()  # its job waits
    for number, name in enumerate(("one", "the other"), 1):
        Path("egs/one/exp/log/jobs").mkdir(parents=True, exist_ok=True)
        log = Path(f"egs/one/exp/log/jobs/train.{number}.log")
        log.symlink_to(f"../../../../{name}/exp/aasist_s1/train.log")
        write(f"egs/one/exp/log/jobs/.train.{number}.log.status", f"{number - 1}\n")
    Path("egs/the other/exp/log").mkdir()
    Path("egs/the other/exp/log/jobs").symlink_to("../../../one/exp/log/jobs")
    folders = ["egs/one/exp", "egs/the other/exp"]
    *rows, missing, empty = [words_of(row) for row in lines(capsys, *folders, "egs/none/exp", "egs/one/exp/log/jobs")]
    assert [row[:2] for row in rows] == [
        ["one/aasist_s1", "interrupted in epoch 4"],
        ["the other/aasist_s1", "failed"],
        ["failed: the other/aasist_s1/train.log: no luck"],
        ["the other/aasist_s2", "not begun"],
    ]
    assert missing == ["egs/none/exp: no such folder; give the one that experiments are in"]
    assert empty == ["egs/one/exp/log/jobs: no experiments there; run stage 4 (training) first"]
    (row, *_) = lines(capsys, "egs/the other/exp")
    assert words_of(row)[:2] == ["aasist_s1", "failed"], "alone it has its name alone"
    rows = lines(capsys, "egs/one/exp/aasist_s1", "egs/one/exp")
    assert [words_of(row)[0] for row in rows] == ["aasist_s1", "aasist_s1"]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("config.yaml", "a: [\n", "2: not valid YAML"),
        ("run.json", "{", " damaged"),
        ("run.json", '{"epochs": null}', " damaged"),
        ("epochs.tsv", "epoch\tloss\n1\n", "2: not 2 numbers"),
    ],
)
def test_damaged_files_are_named(recipe, capsys, path, text, message):
    experiment("a")
    write(f"exp/a/{path}", text)
    assert main(["status"]) == 1
    assert f"error: exp/a/{path}:{message}" in capsys.readouterr().err


def test_nothing_there(recipe, capsys):
    assert main(["status", "elsewhere"]) == 1
    assert "elsewhere: no such folder" in capsys.readouterr().err
    Path("exp").mkdir()
    assert main(["status"]) == 1
    assert "exp: no experiments there" in capsys.readouterr().err
    assert main(["status", "exp", "elsewhere"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "exp: no experiments there" in line and "elsewhere: no such folder" in line
    assert main(["status", "--watch", "0"]) == 1
    assert "--watch 0: must be above 0" in capsys.readouterr().err


def test_watching_ends_with_an_interrupt(recipe, capsys, monkeypatch):
    experiment("a")
    rounds = []

    def sleep(seconds):
        rounds.append(seconds)
        if len(rounds) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    assert main(["status", "--watch", "1.5"]) == 0
    assert rounds == [1.5, 1.5]
    assert capsys.readouterr().out.count("experiment") == 2


def test_it_loads_nothing_large():
    script = (
        "import spooftrace.cli.status, spooftrace.report.status, sys\n"
        "print([n for n in ('torch', 'numpy', 'lightning') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
