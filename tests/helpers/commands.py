"""Run subcommands of ``spooftrace`` in this process, and raise their errors."""

from __future__ import annotations

import inspect
from typing import Any

from spooftrace.cli.main import command_module
from spooftrace.cli.options import CommandParser


def run_command(command: str, *words: Any) -> Any:
    """Parse ``words`` as the options of a subcommand, run it, and return its result."""
    module = command_module(command)
    parser = CommandParser(prog=f"spooftrace {command}")
    module.add_arguments(parser)
    takes_overrides = "overrides" in inspect.signature(module.run).parameters
    args, overrides = parser.parse_known_args([str(word) for word in words])
    if overrides and not takes_overrides:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    return module.run(args, *([overrides] if takes_overrides else []))
