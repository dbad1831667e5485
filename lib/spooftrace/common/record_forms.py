"""The form of JSON records, written as a ``TypedDict``: what each field must be, by name.

Records are copied between machines, downloaded and edited, so a field may have any type. A field that is not there is
allowed where the form has ``total=False``; fields that the form does not know are ignored.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from spooftrace.common.errors import shorten

PHRASES = {
    int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "a mapping", list: "a list",
    type(None): "null",
}  # fmt: skip


@dataclass(frozen=True)
class Between:
    """The bounds of a number, for ``Annotated``; NaN is outside."""

    low: float
    high: float


Count = Annotated[int, Between(0, 2**63 - 1)]
Seconds = Annotated[float, Between(0, 1e12)]


def misfit(value: Any, form: Any, name: str = "") -> str | None:
    """The first field that does not have its form, in words; None if all have it.

    Args:
        value: What a JSON file holds.
        form: A ``TypedDict``, a type such as ``dict[str, int]`` or ``int | None``, or ``Any``.
        name: Of the field that holds the value.

    >>> misfit({"utt1": 3, "utt2": "x"}, dict[str, int], "lengths")
    "lengths.utt2 must be a whole number, not 'x'"
    """
    if is_typeddict(form):
        return _misfit_of_fields(value, form, name)
    origin, arguments = get_origin(form), get_args(form)
    if origin in (Union, types.UnionType):
        problems = [misfit(value, member, name) for member in arguments]
        nested = [problem for problem, member in zip(problems, arguments, strict=True) if _is_kind(value, member)]
        return None if None in problems else (nested[0] if nested else _refusal(value, form, name))
    if not _is_kind(value, form):
        return _refusal(value, form, name)
    if origin is Annotated:
        bounds = arguments[1]
        inside = bounds.low <= value <= bounds.high
        return None if inside else f"{name} must be between {bounds.low:,} and {bounds.high:,}, not {_shown(value)}"
    if origin is list:
        parts = ((f"{name}[{index}]", member, arguments[0]) for index, member in enumerate(value))
    elif origin is dict:
        parts = ((f"{name}.{shorten(key, 80)}", member, arguments[1]) for key, member in value.items())
    else:
        return None
    return next((problem for key, member, inner in parts if (problem := misfit(member, inner, key))), None)


def _misfit_of_fields(value: Any, form: Any, name: str) -> str | None:
    if not isinstance(value, Mapping):
        return _refusal(value, dict, name)
    for key, inner in get_type_hints(form, include_extras=True).items():
        field = f"{name}.{key}" if name else key
        if key in value:
            if problem := misfit(value[key], inner, field):
                return problem
        elif key in form.__required_keys__:
            return f"{field} is missing"
    return None


def _is_kind(value: Any, form: Any) -> bool:
    """Whether a value is of the outermost kind of a form: a list, whatever is in it."""
    kind = _kind(form)
    if kind is Any:
        return True
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _kind(form: Any) -> Any:
    if is_typeddict(form):
        return dict
    if get_origin(form) is Annotated:
        return _kind(get_args(form)[0])
    return get_origin(form) or form


def _refusal(value: Any, form: Any, name: str) -> str:
    members = get_args(form) if get_origin(form) in (Union, types.UnionType) else (form,)
    expected = " or ".join(PHRASES[_kind(member)] for member in members)
    return f"{name or 'the content'} must be {expected}, not {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list, bool, type(None))):
        return str(value).lower() if isinstance(value, bool) else PHRASES[type(value)]
    return shorten(repr(value), 80)
