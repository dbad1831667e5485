"""Errors of the operating system in one line: the file, what is wrong, what to do."""

from __future__ import annotations

import errno

from spooftrace.common.errors import shorten

ADVICE = {
    errno.ENAMETOOLONG: "file systems take 255 bytes; shorten the file name, or the ids that become file names",
    errno.ENOSPC: "make room and run it again",
    errno.EDQUOT: "make room and run it again",
    errno.EACCES: "change its owner or mode, or choose another place",
    errno.EPERM: "change its owner or mode, or choose another place",
    errno.EROFS: "choose another place",
    errno.EMFILE: "raise the limit (ulimit -n)",
}


def explain_os_error(error: OSError) -> str:
    """One line about an error.

    >>> explain_os_error(OSError(errno.ENOSPC, "No space left on device", "dump/x.ark"))
    "No space left on device: 'dump/x.ark'; make room and run it again"
    """
    if error.errno is None or error.filename is None:
        return " ".join(str(error).split())
    advice = f"; {ADVICE[error.errno]}" if error.errno in ADVICE else ""
    return f"{error.strerror}: '{shorten(str(error.filename))}'{advice}"
