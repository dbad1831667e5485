"""Recognition of files that have the name of an audio file but hold something else."""

from __future__ import annotations

from spooftrace.common.file_kinds import AUDIO, DOWNLOAD, PULL, UNPACK, not_text

HEAD_BYTES = 512


def describe_non_audio(head: bytes) -> str:
    """Describe a file that is not audio and say what to do; returns "" if its beginning does not show the format.

    Args:
        head: The first ``HEAD_BYTES`` bytes of the file.

    >>> describe_non_audio(b"BZh91AY")
    'a compressed file (bzip2), not audio; unpack it first'
    """
    known = not_text(head)
    if known is not None:
        kind, advice = known
        if advice == AUDIO:
            return ""
        # Other advice is for a file given where a text file is expected.
        return f"{kind}, not audio; {advice if advice in (UNPACK, DOWNLOAD, PULL) else 'give an audio file instead'}"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in head) or not text or not _is_text(head):
        return ""
    kind = "JSON" if text.startswith((b"{", b"[")) else "text"
    return f"{kind}, not audio ({text.splitlines()[0][:60].decode(errors='replace')!r}); download it again"


def _is_text(head: bytes) -> bool:
    for dropped in range(4):  # the last character may be cut
        try:
            head[: len(head) - dropped].decode()
            return True
        except UnicodeDecodeError:
            continue
    return False
