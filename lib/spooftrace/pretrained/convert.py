"""Convert checkpoints of self-supervised speech models to folders that transformers loads.

Families differ in the names of their tensors, not in the network; each has a module with the names. The settings come
from the checkpoint or from the shapes. What neither determines is assumed from the official models, and reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spooftrace.common.errors import InputError
from spooftrace.common.folders import new_folder
from spooftrace.common.json_files import write_json
from spooftrace.common.provenance import file_sha256
from spooftrace.pretrained import fairseq_wav2vec2, torchaudio_wav2vec2, unilm_wavlm
from spooftrace.pretrained.architecture import build_model
from spooftrace.pretrained.checkpoint_file import read_checkpoint
from spooftrace.pretrained.state_dict import select_weights


@dataclass(frozen=True)
class Family:
    """Names of tensors in one family.

    Attributes:
        mark: Name of a tensor that only this family has.
        rename: Renames tensors to transformers' names.
        left_out: Prefixes of the names of tensors that the model does not need.
    """

    mark: str
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    left_out: tuple[str, ...]


FAMILIES = {  # the first with its mark counts: WavLM has fairseq's names and more
    "unilm": Family(
        unilm_wavlm.MARK, partial(fairseq_wav2vec2.renamed, names=unilm_wavlm.NAMES), fairseq_wav2vec2.LEFT_OUT
    ),
    "fairseq": Family(fairseq_wav2vec2.MARK, fairseq_wav2vec2.renamed, fairseq_wav2vec2.LEFT_OUT),
    "torchaudio": Family(torchaudio_wav2vec2.MARK, torchaudio_wav2vec2.renamed, torchaudio_wav2vec2.LEFT_OUT),
}
# Values of --format and the families that they cover: s3prl keeps the names of the wrapped models.
FORMATS = {"fairseq": ("fairseq",), "unilm": ("unilm",), "s3prl": ("fairseq", "unilm"), "torchaudio": ("torchaudio",)}


@dataclass(frozen=True)
class Imported:
    """Result of a conversion.

    Attributes:
        family: Family of the checkpoint.
        model_type: Type of the model in transformers.
        parameters: Number of parameters.
        sha256: SHA-256 of the checkpoint.
        left_out: Parts of the checkpoint that the model does not need.
        assumed: Sizes that neither the settings nor the shapes determine.
        notes: Remarks about the contents of the file.
        normalize: Whether the model takes normalised waves; None if the checkpoint does not specify it.
    """

    family: str
    model_type: str
    parameters: int
    sha256: str
    left_out: list[str]
    assumed: list[str]
    notes: list[str]
    normalize: bool | None


def import_checkpoint(
    file: str | Path, folder: str | Path, format: str | None = None, weights: str | None = None
) -> Imported:
    """Convert ``file`` to a Hugging Face folder: config.json, model.safetensors, source.json, preprocessor_config.json.

    The last file contains whether waves are normalised; it is left out if the checkpoint does not specify it.

    Args:
        file: Checkpoint of fairseq (wav2vec 2.0, XLS-R, MMS, HuBERT), unilm (WavLM), s3prl or torchaudio, or of a
            system that holds one of those under a prefix.
        folder: Output folder, written completely or not at all.
        format: Required format, one of ``FORMATS``; None accepts all.
        weights: Which of several sets of weights in the file, see
            ``spooftrace.pretrained.state_dict.select_weights``.

    Raises:
        InputError: ``folder`` exists or cannot be written; ``file`` is damaged, would run code, or is another model.
    """
    file, folder = Path(file), Path(folder)
    with new_folder(folder) as work:
        return _import(file, work, format, weights)


def _import(file: Path, work: Path, format: str | None, choice: str | None) -> Imported:
    from transformers import Wav2Vec2FeatureExtractor

    seen: set[str] = set()
    content = read_checkpoint(file, seen)
    selected = select_weights(content, file, choice)
    family, weights, left_out = find_weights(selected.tensors, file, format)
    settings = fairseq_wav2vec2.settings(content) if isinstance(content, dict) else {}
    model, assumed = build_network(weights, settings, left_out, file)
    check_finite(weights, file)
    model.load_state_dict({name: tensor.float().contiguous() for name, tensor in weights.items()}, assign=True)
    normalize = settings.get("normalize")
    result = Imported(
        family=family,
        model_type=model.config.model_type,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        sha256=file_sha256(file),
        left_out=[f"{part} ({count_tensors(count)})" for part, count in Counter(map(_part, left_out)).items()],
        assumed=assumed,
        notes=[*selected.notes, *describe_unread(seen)],
        normalize=normalize if isinstance(normalize, bool) else None,
    )
    model.save_pretrained(work)
    if result.normalize is not None:
        Wav2Vec2FeatureExtractor(do_normalize=result.normalize).save_pretrained(work)
    source = {"file": file.name, "sha256": result.sha256, "family": family, "left_out": result.left_out}
    write_json(work / "source.json", source | {"assumed": assumed}, sort_keys=False)
    return result


def find_weights(
    state: Mapping[str, Tensor], file: Path, format: str | None = None
) -> tuple[str, dict[str, Tensor], list[str]]:
    """Find the self-supervised model among the tensors of a checkpoint.

    Returns:
        Its family, its tensors under transformers' names, and the names of the tensors that were left out.

    Raises:
        InputError: The checkpoint has no such model, or it is not of ``format``.
    """
    location = locate_weights(state, file)
    if location is None:
        some = f", only {', '.join(list(state)[:3])}, ..." if state else ""
        raise InputError(
            f"{file}: no weights of wav2vec 2.0, HuBERT or WavLM in it{some}; a detection system is named before FILE"
        )
    family, prefix = location
    if format is not None and family not in FORMATS[format]:
        raise InputError(f"{file}: the format is {family}, not {format}")
    layout = FAMILIES[family]
    inside = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    left_out = [name for name in state if not name.startswith(prefix)]
    left_out += [name for name in inside if name.startswith(layout.left_out)]
    kept = {name: tensor for name, tensor in inside.items() if not name.startswith(layout.left_out)}
    return family, layout.rename(kept), left_out


def locate_weights(state: Mapping[str, Tensor], file: Path) -> tuple[str, str] | None:
    """Return family and prefix of the model among these tensors, or None; raise ``InputError`` for several models."""
    for family, layout in FAMILIES.items():
        prefixes = [name[: -len(layout.mark)] for name in state if f".{name}".endswith(f".{layout.mark}")]
        if len(prefixes) > 1:
            raise InputError(
                f"{file}: holds {len(prefixes)} such models, under {', '.join(prefixes)}; give a file with one"
            )
        if prefixes:
            return family, prefixes[0]
    return None


def build_network(
    weights: Mapping[str, Tensor], settings: Mapping[str, Any], left_out: list[str], file: Path
) -> tuple[Any, list[str]]:
    """Build the network of the tensors in ``file`` by ``build_model``, and check that the names and shapes agree.

    Raises:
        InputError: The architecture is another one.
    """
    try:
        model, assumed = build_model(weights, settings, left_out)
    except KeyError as error:
        raise InputError(f"{file}: no tensor {error.args[0]}: a model of another architecture") from error
    except Exception as error:  # contradictory settings and shapes fail anywhere in transformers
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: its sizes contradict each other: {reason}") from error
    _check_names(model, weights, file)
    return model, assumed


def _check_names(model: torch.nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    wrong = {
        "missing": sorted(expected.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - expected.keys()),
        "of another shape": sorted(n for n in expected.keys() & weights.keys() if expected[n] != weights[n].shape),
    }
    if any(wrong.values()):
        parts = [
            f"{len(names)} {what} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
            for what, names in wrong.items()
            if names
        ]
        raise InputError(f"{file}: not a {type(model).__name__}: tensors {'; '.join(parts)}")


def check_finite(weights: Mapping[str, Tensor], file: Path) -> None:
    """Raise ``InputError`` for NaN and infinite values."""
    wrong = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if wrong:
        raise InputError(
            f"{file}: NaN or infinite values in {count_tensors(len(wrong))}, first {wrong[0]}; download it again"
        )


def _part(name: str) -> str:
    return name.split(".")[0]


def count_tensors(count: int) -> str:
    """Return ``1 tensor``, ``2 tensors``."""
    return "1 tensor" if count == 1 else f"{count} tensors"


def describe_unread(seen: set[str]) -> list[str]:
    """Describe the objects of a file that ``read_checkpoint`` did not build, a line per kind."""
    arrays = {path for path in seen if path.startswith("numpy.") or path == "_codecs.encode"}
    modules = sorted(path for path in seen - arrays if path.startswith("torch.nn."))
    others = sorted(seen - arrays - set(modules))
    lines = []
    if arrays:
        lines.append("numpy arrays and numbers read as tensors and numbers")
    if modules:
        lines.append(f"a module instead of a state dict, of {len(modules)} classes of torch.nn: its state dict is read")
    if others:
        more = f" and {len(others) - 8} more" if len(others) > 8 else ""
        lines.append(f"classes and functions that were neither imported nor called: {', '.join(others[:8])}{more}")
    return lines
