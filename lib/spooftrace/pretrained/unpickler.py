"""Unpickle files of others: only listed globals are resolved, and pickles that exhaust memory or stack are refused.

A pickle of a few bytes can refer to a memo entry that allocates gigabytes, nest containers until the interpreter's
stack overflows, or refer to an object by number instead of by name. The opcodes show this before anything is read.
"""

from __future__ import annotations

import pickle
import pickletools
from typing import IO, Any

MAX_DEPTH = 200  # levels of nested containers; checkpoints have fewer than 60
# Objects by number in copyreg's registry, and out-of-band buffers: no checkpoint has them.
REFUSED = {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
MEMOIZED = {"PUT", "BINPUT", "LONG_BINPUT"}
RECALLED = {"GET", "BINGET", "LONG_BINGET"}
# Opcodes that add to the container below on the stack instead of creating one.
ADDING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
MARK = -1


class Refused(pickle.UnpicklingError):
    """The file contains something that no checkpoint needs."""


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickler that resolves globals by ``resolve`` alone, and scans a pickle by ``check_pickle`` beforehand."""

    scan = True

    def __init__(self, file: IO[bytes], **options: Any) -> None:
        if self.scan:
            check_pickle(file)
        super().__init__(file, **options)

    def resolve(self, path: str) -> Any:
        """Return the object for the global ``module.name``; None refuses it."""
        return None

    def find_class(self, module: str, name: str) -> Any:
        resolved = self.resolve(f"{module}.{name}")
        if resolved is None:
            raise Refused(f"refused: it uses {module}.{name}, which is not plain data")
        return resolved


def check_pickle(file: IO[bytes]) -> None:
    """Scan the pickle that starts at the position of ``file``, and restore the position.

    Raises:
        Refused: The pickle is nested too deeply, its memo has gaps, or it refers to objects by number.
        ValueError: The file is not a pickle.
    """
    start = file.tell()
    stack: list[int] = []  # depth of each object, or MARK
    memo: dict[int, int] = {}
    for count, (opcode, argument, _position) in enumerate(pickletools.genops(file)):
        name = opcode.name
        if name in REFUSED:
            raise Refused(f"refused: it refers to an object by number ({name}), which no checkpoint does")
        if name == "MEMOIZE":
            memo[len(memo)] = stack[-1] if stack else 0
        elif name in MEMOIZED:
            index = int(str(argument))
            if index > count:  # the unpickler allocates all entries below it
                raise Refused(f"refused: entry {index:,} of a memo of at most {count:,} entries, to exhaust memory")
            memo[index] = stack[-1] if stack else 0
        elif name in RECALLED:
            stack.append(memo.get(int(str(argument)), 0))
        elif name == "DUP":
            stack.append(stack[-1] if stack else 0)
        else:
            _step(opcode, stack)
            if stack and stack[-1] > MAX_DEPTH:
                raise Refused(f"refused: more than {MAX_DEPTH} nested containers")
    file.seek(start)


def _step(opcode: pickletools.OpcodeInfo, stack: list[int]) -> None:
    """Apply an opcode to the depths on the stack."""
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
        *items, container = taken  # the container was below its items
        stack.append(max(container, 1 + max(items, default=0)))
    elif after:
        depth = MARK if after[0] is pickletools.markobject else 1 + max(taken, default=0)
        stack.extend([depth] * len(after))
