"""The cues of all utterances of data directories, measured once: a later audit measures what has changed.

``OUT/cues.tsv`` has a line for each utterance with its cues and the state of its file (size and time of the last
change, and the segment); a line whose state is still that of the file counts. Until every utterance is measured, each
job keeps a journal in ``OUT/.cues``, so that a killed run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spooftrace.audit.cues import CUES, FORMAT, measure
from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.journal import ArrayJob, read_journals
from spooftrace.common.text import read_lines
from spooftrace.datadir import DataDir

THREADS = 4  # decoding and numpy leave Python's lock alone for a good part; jobs scale better
MAX_PRINTED = 10  # messages on unusable files
HEADER = ["utt", "state", *(cue.name for cue in CUES), FORMAT]
ORIGIN = {"columns": HEADER}
BAD = "bad"  # the record of a file that cannot be used: "STATE bad REASON"; otherwise "STATE NUMBER ... FORMAT"


@dataclass(frozen=True)
class Measured:
    """The cues of N utterances that can tell anything at all.

    Attributes:
        utts: N utterances.
        names: K cues, without those that have the same value for every utterance; formats are cues of 0 and 1.
        values: float64 (N, K), finite.
        constant: the other cues.
    """

    utts: list[str]
    names: list[str]
    values: np.ndarray
    constant: list[str]


def measure_shard(
    folders: Sequence[DataDir], out: Path, job: int = 1, num_jobs: int = 1, skip: bool = False
) -> dict[str, str]:
    """Measure the utterances of one shard that have not been measured, or whose file has changed.

    Args:
        folders: Data directories that share no utterance.
        out: The folder of the audit.
        job: The number of this job, from 1.
        num_jobs: The number of jobs.
        skip: Whether to record files that cannot be used, too; otherwise a later run reads them again.

    Returns:
        Utterance -> what is wrong, for those of the shard that cannot be used.

    Raises:
        InputError: ``wav.scp`` is missing, or ``job`` is not between 1 and ``num_jobs``.
    """
    sources = {utt: data.audio(utt) for data in folders for utt in data.utts}
    work = ArrayJob(out / ".cues", ORIGIN, job, num_jobs)
    work.remove_stale()
    utts = work.shard(list(sources))
    states = {utt: _state(*sources[utt]) for utt in utts}
    known = _known(out, states)
    measured = work.run(
        f"cues of {', '.join(str(data.path) for data in folders)}", utts, known,
        lambda utt: f"{states[utt]} {_describe(sources[utt])}", threads=THREADS,
        keep=lambda text: skip or not _reason(text),
    )  # fmt: skip
    return {utt: _reason(text) for utt, text in (known | measured).items() if _reason(text)}


def collect(folders: Sequence[DataDir], out: Path) -> Measured:
    """Write ``cues.tsv`` from what the parts recorded, and give its usable lines as numbers.

    Raises:
        InputError: an utterance is not measured, none can be used, or they do not differ.
    """
    utts = [utt for data in folders for utt in data.utts]
    known = _known(out, {utt: _state(*data.audio(utt)) for data in folders for utt in data.utts})
    missing = [utt for utt in utts if utt not in known]
    if missing:
        raise InputError(f"{out}: {len(missing):,} utterances are not measured, first '{missing[0]}'; run it again")
    good = [utt for utt in utts if not _reason(known[utt])]
    if not good:
        raise InputError(f"{out}: none of {len(utts):,} utterances can be used; check the paths in wav.scp")
    if (out / ".cues").is_dir():
        with atomic_write(out / "cues.tsv") as file:
            file.write("\t".join(HEADER) + "\n")
            for utt in utts:
                fields = known[utt].split(" ", 2 if _reason(known[utt]) else -1)
                file.write("\t".join([utt, *fields]) + "\n")
        for journal in (out / ".cues").iterdir():
            journal.unlink()
        (out / ".cues").rmdir()
    rows = [known[utt].split() for utt in good]
    numbers = np.array([row[1:-1] for row in rows], np.float64)  # (N, len(CUES))
    formats = np.array([row[-1] for row in rows])
    kinds = sorted(set(formats))
    names = [*(cue.name for cue in CUES), *(f"{FORMAT} {kind}" for kind in kinds)]
    values = np.column_stack([numbers, *(formats == kind for kind in kinds)])
    varies = np.ptp(values, axis=0) > 0
    if not varies.any():
        raise InputError(f"{out}: all {len(good):,} utterances have the same cues; does wav.scp name one file only?")
    varying, constant = ([names[index] for index in np.flatnonzero(which)] for which in (varies, ~varies))
    return Measured(good, varying, values[:, varies], constant)


def _known(out: Path, states: Mapping[str, str]) -> dict[str, str]:
    """Utterance -> its record, of ``cues.tsv`` and the journals, if it was made from this state of the file."""
    records: list[tuple[str, str]] = []
    if (out / "cues.tsv").is_file():
        header, *lines = read_lines(out / "cues.tsv") or [""]
        if header.split("\t") == HEADER:
            records += (line.replace("\t", " ").partition(" ")[::2] for line in lines)
    records += read_journals(out / ".cues", ORIGIN)
    known = {}
    for utt, text in records:
        fields = text.split()
        whole = len(fields) == len(HEADER) - 1 or BAD in fields[1:2]
        if whole and fields[0] == states.get(utt):
            known[utt] = text
    return known


def _state(path: str, start: float | None, end: float | None) -> str:
    """What a record was measured from, without blanks; a file that is not there has a state, too."""
    try:
        stat = Path(path).stat()
    except OSError:
        return "missing"
    segment = "" if start is None else f":{start}-{end}"
    return f"{stat.st_size}:{stat.st_mtime_ns}{segment}"


def _describe(source: tuple[str, float | None, float | None]) -> str:
    try:
        numbers, kind = measure(*source)
    except (InputError, OSError) as error:
        return f"{BAD} {error}"
    return " ".join([*(f"{number:.10g}" for number in numbers), kind])


def _reason(record: str) -> str:
    """Why the file of a record cannot be used; empty if it can."""
    _, what, reason = f"{record}  ".split(" ", 2)
    return reason.strip() if what == BAD else ""
