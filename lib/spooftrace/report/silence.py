"""Does a source tracer rely on silence? Proportion of silence and F1 of each speech-generation model of a test set.

The models are those of ``utt2model``, which names the model of bona fide clips too (CoSG of CodecFake+). Silence is
what ``spooftrace trim`` removes: 1 - duration of the trimmed clips / duration of the clips. ``trim`` does not cut clips
without detected speech, so they count as free of silence; their number is printed.

Source: Chen et al., "Towards Generalized Source Tracing for Codec-Based Deepfake Speech", arXiv 2506.07294, section
V-A, which correlates the two over the models of CoSG and gives no p-values.
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
from spooftrace.report.runs import Run, find_runs, group_by_seed
from spooftrace.report.subsets import TRIM

MIN_POINTS = 3  # of a correlation
PERMUTATIONS = 9999
PER_ROW = 3
COLUMNS = ("model", "clips", "seconds", "silence", "clips_without_speech")


@dataclass(frozen=True)
class ModelSilence:
    """The clips of a model: number, total seconds, proportion of silence, and number without detected speech."""

    clips: int
    seconds: float
    share: float
    without_speech: int


@dataclass(frozen=True)
class Correlation:
    """Pearson's r and Spearman's rho of n points, with two-sided p-values of permutation tests; NaN if undefined."""

    n: int
    pearson: float
    pearson_p: float
    spearman: float
    spearman_p: float

    def __str__(self) -> str:
        if np.isnan(self.pearson):
            return f"{self.n} models, no correlation: too few models, or all have the same value"
        return (
            f"{self.n} models, Pearson {self.pearson:.3f} (p {self.pearson_p:.4f}), "
            f"Spearman {self.spearman:.3f} (p {self.spearman_p:.4f})"
        )


def report_silence(data: Path, exp: Path, figures: Path) -> list[str]:
    """Compare the proportion of silence with the F1 of each attribution system that was evaluated on a test set.

    Writes ``silence_share.tsv`` (a row per model), ``silence_correlation.tsv`` (a row per system) and
    ``silence_share.png`` (a panel per system).

    Args:
        data: Data directory of the test set, such as ``data/cosg_all``; ``data/cosg_all_trim`` is beside it.
        exp: Folder of the evaluated experiments.
        figures: Folder for the three files.

    Returns:
        Lines to print: one on the data, one per system.

    Raises:
        InputError: As for ``silence_by_model``, ``f1_by_model`` and ``spooftrace.report.runs.find_runs``.
    """
    silence = silence_by_model(data, data.with_name(data.name + TRIM))
    models = sorted(silence, key=lambda model: (silence[model].share, model))
    shares = [silence[model].share for model in models]
    f1 = {name: [f1_of.get(model, np.nan) for model in models] for name, f1_of in _systems(data, exp).items()}
    correlations = {name: correlation(shares, values) for name, values in f1.items()}
    whole = sum(clips.without_speech for clips in silence.values())
    lines = [
        f"{data}: silence {min(shares):.1%} to {max(shares):.1%} of {len(models)} models; "
        f"{whole:,} clips without detected speech were not trimmed"
    ]
    if not f1:
        return [*lines, f"{exp}: no attribution system was evaluated on {data.name}, so there is no F1 to compare"]
    _write_models(figures / "silence_share.tsv", models, silence, f1)
    _write_systems(figures / "silence_correlation.tsv", correlations)
    draw_silence(models, shares, f1, correlations, data.name, figures / "silence_share.png")
    return lines + [f"{name}: silence against weighted F1, {result}" for name, result in correlations.items()]


def silence_by_model(data: Path, trimmed: Path) -> dict[str, ModelSilence]:
    """Model -> silence in its clips, from ``utt2dur`` of a test set and of its trimmed copy.

    Raises:
        InputError: One of the two data directories is damaged or lacks ``utt2dur``, the test set lacks ``utt2model``,
            or the copy has other utterances.
    """
    whole, rest = DataDir.read(data), DataDir.read(trimmed)
    if whole.utts != rest.utts:
        other = min(set(whole.utts) ^ set(rest.utts))
        raise InputError(f"{trimmed}: not a copy of {data}: '{other}' is in only one of them; run stage 2 again")
    before, after = whole.table("utt2dur"), rest.table("utt2dur")
    none = trimmed / "no_speech.txt"
    without = set(read_list(none)) if none.is_file() else set()
    by_model: dict[str, list[str]] = {}
    for utt, model in whole.table("utt2model").items():
        by_model.setdefault(model, []).append(utt)
    silence = {}
    for model, utts in by_model.items():
        seconds = sum(float(before[utt]) for utt in utts)
        share = 1 - sum(float(after[utt]) for utt in utts) / seconds
        silence[model] = ModelSilence(len(utts), seconds, share, sum(utt in without for utt in utts))
    return silence


def f1_by_model(data: Path, scores: Path, label_table: str) -> dict[str, float]:
    """Model -> weighted F1 of the predictions for its clips, including bona fide clips.

    Clips of a class that the system does not know are left out.

    Args:
        data: Data directory of the test set.
        scores: Logits of each utterance, as scoring writes them.
        label_table: Table with the true classes.

    Raises:
        InputError: A table is missing, or the scores are not of this test set.
    """
    outputs, truth = read_outputs(scores), truth_table(data, label_table)
    utts = judged(outputs, truth, data / label_table)
    model_of = truth_table(data, "utt2model")
    models, labels = (np.array([table[utt] for utt in utts]) for table in (model_of, truth))
    predicted = np.array(outputs.columns)[outputs.numbers(utts).argmax(axis=1)]
    known = np.isin(labels, outputs.columns)
    clips_of = {model: known & (models == model) for model in dict.fromkeys(models[known].tolist())}
    return {model: tracing_report(labels[clips], predicted[clips]).weighted_f1 for model, clips in clips_of.items()}


def correlation(x: ArrayLike, y: ArrayLike) -> Correlation:
    """Pearson's and Spearman's correlation of points (N,); points with NaN are left out.

    The p-values are those of permutation tests, as there are few models and proportions are not normally distributed:
    all permutations of up to 7 points, 9999 random ones (fixed seed) of more.

    Raises:
        ValueError: The lengths differ.
    """
    from scipy.stats import PermutationMethod, pearsonr, rankdata

    points = np.array(np.broadcast_arrays(x, y), float) if np.shape(x) == np.shape(y) else None
    if points is None:
        raise ValueError(f"{np.size(x)} and {np.size(y)} values; a correlation is between pairs")
    points = points[:, ~np.isnan(points).any(axis=0)]  # (2, N) -> (2, n)
    count = points.shape[1]
    if count < MIN_POINTS or (np.ptp(points, axis=1) == 0).any():
        return Correlation(count, *[float("nan")] * 4)
    values = []
    for pair in (points, rankdata(points, axis=1)):
        # A new generator for each test: the p-value depends on the points alone.
        result = pearsonr(*pair, method=PermutationMethod(n_resamples=PERMUTATIONS, rng=np.random.default_rng(0)))
        values += [float(result.statistic), float(result.pvalue)]
    return Correlation(count, *values)


def draw_silence(
    models: Sequence[str],
    shares: Sequence[float],
    f1: Mapping[str, Sequence[float]],
    correlations: Mapping[str, Correlation],
    title: str,
    path: Path,
) -> None:
    """Write a PNG with a panel per system of ``f1``: silence against F1, a numbered point per model."""
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
            both = correlations[name]
            axes.set_title(f"{name}\nPearson {both.pearson:.2f}, Spearman {both.spearman:.2f}", fontsize=10, loc="left")
            axes.set_ylim(-4, 108)
            axes.tick_params(labelbottom=True)
            axes.grid(color="0.92", linewidth=0.8)
            axes.set_axisbelow(True)
        dots = [Line2D([], [], linestyle="") for _ in names]
        figure.legend(dots, names, loc="outside right upper", fontsize=8, frameon=False, handlelength=0)
        figure.suptitle(f"{title}: silence and F1 of each model", fontsize=12)
        figure.supxlabel("Silence (%)", fontsize=10)
        figure.supylabel("Weighted F1 (%)", fontsize=10)


def _systems(data: Path, exp: Path) -> dict[str, dict[str, float]]:
    """System -> model -> mean F1 over the seeds; a system with several heads has one entry per head."""
    kinds, _ = find_runs(exp)
    groups = [
        (group, label_table)
        for (task, label_table), runs in kinds.items()
        if task == "attribution"
        for group in marked(group_by_seed([run for run in runs if data.name in run.metrics]), [data.name])
    ]
    heads = Counter(group.name for group, _ in groups)
    systems = {}
    for group, label_table in groups:
        by_seed = [f1_by_model(data, _scores(run, data.name, label_table), label_table) for run in group.runs]
        name = group.name if heads[group.name] == 1 else f"{group.name} {label_table}"
        systems[name] = {model: float(np.mean([f1[model] for f1 in by_seed])) for model in by_seed[0]}
    return systems


def _scores(run: Run, test_set: str, label_table: str) -> Path:
    """The score file of a run; a system with several heads has one file per head."""
    own = run.folder / test_set / f"scores_{label_table.removeprefix('utt2')}.txt"
    return own if own.exists() else run.folder / test_set / "scores.txt"


def _write_models(
    path: Path, models: Sequence[str], silence: Mapping[str, ModelSilence], f1: Mapping[str, Sequence[float]]
) -> None:
    with atomic_write(path) as file:
        print(*COLUMNS, *(f"weighted_f1 {name}" for name in f1), sep="\t", file=file)
        for row, model in enumerate(models):
            clips = silence[model]
            silent = f"{clips.seconds:.2f}", f"{clips.share:.4f}", clips.without_speech
            print(model, clips.clips, *silent, *(f"{of[row]:.4f}" for of in f1.values()), sep="\t", file=file)


def _write_systems(path: Path, correlations: Mapping[str, Correlation]) -> None:
    with atomic_write(path) as file:
        print("system", "models", "pearson", "pearson_p", "spearman", "spearman_p", sep="\t", file=file)
        for name, both in correlations.items():
            values = (both.pearson, both.pearson_p, both.spearman, both.spearman_p)
            print(name, both.n, *(f"{value:.4f}" for value in values), sep="\t", file=file)
