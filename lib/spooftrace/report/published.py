"""Published results: ``conf/published.tsv`` of a recipe -> tables of quoted figures, never mixed with ours.

A line of the file is one value, in columns separated by tabs and named in the first line:

- ``system``: its name in ``conf/systems``, or another one where the recipe has no such system;
- ``setting``: what sets the result apart from others of the system; ``-``: nothing;
- ``set``, ``metric``: the data directory and the name in ``metrics.json``; ``eer_without_a14`` is no metric of ours.
  Attribution: with the label table, ``utt2vq.macro_f1``, and ``utt2vq.f1`` where the source does not say which F1.
  Parsing: ``rmse_khz``, ``mae_kbps``, ``rmse_quantizers`` and so on, of one set of codecs ``closed_set.rmse_khz``;
- ``value``: as printed in the source, so EERs and F1 in per cent;
- ``runs``: ``single``, ``best`` or ``mean`` of several runs, ``best of 3`` where their number is known;
- ``by``: ``authors`` of the system or ``others``, whose value the authors have not confirmed;
- ``source``: where it is printed.

Lines that are empty or begin with ``#`` are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from spooftrace.common.cells import markdown
from spooftrace.common.errors import InputError
from spooftrace.common.text import read_lines
from spooftrace.common.text_table import markdown_table
from spooftrace.report.names import ATTRIBUTION, DETECTION_QUOTED, PARSING

QUOTED = DETECTION_QUOTED | ATTRIBUTION | PARSING
RUNS = re.compile(r"(single|(best|mean)( of [1-9][0-9]*)?)")
BY = ("authors", "others")
CLAIM = (
    "**Published, not ours.** Nothing here was measured by this recipe. Runs: a single training, or the best or the "
    "mean of several. By others: by people who are not the system's authors."
)
IMPOSSIBLE = " (!)"
IMPOSSIBLE_NOTE = "(!) Cannot be: no RMSE is below the MAE of the same errors, so one of the two is misprinted."


@dataclass(frozen=True)
class Result:
    """A published value; the columns are explained above."""

    system: str
    setting: str
    set: str
    metric: str
    value: str
    runs: str
    by: str
    source: str


COLUMNS = tuple(field.name for field in fields(Result))


def read_published(path: Path) -> list[Result]:
    """The values of a file, in its order; raises InputError that names the first line which cannot be read."""
    lines = read_lines(path)
    results: list[Result] = []
    header_seen = False
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = tuple(cell.strip() for cell in line.split("\t"))
        if not header_seen:
            header_seen = True
            if cells != COLUMNS:
                raise InputError(
                    f"{path}:{number}: the first line must name the columns {' '.join(COLUMNS)}, with tabs"
                )
            continue
        problem = _problem(cells)
        if problem:
            raise InputError(f"{path}:{number}: {problem}")
        result = Result(*cells)
        if any(replace(result, value=other.value) == other for other in results):
            raise InputError(f"{path}:{number}: this value is listed already; remove one of the two")
        results.append(result)
    return results


def published_table(results: Sequence[Result]) -> str:
    """The values as a Markdown table with numbered sources below it; "" where there are none.

    Each metric is a column, which also names its set if there are several. An RMSE below its MAE is marked.
    """
    if not results:
        return ""
    columns = list(dict.fromkeys((result.set, result.metric) for result in results))
    one_set = len({test_set for test_set, _ in columns}) == 1
    header = [QUOTED[metric] if one_set else f"{test_set}: {QUOTED[metric]}" for test_set, metric in columns]
    sources = list(dict.fromkeys(result.source for result in results))
    rows: dict[tuple[str, ...], dict[tuple[str, str], str]] = {}
    for result in results:
        key = (result.system, result.setting, result.runs, result.by, f"[{sources.index(result.source) + 1}]")
        rows.setdefault(key, {})[result.set, result.metric] = result.value
    marked = sum(_mark_impossible(cells) for cells in rows.values())
    body = [[*key, *(cells.get(column, "") for column in columns)] for key, cells in rows.items()]
    text = markdown_table(["System", "Setting", "Runs", "By", "Source", *header], body, left=5)
    notes = [f"[{number}] {markdown(source)}" for number, source in enumerate(sources, 1)]
    notes += [IMPOSSIBLE_NOTE] if marked else []
    return text + "\n\n" + "\\\n".join(notes)


def quoted(results: Sequence[Result], systems: Collection[str], sets: Collection[str], metrics: Collection[str]) -> str:
    """The values of these systems, test sets and metrics, below a line that names their origin; "" without any."""
    wanted = [
        result for result in results if result.system in systems and result.set in sets and result.metric in metrics
    ]
    return f"{CLAIM}\n\n{published_table(wanted)}" if wanted else ""


def _mark_impossible(cells: dict[tuple[str, str], str]) -> int:
    """Mark each RMSE below the MAE in the cells of one row, by (set, metric), and that MAE; returns how many."""
    pairs = [
        ((test_set, metric), (test_set, metric.replace("rmse_", "mae_")))
        for test_set, metric in cells
        if "rmse_" in metric
    ]
    found = [pair for pair in pairs if pair[1] in cells and float(cells[pair[0]]) < float(cells[pair[1]])]
    for cell in (cell for pair in found for cell in pair):
        cells[cell] += IMPOSSIBLE
    return len(found)


def _problem(cells: tuple[str, ...]) -> str:
    """What is wrong with a line, or ""."""
    if len(cells) != len(COLUMNS):
        return f"{len(cells)} columns instead of the {len(COLUMNS)} {' '.join(COLUMNS)}; separate them by tabs"
    if "" in cells:
        return f"column {COLUMNS[cells.index('')]} is empty; write - for a setting that is nothing special"
    _, _, _, metric, value, runs, by, _ = cells
    if metric not in QUOTED:
        return f"unknown metric '{metric}'; known are {', '.join(QUOTED)}"
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return f"value '{value}' is no number; EERs and F1 are in per cent, without the sign"
    if not RUNS.fullmatch(runs):
        return f"runs '{runs}' must be single, best or mean, the latter two perhaps 'of N'"
    if by not in BY:
        return f"by '{by}' must be {' or '.join(BY)}"
    return ""
