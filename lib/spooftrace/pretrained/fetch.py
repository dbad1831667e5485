"""The models folder: ``tools/get_model.sh NAME``.

Puts a model into FOLDER/NAME from the Hugging Face hub, from another project's checkpoint, or from a folder, and
records the sha256 of its files in SHA256SUMS. A model that is there already is checked against those.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from filecmp import cmp
from fnmatch import fnmatch
from pathlib import Path

from spooftrace.common.atomic import atomic_write
from spooftrace.common.errors import InputError
from spooftrace.common.json_files import write_json
from spooftrace.common.provenance import file_sha256
from spooftrace.pretrained.finding import HUB_TIMEOUT

SUMS = "SHA256SUMS"
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "pytorch_model*.bin")
OTHERS = ("*.json", "*.txt", "LICENSE*", "README.md")  # configuration, tokenizer, licence


def get_model(name: str, models: Path, source: Path | None = None, hub_name: str | None = None) -> str:
    """Create ``models/name`` or verify it, and return a message.

    Args:
        name: Name of the new folder.
        models: The models folder.
        source: Checkpoint file for ``import_checkpoint``, or a folder in Hugging Face's format.
        hub_name: Name on the hub to fetch without a ``source``.

    Raises:
        InputError: The model is not available, incomplete, or changed since it was fetched.
    """
    target = models / name
    if target.exists():
        check_sums(target)
        if source is not None and not _is_from(target, source):
            raise InputError(f"{target} exists already, made from another source than {source}: move it away first")
        return f"{target} exists already and agrees with its {SUMS}"
    models.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=models, prefix=f".{name}."))
    try:
        folder = work / "model"
        if source is None:
            fetch(hub_name or name, folder)
        elif source.is_dir():
            copy(source, folder)
        else:
            from spooftrace.pretrained.convert import import_checkpoint

            import_checkpoint(source, folder)
        check_weights(folder, source or name)
        for path in folder.iterdir():
            path.chmod(0o644)
        write_sums(folder)
        folder.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return f"{target} is ready"


def fetch(hub_name: str, folder: Path) -> None:
    """Download a model from the hub, preferably as safetensors; raise ``InputError`` in one line."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().model_info(hub_name, timeout=HUB_TIMEOUT)
        names = model_files([sibling.rfilename for sibling in info.siblings or []])
        snapshot_download(hub_name, revision=info.sha, allow_patterns=names, local_dir=folder)
    except Exception as error:  # of many classes in several libraries
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{hub_name} cannot be fetched from the Hugging Face hub ({reason}): run it again with a network, or give "
            "--from with a checkpoint or a folder that was downloaded elsewhere"
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    write_json(folder / "source.json", {"model": hub_name, "revision": info.sha})


def copy(source: Path, folder: Path) -> None:
    """Copy the files of a model from a folder in Hugging Face's format, and verify its SHA256SUMS if it has them."""
    if (source / SUMS).is_file():
        check_sums(source)
    folder.mkdir(parents=True)
    for name in model_files([path.name for path in source.iterdir() if path.is_file()]):
        shutil.copyfile(source / name, folder / name)


def model_files(names: list[str]) -> list[str]:
    """Select the files of a model: its weights in one format, configuration, tokenizer and licence."""
    weights = next(([n for n in names if fnmatch(n, pattern)] for pattern in WEIGHTS if _any(names, pattern)), [])
    return weights + [name for name in names if any(fnmatch(name, pattern) for pattern in OTHERS)]


def check_weights(folder: Path, source: Path | str) -> None:
    """Raise ``InputError`` if a folder, made from ``source``, is not a model, or its weights are cut short."""
    from safetensors import SafetensorError, safe_open

    from spooftrace.pretrained.checkpoint_file import read_checkpoint

    files = [path for pattern in WEIGHTS for path in folder.glob(pattern)]
    if not (folder / "config.json").is_file() or not files:
        raise InputError(f"{source}: no config.json with {WEIGHTS[0]} or pytorch_model.bin beside it")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{source}: config.json is damaged ({error}); fetch it again") from error
    for path in files:
        if path.suffix == ".bin":
            read_checkpoint(path)
            continue
        try:
            with safe_open(path, framework="pt"):  # compares the size of the file with its header
                pass
        except (SafetensorError, OSError) as error:
            raise InputError(f"{source}: {path.name}: cut short or damaged ({error}); download it again") from error


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every file in the format of ``sha256sum *``."""
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    with atomic_write(folder / SUMS) as file:
        file.writelines(lines)


def check_sums(folder: Path) -> None:
    """Raise ``InputError`` if a file differs from SHA256SUMS, or the folder has no SHA256SUMS."""
    if not (folder / SUMS).is_file():
        raise InputError(f"{folder} exists, but has no {SUMS}: move it away first")
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        path = folder / Path(name).name
        if not path.is_file() or file_sha256(path) != expected:
            raise InputError(
                f"{path}: damaged, missing or changed since it was fetched; remove {folder}, fetch it again"
            )


def _is_from(folder: Path, source: Path) -> bool:
    """Whether a folder that ``get_model`` made comes from ``source``."""
    if source.is_dir():
        names = model_files([path.name for path in source.iterdir() if path.is_file()])
        return all((folder / name).is_file() and cmp(folder / name, source / name, shallow=False) for name in names)
    record = folder / "source.json"
    origin = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    return source.is_file() and origin.get("sha256") == file_sha256(source)


def _any(names: list[str], pattern: str) -> bool:
    return any(fnmatch(name, pattern) for name in names)
