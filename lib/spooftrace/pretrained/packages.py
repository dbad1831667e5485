"""Import optional packages, which only some front-ends need."""

from __future__ import annotations

import importlib
from contextlib import redirect_stdout
from types import ModuleType

from spooftrace.common.errors import InputError

# Top-level modules, each with a tools/install_*.sh. No other module imports them.
PACKAGES = ("encodec", "fairseq", "s3prl", "speechbrain", "torchaudio")
LAZY = ("DeprecatedModuleRedirect", "LazyModule")  # classes in speechbrain.utils.importutils


def import_package(module: str) -> ModuleType:
    """Import a module of one of ``PACKAGES``; what the import prints goes to standard error.

    Raises:
        InputError: The import fails; names the command that installs the package.
    """
    import sys

    package = module.partition(".")[0]
    try:
        with redirect_stdout(sys.stderr):
            imported = importlib.import_module(module)
        # speechbrain adds lazy modules to sys.modules that raise ImportError when their attributes are read, which
        # hypothesis does for all of sys.modules. They remain attributes of their packages.
        for name in [name for name, entry in sys.modules.items() if type(entry).__name__ in LAZY]:
            del sys.modules[name]
        return imported
    except (ImportError, OSError) as error:  # OSError: a compiled extension for another version of torch
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{package} is needed and cannot be imported ({reason}): run tools/install_{package}.sh"
        ) from error
