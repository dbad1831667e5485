"""``spooftrace audit``: can the classes of a corpus be told apart without listening?

A detector learns whatever differs between the classes. Before a corpus is trained or tested on, this measures what has
nothing to do with generation (duration, level, silence, band ...) and reports how far each of these cues gets alone,
and a small classifier with all of them, for every label that the data directories have: pooled, and for each attack or
class. What to do about a telling cue is said beside it.

| module | does |
|---|---|
| ``cues`` | what is measured of a recording, and the remedies |
| ``measuring`` | all recordings, once |
| ``separation`` | how well numbers tell classes apart |
| ``findings`` | the figures of a label, and which of them count |
| ``page``, ``figure`` | text, ``audit.tsv``, ``audit.json``; ``audit.png`` |

A cue that tells nothing here can still matter, and a clean audit is no proof: only these cues were looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spooftrace.audit.findings import FEW, LABELS, POOLED, Audit, audit_label
from spooftrace.audit.measuring import SHOWN, Measured, collect, measure_part
from spooftrace.common.errors import InputError
from spooftrace.datadir import DataDir
from spooftrace.datadir.incomplete import as_json, gaps_of, read_gaps
from spooftrace.datadir.tables import current_name

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``spooftrace audit``."""
    add = parser.add_argument
    add("data", type=Path, nargs="+", metavar="DATA", help="data directories; several are audited together")
    add("--label", nargs="+", metavar="TABLE", help=f"tables of classes (default, where there: {', '.join(LABELS)})")
    add("--out", type=Path, metavar="DIR", help="where to write; default, for a single DATA: DATA/audit")
    add("--limit", type=float, default=0.35, metavar="EER", help="a cue below it, or as good in F1, is telling (0.35)")
    add(
        "--strict", nargs="?", const="any", choices=("any", "pooled"),
        help="exit with status 1 if a single cue is telling; pooled: over all attacks together only",
    )  # fmt: skip
    add("--on-bad-audio", choices=("fail", "skip"), default="fail", help="fail (default), or leave such files out")
    add("--job", type=int, metavar="J", help="only measure: number of this job, from 1; then run without --job")
    add("--num-jobs", type=int, default=1, metavar="N", help="jobs that share the measuring")


def run(args: argparse.Namespace) -> int:
    """``spooftrace audit``."""
    if not 0 < args.limit < 0.5:
        raise InputError(f"--limit {args.limit}: an EER between 0 and 0.5, without both")
    if args.out is None and len(args.data) > 1:
        raise InputError("several data directories: give --out for the folder of the audit")
    out = args.out or args.data[0] / "audit"
    folders = [DataDir.read(folder) for folder in args.data]
    _refuse_shared(folders)
    tables = _tables(folders, args.label)
    skip = args.on_bad_audio == "skip"
    bad = measure_part(folders, out, args.job or 1, args.num_jobs if args.job else 1, skip)
    for line in list(bad.values())[:SHOWN]:
        print(line, file=sys.stderr)
    if bad and not skip:
        raise InputError(f"{len(bad):,} audio files cannot be used; get them again or give --on-bad-audio skip")
    if args.job:
        print(f"{out}: part {args.job} of {args.num_jobs} measured")
        return 0
    measured = collect(folders, out)
    audits = _audits(folders, tables, measured, args.limit)
    if measured.constant:
        print(f"the same for every utterance: {', '.join(measured.constant)}")
    about = {
        "data": [str(data.path) for data in folders],
        "utterances": len(measured.utts),
        "bad_audio": len(bad),
        "incomplete": as_json(gap for data in folders for gap in read_gaps(data.path)),
        "limit": args.limit,
        "constant": measured.constant,
    }
    _write(audits, about, out)
    telling = [one for audit in audits for one in audit.telling if args.strict == "any" or one.part == POOLED]
    return 1 if args.strict and telling else 0


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
            print(f"{name}: no two classes of at least {FEW} utterances\n")
            continue
        twin = next((one.label for one in audits if one.partition == audit.partition), None)
        print(f"{f'{name}: divides the utterances as {twin} does' if twin else as_text(audit)}\n")
        audits.append(audit)
    if not audits:
        raise InputError(
            f"{folders[0].path}: no label has two classes of {FEW} utterances, so there is nothing to tell"
        )
    return audits


def _write(audits: Sequence[Audit], about: Mapping[str, Any], out: Path) -> None:
    from spooftrace.audit.figure import draw_audit
    from spooftrace.audit.page import write_findings, write_tsv

    write_findings(out / "audit.json", audits, about)
    write_tsv(out / "audit.tsv", audits)
    lacking = " (incomplete data)" if about["incomplete"] or about["bad_audio"] else ""
    draw_audit(audits, " + ".join(about["data"]) + lacking, out / "audit.png")
    for gap in gaps_of(about["incomplete"]):
        print(f"INCOMPLETE: {gap}")
    skipped = f"; {about['bad_audio']:,} with unusable audio left out" if about["bad_audio"] else ""
    print(f"{about['utterances']:,} utterances{skipped}; wrote {out}/audit.json, audit.tsv, audit.png and cues.tsv")


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
