"""Find pretrained models: in a folder, the models folder, the Hugging Face cache or hub, or an experiment.

The weights of a fine-tuned model are in the experiment's ``model.safetensors``; loading the experiment (``weights_in``)
needs no pretrained ones. With the model's ``config.json`` in the experiment's folder ``models``
(``keep_configuration``), the experiment is self-contained.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from spooftrace.common.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# Settings of config.json that make transformers load code or other files.
UNSAFE_SETTINGS = {
    "auto_map",
    "attn_implementation",
    "experts_implementation",
    "quantization_config",
    "transformers_weights",
}
HUB_TIMEOUT = 5.0  # seconds for a request of information; downloads have no limit
Loaded = TypeVar("Loaded")
Model = TypeVar("Model", bound="PreTrainedModel")
_experiment: ContextVar[Path | None] = ContextVar("experiment", default=None)


def models_folder() -> Path | None:
    """Return ``$SPOOFTRACE_MODELS`` or ``tools/models`` of this checkout; None without either."""
    if folder := os.environ.get("SPOOFTRACE_MODELS"):
        return Path(folder)
    root = Path(__file__).resolve().parents[3]  # <root>/lib/spooftrace/pretrained/finding.py
    return root / "tools" / "models" if (root / "tools" / "get_model.sh").is_file() else None


@contextmanager
def weights_in(exp: Path) -> Iterator[None]:
    """Build fine-tuned front-ends in the block without weights, because those of ``exp`` are loaded next."""
    token = _experiment.set(exp)
    try:
        yield
    finally:
        _experiment.reset(token)


def locate_model(model: str, finetune: bool) -> tuple[str, bool]:
    """Return the name or folder of a model, and whether its pretrained weights are needed.

    >>> locate_model("openai/whisper-base", finetune=True)
    ('openai/whisper-base', True)
    """
    exp = _experiment.get()
    if exp is None or not finetune:
        return model, True
    kept = kept_configuration(exp, model)
    return (str(kept) if (kept / "config.json").is_file() else model), False


def kept_configuration(exp: Path, model: str) -> Path:
    """Return the folder of an experiment for the configuration of a fine-tuned model.

    Raises:
        InputError: The last part of the model's name is not a folder name.
    """
    name = Path(model).name
    if name in ("", ".", ".."):
        raise InputError(f"'{model}' is neither the name of a model nor of its folder")
    return exp / "models" / name


def keep_configuration(exp: Path, model: str) -> None:
    """Copy the configuration of a model into ``exp``, whose weights file holds the model's weights.

    Raises:
        InputError: The model is not available.
    """
    from transformers import Wav2Vec2FeatureExtractor

    folder = kept_configuration(exp, model)
    pretrained_config(model).save_pretrained(folder)
    if (normalize := normalizes(model)) is not None:
        Wav2Vec2FeatureExtractor(do_normalize=normalize).save_pretrained(folder)


def find_folder(model: str) -> Path | None:
    """Return the local folder of a model, None if there is none.

    ``model`` is the path of a folder, or a Hugging Face name: ``openai/whisper-base`` is ``whisper-base`` in
    ``models_folder()``.

    Raises:
        InputError: ``model`` can only be a path, and the folder does not exist.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith(("./", "../", "~")):
        raise InputError(f"{model}: no such folder")
    folder = models_folder()
    if folder is not None and (folder / path.name / "config.json").is_file():
        return folder / path.name
    return None


def from_pretrained(model_class: type[Model], model: str, **options: Any) -> Model:
    """Load ``model`` in float32 by ``model_class.from_pretrained``.

    It is searched for in a folder of that name, the models folder (``find_folder``), the Hugging Face cache, the hub.

    Args:
        model_class: Class of transformers.
        model: Path of a folder or name on the hub.
        options: Further arguments of ``from_pretrained``.

    Raises:
        InputError: No place has it, the folder cannot be loaded, it is another kind of model, or it lacks some of the
            model's weights.
    """
    from transformers.utils import logging

    if "config" not in options:
        options["config"] = pretrained_config(model)
    kind, expected = options["config"].model_type, getattr(model_class.config_class, "model_type", None)
    if kind != expected:
        raise InputError(f"{model}: a model of type '{kind}'; {model_class.__name__} takes {expected}")
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # each step of the bar would be a line in a job's log
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # warnings list every unused weight: decoders, quantizers
    try:
        # Mismatched shapes are reported below in one line.
        options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        load = cast("Callable[..., tuple[Model, dict[str, Any]]]", model_class.from_pretrained)  # with loading info
        module, report = _fetch(load, model, model_class, **options)
    finally:
        logging.set_verbosity(verbosity)
    # transformers initialises these at random.
    missing = sorted(report["missing_keys"]) + sorted(key for key, *_shapes in report["mismatched_keys"])
    if missing:
        raise InputError(
            f"{find_folder(model) or model}: {len(missing)} weights of {model_class.__name__} are missing or of "
            f"another shape ({missing[0]}, ...): is this the right model?"
        )
    return module.float()  # instead of torch_dtype or dtype, depending on the version of transformers


def without_weights(model_class: type[Model], config: PretrainedConfig) -> Model:
    """Build a model in float32 with undefined weights, which must be loaded next.

    Random initialisation takes 6 s for a model of 300 M parameters.
    """
    with torch.device("meta"):
        network = model_class(config)
    return network.float().to_empty(device=torch.get_default_device())


def pretrained_config(model: str) -> PretrainedConfig:
    """Load ``config.json`` of ``model``, searched for as in ``from_pretrained``.

    Only settings of the model itself are used. Others make transformers load code (``auto_map``, kernels by
    ``attn_implementation``) or further files (``transformers_weights``).

    Raises:
        InputError: The model is not available, or of a type that transformers does not have.
    """
    from transformers import AutoConfig, PretrainedConfig

    def load(place: str | Path, **options: Any) -> PretrainedConfig:
        content, _ = PretrainedConfig.get_config_dict(place, **options)
        return _own_settings(content)

    try:
        return _fetch(load, model, AutoConfig)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{model}: cannot be loaded as AutoConfig: {' '.join(str(error).split())[:200]}") from error


def _own_settings(content: Any) -> PretrainedConfig:
    from transformers import CONFIG_MAPPING

    kind = content.get("model_type") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ValueError(f"its config.json has the model_type {kind!r}, which transformers does not have")
    config_class = CONFIG_MAPPING[kind]
    known = {*config_class().to_dict(), *config_class.attribute_map} - UNSAFE_SETTINGS
    return config_class.from_dict({key: value for key, value in content.items() if key in known})


def normalizes(model: str) -> bool | None:
    """Return whether ``model`` takes normalised waves by its ``preprocessor_config.json``; None without that file.

    Call it after the model has been loaded: a missing model has no such file either.
    """
    from transformers import Wav2Vec2FeatureExtractor

    try:
        settings, _ = Wav2Vec2FeatureExtractor.get_feature_extractor_dict(str(find_folder(model) or model))
    except OSError:
        return None
    return settings.get("do_normalize")


def _fetch(load: Callable[..., Loaded], model: str, kind: type, **options: Any) -> Loaded:
    folder = find_folder(model)
    if folder is not None:
        return _load_folder(load, folder, kind, options)
    try:
        return load(model, local_files_only=True, **options)
    except OSError:  # the cache does not have the model
        require_hub(model)
        return load(model, **options)


def _load_folder(load: Callable[..., Loaded], folder: Path, kind: type, options: dict[str, Any]) -> Loaded:
    from safetensors import SafetensorError

    try:
        return load(folder, local_files_only=True, **options)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: cannot be loaded as {kind.__name__}: {reason}; fetch it again") from error


def require_hub(model: str) -> None:
    """Raise ``InputError`` within seconds if the hub or the model is not accessible.

    ``from_pretrained`` retries each file with growing pauses, half a minute in total without a network.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(model, timeout=HUB_TIMEOUT)
    except Exception as error:  # of many classes in several libraries
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"model {model!r} is not on this machine, and cannot be fetched from the Hugging Face hub ({reason}): "
            f"give the path of a folder that has it, or run tools/get_model.sh {model.split('/')[-1]} if it lists that "
            f"model, or put it into {models_folder() or '$SPOOFTRACE_MODELS'}, or run once with a network"
        ) from error
