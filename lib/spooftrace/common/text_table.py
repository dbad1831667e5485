"""Tables as padded text: for a terminal and in Markdown.

``tabulate`` is not used: it reformats cells that look like numbers, counts the width of escapes, and has no rule before
the rows of totals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spooftrace.common.cells import markdown


def text_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int | None = 1, rule: bool = True, totals: int = 0
) -> str:
    """Lines of padded columns, without a line end after the last.

    Args:
        header: The names of the columns.
        rows: The cells, as many as there are columns in each row.
        left: Number of columns, from the first, that are aligned to the left; None for all. The others go to the right.
        rule: Whether a rule follows the header.
        totals: Number of last rows with a rule before them.

    Returns:
        The table.

    >>> print(text_table(["attack", "EER (%)"], [["A07", "1.25"], ["pooled", "10.00"]], totals=1))
    attack  EER (%)
    ---------------
    A07        1.25
    ---------------
    pooled    10.00
    """
    cells = [list(header), *map(list, rows)]
    widths = _widths(cells)
    lines = ["  ".join(_padded(row, widths, left)).rstrip() for row in cells]
    line = "-" * (sum(widths) + 2 * (len(widths) - 1))
    if totals:
        lines.insert(len(lines) - totals, line)
    if rule:
        lines.insert(1, line)
    return "\n".join(lines)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table, padded to be readable as plain text; HTML, links and ``|`` in the cells are escaped.

    Args:
        header: The names of the columns.
        rows: The cells, as many as there are columns in each row.
        left: Number of columns, from the first, that are aligned to the left. The others go to the right.

    Returns:
        The table, without a line end after the last line.

    >>> print(markdown_table(["attack", "EER"], [["A07", "1.25"]]))
    | attack |  EER |
    | :----- | ---: |
    | A07    | 1.25 |
    """
    cells = [[markdown(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = _widths(cells, least=3)
    rule = [":" + "-" * (w - 1) if column < left else "-" * (w - 1) + ":" for column, w in enumerate(widths)]
    lines = [_padded(row, widths, left) for row in cells]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _widths(cells: Sequence[Sequence[str]], least: int = 0) -> list[int]:
    return [max(least, *map(len, column)) for column in zip(*cells, strict=True)]


def _padded(row: Sequence[str], widths: Sequence[int], left: int | None) -> list[str]:
    return [
        cell.ljust(width) if left is None or column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
