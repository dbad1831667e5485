"""Kinds of files by their first bytes, for messages about files given where text or audio is expected."""

from __future__ import annotations

import re

UNPACK = "unpack it first"
SAVE = "save the table as CSV or text first"
EXPORT = "write its ids and values to a text file first, one pair a line"
RIGHT = "give the text file instead"
AUDIO = "give the list of files instead"
DOWNLOAD = "the download failed, or needs a login or another address; get the file again"
PULL = "fetch the file with 'git lfs pull'"

# Beginning (regular expression) -> what the file is and what to do; the first that fits counts.
KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x1f\x8b", "a compressed file (gzip)", UNPACK),
    (rb"BZh", "a compressed file (bzip2)", UNPACK),
    (rb"\xfd7zXZ", "a compressed file (xz)", UNPACK),
    (rb"\x28\xb5\x2f\xfd", "a compressed file (zstd)", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c|Rar!", "an archive (7z or rar)", UNPACK),
    (rb".{257}ustar", "an archive (tar)", UNPACK),
    # The parts of these archives name the program that wrote them.
    (rb"PK\x03\x04.*?(xl/|opendocument\.spreadsheet)", "a spreadsheet (xlsx or ods)", SAVE),
    (rb"PK\x03\x04.*?(word/|opendocument\.text)", "a document of a word processor", SAVE),
    (rb"PK\x03\x04.{26}[^\n]{0,200}?\.npy", "NumPy arrays (npz)", EXPORT),
    (rb"PK\x03\x04.{26}[^\n]{0,200}?data\.pkl", "a PyTorch file", EXPORT),
    (rb"PK\x03\x04.{26}\[Content_Types\]\.xml", "a file of an office program", SAVE),
    (rb"PK[\x03\x05]", "an archive (zip)", UNPACK),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old spreadsheet or document (xls, doc)", SAVE),
    (rb"\x93NUMPY", "a NumPy array (npy)", EXPORT),
    (rb"\x89HDF\r\n", "an HDF5 file", EXPORT),
    (rb"MATLAB 5\.0 MAT-file", "a MATLAB file", EXPORT),
    (rb"PAR1", "a Parquet table", SAVE),
    (rb"ARROW1|FEA1", "an Arrow table", SAVE),
    (rb"SQLite format 3\0", "an SQLite database", SAVE),
    (rb"\x80[\x02-\x05]", "a Python pickle, which is not read because it could run commands", EXPORT),
    (
        rb"\([dl]p?\d*\n|c[\w.]+\n\w+\n(p\d+\n)?\(",
        "a Python pickle, which is not read because it could run commands",
        EXPORT,
    ),
    (rb".{6}\0\0\{\"", "a safetensors file", EXPORT),
    (
        rb"[^\s\0]{1,255} \0B",
        "a binary Kaldi archive (ark)",
        "turn it into text with 'copy-vector' or 'copy-feats' (ark,t:)",
    ),
    (rb"%PDF-", "a PDF document", RIGHT),
    (rb"\{\\rtf", "a document (RTF)", RIGHT),
    (rb"\x89PNG|\xff\xd8\xff|GIF8", "a picture", RIGHT),
    (rb"fLaC|RIFF|RF64|OggS|ID3|FORM.{4}AIF|.{4}ftyp", "an audio or video file", AUDIO),
    (rb"\x7fELF|MZ\x90", "a program", RIGHT),
    (
        rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|body)\b",
        "a web page",
        DOWNLOAD,
    ),
    (rb"(\xef\xbb\xbf)?\s*<\?xml\b", "an XML file", RIGHT),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself", PULL),
)
LOOKED_AT = 1 << 16  # bytes
# Control characters that no text has, but for NUL, which UTF-16 has as well.
CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x7f]")


def not_text(start: bytes) -> tuple[str, str] | None:
    """What a file is that begins with these bytes, and what to do; None where it may be text.

    >>> not_text(b"%PDF-1.7")
    ('a PDF document', 'give the text file instead')
    >>> not_text(b"utt1 0.5") is None
    True
    """
    start = start[:LOOKED_AT]
    for pattern, kind, advice in KINDS:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE if b"<" in pattern else re.DOTALL):
            return kind, advice
    return None


def seems_binary(data: bytes) -> bool:
    """Whether bytes that are not UTF-8 are no text in another encoding either."""
    start = data[:LOOKED_AT]
    return b"\0" in start or len(CONTROLS.findall(start)) * 50 > len(start)
