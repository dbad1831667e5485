"""Stage 5: scores do not depend on batches, and a killed run goes on."""

from pathlib import Path

import pytest

from spooftrace import scoring
from spooftrace.cli import main
from spooftrace.system import System


@pytest.fixture
def trained(make_data, write_config):
    """A trained LFCC system in ``exp/lfcc_s1`` and an extracted ``data/eval``."""
    config = write_config(trainer={"max_epochs": 1})
    for number, name in enumerate(("train", "dev", "eval")):
        data = make_data(name, 12, seed=number)
        for collect in ([], ["--collect"]):
            assert main(["extract", "--config", str(config), "--data", str(data), *collect]) == 0
    command = ["train", "--config", str(config), "--train", "data/train", "--dev", "data/dev", "--exp", "exp/lfcc_s1"]
    assert main(command) == 0
    return Path("exp/lfcc_s1")


def score(exp: Path) -> int:
    return main(["score", "--exp", str(exp), "--data", "data/eval"])


def test_a_killed_run_goes_on(trained, monkeypatch, capsys):
    assert score(trained) == 0
    out = trained / "eval/scores.txt"
    whole = out.read_text(encoding="utf-8")
    assert score(trained) == 0
    assert "already scored" in capsys.readouterr().out

    out.unlink()
    forward, calls = System.forward, []

    def killed_later(self, batch):
        calls.append(len(batch["utt"]))
        if len(calls) > 2:
            raise KeyboardInterrupt
        return forward(self, batch)

    monkeypatch.setattr(System, "forward", killed_later)
    assert score(trained) == 130
    assert not out.exists()
    (partial,) = out.parent.glob(".scores.txt.*.part")
    with open(partial, "a", encoding="utf-8") as file:
        file.write("eval_0")  # a line cut in the middle
    done = sum(calls[:2])
    calls.clear()
    monkeypatch.setattr(System, "forward", lambda self, batch: calls.append(len(batch["utt"])) or forward(self, batch))
    assert score(trained) == 0
    assert out.read_text(encoding="utf-8") == whole
    assert sum(calls) == 12 - done
    assert not partial.exists()


def test_scores_do_not_depend_on_the_batch_size(trained):
    assert score(trained) == 0
    one = scoring.Path(trained / "eval/scores.txt").read_text(encoding="utf-8").split()
    config = trained / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("eval_batch_size: 32", "eval_batch_size: 1"), "utf-8")
    (trained / "eval/scores.txt").unlink()
    assert score(trained) == 0
    other = (trained / "eval/scores.txt").read_text(encoding="utf-8").split()
    assert one[::2] == other[::2]
    assert [float(x) for x in one[1::2]] == pytest.approx([float(x) for x in other[1::2]], abs=1e-5)


def test_a_new_model_or_list_is_scored_again(trained):
    assert score(trained) == 0
    before = (trained / "eval/scores.txt").stat().st_mtime_ns
    wav = Path("data/eval/wav.scp")
    first = wav.read_text(encoding="utf-8")
    wav.write_text(first.replace("eval_000.flac", "eval_001.flac"), encoding="utf-8")
    assert score(trained) == 0
    assert (trained / "eval/scores.txt").stat().st_mtime_ns > before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda exp: (exp / "model.safetensors").unlink(), "run stage 4"),
        (lambda exp: (exp / "model.safetensors").write_bytes(b"\0" * 40), "not a readable model file"),
        (lambda exp: Path("dump/lfcc/eval/feats.scp").unlink(), "run stage 3"),
        (lambda exp: Path("data/eval/utt2spk").unlink(), "utt2spk"),
    ],
)
def test_what_is_missing_is_named(trained, capsys, damage, message):
    damage(trained)
    capsys.readouterr()
    assert score(trained) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_detect_gives_the_scores_of_the_stages(trained, capsys):
    assert score(trained) == 0
    expected = dict(line.split() for line in (trained / "eval/scores.txt").read_text(encoding="utf-8").splitlines())
    capsys.readouterr()
    files = ["audio/eval/eval_003.flac", "audio/eval/eval_001.flac"]
    assert main(["detect", "--exp", str(trained), *files]) == 0
    shown = [line.split(None, 1) for line in capsys.readouterr().out.splitlines() if "audio/eval/" in line]
    assert [name for _, name in shown] == files
    assert float(shown[0][0]) == pytest.approx(float(expected["eval_003"]), abs=1e-3)
    assert main(["detect", "--exp", str(trained), "absent.wav"]) == 1
    assert "absent.wav: no such audio file" in capsys.readouterr().err
