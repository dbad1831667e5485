"""Is what an experiment and a stored stream hold still what was written? For ``spooftrace status --verify``."""

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
    """Read what the stages wrote, and print a line for each thing that has changed since.

    Args:
        experiments: Folder of each -> its name.
        dumps: Folders of stored streams; those that are not there hold none.

    Raises:
        InputError: Something is not what was written, or nothing is recorded to compare it with.
    """
    stored = sorted(path.parent for dump in dumps for path in dump.glob("*/*/stream.json"))
    wrong = 0
    for folder, name in experiments.items():
        for problem in verify_experiment(folder):
            wrong += 1
            print(f"{name}: {problem}")
    for folder in stored:
        for problem in verify_dump(folder):
            wrong += 1
            print(problem)
    if wrong:
        raise InputError(f"{counted(wrong, 'fault')} named above; run their stages again")
    looked_at = f"{counted(len(experiments), 'experiment')} and {counted(len(stored), 'stored stream')}"
    print(f"{looked_at}: everything is what was written")


def verify_experiment(folder: Path) -> Iterator[str]:
    """A line for each thing that is wrong: the model, the scores and embeddings of each set, and their metrics."""
    model, run = folder / MODEL, {}
    present = file_sha256(model) if model.is_file() else None
    try:
        run = read_run(folder)
    except InputError as error:
        yield str(error)
    if (folder / RUN).exists():
        if present is None:
            yield f"{model}: is gone"
        elif run.get("model_sha256", present) != present:
            yield f"{model}: is not the model that was trained"
    for record in sorted(folder.glob(f"*/{SCORES_RECORD}")):
        yield from _verify_scores(record, present)


def _verify_scores(record: Path, model: str | None) -> Iterator[str]:
    folder = record.parent
    try:
        made = read_scores_record(record)
    except InputError as error:
        yield str(error)
        return
    files, system = made.get("files", {}), made.get("system", {})
    if model is not None and system.get(MODEL, model) != model:
        yield f"{folder}: was scored with another {MODEL} than there is now"
    for name in files:
        if problem := changed_file(folder, made, [name]):
            yield problem
    known = {file["sha256"] for file in files.values()}
    for path in sorted(folder.glob("metrics*.json")):
        metrics = read_record(path)
        if not metrics:
            yield f"{path}: damaged"
        elif known and "scores_sha256" in metrics and metrics["scores_sha256"] not in known:
            yield f"{path}: was computed from other scores than {record} tells of"


def verify_dump(folder: Path) -> Iterator[str]:
    """A line for each entry of a stored stream that is not what was written."""
    scp, sums = folder / "feats.scp", folder / "feats.sums"
    try:
        problem = changed_file(folder, read_description(folder / "stream.json"))
    except InputError as error:
        problem = str(error)
    if problem:
        yield problem
    if not sums.exists():
        yield f"{folder}: made by an earlier version, which recorded no checksums; remove it and run stage 3 again"
        return
    try:
        for utt, damage in damaged_entries(scp, sums):
            yield f"{folder}: '{utt}': {damage}"
    except InputError as error:
        yield str(error)
