"""Recognition of files that have the name of an audio file but hold something else."""

from __future__ import annotations

HEAD_BYTES = 512
ARCHIVES = (
    (b"PK\3\4", "a zip"), (b"PK\5\6", "a zip"), (b"\x1f\x8b", "a gzip"), (b"BZh", "a bzip2"), (b"\xfd7zXZ\0", "an xz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z"), (b"\x28\xb5\x2f\xfd", "a zstd"), (b"Rar!\x1a\x07", "a RAR"),
)  # fmt: skip
PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")


def describe_non_audio(head: bytes) -> str:
    """Describe a file that is not audio and say what to do; returns "" if its beginning does not show the format.

    Args:
        head: The first ``HEAD_BYTES`` bytes of the file.

    >>> describe_non_audio(b"BZh91AY")
    'a bzip2 archive, not audio; unpack it'
    """
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a Git LFS pointer, not the audio it stands for; run 'git lfs pull' in its repository"
    for magic, name in ARCHIVES:
        if head.startswith(magic):
            return f"{name} archive, not audio; unpack it"
    if head[257:262] == b"ustar":
        return "a tar archive, not audio; unpack it"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(PAGES):
        return "an HTML page, such as a server sends instead of a file, not audio; download it again"
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in head) or not text or not _is_text(head):
        return ""
    kind = "XML" if text.startswith(b"<?xml") else "JSON" if text.startswith((b"{", b"[")) else "text"
    return f"{kind}, not audio ({text.splitlines()[0][:60].decode(errors='replace')!r}); download it again"


def _is_text(head: bytes) -> bool:
    for dropped in range(4):  # the last character may be cut
        try:
            head[: len(head) - dropped].decode()
            return True
        except UnicodeDecodeError:
            continue
    return False
