"""Names from data files in files that other programs interpret: spreadsheets, Markdown."""

from __future__ import annotations

import html
import re

# What a spreadsheet takes for the beginning of a formula; a bare sign is none.
FORMULA = re.compile(r"'*[=+@\t\r-].")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def spreadsheet(cell: str) -> str:
    """A cell with ``'`` in front if a spreadsheet would take it for a formula.

    Numbers stay as they are. :func:`from_spreadsheet` takes the mark off.

    >>> [spreadsheet(text) for text in ("A07", "=cmd|'/C calc'!A0", "-0.5", "-", "'=x")]
    ['A07', "'=cmd|'/C calc'!A0", '-0.5', '-', "''=x"]
    """
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell


def from_spreadsheet(cell: str) -> str:
    """The text for which :func:`spreadsheet` gave this cell."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def markdown(text: str) -> str:
    """Text on one line for a Markdown page, with HTML and links escaped.

    >>> markdown("<img src=x> A07 [a](http://b)")
    '&lt;img src=x&gt; A07 [a]\\\\(http://b)'
    """
    return html.escape(" ".join(text.split("\n")), quote=False).replace("](", "]\\(")
