"""Read the results of the earlier stages from the experiments.

``exp/<system>_<tag>/`` holds ``run.json`` and ``config.yaml`` (training), ``exp/<system>_<tag>/<set>/`` holds
``scores.txt`` (scoring) and ``metrics.json`` (evaluation). A system with several heads has an output file for each,
such as ``scores_vq.txt``, and so has ``metrics_vq.json``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spooftrace.common.errors import InputError
from spooftrace.common.json_files import read_json_object
from spooftrace.common.provenance import file_sha256
from spooftrace.common.records import SCORES_RECORD, read_run, read_scores_record
from spooftrace.datadir.tables import current_name

# Keys and wordings of earlier versions in metrics.json, which called attacks systems and subsets parts.
EARLIER_KEY = re.compile(r"^(by|mean_(?:\w+_)?over)_system(s?)$")
EARLIER_WORDINGS = {
    "'by_system'": "'by_attack'",
    "trials of one system against": "trials of one attack against",
    "those of a system are": "those of an attack are",
}
Kind = tuple[str, str]  # the task, and the label table if it is attribution

METRICS_KEYS = {
    "detection": (
        "bonafide", "by_attack", "data", "eer", "eer_convention", "mean_over_attacks", "primary", "spoof", "trials",
    ),
    "attribution": (
        "accuracy", "by_class", "chance", "confusion", "label_table", "macro_f1", "model_classes", "trials",
        "weighted_f1",
    ),
    "parsing": ("by_codec", "nearest_codec", "nearest_codec_accuracy", "targets", "trials"),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One trained system: its folder, what ``run.json`` says ({} without one), its metrics of one kind by test set."""

    folder: Path
    info: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def system(self) -> str:
        return str(self.info.get("system", self.name))

    @property
    def seed(self) -> int | None:
        return self.info.get("seed")

    def scoring(self, test_set: str) -> str:
        """Which part of each utterance was scored and how exactly, from ``scores.json``; "" where that is not known."""
        content = read_scores_record(self.folder / test_set / SCORES_RECORD)
        options = {**content.get("policy", {}), "precision": content.get("precision")}
        return ", ".join(f"{name} {value}" for name, value in options.items() if value is not None)


@dataclass(frozen=True)
class Group:
    """Runs of one system that differ by nothing but the seed, in order of their seeds; ``name`` is unique."""

    name: str
    runs: Sequence[Run]

    def on(self, test_set: str) -> list[Run]:
        """The runs evaluated on ``test_set``."""
        return [run for run in self.runs if test_set in run.metrics]


def find_runs(exp: Path) -> tuple[dict[Kind, list[Run]], list[Path]]:
    """All runs under ``exp`` with metrics, by the kind of these: detection first, runs sorted by folder name.

    Second come the files ``metrics.json`` of other tasks, which are left out.

    Raises InputError when there are no runs, for an unreadable JSON file or one that lacks figures, when the runs of
    one test set were evaluated on different trials, and for outputs that were evaluated twice.
    """
    found: dict[Kind, dict[Path, dict[str, dict[str, Any]]]] = {}
    others = []
    heads = [path for path in exp.glob("*/*/metrics_*.json") if _read_json(path).get("task") == "attribution"]
    for path in sorted([*exp.glob("*/*/metrics.json"), *heads]):
        if str(_read_json(path).get("task")) not in METRICS_KEYS:
            others.append(path)
            continue
        metrics = read_metrics(path, tuple(METRICS_KEYS))
        if is_stale(metrics, path.parent):
            raise InputError(f"{path}: belongs to other scores than the folder has now; evaluate this set again")
        sets = found.setdefault((metrics["task"], metrics.get("label_table", "")), {}).setdefault(path.parents[1], {})
        if path.parent.name in sets:
            raise InputError(f"{path}: a second evaluation of the same outputs; remove one of the two files")
        sets[path.parent.name] = metrics
    if others and not found:
        read_metrics(others[0], tuple(METRICS_KEYS))  # says that it cannot be reported
    if not found:
        raise InputError(f"{exp}: no <system>_<tag>/<set>/metrics.json there; run the evaluation stage first")
    info = {folder: read_run(folder) for runs in found.values() for folder in runs}
    order = list(METRICS_KEYS)
    kinds = {
        kind: [Run(folder, info[folder], sets) for folder, sets in sorted(found[kind].items())]
        for kind in sorted(found, key=lambda kind: (order.index(kind[0]), kind[1]))
    }
    for (task, _), runs in kinds.items():
        for test_set in test_sets(runs):
            _check_same_trials(task, test_set, [run for run in runs if test_set in run.metrics])
    return kinds, others


def is_stale(metrics: Mapping[str, Any], folder: Path) -> bool:
    """Whether none of the score files of a set is the one that these metrics were computed from.

    Metrics of earlier versions do not say which that was, and a folder without score files proves nothing.
    """
    files = [*folder.glob("scores*.txt")]
    known = metrics.get("scores_sha256")
    return bool(known and files) and all(file_sha256(file) != known for file in files)


def test_sets(runs: Sequence[Run]) -> list[str]:
    """Names of all test sets that at least one run was evaluated on, sorted."""
    return sorted({name for run in runs for name in run.metrics})


def group_by_seed(runs: Sequence[Run]) -> list[Group]:
    """Join the runs of one system whose resolved configurations are equal but for the seed; sorted by name.

    A run without a known seed or configuration stays alone, and so do runs that repeat a seed. A group is called by its
    system's name, or by its first folder's (``sls_s1 and 2 more``) where several groups share the system.
    """
    alike: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        alike.setdefault((run.system, _settings(run)), []).append(run)
    groups: list[list[Run]] = []
    for members in alike.values():
        seeds = {run.seed for run in members}
        if len(seeds) == len(members) and None not in seeds:
            groups.append(sorted(members, key=lambda run: run.seed or 0))
        else:
            groups.extend([run] for run in members)
    systems = [members[0].system for members in groups]
    named = [
        Group(first.system if systems.count(first.system) == 1 else f"{first.name}{_more(members)}", members)
        for members in groups
        for first in members[:1]
    ]
    return sorted(named, key=lambda group: group.name)


def _more(members: Sequence[Run]) -> str:
    return f" and {len(members) - 1} more" if len(members) > 1 else ""


def _settings(run: Run) -> str:
    """The configuration without its seed, or something unique where it is not known."""
    path = run.folder / "config.yaml"
    if not path.is_file():
        return str(run.folder)
    return re.sub(r"^seed_everything:.*\n?", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return _with_current_names(read_json_object(path))
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise InputError(f"{path}: not a readable JSON file ({error}); run the stage that writes it again") from None


def read_metrics(path: Path, tasks: Sequence[str] = ("detection",)) -> dict[str, Any]:
    """One ``metrics.json``; raises InputError where it is of none of these tasks or lacks what a table shows."""
    content = _read_json(path)
    task = content.get("task")
    if not isinstance(task, str) or task not in tasks:
        raise InputError(f"{path}: task {str(task)[:80]!r} cannot be reported; only {', '.join(tasks)} can")
    lacking = [key for key in METRICS_KEYS[task] if key not in content]
    if lacking:
        raise InputError(f"{path}: lacks {', '.join(lacking)}; evaluate this set again")
    table = content.get("label_table", "")  # part of file names of figures
    if not isinstance(table, str) or not re.fullmatch(r"(\w[\w.-]*)?", table):
        raise InputError(f"{path}: label_table {str(table)[:80]!r} is not the name of a table; evaluate this set again")
    return content


def _with_current_names(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics of an earlier version with the keys, the table name and the conventions of this one."""
    renamed = {EARLIER_KEY.sub(r"\1_attack\2", key): value for key, value in metrics.items()}
    if "part_convention" in renamed:
        renamed["subset_convention"] = renamed.pop("part_convention")
    for key, value in renamed.items():
        if key == "label_table" and isinstance(value, str):
            renamed[key] = current_name(value)
        elif key.endswith("_convention") and isinstance(value, str):
            for earlier, current in EARLIER_WORDINGS.items():
                renamed[key] = renamed[key].replace(earlier, current)
    return renamed


def _counts(metrics: Mapping[str, Any]) -> dict[str, int]:
    """Number of evaluated trials by class, attack or codec."""
    if metrics["task"] == "detection":
        cells = {f"attack {name}": cell["spoof"] for name, cell in metrics["by_attack"].items()}
        return {"bona fide": metrics["bonafide"], "spoof": metrics["spoof"], **cells}
    if metrics["task"] == "attribution":
        known = {name: cell["utterances"] for name, cell in metrics["by_class"].items()}
        return known | metrics.get("unknown_classes", {})
    return {name: cell["utterances"] for name, cell in metrics["by_codec"].items()}


CELL_NAMES = {"detection": "attacks", "attribution": "classes", "parsing": "codecs"}


def _check_same_trials(task: str, test_set: str, runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if _counts(run.metrics[test_set]) != _counts(first.metrics[test_set]):
            raise InputError(
                f"{run.folder / test_set / 'metrics.json'}: made on other trials than "
                f"{first.folder / test_set / 'metrics.json'} ({_total(run, test_set)} and {_total(first, test_set)} "
                f"trials, or other {CELL_NAMES[task]}); score and evaluate both again"
            )


def _total(run: Run, test_set: str) -> int:
    return run.metrics[test_set]["trials"]
