"""Pickles that would exhaust memory or stack when they are read, recognised from their opcodes beforehand.

A pickle of a few bytes can claim an entry of the memo that takes gigabytes, nest containers until the interpreter's
stack ends, or name an object by a number instead of its class.
"""

from __future__ import annotations

import pickle
import pickletools
from typing import IO

MAX_DEPTH = 200  # containers within containers; checkpoints have fewer than 60
# Objects by number in copyreg's registry, and buffers beside the pickle: no checkpoint has them.
REFUSED = {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
MEMOIZED = {"PUT", "BINPUT", "LONG_BINPUT"}
RECALLED = {"GET", "BINGET", "LONG_BINGET"}
# What adds to the container below it on the stack instead of making a new one.
ADDING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
MARK = -1


class Refused(pickle.UnpicklingError):
    """The file asks for something that no checkpoint needs."""


def check_pickle(file: IO[bytes]) -> None:
    """Walks through the pickle that starts at the position of ``file``, and goes back there.

    Raises:
        Refused: It is nested too deeply, its memo has gaps, or it names objects by number.
        ValueError: It is no pickle.
    """
    start = file.tell()
    stack: list[int] = []  # depth of each object, or MARK
    memo: dict[int, int] = {}
    for count, (opcode, argument, _position) in enumerate(pickletools.genops(file)):
        name = opcode.name
        if name in REFUSED:
            raise Refused(f"refused: it names an object by number ({name}), which no checkpoint does")
        if name == "MEMOIZE":
            memo[len(memo)] = stack[-1] if stack else 0
        elif name in MEMOIZED:
            index = int(str(argument))
            if index > count:  # The unpickler allocates all entries below.
                raise Refused(f"refused: entry {index:,} of a memo of at most {count:,} entries, to exhaust memory")
            memo[index] = stack[-1] if stack else 0
        elif name in RECALLED:
            stack.append(memo.get(int(str(argument)), 0))
        elif name == "DUP":
            stack.append(stack[-1] if stack else 0)
        else:
            _step(opcode, stack)
            if stack and stack[-1] > MAX_DEPTH:
                raise Refused(f"refused: more than {MAX_DEPTH} containers within each other")
    file.seek(start)


def _step(opcode: pickletools.OpcodeInfo, stack: list[int]) -> None:
    """What an opcode does to the depths on the stack."""
    before, after = opcode.stack_before, opcode.stack_after
    if opcode.name in ("POP", "POP_MARK") and stack:
        marked = opcode.name == "POP_MARK"
        while stack and stack.pop() != MARK and marked:
            pass
        return
    taken: list[int] = []
    if pickletools.markobject in before:
        while stack and (depth := stack.pop()) != MARK:
            taken.append(depth)
        before = before[: before.index(pickletools.markobject)]
    for _ in before:
        if stack:
            taken.append(stack.pop())
    if opcode.name in ADDING and taken:
        *items, container = taken  # the container was below, so that it was taken last
        stack.append(max(container, 1 + max(items, default=0)))
    elif after:
        depth = MARK if after[0] is pickletools.markobject else 1 + max(taken, default=0)
        stack.extend([depth] * len(after))
