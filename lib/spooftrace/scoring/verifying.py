"""``spooftrace status --verify``: check that experiments and stored streams are unchanged since they were written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from spooftrace.archive import damaged_entries
from spooftrace.common.contents import changed_file, read_record
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.provenance import file_sha256
from spooftrace.common.records import RUN, SCORES_RECORD, read_run, read_scores_record
from spooftrace.extraction.store import read_description

MODEL = "model.safetensors"


def verify(experiments: Mapping[Path, str], dumps: Iterable[Path]) -> None:
    """Read the files that the stages wrote, and print a line for each fault.

    Args:
        experiments: Folder of each experiment -> its name.
        dumps: Folders of stored streams; missing folders are skipped.

    Raises:
        InputError: A file has changed since it was written, or there is no record to compare it with.
    """
    stored = sorted(path.parent for dump in dumps for path in dump.glob("*/*/stream.json"))
    faults = 0
    for folder, name in experiments.items():
        for problem in verify_experiment(folder):
            faults += 1
            print(f"{name}: {problem}")
    for folder in stored:
        for problem in verify_dump(folder):
            faults += 1
            print(problem)
    if faults:
        raise InputError(f"{counted(faults, 'fault')} listed above; run their stages again")
    scope = f"{counted(len(experiments), 'experiment')} and {counted(len(stored), 'stored stream')}"
    print(f"{scope}: all files are unchanged")


def verify_experiment(folder: Path) -> Iterator[str]:
    """Verify the model of an experiment, and the scores, embeddings and metrics of each set.

    Args:
        folder: Folder of the experiment.

    Yields:
        A line for each fault.
    """
    model, run = folder / MODEL, {}
    present = file_sha256(model) if model.is_file() else None
    try:
        run = read_run(folder)
    except InputError as error:
        yield str(error)
    if (folder / RUN).exists():
        if present is None:
            yield f"{model}: is missing"
        elif run.get("model_sha256", present) != present:
            yield f"{model}: is not the model that was trained"
    for record in sorted(folder.glob(f"*/{SCORES_RECORD}")):
        yield from _verify_scores(record, present)


def _verify_scores(record: Path, model: str | None) -> Iterator[str]:
    folder = record.parent
    try:
        scores = read_scores_record(record)
    except InputError as error:
        yield str(error)
        return
    files, system = scores.get("files", {}), scores.get("system", {})
    if model is not None and system.get(MODEL, model) != model:
        yield f"{folder}: was scored with another {MODEL} than the present one"
    for name in files:
        if problem := changed_file(folder, scores, [name]):
            yield problem
    known = {file["sha256"] for file in files.values()}
    for path in sorted(folder.glob("metrics*.json")):
        metrics = read_record(path)
        if not metrics:
            yield f"{path}: damaged"
        elif known and "scores_sha256" in metrics and metrics["scores_sha256"] not in known:
            yield f"{path}: was computed from other scores than those of {record}"


def verify_dump(folder: Path) -> Iterator[str]:
    """Verify the entries of a stored stream.

    Args:
        folder: ``dump/<stream>/<set>``.

    Yields:
        A line for each fault.
    """
    scp, sums = folder / "feats.scp", folder / "feats.sums"
    try:
        problem = changed_file(folder, read_description(folder / "stream.json"))
    except InputError as error:
        problem = str(error)
    if problem:
        yield problem
    if not sums.exists():
        yield f"{folder}: extracted by an earlier version, which recorded no checksums; remove it and run stage 3 again"
        return
    try:
        for utt, damage in damaged_entries(scp, sums):
            yield f"{folder}: '{utt}': {damage}"
    except InputError as error:
        yield str(error)
