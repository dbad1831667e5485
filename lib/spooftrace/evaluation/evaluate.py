"""Evaluate one score file: scores and a key in, ``metrics.json``, text and tables out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spooftrace.common.errors import InputError
from spooftrace.common.json_files import write_json
from spooftrace.common.provenance import file_sha256
from spooftrace.common.records import SCORES_RECORD
from spooftrace.common.text import keep_pipes
from spooftrace.datadir.incomplete import NOT_COMPARABLE, as_json
from spooftrace.evaluation import export
from spooftrace.evaluation.asv import read_asv
from spooftrace.evaluation.caveats import gaps_of_test_set
from spooftrace.evaluation.detection import breakdown_tables, evaluate_detection, format_text
from spooftrace.evaluation.keys import FORMATS, convention_of, key_of_scores, read_data_key, read_key
from spooftrace.evaluation.score_files import ScoreFile, read_score_file
from spooftrace.evaluation.tables import Table, write_tables
from spooftrace.evaluation.trials import Key, ScoredTrials, join
from spooftrace.evaluation.uncertainty import (
    differences,
    format_differences,
    format_intervals,
    intervals,
    too_few,
)

ALL = "all"  # subsets
OF_SASV = (
    "these scores judge the speaker too, and nontarget trials count as bona fide here; for SASV metrics give "
    "--task sasv"
)
TWO_KEYS = "--key and --data both say what the trials are; give one"

# The options that name a file to read.
READ = ("scores", "key", "asv_scores", "against", "embeddings", "train_embeddings")
# The options that not all tasks have.
OPTIONS_OF = {
    "detection": ("key", "format", "subset", "asv_scores", "export", "bootstrap", "against"),
    "attribution": ("labels", "embeddings", "train_embeddings", "train_data"),
    "parsing": ("train_data", "codec_data"),
    "sasv": ("key",),
}


@dataclass(frozen=True)
class Options:
    """What to evaluate, how, and what to write; the options of ``spooftrace evaluate``.

    Attributes:
        scores: Score file.
        task: A name in ``TASKS``.
        data: Data directory of the test set.
        key: Official key of the test set, instead of ``data``.
        out: Metrics file to write.
        tables: Folder for tables.
        format: Layout of the key, a name in :data:`spooftrace.evaluation.keys.FORMATS`.
        subset: Official subset, or "all".
        asv_scores: ASV scores for the t-DCF.
        export: ``FORMAT:FILE``, scores for submission.
        bootstrap: What is resampled for intervals, a name in :data:`spooftrace.evaluation.uncertainty.UNITS`.
        against: Scores of another system on the same trials.
        labels: Table of ``data`` with the true classes.
        embeddings: ``feats.scp`` of the test set.
        train_embeddings: ``feats.scp`` of the training set.
        train_data: Data directory of the training set.
        codec_data: Further data directories with codecs to choose from.
    """

    scores: Path
    task: str = "detection"
    data: Path | None = None
    key: Path | None = None
    out: Path | None = None
    tables: Path | None = None
    format: str | None = None
    subset: str | None = None
    asv_scores: Path | None = None
    export: str | None = None
    bootstrap: str | None = None
    against: Path | None = None
    labels: str | None = None
    embeddings: Path | None = None
    train_embeddings: Path | None = None
    train_data: Path | None = None
    codec_data: Sequence[Path] | None = None


def evaluate(options: Options) -> None:
    """Print the metrics of a test set, and write the files that the options name.

    Raises:
        InputError: Options that do not go together, or bad scores or labels.
    """
    for name in dict.fromkeys(name for names in OPTIONS_OF.values() for name in names):
        if name not in OPTIONS_OF[options.task] and getattr(options, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is not an option of --task {options.task}")
    export_to = _export_to(options.export)
    outputs = {"--out": options.out, "--export": export_to and export_to[1]}
    check_outputs(outputs, [getattr(options, name) for name in READ])
    with keep_pipes():
        metrics, text = TASKS[options.task](options)
    if options.scores.with_name(SCORES_RECORD).is_file():
        metrics["scores_sha256"] = file_sha256(options.scores)  # so that stale metrics are recognised
    if gaps := gaps_of_test_set(options.data, options.key, options.scores):
        metrics["incomplete"] = as_json(gaps)
        text = "\n".join([*(f"{NOT_COMPARABLE}: {gap}" for gap in gaps), text])
    if options.out:
        write_json(options.out, metrics)
    print(text)
    for name in sorted(name for name in metrics if name.endswith("_warning")):
        print(f"WARNING: {metrics[name]}", file=sys.stderr)


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse to write over a file that is read, or one file twice.

    Args:
        outputs: option -> the file that it names, None where it is not given.
        inputs: the files that are read, None likewise.

    Raises:
        InputError: such a file, or something there that is not a file.
    """
    taken = {path.resolve(): "read" for path in inputs if path}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.exists() and not path.is_file():
            raise InputError(f"{option} {path}: is not a file; give the name of the file to write")
        if path.resolve() in taken:
            raise InputError(f"{option} {path}: the same file is {taken[path.resolve()]}; name another one to write")
        taken[path.resolve()] = f"written by {option}"


def read_trials(
    data: str | Path, scores: str | Path, subset: str | None = None, form: str | None = None
) -> ScoredTrials:
    """The trials of a test set with their scores.

    Args:
        data: a data directory, or a key file.
        scores: a score file in any layout of :mod:`spooftrace.evaluation.score_files`.
        subset: the official subset to keep, such as "eval"; None for all trials.
        form: what the key file is, a name in :data:`spooftrace.evaluation.keys.FORMATS`.

    Raises:
        InputError: as the readers of both and :func:`spooftrace.evaluation.trials.join`, and for an unknown subset.
    """
    key = read_data_key(data) if form is None or Path(data).is_dir() else read_key(data, form)
    return _select(join(key, read_score_file(scores)), subset)


def _detection(options: Options) -> tuple[dict[str, Any], str]:
    file = read_score_file(options.scores)
    key, convention = _key_and_convention(options, file)
    everything = join(key, file)
    requested = options.subset or _usual_subset(everything)
    subset = None if requested == ALL else requested
    asv = read_asv(options.asv_scores, convention, subset)
    trials = _select(everything, subset)

    metrics = evaluate_detection(trials, convention, asv) | {"data": key.path.as_posix()}
    if subset:
        metrics["subset"] = subset
    if file.of_sasv:
        metrics["sasv_warning"] = OF_SASV
    texts = [format_text(metrics), *([trials.note] if trials.note else [])]
    if options.bootstrap or options.against:
        texts += _uncertainty(options, key, trials, subset, metrics)
    if options.tables:
        texts.append(_write_tables(options, options.tables, breakdown_tables(trials, convention, asv)))
    if export_to := _export_to(options.export):
        export.write_export(everything, *export_to)
        texts.append(f"wrote {export_to[1]} ({export_to[0]}, {len(everything)} trials)")
    return metrics, "\n".join(texts)


def _key_and_convention(options: Options, file: ScoreFile) -> tuple[Key, str]:
    if options.key and options.data:
        raise InputError(TWO_KEYS)
    if options.key:
        if not options.format:
            raise InputError(f"--key {options.key} needs --format: {', '.join(FORMATS)}")
        return read_key(options.key, options.format), options.format
    if options.data:
        return read_data_key(options.data), options.format or convention_of(options.data)
    return key_of_scores(file), options.format or ("asvspoof2019" if "utt2attack" in file.tables else "plain")


def _usual_subset(trials: ScoredTrials) -> str:
    """Figures of ASVspoof 2021 are published for eval; progress and hidden are other conditions."""
    return "eval" if "subset" in trials.columns and "eval" in trials.columns["subset"].values else ALL


def _select(trials: ScoredTrials, subset: str | None) -> ScoredTrials:
    if subset is None:
        return trials
    known = trials.columns["subset"].values if "subset" in trials.columns else ()
    if subset not in known:
        raise InputError(f"{trials.name}: no subset '{subset}'; its key has {', '.join(known) or 'no subsets'}")
    selected = trials.select(trials.columns["subset"].is_in([subset]))
    for kind, scores in (("bona fide", selected.bonafide), ("spoof", selected.spoof)):
        if not scores.size:
            raise InputError(f"{trials.name}: no {kind} trial in subset '{subset}'; an EER needs both classes")
    return selected


def _uncertainty(
    options: Options, key: Key, trials: ScoredTrials, subset: str | None, metrics: dict[str, Any]
) -> list[str]:
    """Adds intervals and differences to ``metrics``; returns them as text."""
    unit, texts = options.bootstrap or "trial", []
    if options.bootstrap:
        figures = intervals(trials, unit)
        metrics["intervals"] = {"unit": unit, **figures}
        texts.append(format_intervals(figures, unit))
    if options.against:
        others = _select(join(key, read_score_file(options.against)), subset)
        figures = differences(trials, others.scores, unit)
        metrics["difference"] = {"against": options.against.as_posix(), "unit": unit, **figures}
        texts.append(format_differences(figures, unit, str(options.against)))
    if warning := too_few(trials, unit):
        metrics["interval_warning"] = warning
    return texts


def _attribution(options: Options) -> tuple[dict[str, Any], str]:
    from spooftrace.evaluation.attribution import evaluate_attribution
    from spooftrace.evaluation.attribution_text import format_text, tables
    from spooftrace.evaluation.open_set import Embeddings

    embeddings = None
    if options.embeddings and options.train_embeddings and options.train_data:
        embeddings = Embeddings(options.embeddings, options.train_embeddings, options.train_data)
    elif options.embeddings or options.train_embeddings or options.train_data:
        raise InputError("--embeddings, --train-embeddings and --train-data go together; give all or none")
    metrics = evaluate_attribution(_data(options), options.scores, options.labels or "utt2vq", embeddings)
    return _finished(options, metrics, format_text(metrics), tables)


def _parsing(options: Options) -> tuple[dict[str, Any], str]:
    from spooftrace.evaluation.parsing import evaluate_parsing
    from spooftrace.evaluation.parsing_text import format_text, tables

    metrics = evaluate_parsing(_data(options), options.scores, options.train_data, options.codec_data or ())
    return _finished(options, metrics, format_text(metrics), tables)


def _sasv(options: Options) -> tuple[dict[str, Any], str]:
    from spooftrace.evaluation.sasv import evaluate_sasv, format_text, tables

    if options.key and options.data:
        raise InputError(TWO_KEYS)
    metrics = evaluate_sasv(options.scores, options.key or options.data)
    return _finished(options, metrics, format_text(metrics), tables)


def _data(options: Options) -> Path:
    if not options.data:
        raise InputError(f"--task {options.task} needs --data, the data directory of the test set")
    return options.data


def _finished(options: Options, metrics: dict[str, Any], text: str, tables: Any) -> tuple[dict[str, Any], str]:
    return metrics, "\n".join(
        [text, _write_tables(options, options.tables, tables(metrics))]
    ) if options.tables else text


def _write_tables(options: Options, folder: Path, tables: Mapping[str, Table]) -> str:
    """Write the tables with the gaps in the test set as notes; returns the line to print."""
    if gaps := gaps_of_test_set(options.data, options.key, options.scores):
        lacking = tuple(f"INCOMPLETE: {gap}" for gap in gaps)
        tables = {name: replace(table, notes=lacking + table.notes) for name, table in tables.items()}
    write_tables(folder, tables)
    return f"wrote {len(tables)} tables to {folder}"


def _export_to(text: str | None) -> tuple[str, Path] | None:
    try:
        return export.parse_export(text) if text else None
    except ValueError as error:
        raise InputError(f"--export: {error}") from None


TASKS = {"detection": _detection, "attribution": _attribution, "parsing": _parsing, "sasv": _sasv}
