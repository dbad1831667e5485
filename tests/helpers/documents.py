"""The documents of the repository, the code blocks in them, and the small edits that the tutorials describe.

A comment above a code block states how a reader, and therefore a test, uses the block:

    <!-- test -->                          runs it in a shell
    <!-- file: PATH -->                    saves it as PATH
    <!-- append: PATH -->                  adds it to the end of PATH
    <!-- insert: PATH after: LINE -->      adds it to PATH below the line LINE
    <!-- replace: PATH text: TEXT -->      puts it into PATH in place of TEXT
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("egs/*/README.md"),
    ]
)
FENCE = re.compile(
    r"(?:^<!-- (?P<action>.*?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A code block of a document."""

    line: int
    language: str
    code: str
    action: str


def read_blocks(document: Path) -> list[Block]:
    """Return all code blocks of a document, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, match.start()) + 1, match["language"], match["code"], match["action"] or "")
        for match in FENCE.finditer(text)
    ]


def name_of(document: Path) -> str:
    """Return the path of a document relative to the root of the repository."""
    return document.relative_to(ROOT).as_posix()


def apply_edit(block: Block, root: Path) -> None:
    """Make the edit that the comment above the block describes.

    Raises:
        ValueError: The file lacks the line or the text, or has it more than once.
    """
    action, _, rest = block.action.partition(": ")
    if action == "file":
        path = root / rest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.code, encoding="utf-8")
        return
    if action == "append":
        path = root / rest
        path.write_text(path.read_text(encoding="utf-8") + block.code, encoding="utf-8")
        return
    name, _, place = rest.partition({"insert": " after: ", "replace": " text: "}[action])
    path = root / name
    text = path.read_text(encoding="utf-8")
    pattern = rf"^[ ]*{re.escape(place)}.*\n" if action == "insert" else re.escape(place)
    matches = list(re.finditer(pattern, text, re.MULTILINE))
    if len(matches) != 1:
        raise ValueError(f"{name}: '{place}' occurs {len(matches)} times")
    start, end = (matches[0].end(), matches[0].end()) if action == "insert" else matches[0].span()
    code = block.code if action == "insert" else block.code.strip()
    path.write_text(text[:start] + code + text[end:], encoding="utf-8")
