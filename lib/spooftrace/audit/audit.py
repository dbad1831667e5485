"""All steps of an audit: measure, compare the classes of every table, print and write."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spooftrace.audit.findings import LABELS, MIN_UTTERANCES, Audit, Finding, audit_label
from spooftrace.audit.measuring import MAX_PRINTED, Measured, collect, measure_shard
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.datadir.incomplete import as_json, gaps_of, read_gaps
from spooftrace.datadir.tables import current_name


def audit(
    directories: Sequence[Path], out: Path | None = None, label: Sequence[str] | None = None, limit: float = 0.35,
    skip: bool = False, job: int | None = None, num_jobs: int = 1,
) -> list[Finding]:  # fmt: skip
    """Measure the cues of data directories, print how far each tells the classes apart, and write the results.

    Args:
        directories: The data directories; several are audited together.
        out: Folder to write to; for a single data directory its ``audit`` by default.
        label: Tables of classes; by default those of ``LABELS`` that all data directories have.
        limit: A cue with an EER below it is telling.
        skip: Leave out audio files that cannot be used.
        job: Only measure, as this job from 1.
        num_jobs: Jobs that share the measuring.

    Returns:
        The telling cues; none where only measured.

    Raises:
        InputError: Options that do not go together, unusable audio, or no table with two classes.
    """
    if not 0 < limit < 0.5:
        raise InputError(f"--limit {limit}: an EER between 0 and 0.5, without both")
    if out is None and len(directories) > 1:
        raise InputError("several data directories: give --out for the folder of the audit")
    out = out or directories[0] / "audit"
    folders = [DataDir.read(folder) for folder in directories]
    _refuse_shared(folders)
    tables = _tables(folders, label)
    bad = measure_shard(folders, out, job or 1, num_jobs if job else 1, skip)
    for line in list(bad.values())[:MAX_PRINTED]:
        print(line, file=sys.stderr)
    if bad and not skip:
        raise InputError(f"{len(bad):,} audio files cannot be used; get them again or give --on-bad-audio skip")
    if job:
        print(f"{out}: part {job} of {num_jobs} measured")
        return []
    measured = collect(folders, out)
    audits = _audits(folders, tables, measured, limit)
    if measured.constant:
        print(f"the same for every utterance: {', '.join(measured.constant)}")
    summary = {
        "data": [str(data.path) for data in folders],
        "utterances": len(measured.utts),
        "bad_audio": len(bad),
        "incomplete": as_json(gap for data in folders for gap in read_gaps(data.path)),
        "limit": limit,
        "constant": measured.constant,
    }
    _write(audits, summary, out)
    return [finding for audit in audits for finding in audit.telling]


def _audits(folders: Sequence[DataDir], tables: Sequence[str], measured: Measured, limit: float) -> list[Audit]:
    """Audit each table, and print what is found.

    Raises:
        InputError: in no table there are two classes.
    """
    from spooftrace.audit.page import as_text

    speakers, attacks = _joined(folders, "utt2spk"), _joined(folders, "utt2attack")
    audits: list[Audit] = []
    for name in tables:
        audit = audit_label(name, measured, _joined(folders, name), speakers, attacks, limit)
        if audit is None:
            print(f"{name}: no two classes of at least {MIN_UTTERANCES} utterances\n")
            continue
        same = next((earlier.label for earlier in audits if earlier.partition == audit.partition), None)
        print(f"{f'{name}: divides the utterances as {same} does' if same else as_text(audit)}\n")
        audits.append(audit)
    if not audits:
        raise InputError(
            f"{folders[0].path}: no label has two classes of {MIN_UTTERANCES} utterances, so there is nothing to tell"
        )
    return audits


def _write(audits: Sequence[Audit], summary: Mapping[str, Any], out: Path) -> None:
    from spooftrace.audit.figure import draw_audit
    from spooftrace.audit.page import write_findings, write_tsv

    write_findings(out / "audit.json", audits, summary)
    write_tsv(out / "audit.tsv", audits)
    lacking = " (incomplete data)" if summary["incomplete"] or summary["bad_audio"] else ""
    draw_audit(audits, " + ".join(summary["data"]) + lacking, out / "audit.png")
    for gap in gaps_of(summary["incomplete"]):
        print(f"INCOMPLETE: {gap}")
    skipped = f"; {summary['bad_audio']:,} with unusable audio left out" if summary["bad_audio"] else ""
    print(f"{summary['utterances']:,} utterances{skipped}; wrote {out}/audit.json, audit.tsv, audit.png and cues.tsv")


def _refuse_shared(folders: Sequence[DataDir]) -> None:
    """An utterance is to count once."""
    seen: dict[str, Path] = {}
    for data in folders:
        for utt in data.utts:
            if utt in seen:
                raise InputError(f"{data.path}/utt2spk: '{utt}' is in {seen[utt]}, too; audit one of the two")
            seen[utt] = data.path


def _tables(folders: Sequence[DataDir], asked: Sequence[str] | None) -> list[str]:
    """The tables to audit: those asked for, or the known ones that all directories have."""
    if asked:
        for data in folders:
            for name in asked:
                data.table(name)
        return [current_name(name) for name in asked]
    found = [name for name in LABELS if all(name in data.tables for data in folders)]
    if not found:
        raise InputError(f"{folders[0].path}: has none of {', '.join(LABELS)}; name a table with --label")
    return found


def _joined(folders: Sequence[DataDir], name: str) -> dict[str, str]:
    """The table of all directories; of those that lack it, nothing."""
    return {utt: value for data in folders for utt, value in data.tables.get(name, {}).items()}
