"""MkDocs hooks: pages of the site that lie outside of ``docs/``, and links between them.

The README, the READMEs of the recipes, CONTRIBUTING.md and CHANGELOG.md are pages of the site. Links in all pages are
written for a reader of the repository, relative to the file; here they become links between pages. A link to a file
that is no page, such as a script, becomes its plain text.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
log = logging.getLogger("mkdocs.plugins.docs_hooks")


def pages_outside_docs() -> dict[str, str]:
    """Pages of the site that do not lie in ``docs/``: file of the repository -> page."""
    pages = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    for path in sorted(ROOT.glob("egs/*/README.md")):
        pages[path.relative_to(ROOT).as_posix()] = f"recipes/{path.parent.name}.md"
    return pages


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages that lie outside of ``docs/`` and the style sheet of the code blocks."""
    for source, page in pages_outside_docs().items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    style = HtmlFormatter(style="default").get_style_defs(".codehilite")
    files.append(File.generated(config, "css/code.css", content=style))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    outside = pages_outside_docs()
    source_of = {target: source for source, target in outside.items()}
    source = source_of.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def replace(match: re.Match[str]) -> str:
        image, text, link = match.groups()
        target, mark, anchor = link.partition("#")
        if not target or "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / path).exists():
            log.warning("%s: link to '%s': no such file", source, link)
        inside = outside.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if inside is None:
            return text
        relative = posixpath.relpath(inside, posixpath.dirname(page.file.src_uri) or ".")
        return f"{image}[{text}]({relative}{mark}{anchor})"

    parts, end = [], 0
    for code in CODE.finditer(markdown):  # what looks like a link in code is none
        parts += [LINK.sub(replace, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(replace, markdown[end:])])
