"""Figures of few trials and means that leave attacks out say so, in text, tables and metrics.json."""

import json

import numpy as np
import pytest

from spooftrace.cli.main import main
from spooftrace.datadir import DataDir

RNG = np.random.default_rng(7)


@pytest.fixture
def evaluated(tmp_path, capsys):
    """Evaluates attacks of given sizes with the ASV scores of some of them: metrics, text, and the tables by name."""

    def evaluate(sizes, bonafide=150, measured=()):
        utts = {f"b{index:03d}": "-" for index in range(bonafide)}
        utts |= {f"s{attack}{index:03d}": attack for attack, size in sizes.items() for index in range(size)}
        tables = {
            "utt2spk": dict.fromkeys(utts, "s"),
            "utt2label": {utt: "bonafide" if attack == "-" else "spoof" for utt, attack in utts.items()},
            "utt2attack": utts,
        }
        DataDir.write(tmp_path / "data" / "eval", tables)
        scores, asv = tmp_path / "scores.txt", tmp_path / "asv.txt"
        scores.write_text("".join(f"{utt} {RNG.normal(2 * (attack == '-'))}\n" for utt, attack in utts.items()))
        lines = [
            f"bonafide {kind} {RNG.normal(mean)}" for kind, mean in (("target", 3), ("nontarget", 0)) for _ in "x" * 99
        ]
        lines += [f"{attack} spoof {RNG.normal(2)}" for attack in measured for _ in "x" * 99]
        asv.write_text("\n".join(lines))
        words = [
            "evaluate",
            "--scores",
            scores,
            "--data",
            tmp_path / "data" / "eval",
            "--out",
            tmp_path / "metrics.json",
        ]
        words += ["--tables", tmp_path / "tables", "--format", "asvspoof2019"]
        words += ["--asv-scores", asv] if measured else []
        assert main(list(map(str, words))) == 0
        written = {path.name: path.read_text() for path in (tmp_path / "tables").iterdir()}
        return json.loads((tmp_path / "metrics.json").read_text()), capsys.readouterr().out, written

    return evaluate


def test_attacks_with_few_trials_and_their_mean_are_marked(evaluated):
    metrics, text, tables = evaluated({"A07": 120, "A08": 4, "A09": 2})
    assert metrics["few_trials"] == {"A08": 4, "A09": 2}
    rows = [line.split("  ")[0] for line in text.splitlines()]
    assert {"pooled", "A07", "A08~", "A09~", "mean over attacks~"} <= set(rows)
    assert "A09 50.0 (2), A08 25.0 (4)" in text
    assert all("A09 50.0 (2)" in tables[f"eer_by_attack.{kind}"] for kind in ("txt", "csv", "tex"))


def test_few_bona_fide_trials_touch_everything(evaluated):
    metrics, text, _ = evaluated({"A07": 120, "A08": 130}, bonafide=40)
    assert metrics["few_trials"] == {"pooled": 40, "A07": 40, "A08": 40}
    assert "pooled~" in text


def test_enough_trials_are_not_marked(evaluated):
    metrics, text, tables = evaluated({"A07": 100, "A08": 100})
    assert not {"few_trials", "left_out_of_mean"} & metrics.keys()
    assert "~" not in text and not any("fewer than" in table for table in tables.values())


@pytest.mark.parametrize("measured", [["A07", "A08"], ["A09"]])
def test_means_say_what_they_leave_out(evaluated, measured):
    metrics, text, tables = evaluated({"A07": 100, "A08": 100, "A09": 100}, measured=measured)
    lacking = sorted({"A07", "A08", "A09"} - set(measured))
    assert metrics["left_out_of_mean"] == {"min_tdcf": lacking}
    assert f"{metrics['mean_min_tdcf_over_attacks']:.4f} ({len(measured)} of 3)" in text
    note = f"the mean is over {len(measured)} of 3; no value for {', '.join(lacking)}:"
    assert note in text
    assert all(note in tables[f"min_tdcf_by_attack.{kind}"] for kind in ("txt", "csv", "tex"))
    assert note not in tables["eer_by_attack.csv"]
