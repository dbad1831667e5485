"""Packages that only some front-ends need."""

from __future__ import annotations

import importlib
from contextlib import redirect_stdout
from types import ModuleType

from spooftrace.common.errors import InputError

# Top-level module -> its tools/install_*.sh. Other modules do not import these.
PACKAGES = ("encodec", "fairseq", "s3prl", "speechbrain", "torchaudio")
LAZY = ("DeprecatedModuleRedirect", "LazyModule")  # classes in speechbrain.utils.importutils


def import_package(module: str) -> ModuleType:
    """Imports a module of one of ``PACKAGES``, its greetings on standard error.

    Raises:
        InputError: It cannot be imported; names the command that installs the package.
    """
    import sys

    package = module.partition(".")[0]
    try:
        with redirect_stdout(sys.stderr):
            found = importlib.import_module(module)
        # speechbrain leaves modules behind that raise ImportError when anybody who goes through sys.modules looks at
        # them (hypothesis does). As attributes of their packages they stay.
        for name in [name for name, some in sys.modules.items() if type(some).__name__ in LAZY]:
            del sys.modules[name]
        return found
    except (ImportError, OSError) as error:  # OSError: a compiled part that does not fit the installed torch.
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{package} is needed and cannot be imported ({reason}): run tools/install_{package}.sh"
        ) from error
