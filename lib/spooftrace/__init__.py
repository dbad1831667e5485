"""spooftrace: speech deepfake detection and neural-codec source tracing.

``load_experiment`` loads a trained system; see :func:`spooftrace.system.experiment.load_experiment`.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_experiment"]


def __getattr__(name: str) -> Any:
    # Imported when it is first used: it needs torch, and most commands do not.
    if name == "load_experiment":
        return import_module("spooftrace.system.experiment").load_experiment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
