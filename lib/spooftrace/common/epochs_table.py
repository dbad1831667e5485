"""``epochs.tsv`` of an experiment: a line of figures for each epoch so far."""

from __future__ import annotations

from pathlib import Path

from spooftrace.common.errors import InputError, display, shorten

REMEDY = "restore or remove it"


def read_epochs(path: Path) -> list[dict[str, float]]:
    """The figures of every epoch, by the name of their column; nothing where there is no file.

    Raises:
        InputError: It is not UTF-8 text, names a column twice, or has a line of something else than numbers.
    """
    if not path.is_file():
        return []
    try:
        header, *lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] or [[]]
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a table of epochs, it is no UTF-8 text; {REMEDY}") from None
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(f"{path}:1: there are two columns '{display(shorten(twice[0], 80))}'; {REMEDY}")
    epochs = []
    for number, line in enumerate(lines, start=2):
        try:
            epochs.append(dict(zip(header, map(float, line), strict=True)))
        except ValueError:
            raise InputError(f"{path}:{number}: not {len(header)} numbers; {REMEDY}") from None
    return epochs
