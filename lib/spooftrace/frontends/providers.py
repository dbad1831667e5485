"""Self-supervised models computed by other packages: s3prl, fairseq, torchaudio.

With the same weights they give the features of ``HuggingFace`` (tests/parity/test_providers.py), which is faster and
can be fine-tuned. ``spooftrace import-checkpoint`` converts files of these packages for it.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.common.errors import InputError
from spooftrace.frontends.by_length import map_by_length
from spooftrace.frontends.layered import LayeredFrontEnd, check_layers, standardize
from spooftrace.pretrained import fairseq_wav2vec2
from spooftrace.pretrained.checkpoint_file import read_checkpoint
from spooftrace.pretrained.packages import import_package

FAMILIES = ("hubert", "unispeech_sat", "wav2vec2", "wavlm", "xls_r", "xlsr")  # prefixes of names in s3prl.hub


class Provider(LayeredFrontEnd):
    """Base class of the three: the outputs of ``HuggingFace``, with its numbering of the layers.

    Hooks on the layers collect the outputs. Utterances are batched by length without padding, because the packages' own
    padded batches are not exact: s3prl and fairseq normalise the first convolution of Base models over padding,
    torchaudio over the whole batch. The weights are frozen.

    Args:
        network: The package's network.
        encoder: Its encoder, which has ``layers`` and the final ``layer_norm``.
        output: Kind of output, see ``HuggingFace``.
        layers: Numbers of layers, see ``HuggingFace``.
        normalize: Whether waves are normalised.
        model: Name of the model in error messages.
    """

    packable = False  # to compute with the package's own kernels
    time_first = True  # whether the layers take (T, B, D) instead of (B, T, D)
    network: Any  # a module of the package

    def __init__(
        self,
        network: nn.Module,
        encoder: Any,
        output: Literal["layers", "last", "pooled"],
        layers: list[int] | None,
        normalize: bool,
        model: str,
    ):
        layers = check_layers(layers, output, len(encoder.layers), model)
        convolutions = [
            (module.kernel_size[0], module.stride[0])
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv1d) and "feature_extractor." in name
        ]
        (width,) = encoder.layer_norm.normalized_shape
        super().__init__(output, layers, normalize, width, convolutions)
        self.network = network
        self.blocks = tuple(encoder.layers)  # a tuple, because a ModuleList would save them twice
        self.freeze_unless_finetuned()

    @abstractmethod
    def run(self, wave: Tensor) -> Tensor:
        """Compute the network's official output (b, T, D) for waves (b, n); T may be one frame too large."""

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        if self.normalize:
            wave = standardize(wave, wave_len)
        wave = F.pad(wave, (0, max(0, self.samples_per_frame - wave.shape[1])))
        wave_len = wave_len.clamp(min=self.samples_per_frame)
        if self.output == "pooled":
            return map_by_length(self._outputs, wave, wave_len)
        return map_by_length(self._outputs, wave, wave_len, time=-2, frames=self.count_frames(wave.shape[1]))

    def _outputs(self, wave: Tensor) -> Tensor:
        """Compute the outputs of waves (b, n)."""
        by_layer: dict[int, Tensor] = {}
        frames = self.count_frames(wave.shape[1])

        def keep(number: int, x: Any) -> None:
            x = x[0] if isinstance(x, tuple) else x  # most layers return a tuple
            x = x.transpose(0, 1) if self.time_first else x  # (T, b, D) -> (b, T, D)
            by_layer[number] = x[:, :frames]  # fairseq and s3prl pad to an even number of frames

        with ExitStack() as hooks:
            for number in sorted(set(self.layers) - {-1}):
                if number == 0:
                    hook = self.blocks[0].register_forward_pre_hook(lambda _, inputs: keep(0, inputs))
                else:
                    hook = self.blocks[number - 1].register_forward_hook(lambda _, __, x, n=number: keep(n, x))
                hooks.enter_context(hook)
            by_layer[-1] = self.run(wave)[:, :frames]
        outputs = [by_layer[number] for number in self.layers]
        if self.output == "pooled":
            return torch.cat([output.float().mean(1) for output in outputs], dim=1)  # L x (b, T, D) -> (b, L * D)
        return outputs[0] if self.output == "last" else torch.stack(outputs, dim=1)  # L x (b, T, D) -> (b, L, T, D)


class S3PRL(Provider):
    """wav2vec 2.0, XLS-R, HuBERT, WavLM and UniSpeech-SAT from s3prl (``tools/install_s3prl.sh``).

    s3prl's own hidden states are layers 0 to L - 1 and -1.

    Args:
        model: Name in ``s3prl.hub``, such as ``wavlm_large``, whose weights s3prl downloads; or with ``checkpoint``
            ``wav2vec2_local``, ``hubert_local``, ``wavlm_local``, ``unispeech_sat_local``.
        checkpoint: File in s3prl's format.
        output: Kind of output, see ``HuggingFace``.
        layers: Numbers of layers, see ``HuggingFace``.
        normalize: Whether waves are normalised; None follows the checkpoint, as s3prl does.

    Raises:
        InputError: s3prl is not installed, has no such model, or cannot download or read its weights.
        ValueError: An unknown output or layer.
    """

    def __init__(
        self,
        model: str,
        checkpoint: str | None = None,
        output: Literal["layers", "last", "pooled"] = "last",
        layers: list[int] | None = None,
        normalize: bool | None = None,
    ):
        hub = import_package("s3prl.hub")
        # Other functions of the module can run a file of the caller.
        if not model.startswith(FAMILIES) or not callable(getattr(hub, model, None)):
            raise InputError(f"s3prl has no model {model!r}; examples are wavlm_large, hubert_base, wav2vec2_local")
        if checkpoint is not None and not Path(checkpoint).is_file():
            raise InputError(f"{checkpoint}: no such file")
        with _weights_only():
            try:
                network = getattr(hub, model)(**({} if checkpoint is None else {"ckpt": checkpoint}))
            except Exception as error:  # of many classes: download, pickle, settings, names of weights
                hint = "; give checkpoint, a local file" if checkpoint is None else ""
                raise InputError(f"{checkpoint or model}: s3prl cannot load it ({_reason(error)}){hint}") from error
        encoder = getattr(getattr(network, "model", None), "encoder", None)
        # The classes of wav2vec 2.0, HuBERT and WavLM keep the setting in different places.
        settings = [getattr(network, name, None) for name in ("task_cfg", "cfg")]
        holder, key = next(((held, "normalize") for held in settings if held is not None), (network, "wav_normalize"))
        if encoder is None or not hasattr(encoder, "layer_norm") or not hasattr(holder, key):
            raise InputError(f"{model}: not one of s3prl's wav2vec 2.0, HuBERT, WavLM or UniSpeech-SAT models")
        normalize = bool(getattr(holder, key)) if normalize is None else normalize
        setattr(holder, key, False)  # ``standardize`` replaces its F.layer_norm over the utterance
        super().__init__(network, encoder, output, layers, normalize, model)

    def run(self, wave: Tensor) -> Tensor:
        return self.network(list(wave))["hidden_states"][-1]  # (b, n) -> b x (n,)


class Fairseq(Provider):
    """wav2vec 2.0, XLS-R and HuBERT from fairseq (``tools/install_fairseq.sh``).

    Args:
        checkpoint: Fairseq's file of a pre-trained or fine-tuned model. ``spooftrace.pretrained.checkpoint_file`` reads
            it instead of fairseq, without running code in it.
        output: Kind of output, see ``HuggingFace``.
        layers: Numbers of layers, see ``HuggingFace``.
        normalize: Whether waves are normalised; None follows the checkpoint.

    Raises:
        InputError: fairseq is not installed, or the file is not such a checkpoint.
        ValueError: An unknown output or layer.
    """

    def __init__(
        self,
        checkpoint: str,
        output: Literal["layers", "last", "pooled"] = "last",
        layers: list[int] | None = None,
        normalize: bool | None = None,
    ):
        import_package("fairseq")
        content = read_checkpoint(checkpoint)
        settings = fairseq_wav2vec2.settings(content) if isinstance(content, dict) else {}
        if not settings or not isinstance(content.get("model"), dict):
            raise InputError(
                f"{checkpoint}: not a fairseq checkpoint with settings and weights; for weights without settings use "
                "spooftrace import-checkpoint and HuggingFace"
            )
        network = _fairseq_network(settings)
        weights = content["model"]
        prefix = "w2v_encoder.w2v_model."  # of models fine-tuned for speech recognition
        if any(name.startswith(prefix) for name in weights):
            weights = {name[len(prefix) :]: weights[name] for name in weights if name.startswith(prefix)}
        left_out = fairseq_wav2vec2.LEFT_OUT
        _load(network, {name: weights[name] for name in weights if not name.startswith(left_out)}, checkpoint)
        normalize = settings.get("normalize", False) if normalize is None else normalize
        super().__init__(network, network.encoder, output, layers, normalize, checkpoint)

    def run(self, wave: Tensor) -> Tensor:
        output = self.network.extract_features(wave, padding_mask=None, mask=False)
        return output["x"] if isinstance(output, dict) else output[0]  # wav2vec 2.0; HuBERT


class TorchAudio(Provider):
    """wav2vec 2.0, XLS-R, HuBERT and WavLM from torchaudio (``tools/install_torchaudio.sh``).

    Args:
        pipeline: Name in ``torchaudio.pipelines`` (``WAV2VEC2_XLSR_300M``, ``WAVLM_LARGE``, ...): the architecture,
            whether waves are normalised, and the weights, which torchaudio downloads.
        checkpoint: File with a state dict to use instead of a download.
        output: Kind of output, see ``HuggingFace``.
        layers: Numbers of layers, see ``HuggingFace``.
        normalize: Whether waves are normalised; None follows the pipeline.

    Raises:
        InputError: torchaudio is not installed, has no such pipeline, or the weights are not available or do not fit.
        ValueError: An unknown output or layer.
    """

    time_first = False

    def __init__(
        self,
        pipeline: str,
        checkpoint: str | None = None,
        output: Literal["layers", "last", "pooled"] = "last",
        layers: list[int] | None = None,
        normalize: bool | None = None,
    ):
        pipelines, models = import_package("torchaudio.pipelines"), import_package("torchaudio.models")
        bundle = getattr(pipelines, pipeline, None)
        if not isinstance(bundle, pipelines.Wav2Vec2Bundle):
            raise InputError(f"torchaudio has no pipeline {pipeline!r} of wav2vec 2.0, HuBERT or WavLM")
        if checkpoint is None:
            try:
                network = bundle.get_model(dl_kwargs={"weights_only": True})
            except Exception as error:  # downloads fail in many ways
                raise InputError(
                    f"{pipeline}: torchaudio cannot download it ({_reason(error)}): give checkpoint, a local file"
                ) from error
            network = getattr(network, "model", network)  # the inner module, without normalisation of waves
        else:
            build = {"Wav2Vec2": models.wav2vec2_model, "WavLM": models.wavlm_model}[bundle._model_type]
            network = build(**bundle._params)
            _load(network, read_checkpoint(checkpoint), checkpoint)
        network.aux = None  # the classes of a speech recogniser, after the official features
        normalize = bundle._normalize_waveform if normalize is None else normalize
        super().__init__(network, network.encoder.transformer, output, layers, normalize, pipeline)

    def run(self, wave: Tensor) -> Tensor:
        return self.network(wave)[0]


def _fairseq_network(settings: dict[str, Any]) -> Any:
    """Build the model of fairseq without the parts for pre-training."""
    if str(settings.get("_name") or settings.get("arch")).startswith("hubert"):
        hubert = import_package("fairseq.models.hubert.hubert")
        config = _filled(hubert.HubertConfig, settings | {"label_rate": 50, "layerdrop": 0.0})
        task = import_package("fairseq.tasks.hubert_pretraining").HubertPretrainingConfig()
        network = hubert.HubertModel(config, task, [None])
    else:
        wav2vec2 = import_package("fairseq.models.wav2vec.wav2vec2")
        network = wav2vec2.Wav2Vec2Model(
            _filled(wav2vec2.Wav2Vec2Config, settings | {"quantize_targets": False, "quantize_input": False})
        )
    network.remove_pretraining_modules()
    network.encoder.layerdrop = 0.0
    return network


def _filled(config: type, settings: dict[str, Any]) -> Any:
    names = [field.name for field in fields(config)]
    return config(**{name: settings[name] for name in names if settings.get(name) is not None})


def _load(network: nn.Module, weights: Any, file: str) -> None:
    try:
        network.load_state_dict(weights)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise InputError(f"{file}: not the weights of this model: {_reason(error)}") from error


@contextmanager
def _weights_only() -> Iterator[None]:
    """Make every ``torch.load`` in the block use ``weights_only=True``."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
