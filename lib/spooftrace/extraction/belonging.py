"""Whether a stored stream belongs to a data directory: same front-end, same audio, every utterance."""

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
from spooftrace.extraction.sources import Comparison, compare, contents, remember
from spooftrace.extraction.store import another_owner, belongs_to, how, read_description


def is_complete(
    node: Mapping[str, Any], directory: Path, folder: Path, say: bool = False, asked: Mapping[str, Any] | None = None
) -> bool:
    """Whether ``folder`` holds this stream for every utterance of the data directory; ``say`` prints that it does.

    It does not when an ark or ``feats.scp`` is missing, cut short or edited, or when audio has changed: stage 3 then
    computes what is wrong again.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.
        folder: ``dump/<stream>/<set>``.
        say: Print what was found.
        asked: ``precision`` and ``compress``, where the user asked for them.

    Raises:
        InputError: ``folder`` holds the features of another data directory of this name, or of another precision than
            was asked for.
    """
    description, scp = read_description(folder / "stream.json"), folder / "feats.scp"
    sources = sources_of(directory)
    owner, same_node = another_owner(description, directory), description.get("config") == dict(node)
    if not scp.exists() or not (same_node or owner):
        return False
    comparison = compare_audio(folder, directory, description)
    if owner and comparison.damaged:
        raise InputError(
            f"{folder}: belongs to the data directory {owner}, and its record of checksums is damaged, so that "
            f"its audio cannot be compared with that of {directory}: {comparison.changed}; choose another --dump"
        )
    if owner and (comparison.changed or comparison.lacking):
        why = comparison.changed or f"{comparison.lacking:,} utterances of {directory} are not in it"
        raise InputError(belongs_to(folder, owner, directory, why))
    if comparison.changed or comparison.lacking:
        if say and comparison.changed:
            print(f"{folder}: {comparison.changed}: they are made anew")
        return False
    if not same_node or changed_file(folder, description) or not is_whole(scp, beside=True):
        return False
    if not {key for key, _, _ in read_scp(scp)}.issuperset(sources):
        return False
    wanted = {**description, **(asked or {})}
    if wanted != description:
        raise InputError(
            f"{folder}: holds {how(description)}, but {how(wanted)} was asked for; remove it or choose another --dump"
        )
    if say:
        print(f"{scp}: already extracted ({how(description)}); to make it anew remove {folder}")
        _say_unseen(comparison, folder)
    return True


def check(node: Mapping[str, Any], directory: Path, folder: Path, audio: bool = True) -> dict[str, Any]:
    """Refuse features that are not what a data directory and a configuration ask for; gives their description.

    Args:
        node: ``class_path`` and ``init_args`` of the front-end.
        directory: The data directory.
        folder: ``dump/<stream>/<set>``.
        audio: Compare the audio, too, which takes a look at every file.

    Raises:
        InputError: Stage 3 has not stored them, or made them with another configuration or from other audio.
    """
    description = read_description(folder / "stream.json")
    if not description or not (folder / "feats.scp").exists():
        raise InputError(f"{folder}/feats.scp: not there; run stage 3 (feature extraction) first")
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
                f"{folder}: its features are of other audio than {directory} has: {comparison.changed}; run stage 3 "
                "again, with another --dump if both are needed"
            )
        _say_unseen(comparison, folder)
    return description


def compare_audio(folder: Path, directory: Path, description: Mapping[str, Any]) -> Comparison:
    """The audio of a data directory against that of stored features; what has only moved is noted beside them.

    Features without ``feats.sums``, of an earlier version, are judged by the recorded hash of ``wav.scp``.
    """
    sums, sources = folder / "feats.sums", sources_of(directory)
    if not sums.exists():
        if description.get("sums"):
            return Comparison(changed=f"{sums} is gone, so it is not known what they were made from", damaged=True)
        if description.get("audio") != fingerprint(directory, "wav.scp", "segments"):
            return Comparison(changed=f"{directory}/wav.scp is not the recorded one, and no more is known")
        print(
            f"{folder}: made by an earlier version, which did not record the audio: only wav.scp was compared; to have "
            "it recorded remove the folder and run stage 3 again",
            file=sys.stderr,
        )
        return Comparison()
    comparison = compare(sums, sources)
    if comparison.changed is None:
        remember(sums, comparison.moved)
    return comparison


def describe(folder: Path, directory: Path) -> dict[str, Any]:
    """What the stored features of a data directory are, for the record of what was computed from them."""
    description, sums = read_description(folder / "stream.json"), folder / "feats.sums"
    content = {key: description.get(key) for key in ("fingerprint", "precision", "compress")}
    if not sums.exists():
        return content | {"audio": description.get("audio"), "changed": (folder / "feats.scp").stat().st_mtime_ns}
    samples, values = contents(sums, sources_of(directory).__contains__)
    return content | {"audio": {"samples": samples}, "values": values}


def _say_unseen(comparison: Comparison, folder: Path) -> None:
    if comparison.unseen:
        unseen = counted(comparison.unseen, "utterance")
        print(f"{folder}: the audio of {unseen} is not there now, so it could not be compared", file=sys.stderr)
