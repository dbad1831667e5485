#!/usr/bin/env python3
"""Draw the packages of ``lib/spooftrace`` in the order of their imports.

    python3 tools/draw_rooms.py docs/images/rooms.svg

The order is the ``layers`` contract of pyproject.toml, which ``lint-imports`` enforces. A test fails when the picture
is older than the contract.
"""

from __future__ import annotations

import ast
import re
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CAPTIONS = {
    "archive": "ark/scp store",
    "audio": "read, write, augment",
    "audit": "shortcut audit",
    "backends": "features → outputs",
    "batching": "data + streams → batches",
    "cli": "command line",
    "codecs": "codec models and table",
    "common": "errors, atomic writes, locks",
    "config": "YAML → checked configuration",
    "corpora": "official files → data dirs",
    "datadir": "Kaldi data directories",
    "derive": "data dirs → data dirs",
    "evaluation": "scores + key → metrics",
    "extraction": "stage 3: cached streams",
    "frontends": "waveform → features",
    "inference": "recordings → results",
    "jobs": "run.py, slurm.py, sge.py",
    "metrics": "arrays → numbers",
    "official": "official checkpoints",
    "pretrained": "weights of front-ends",
    "report": "tables and figures",
    "scoring": "stage 5: scores",
    "system": "streams + back-end + task",
    "tasks": "targets, loss, scores",
    "training": "stage 4: training",
}
WIDTH, ROW, BOX, GAP, MARGIN = 920, 62, 46, 10, 20
STYLE = (
    "rect { fill: #eef3f8; stroke: #4a6a8a; } text { font-family: sans-serif; text-anchor: middle; fill: #1b2733; } "
    ".name { font-size: 15px; font-weight: bold; } .caption { font-size: 11px; } .order { font-size: 12px; }"
)


def read_layers(pyproject: Path) -> list[list[str]]:
    """Packages by layer, the highest first, as the import-linter contract in ``pyproject`` lists them."""
    match = re.search(r"^layers = (\[.*?^\])", pyproject.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"{pyproject}: no import-linter contract with layers")
    return [[name.strip() for name in layer.split("|")] for layer in ast.literal_eval(match[1])]


def draw(layers: list[list[str]]) -> str:
    """The picture as SVG: one row for each layer, one box for each package."""
    height = 2 * MARGIN + ROW * len(layers) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The packages of spooftrace in the order of their imports</title>",
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{height}" style="fill: #fff; stroke: none"/>',
    ]
    for row, names in enumerate(layers):
        width = (WIDTH - 2 * MARGIN - GAP * (len(names) - 1)) / len(names)
        top = MARGIN + row * ROW
        for column, name in enumerate(names):
            left = MARGIN + column * (width + GAP)
            center = left + width / 2
            caption = escape(CAPTIONS[name])
            lines += [
                f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{BOX}" rx="5"/>',
                f'<text class="name" x="{center:.0f}" y="{top + 20}">{name}</text>',
                f'<text class="caption" x="{center:.0f}" y="{top + 37}">{caption}</text>',
            ]
    note = "A package imports only packages in lower rows."
    lines.append(f'<text class="order" x="{WIDTH / 2:.0f}" y="{height - MARGIN + 4}">{note}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: draw_rooms.py FILE.svg")
    Path(sys.argv[1]).write_text(draw(read_layers(ROOT / "pyproject.toml")), encoding="utf-8")
