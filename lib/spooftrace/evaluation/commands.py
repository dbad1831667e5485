"""``spooftrace evaluate``: scores and a key in, ``metrics.json``, text and tables out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
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
from spooftrace.evaluation.breakdown import Table
from spooftrace.evaluation.caveats import gaps_of_test_set
from spooftrace.evaluation.detection import breakdown_tables, evaluate_detection, format_text
from spooftrace.evaluation.keys import FORMATS, convention_of, key_of_scores, read_data_key, read_key
from spooftrace.evaluation.layout import write_tables
from spooftrace.evaluation.score_files import ScoreFile, read_score_file
from spooftrace.evaluation.trials import Key, ScoredTrials, join
from spooftrace.evaluation.uncertainty import (
    EARLIER_UNITS,
    UNITS,
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace evaluate``."""
    add, path = parser.add_argument, {"type": Path, "metavar": "FILE"}
    add("--task", choices=TASKS, default="detection", help="what was scored (detection)")
    add(
        "--scores",
        required=True,
        help="score file in any known layout; for attribution a file with the header 'utt CLASS CLASS ...' (logits) or "
        "'utt predicted', for parsing 'utt khz kbps quantizers'",
        **path,
    )
    add("--data", type=Path, metavar="DIR", help="data directory of the test set, e.g. data/eval")
    add("--key", help="official key of the test set, instead of --data; for detection with --format", **path)
    add("--out", help="metrics file to write, e.g. exp/x/eval/metrics.json", **path)
    add(
        "--tables",
        type=Path,
        metavar="DIR",
        help="write every table to DIR as .txt, .csv (names that begin like a formula get ' in front) and .tex",
    )

    group = parser.add_argument_group("detection")
    add = group.add_argument
    add(
        "--format",
        choices=FORMATS,
        help="layout of the key, and the challenge that says what is computed; plain: 'utt label' and no challenge "
        "(--key needs it; for --data it is the word in its file 'convention' unless given)",
    )
    add("--subset", help="trials to evaluate, 'all' for all (eval, where the key has subsets)")
    add("--asv-scores", help="ASV scores for the t-DCF: of ASVspoof 2019, or score.txt of ASVspoof 2021", **path)
    add("--export", metavar="FORMAT:FILE", help=f"write the scores for submission: {', '.join(export.FORMATS)}")
    add(
        "--bootstrap",
        choices=UNITS,
        type=lambda unit: EARLIER_UNITS.get(unit, unit),
        help="95 %% intervals of the pooled EER and minDCF; what is resampled",
    )
    add("--against", help="scores of another system on the same trials: difference and significance", **path)

    group = parser.add_argument_group("attribution and parsing")
    add = group.add_argument
    add("--labels", metavar="TABLE", help="table of --data with the true classes (utt2vq)")
    add("--embeddings", help="feats.scp of the test set, for detectors of unknown classes", **path)
    add("--train-embeddings", help="feats.scp of the training set", **path)
    add("--train-data", type=Path, metavar="DIR", help="data directory of the training set: what the model knows")
    add("--codec-data", type=Path, metavar="DIR", nargs="+", help="further directories with codecs to choose from")


def run(args: argparse.Namespace) -> None:
    """Carry out ``spooftrace evaluate``: print the figures and write what was asked for."""
    for name in dict.fromkeys(name for names in OPTIONS_OF.values() for name in names):
        if name not in OPTIONS_OF[args.task] and getattr(args, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is not an option of --task {args.task}")
    export_to = _export_to(args.export)
    outputs = {"--out": args.out, "--export": export_to and export_to[1]}
    check_outputs(outputs, [getattr(args, name) for name in READ])
    with keep_pipes():
        metrics, text = TASKS[args.task](args)
    if args.scores.with_name(SCORES_RECORD).is_file():
        metrics["scores_sha256"] = file_sha256(args.scores)  # so that stale metrics are recognised
    if gaps := gaps_of_test_set(args.data, args.key, args.scores):
        metrics["incomplete"] = as_json(gaps)
        text = "\n".join([*(f"{NOT_COMPARABLE}: {gap}" for gap in gaps), text])
    if args.out:
        write_json(args.out, metrics)
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


def _detection(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    file = read_score_file(args.scores)
    key, convention = _key_and_convention(args, file)
    everything = join(key, file)
    subset = args.subset or _usual_subset(everything)
    subset = None if subset == ALL else subset
    asv = read_asv(args.asv_scores, convention, subset)
    trials = _select(everything, subset)

    metrics = evaluate_detection(trials, convention, asv) | {"data": key.path.as_posix()}
    if subset:
        metrics["subset"] = subset
    if file.of_sasv:
        metrics["sasv_warning"] = OF_SASV
    texts = [format_text(metrics), *([trials.note] if trials.note else [])]
    if args.bootstrap or args.against:
        texts += _uncertainty(args, key, trials, subset, metrics)
    if args.tables:
        texts.append(_tables(args, breakdown_tables(trials, convention, asv)))
    if export_to := _export_to(args.export):
        export.write_export(everything, *export_to)
        texts.append(f"wrote {export_to[1]} ({export_to[0]}, {len(everything)} trials)")
    return metrics, "\n".join(texts)


def _key_and_convention(args: argparse.Namespace, file: ScoreFile) -> tuple[Key, str]:
    if args.key and args.data:
        raise InputError(TWO_KEYS)
    if args.key:
        if not args.format:
            raise InputError(f"--key {args.key} needs --format: {', '.join(FORMATS)}")
        return read_key(args.key, args.format), args.format
    if args.data:
        return read_data_key(args.data), args.format or convention_of(args.data)
    return key_of_scores(file), args.format or ("asvspoof2019" if "utt2attack" in file.tables else "plain")


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
    args: argparse.Namespace, key: Key, trials: ScoredTrials, subset: str | None, metrics: dict[str, Any]
) -> list[str]:
    """Adds intervals and differences to ``metrics``; returns them as text."""
    unit, texts = args.bootstrap or "trial", []
    if args.bootstrap:
        figures = intervals(trials, unit)
        metrics["intervals"] = {"unit": unit, **figures}
        texts.append(format_intervals(figures, unit))
    if args.against:
        others = _select(join(key, read_score_file(args.against)), subset)
        figures = differences(trials, others.scores, unit)
        metrics["difference"] = {"against": args.against.as_posix(), "unit": unit, **figures}
        texts.append(format_differences(figures, unit, str(args.against)))
    if warning := too_few(trials, unit):
        metrics["interval_warning"] = warning
    return texts


def _attribution(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from spooftrace.evaluation.attribution import Embeddings, evaluate_attribution, format_text, tables

    parts = (args.embeddings, args.train_embeddings, args.train_data)
    if any(parts) and not all(parts):
        raise InputError("--embeddings, --train-embeddings and --train-data go together; give all or none")
    embeddings = Embeddings(*parts) if all(parts) else None
    metrics = evaluate_attribution(_data(args), args.scores, args.labels or "utt2vq", embeddings)
    return _finished(args, metrics, format_text(metrics), tables)


def _parsing(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from spooftrace.evaluation.parsing import evaluate_parsing, format_text, tables

    metrics = evaluate_parsing(_data(args), args.scores, args.train_data, args.codec_data or ())
    return _finished(args, metrics, format_text(metrics), tables)


def _sasv(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from spooftrace.evaluation.sasv import evaluate_sasv, format_text, tables

    if args.key and args.data:
        raise InputError(TWO_KEYS)
    metrics = evaluate_sasv(args.scores, args.key or args.data)
    return _finished(args, metrics, format_text(metrics), tables)


def _data(args: argparse.Namespace) -> Path:
    if not args.data:
        raise InputError(f"--task {args.task} needs --data, the data directory of the test set")
    return args.data


def _finished(args: argparse.Namespace, metrics: dict[str, Any], text: str, tables: Any) -> tuple[dict[str, Any], str]:
    return metrics, "\n".join([text, _tables(args, tables(metrics))]) if args.tables else text


def _tables(args: argparse.Namespace, tables: Mapping[str, Table]) -> str:
    if gaps := gaps_of_test_set(args.data, args.key, args.scores):
        lacking = tuple(f"INCOMPLETE: {gap}" for gap in gaps)
        tables = {name: replace(table, notes=lacking + table.notes) for name, table in tables.items()}
    write_tables(args.tables, tables)
    return f"wrote {len(tables)} tables to {args.tables}"


def _export_to(text: str | None) -> tuple[str, Path] | None:
    try:
        return export.parse_export(text) if text else None
    except ValueError as error:
        raise InputError(f"--export: {error}") from None


TASKS = {"detection": _detection, "attribution": _attribution, "parsing": _parsing, "sasv": _sasv}
