"""What every back-end has to say of itself, checked before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from spooftrace.common.errors import InputError

LAYOUTS = ("frames", "layers", "vector", "codes", "wave")
SEE = 'README, "Adding a system", has an example'


def check_backend(backend: nn.Module) -> None:
    """Refuse a back-end that lacks ``num_outputs`` or ``layouts``, or has them in another form.

    Raises:
        InputError: Names what is missing or wrong.
    """
    name = type(backend).__name__
    wanted = {
        "num_outputs": "the number of its outputs",
        "layouts": 'for each of its streams the layouts that it takes, such as (("frames",),)',
    }
    missing = [f"{attribute} ({what})" for attribute, what in wanted.items() if not hasattr(backend, attribute)]
    if missing:
        raise InputError(f"backend {name}: has no attribute {' and no '.join(missing)}; {SEE}")
    count, layouts = backend.num_outputs, backend.layouts
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InputError(f"backend {name}: num_outputs is {count!r}; it must be a whole number above 0; {SEE}")
    if not _is_list(layouts) or not all(_is_list(kinds) and set(kinds) <= set(LAYOUTS) for kinds in layouts):
        raise InputError(
            f"backend {name}: layouts is {layouts!r}; for each stream it must list some of {', '.join(LAYOUTS)}, such "
            f'as (("frames",),); {SEE}'
        )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
