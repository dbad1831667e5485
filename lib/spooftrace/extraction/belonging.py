"""Check that a stored stream belongs to a data directory: same front-end, same audio, no missing utterance."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spooftrace.archive import is_whole, read_scp
from spooftrace.common.contents import changed_file
from spooftrace.common.english import counted
from spooftrace.common.errors import InputError
from spooftrace.common.journal import fingerprint
from spooftrace.datadir.sources import sources_of
from spooftrace.extraction.sources import Comparison, compare, contents, record_moved
from spooftrace.extraction.store import other_owner, ownership_message, precision_text, read_description


def is_complete(
    node: Mapping[str, Any],
    directory: Path,
    folder: Path,
    verbose: bool = False,
    required: Mapping[str, Any] | None = None,
) -> bool:
    """Return whether ``folder`` holds this stream for every utterance of the data directory.

    The stream is incomplete if an ark or ``feats.scp`` is missing, truncated or edited, or if audio has changed.
    Stage 3 then computes the affected features again.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.
        folder: ``dump/<stream>/<set>``.
        verbose: Print the result.
        required: ``precision`` and ``compress``, if the user set them.

    Returns:
        Whether the stream is complete.

    Raises:
        InputError: ``folder`` holds the features of another data directory of the same name, or features of another
            precision than the required one.
    """
    description, scp = read_description(folder / "stream.json"), folder / "feats.scp"
    sources = sources_of(directory)
    owner, same_node = other_owner(description, directory), description.get("config") == dict(node)
    if not scp.exists() or not (same_node or owner):
        return False
    comparison = compare_audio(folder, directory, description)
    if owner and comparison.damaged:
        raise InputError(
            f"{folder}: belongs to the data directory {owner}, and its audio cannot be compared with that of "
            f"{directory}, because its record of checksums is damaged: {comparison.changed}; choose another --dump"
        )
    if owner and (comparison.changed or comparison.lacking):
        why = comparison.changed or f"{comparison.lacking:,} utterances of {directory} are not in it"
        raise InputError(ownership_message(folder, owner, directory, why))
    if comparison.changed or comparison.lacking:
        if verbose and comparison.changed:
            print(f"{folder}: {comparison.changed}; the features are extracted again")
        return False
    if not same_node or changed_file(folder, description) or not is_whole(scp, beside=True):
        return False
    if not {key for key, _, _ in read_scp(scp)}.issuperset(sources):
        return False
    expected = {**description, **(required or {})}
    if expected != description:
        raise InputError(
            f"{folder}: stored as {precision_text(description)}, but the options require {precision_text(expected)}; "
            "remove it or choose another --dump"
        )
    if verbose:
        print(f"{scp}: already extracted ({precision_text(description)}); to extract it again, remove {folder}")
        _report_unseen(comparison, folder)
    return True


def check(node: Mapping[str, Any], directory: Path, folder: Path, audio: bool = True) -> dict[str, Any]:
    """Check that stored features match a data directory and a configuration.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.
        folder: ``dump/<stream>/<set>``.
        audio: Compare the audio as well, which costs one ``stat`` per file.

    Returns:
        The description of the stored features, from ``stream.json``.

    Raises:
        InputError: The features are missing, or were computed with another configuration or from other audio.
    """
    description = read_description(folder / "stream.json")
    if not description or not (folder / "feats.scp").exists():
        raise InputError(f"{folder}/feats.scp: does not exist; run stage 3 (feature extraction) first")
    if description.get("config") != dict(node):
        raise InputError(
            f"{folder}: was extracted with another configuration of stream '{folder.parent.name}'; "
            "run stage 3 again or choose another --dump"
        )
    if audio:
        if problem := changed_file(folder, description):
            raise InputError(f"{problem}; run stage 3 again")
        comparison = compare_audio(folder, directory, description)
        if comparison.lacking:
            raise InputError(
                f"{folder}: feats.sums lacks {counted(comparison.lacking, 'utterance')} of {directory}; run stage 3 "
                "again"
            )
        if comparison.damaged:
            raise InputError(f"{folder}: its record of checksums is damaged: {comparison.changed}; run stage 3 again")
        if comparison.changed:
            raise InputError(
                f"{folder}: its features were computed from other audio than that of {directory}: "
                f"{comparison.changed}; run stage 3 again, with another --dump if you need both"
            )
        _report_unseen(comparison, folder)
    return description


def compare_audio(folder: Path, directory: Path, description: Mapping[str, Any]) -> Comparison:
    """Compare the audio of a data directory with the audio that stored features were computed from.

    Files that have only moved are recorded in ``feats.sums``. Features of an earlier version have no ``feats.sums``;
    for these only the recorded hash of ``wav.scp`` is compared.

    Args:
        folder: ``dump/<stream>/<set>``.
        directory: The data directory.
        description: Content of ``stream.json``.

    Returns:
        The differences.
    """
    sums, sources = folder / "feats.sums", sources_of(directory)
    if not sums.exists():
        if description.get("sums"):
            return Comparison(changed=f"{sums} is missing, so the audio of the features is unknown", damaged=True)
        if description.get("audio") != fingerprint(directory, "wav.scp", "segments"):
            return Comparison(changed=f"{directory}/wav.scp differs from the recorded one")
        print(
            f"{folder}: extracted by an earlier version, which did not record the audio: only wav.scp was compared; to "
            "record the audio, remove the folder and run stage 3 again",
            file=sys.stderr,
        )
        return Comparison()
    comparison = compare(sums, sources)
    if comparison.changed is None:
        record_moved(sums, comparison.moved)
    return comparison


def describe(folder: Path, directory: Path) -> dict[str, Any]:
    """Return the identity of stored features: their fingerprint, precision, audio and values.

    Args:
        folder: ``dump/<stream>/<set>``.
        directory: The data directory; only its utterances count.

    Returns:
        Fields for the record of whatever is computed from the features.
    """
    description, sums = read_description(folder / "stream.json"), folder / "feats.sums"
    content = {key: description.get(key) for key in ("fingerprint", "precision", "compress")}
    if not sums.exists():
        return content | {"audio": description.get("audio"), "changed": (folder / "feats.scp").stat().st_mtime_ns}
    samples, values = contents(sums, sources_of(directory).__contains__)
    return content | {"audio": {"samples": samples}, "values": values}


def _report_unseen(comparison: Comparison, folder: Path) -> None:
    if comparison.unseen:
        unseen = counted(comparison.unseen, "utterance")
        print(f"{folder}: the audio of {unseen} does not exist and could not be compared", file=sys.stderr)
