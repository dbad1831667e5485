"""Where the weights of pretrained models come from: a folder, the models folder, the Hugging Face cache or hub.

Or from an experiment. Once a model has been fine-tuned, its weights are in the experiment's ``model.safetensors``, and
who loads that (``weights_in``) needs no pretrained ones. With the model's ``config.json`` in the experiment's folder
``models`` (``keep_configuration``) the experiment needs nothing outside of itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from spooftrace.common.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Settings of config.json that make transformers load more than this model's weights.
FOREIGN = {"auto_map", "attn_implementation", "experts_implementation", "quantization_config", "transformers_weights"}
HUB_TIMEOUT = 5.0  # seconds for one small question; a download that has started may take as long as it needs
Loaded = TypeVar("Loaded")
Model = TypeVar("Model", bound=torch.nn.Module)
_experiment: ContextVar[Path | None] = ContextVar("experiment", default=None)


def models_folder() -> Path | None:
    """``$SPOOFTRACE_MODELS``, or ``tools/models`` of the checkout that this file belongs to; None without either."""
    if folder := os.environ.get("SPOOFTRACE_MODELS"):
        return Path(folder)
    root = Path(__file__).resolve().parents[3]  # <root>/lib/spooftrace/pretrained/finding.py
    return root / "tools" / "models" if (root / "tools" / "get_model.sh").is_file() else None


@contextmanager
def weights_in(exp: Path) -> Iterator[None]:
    """Inside of the block, fine-tuned front-ends are built without their weights: those of ``exp`` are loaded next."""
    token = _experiment.set(exp)
    try:
        yield
    finally:
        _experiment.reset(token)


def locate_model(model: str, finetune: bool) -> tuple[str, bool]:
    """Where to look for a model that is fine-tuned or not, and whether its pretrained weights are needed.

    >>> locate_model("openai/whisper-base", finetune=True)
    ('openai/whisper-base', True)
    """
    exp = _experiment.get()
    if exp is None or not finetune:
        return model, True
    kept = kept_configuration(exp, model)
    return (str(kept) if (kept / "config.json").is_file() else model), False


def kept_configuration(exp: Path, model: str) -> Path:
    """The folder of an experiment for the configuration of a model that it has fine-tuned.

    Raises:
        InputError: The name of the model does not end in that of a folder.
    """
    name = Path(model).name
    if name in ("", ".", ".."):
        raise InputError(f"'{model}' is not the name of a model, nor of a folder with one")
    return exp / "models" / name


def keep_configuration(exp: Path, model: str) -> None:
    """Copies the small files of a model that decide what it computes into ``exp``; the weights will be there anyway.

    Raises:
        InputError: No place has the model.
    """
    from transformers import Wav2Vec2FeatureExtractor

    folder = kept_configuration(exp, model)
    pretrained_config(model).save_pretrained(folder)
    if (told := normalizes(model)) is not None:
        Wav2Vec2FeatureExtractor(do_normalize=told).save_pretrained(folder)


def find_folder(model: str) -> Path | None:
    """The local folder of a model, if there is one.

    ``model`` is the path of a folder, or a Hugging Face name: ``openai/whisper-base`` is looked for as
    ``whisper-base`` in ``models_folder()``.

    Raises:
        InputError: ``model`` can only be a path, and there is no such folder.
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
    """``model_class.from_pretrained`` in float32, from the first place that has ``model``.

    The places: a folder of that name, the models folder (``find_folder``), the Hugging Face cache, the hub.

    Args:
        model_class: A transformers class with ``from_pretrained``.
        model: Path of a folder or name on the hub.
        options: Further arguments of ``from_pretrained``.

    Raises:
        InputError: No place has it, the folder cannot be loaded, it is another kind of model, or it lacks some of the
            model's weights.
    """
    from transformers.utils import logging

    if "config" not in options:
        options["config"] = pretrained_config(model)
    kind, wanted = options["config"].model_type, model_class.config_class.model_type
    if kind != wanted:
        raise InputError(f"{model}: a model of type '{kind}'; {model_class.__name__} takes {wanted}")
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # In a job's log every step of the bar would be a line.
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # It lists every weight of the file that is not used: decoders, quantizers.
    try:
        # Other shapes than config.json says are told below, in one line.
        options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        module, report = _fetch(model_class.from_pretrained, model, model_class, **options)
    finally:
        logging.set_verbosity(verbosity)
    # transformers would go on with random numbers in their place.
    lacking = sorted(report["missing_keys"]) + sorted(key for key, *_shapes in report["mismatched_keys"])
    if lacking:
        raise InputError(
            f"{find_folder(model) or model}: {len(lacking)} weights of {model_class.__name__} are missing or of "
            f"another shape ({lacking[0]}, ...): is this the right model?"
        )
    return module.float()  # The argument for that is called torch_dtype or dtype, by transformers' version.


def without_weights(model_class: type[Model], config: PretrainedConfig) -> Model:
    """A model of ``model_class`` in float32 whose weights are any numbers: they have to be loaded next.

    Drawing them at random, as the class does, takes 6 s for a model of 300 M parameters.
    """
    with torch.device("meta"):
        network = model_class(config)
    return network.float().to_empty(device=torch.get_default_device())


def pretrained_config(model: str) -> PretrainedConfig:
    """The ``config.json`` of ``model``, from the same places as ``from_pretrained``.

    Only the model's own settings are taken. transformers knows others, by which a model brings code with it
    (``auto_map``, kernels as ``attn_implementation``) or names other files (``transformers_weights``).

    Raises:
        InputError: No place has it, or it is of a kind that transformers does not know.
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
        raise ValueError(f"its config.json has the model_type {kind!r}, which transformers does not know")
    config_class = CONFIG_MAPPING[kind]
    known = {*config_class().to_dict(), *config_class.attribute_map} - FOREIGN
    return config_class.from_dict({key: value for key, value in content.items() if key in known})


def normalizes(model: str) -> bool | None:
    """Whether ``preprocessor_config.json`` says that ``model`` wants normalised waves; None where nothing says so.

    To be asked after the model has been loaded: a model that is nowhere has no such file either.
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
    except OSError:  # What transformers raises when the cache does not have the model.
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
    """Fails within seconds where the hub or the model is out of reach.

    from_pretrained itself asks for each file several times with growing pauses, half a minute in all without a network.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(model, timeout=HUB_TIMEOUT)
    except Exception as error:  # Many classes, of several libraries: whatever it is, the model cannot be had there.
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"model {model!r} is not on this machine and the Hugging Face hub does not give it ({reason}): "
            f"give the path of a folder that has it, or run tools/get_model.sh {model.split('/')[-1]} if it lists that "
            f"model, or put it into {models_folder() or '$SPOOFTRACE_MODELS'}, or run once with a network"
        ) from error
