"""What ``spooftrace download`` knows about a corpus: files, checksums, licence, expected layout.

The entries are in ``sources_detection`` and ``sources_codec``. They give a checksum or an exact size only where it was
read off a source. Elsewhere it is None, and ``download`` takes it from the Zenodo or Hugging Face record. Gigabytes are
rounded; they are only printed. The comment above each entry gives the source: "official" means pages, papers and
repositories of the authors, "reported" means other public repositories whose owners downloaded the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BY = "any use, with attribution"
BY_NC = "non-commercial use, with attribution"
BY_NC_ND = "non-commercial use, with attribution; altered copies (resampled, recoded) may not be passed on"


@dataclass(frozen=True)
class File:
    """One file to download.

    Attributes:
        name: File name, or a pattern such as ``*.zip`` where the names are not known in advance.
        url: Address of a file that belongs to no record.
        record: ``zenodo:NUMBER`` or ``huggingface:OWNER/DATASET``.
        size: Size in bytes.
        checksum: ``md5:HEX`` or ``sha256:HEX``.
    """

    name: str
    url: str = ""
    record: str = ""
    size: int | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class Bundle:
    """Files that are downloaded together, selected with ``--part NAME``.

    Attributes:
        name: Name for ``--part``.
        content: Description, such as ``training audio``.
        files: The files.
        gigabytes: Approximate total size.
        folder: Folder within ``--to`` where archives are unpacked.
    """

    name: str
    content: str
    files: tuple[File, ...]
    gigabytes: float | None = None
    folder: str = "."


@dataclass(frozen=True)
class CorpusSource:
    """Where a corpus comes from.

    Attributes:
        title: Name of the corpus with its authors or challenge.
        licence: The licence, as its page states it.
        permits: Short summary of what the licence permits.
        page: Address of the official page.
        tree: Layout that ``spooftrace prepare`` expects.
        bundles: What can be downloaded.
        by_hand: How to get a corpus that is not open to programs; empty where ``download`` can get it.
        notes: Lines to print after the download.
    """

    title: str
    licence: str
    permits: str
    page: str
    tree: str
    bundles: tuple[Bundle, ...] = ()
    by_hand: str = ""
    notes: tuple[str, ...] = ()


def files_of(
    record: str, kind: str, checksums: Mapping[str, str | None], sizes: Mapping[str, int] | None = None
) -> tuple[File, ...]:
    """List files of one record.

    Args:
        record: As in ``File``.
        kind: ``md5`` or ``sha256``.
        checksums: File name -> hexadecimal checksum, None where it is not known.
        sizes: File name -> bytes, where known.
    """
    return tuple(
        File(name, record=record, size=(sizes or {}).get(name), checksum=checksum and f"{kind}:{checksum}")
        for name, checksum in checksums.items()
    )


def zenodo(number: int, *names: str, sizes: Mapping[str, int] | None = None) -> tuple[File, ...]:
    """List files of a Zenodo record whose checksums are read from the record."""
    return files_of(f"zenodo:{number}", "md5", dict.fromkeys(names), sizes)
