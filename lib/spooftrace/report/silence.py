"""Is it silence that a source tracer listens to? Share of silence and F1 of each speech-generation model of a test set.

The models are those of ``utt2model``, which names the model of bona fide clips too (CodecFake+'s CoSG). Silence is what
``spooftrace trim`` removed: 1 - seconds of the trimmed clips / seconds of the clips. A clip in which no speech was
found is kept whole by it, so it counts as having none; how many there are is said.

Source of the question: Chen et al., "Towards Generalized Source Tracing for Codec-Based Deepfake Speech", arXiv
2506.07294, section V-A, which correlates the two over the models of CoSG and gives no p-values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.datadir.tables import read_list
from spooftrace.evaluation.outputs import judged, read_outputs, truth_table
from spooftrace.metrics.attribution import tracing_report
from spooftrace.report.incomplete import marked
from spooftrace.report.parts import TRIM
from spooftrace.report.runs import Run, find_runs, group_by_seed

LEAST = 3  # points that a correlation needs to say anything
PERMUTATIONS = 9999
PER_ROW = 3
COLUMNS = ("model", "clips", "seconds", "silence", "clips_without_speech")


@dataclass(frozen=True)
class ModelSilence:
    """The clips of one model: how many, how long, the share of silence, and those without any detected speech."""

    clips: int
    seconds: float
    share: float
    without_speech: int


@dataclass(frozen=True)
class Correlation:
    """Pearson's r and Spearman's rho of n points, and the two-sided p-values of permutation tests; NaN: not defined."""

    n: int
    pearson: float
    pearson_p: float
    spearman: float
    spearman_p: float

    def __str__(self) -> str:
        if np.isnan(self.pearson):
            return f"{self.n} models, no correlation: too few, or one value for all"
        return (
            f"{self.n} models, Pearson {self.pearson:.3f} (p {self.pearson_p:.4f}), "
            f"Spearman {self.spearman:.3f} (p {self.spearman_p:.4f})"
        )


def report_silence(data: Path, exp: Path, figures: Path) -> list[str]:
    """Compare the share of silence with the F1 of every attribution system that was evaluated on a test set.

    Writes ``silence_share.tsv`` (a row for each model), ``silence_correlation.tsv`` (a row for each system) and
    ``silence_share.png``, a panel for each system.

    Args:
        data: the test set, for instance ``data/cosg_all``; ``data/cosg_all_trim`` is beside it.
        exp: folder of the experiments, evaluated.
        figures: folder for the three files.

    Returns:
        Lines to print: one about the data, one for each system.

    Raises:
        InputError: as ``silence_by_model``, ``f1_by_model`` and ``spooftrace.report.runs.find_runs``.
    """
    silence = silence_by_model(data, data.with_name(data.name + TRIM))
    models = sorted(silence, key=lambda model: (silence[model].share, model))
    shares = [silence[model].share for model in models]
    f1 = {name: [found.get(model, np.nan) for model in models] for name, found in _systems(data, exp).items()}
    found = {name: correlation(shares, values) for name, values in f1.items()}
    whole = sum(one.without_speech for one in silence.values())
    lines = [
        f"{data}: silence {min(shares):.1%} to {max(shares):.1%} of {len(models)} models; "
        f"{whole:,} clips without detected speech were kept whole"
    ]
    if not f1:
        return [*lines, f"{exp}: no system for VQ, AUX or DEC was evaluated on {data.name}: no F1 to compare with it"]
    _write_models(figures / "silence_share.tsv", models, silence, f1)
    _write_systems(figures / "silence_correlation.tsv", found)
    draw_silence(models, shares, f1, found, data.name, figures / "silence_share.png")
    return lines + [f"{name}: share of silence against weighted F1, {one}" for name, one in found.items()]


def silence_by_model(data: Path, trimmed: Path) -> dict[str, ModelSilence]:
    """Model -> its clips and their silence, from ``utt2dur`` of a test set and of its trimmed copy.

    Raises:
        InputError: one of the two cannot be read or lacks ``utt2dur``, the test set lacks ``utt2model``, or the copy
            has other utterances.
    """
    whole, rest = DataDir.read(data), DataDir.read(trimmed)
    if whole.utts != rest.utts:
        other = min(set(whole.utts) ^ set(rest.utts))
        raise InputError(f"{trimmed}: not a copy of {data}, '{other}' is in one of them only; run stage 2 again")
    before, after = whole.table("utt2dur"), rest.table("utt2dur")
    none = trimmed / "no_speech.txt"
    without = set(read_list(none)) if none.is_file() else set()
    by_model: dict[str, list[str]] = {}
    for utt, model in whole.table("utt2model").items():
        by_model.setdefault(model, []).append(utt)
    found = {}
    for model, utts in by_model.items():
        seconds = sum(float(before[utt]) for utt in utts)
        share = 1 - sum(float(after[utt]) for utt in utts) / seconds
        found[model] = ModelSilence(len(utts), seconds, share, sum(utt in without for utt in utts))
    return found


def f1_by_model(data: Path, scores: Path, label_table: str) -> dict[str, float]:
    """Model -> weighted F1 of the decisions on its clips, bona fide ones among them.

    Clips of a class that the system does not know are left out.

    Args:
        data: the test set.
        scores: logits of each utterance, as scoring writes them.
        label_table: the table with the true classes.

    Raises:
        InputError: a table is missing, or the scores are not those of this test set.
    """
    outputs, truth = read_outputs(scores), truth_table(data, label_table)
    utts = judged(outputs, truth, data / label_table)
    model_of = truth_table(data, "utt2model")
    models, labels = (np.array([table[utt] for utt in utts]) for table in (model_of, truth))
    decided = np.array(outputs.columns)[outputs.numbers(utts).argmax(axis=1)]
    known = np.isin(labels, outputs.columns)
    parts = {model: known & (models == model) for model in dict.fromkeys(models[known].tolist())}
    return {model: tracing_report(labels[part], decided[part]).weighted_f1 for model, part in parts.items()}


def correlation(x: ArrayLike, y: ArrayLike) -> Correlation:
    """Pearson's and Spearman's correlation of points (N,); those with NaN are left out.

    The p-values say how often a random pairing correlates as strongly: few models, and shares of clips that are not
    normally distributed, call for that. Up to 7 points all pairings are tried, with more 9999 of them, drawn from a
    fixed seed.

    Raises:
        ValueError: unequal lengths.
    """
    from scipy.stats import PermutationMethod, pearsonr, rankdata

    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape:
        raise ValueError(f"{x.size} and {y.size} values; a correlation is between pairs")
    there = ~(np.isnan(x) | np.isnan(y))
    x, y = x[there], y[there]
    if len(x) < LEAST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(len(x), *[float("nan")] * 4)
    figures = []
    for pair in ((x, y), (rankdata(x), rankdata(y))):
        # Seeded anew, so that a figure depends on its points alone.
        result = pearsonr(*pair, method=PermutationMethod(n_resamples=PERMUTATIONS, rng=np.random.default_rng(0)))
        figures += [float(result.statistic), float(result.pvalue)]
    return Correlation(len(x), *figures)


def draw_silence(
    models: Sequence[str],
    shares: Sequence[float],
    f1: Mapping[str, Sequence[float]],
    found: Mapping[str, Correlation],
    title: str,
    path: Path,
) -> None:
    """Write a PNG with a panel for each system of ``f1``: silence against F1, a numbered point for each model."""
    from matplotlib.lines import Line2D

    from spooftrace.report.canvas import COLOURS, png

    across = min(PER_ROW, len(f1))
    down = -(-len(f1) // across)
    names = [f"{number}  {model}" for number, model in enumerate(models, start=1)]
    with png(path, 3.6 * across + 1.6, 3.4 * down + 0.4) as figure:
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes in grid.flat[len(f1) :]:
            axes.set_axis_off()
        for axes, (name, values) in zip(grid.flat, f1.items(), strict=False):
            x, y = 100 * np.asarray(shares), 100 * np.asarray(values)
            axes.plot(x, y, "o", color=COLOURS[0], markersize=4)
            for number, place in enumerate(zip(x, y, strict=True), start=1):
                axes.annotate(str(number), place, xytext=(3, 3), textcoords="offset points", fontsize=7)
            one = found[name]
            axes.set_title(f"{name}\nPearson {one.pearson:.2f}, Spearman {one.spearman:.2f}", fontsize=10, loc="left")
            axes.set_ylim(-4, 108)
            axes.tick_params(labelbottom=True)
            axes.grid(color="0.92", linewidth=0.8)
            axes.set_axisbelow(True)
        dots = [Line2D([], [], linestyle="") for _ in names]
        figure.legend(dots, names, loc="outside right upper", fontsize=8, frameon=False, handlelength=0)
        figure.suptitle(f"{title}: silence and F1 of each model", fontsize=12)
        figure.supxlabel("Share of silence (%)", fontsize=10)
        figure.supylabel("Weighted F1 (%)", fontsize=10)


def _systems(data: Path, exp: Path) -> dict[str, dict[str, float]]:
    """System -> model -> F1, the mean over its seeds. A system with several heads is there once for each."""
    kinds, _ = find_runs(exp)
    groups = [
        (group, labels)
        for (task, labels), runs in kinds.items()
        if task == "attribution"
        for group in marked(group_by_seed([run for run in runs if data.name in run.metrics]), [data.name])
    ]
    heads = Counter(group.name for group, _ in groups)
    systems = {}
    for group, labels in groups:
        of_seed = [f1_by_model(data, _scores(run, data.name, labels), labels) for run in group.runs]
        name = group.name if heads[group.name] == 1 else f"{group.name} {labels}"
        systems[name] = {model: float(np.mean([one[model] for one in of_seed])) for model in of_seed[0]}
    return systems


def _scores(run: Run, test_set: str, labels: str) -> Path:
    """The score file of a run; several heads have one each."""
    own = run.folder / test_set / f"scores_{labels.removeprefix('utt2')}.txt"
    return own if own.exists() else run.folder / test_set / "scores.txt"


def _write_models(
    path: Path, models: Sequence[str], silence: Mapping[str, ModelSilence], f1: Mapping[str, Sequence[float]]
) -> None:
    with atomic_write(path) as file:
        print(*COLUMNS, *(f"weighted_f1 {name}" for name in f1), sep="\t", file=file)
        for row, model in enumerate(models):
            one = silence[model]
            figures = (f"{values[row]:.4f}" for values in f1.values())
            print(
                model, one.clips, f"{one.seconds:.2f}", f"{one.share:.4f}", one.without_speech, *figures,
                sep="\t", file=file,
            )  # fmt: skip


def _write_systems(path: Path, found: Mapping[str, Correlation]) -> None:
    with atomic_write(path) as file:
        print("system", "models", "pearson", "pearson_p", "spearman", "spearman_p", sep="\t", file=file)
        for name, one in found.items():
            figures = (one.pearson, one.pearson_p, one.spearman, one.spearman_p)
            print(name, one.n, *(f"{figure:.4f}" for figure in figures), sep="\t", file=file)
