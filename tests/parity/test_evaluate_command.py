"""``spooftrace evaluate`` on files as the challenges lay them out, against what the official programs print.

The score sets and the official figures are those of the reference material. Of the ASV systems it has only the rates,
so the ASV score files are made up: any scores that have exactly these rates at their EER threshold.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run_command

from spooftrace.common.errors import InputError
from spooftrace.evaluation.asv import read_asv

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "parity" / "metrics"
AVAILABLE = (FOLDER / "fixtures.json").is_file()
FIXTURES = json.loads((FOLDER / "fixtures.json").read_text(encoding="utf-8")) if AVAILABLE else {"cm": {}, "meta": {}}
SETS = FIXTURES["cm"]
ASV_SETS = FIXTURES["meta"].get("asv_sets", {})
REFUSED = {"ties_constant", "tiny_1_1_tie"}  # fewer than three distinct scores: the official t-DCF code stops
OVERFLOWING = {"llr_huge_overflow"}  # the official Cllr is infinite, ours is not
TRACK_1 = {"eer": "eer", "min_dcf": "min_dcf", "act_dcf": "act_dcf", "cllr": "cllr"}

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="no reference material beside the repository (../shared)")


class Comparisons:
    """Counts comparisons and keeps the largest difference."""

    def __init__(self):
        self.count, self.largest = 0, 0.0

    def add(self, ours, official):
        """The tolerance is 1e-12, relative where the figure is above 1 (a Cllr of badly scaled scores)."""
        difference = abs(ours - official) / max(1.0, abs(official))
        assert difference <= 1e-12
        self.count, self.largest = self.count + 1, max(self.largest, difference)


@pytest.fixture(scope="module")
def compared():
    comparisons = Comparisons()
    yield comparisons
    print(f"\nevaluate: {comparisons.count} figures compared, largest difference {comparisons.largest:.2g}")


@pytest.fixture(scope="module")
def scores():
    with np.load(FOLDER / "fixtures_scores.npz") as arrays:
        return dict(arrays)


def trials_of(scores, name, prefix, digits):
    """``(utt, is_bonafide, score)`` in an order that has nothing to do with the classes."""
    bonafide, spoof = scores[f"{name}__bona"].tolist(), scores[f"{name}__spoof"].tolist()
    trials = [(True, score) for score in bonafide] + [(False, score) for score in spoof]
    order = np.random.default_rng(len(trials)).permutation(len(trials))
    return [(f"{prefix}{number:0{digits}d}", *trials[index]) for number, index in enumerate(order)]


def shuffled(lines, seed=0):
    return [lines[index] for index in np.random.default_rng(seed).permutation(len(lines))]


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def evaluate(out, *words):
    run_command("evaluate", *words, "--out", out)
    return json.loads(out.read_text(encoding="utf-8"))


def compare_track_1(compared, name, metrics):
    for ours, official in TRACK_1.items():
        if not (official == "cllr" and name in OVERFLOWING):
            compared.add(metrics[ours], SETS[name]["asvspoof5_track1"][official])


@pytest.mark.parametrize("name", SETS)
def test_asvspoof5(scores, compared, tmp_path, name):
    trials = trials_of(scores, name, "E_", 10)
    key = write(
        tmp_path / "ASVspoof5.eval.track_1.tsv",
        [
            f"E_0001 {utt} F - 0 - {'- bonafide bonafide' if bonafide else 'AC1 A17 spoof'} -"
            for utt, bonafide, _ in trials
        ],
    )
    package_key = write(
        tmp_path / "cm_keys.tsv",
        ["filename\tcm-label", *(f"{utt}\t{'bonafide' if bonafide else 'spoof'}" for utt, bonafide, _ in trials)],
    )
    lines = shuffled([f"{utt}\t{score!r}" for utt, _, score in trials])
    file = write(tmp_path / "scores.tsv", ["filename\tcm-score", *lines])
    for path in (key, package_key):
        words = ["--scores", file, "--key", path, "--format", "asvspoof5"]
        metrics = evaluate(tmp_path / "metrics.json", *words)
        compare_track_1(compared, name, metrics)
        if name in REFUSED:
            assert "min_tdcf" not in metrics
        else:
            compared.add(metrics["min_tdcf"], SETS[name]["asvspoof5_fixed_asv_min_tdcf"])


def asv_scores(asv):
    """Scores by kind of trial with the rates of an ASV set of the reference material."""
    rates = ASV_SETS[asv]
    targets, nontargets, spoofs = rates["n"]
    missed, accepted = round(rates["Pmiss_asv"] * targets), round(rates["Pfa_asv"] * nontargets)
    passed = round(rates["Pfa_spoof_asv"] * spoofs)
    # At the EER threshold, `rejected` targets and all but `left` nontargets are at or below it; those at it count as
    # accepted in the rates. Only the pair with the EER of the set fits.
    at_threshold = (
        (rejected, left)
        for more in range(1, 40)
        for rejected, left in ((missed + up, accepted - more + up) for up in range(more + 1))
        if np.isclose(float(Fraction(rejected, targets) + Fraction(left, nontargets)) / 2, rates["eer_asv"], 0, 1e-12)
    )
    rejected, left = next(at_threshold)
    threshold = rates["asv_threshold"]
    return {
        "target": threshold + np.repeat([-1.0, 0.0, 1.0], [missed, rejected - missed, targets - rejected]),
        "nontarget": threshold + np.repeat([-2.0, 0.0, 2.0], [nontargets - accepted, accepted - left, left]),
        "spoof": threshold + np.repeat([-1.0, 1.0], [spoofs - passed, passed]),
    }


@pytest.fixture(scope="module")
def asv_2019(tmp_path_factory):
    """ASV set -> its score file as ASVspoof 2019 lays it out."""
    folder, files = tmp_path_factory.mktemp("asv 2019"), {}
    for asv in ASV_SETS:
        lines = [
            f"{'A07' if kind == 'spoof' else 'bonafide'} {kind} {score!r}"
            for kind, values in asv_scores(asv).items()
            for score in values.tolist()
        ]
        files[asv] = write(folder / f"{asv}.txt", shuffled(lines))
    return files


@pytest.fixture(scope="module")
def asv_2021(tmp_path_factory):
    """ASV set -> score file as ASVspoof 2021 lays it out, metadata above it, with trials of another subset."""
    folder, files = tmp_path_factory.mktemp("asv 2021"), {}
    for asv in ASV_SETS:
        metadata, lines = [], []
        for kind, values in asv_scores(asv).items():
            for index, score in enumerate(values.tolist()):
                claim, attack = f"LA_0001-none-loc_tx LA_E_{index}-{kind}", "A07" if kind == "spoof" else "bonafide"
                metadata.append(f"{claim} none loc_tx {attack} {kind} notrim eval")
                lines.append(f"{claim} {score!r}")
            metadata.append(f"LA_0002 LA_E_{kind} none loc_tx A07 {kind} notrim progress")
            lines.append(f"LA_0002 LA_E_{kind} 99")
        write(folder / asv / "ASV" / "trial_metadata.txt", metadata)
        files[asv] = write(folder / asv / "ASV" / "ASVTorch_Kaldi" / "score.txt", shuffled(lines))
    return files


@pytest.mark.slow
@pytest.mark.parametrize("asv", ASV_SETS)
def test_asv_score_files_have_the_official_rates(asv_2019, asv_2021, asv):
    official = ASV_SETS[asv]
    for cells in (read_asv(asv_2019[asv], "asvspoof2019"), read_asv(asv_2021[asv], "asvspoof2021", "eval")):
        miss, false_accept, spoof_accept = cells["pooled", "pooled"]
        assert miss == pytest.approx(official["Pmiss_asv"], abs=1e-15)
        assert false_accept == pytest.approx(official["Pfa_asv"], abs=1e-15)
        assert spoof_accept == pytest.approx(official["Pfa_spoof_asv"], abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_asvspoof2019(scores, compared, asv_2019, tmp_path, name):
    trials = trials_of(scores, name, "LA_E_", 7)
    key = write(
        tmp_path / "ASVspoof2019.LA.cm.eval.trl.txt",
        [f"LA_0001 {utt} - {'- bonafide' if bonafide else 'A07 spoof'}" for utt, bonafide, _ in trials],
    )
    lines = [f"{utt} {'- bonafide' if bonafide else 'A07 spoof'} {score!r}" for utt, bonafide, score in trials]
    file = write(tmp_path / "scores.txt", shuffled(lines))
    for asv, path in asv_2019.items():
        words = ["--scores", file, "--format", "asvspoof2019", "--asv-scores", path]
        for given in ([], ["--key", key]):  # the key is in the score file, too
            if given and asv != "asvspoof2019_LA_eval":
                continue
            if name in REFUSED:
                with pytest.raises(InputError, match="needs scores, not decisions"):
                    evaluate(tmp_path / "metrics.json", *words, *given)
                continue
            metrics = evaluate(tmp_path / "metrics.json", *words, *given)
            compare_track_1(compared, name, metrics)
            compared.add(metrics["min_tdcf"], SETS[name]["tdcf"][asv]["min_tdcf_2019_legacy"][0])


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_asvspoof2021(scores, compared, asv_2021, tmp_path, name):
    trials = trials_of(scores, name, "LA_E_", 7)
    lines = [
        f"LA_0001 {utt} none loc_tx {'bonafide bonafide' if bonafide else 'A07 spoof'} notrim eval"
        for utt, bonafide, _ in trials
    ]
    others = [f"LA_E_9{number:06d}" for number in range(4)]  # of other subsets: must be scored, must not count
    lines += [
        f"LA_0001 {utt} alaw loc_tx {'bonafide bonafide' if number % 2 else 'A07 spoof'} notrim {subset}"
        for number, (utt, subset) in enumerate(zip(others, ["progress", "progress", "hidden", "hidden"], strict=True))
    ]
    key = write(tmp_path / "keys" / "LA" / "CM" / "trial_metadata.txt", lines)
    scored = [f"{utt} {score!r}" for utt, _, score in trials] + [f"{utt} 0.125" for utt in others]
    file = write(tmp_path / "scores.txt", shuffled(scored))
    for asv, path in asv_2021.items():
        words = ["--scores", file, "--key", key, "--format", "asvspoof2021", "--asv-scores", path]
        if name in REFUSED:
            with pytest.raises(InputError, match="needs scores, not decisions"):
                evaluate(tmp_path / "metrics.json", *words)
            continue
        metrics = evaluate(tmp_path / "metrics.json", *words)
        assert (metrics["subset"], metrics["trials"]) == ("eval", len(trials))
        compared.add(metrics["eer"], SETS[name]["asvspoof5_track1"]["eer"])
        compared.add(metrics["min_tdcf"], SETS[name]["tdcf"][asv]["min_tdcf_2021_revised"][0])
