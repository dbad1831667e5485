"""This process among those that train one model together, as torchrun describes it in the environment."""

from __future__ import annotations

import os


def started() -> bool:
    """Whether this process is one of several that a launcher has started."""
    return all(name in os.environ for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))


def rank() -> int:
    """The number of this process; 0 if it is alone."""
    return int(os.environ["RANK"]) if started() else 0


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if started() else 1


def processes_per_node() -> int:
    """How many of them are on this node."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"])) if started() else 1
