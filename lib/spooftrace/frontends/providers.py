"""Self-supervised models computed by other packages: s3prl, fairseq, torchaudio.

Same weights, same numbers as ``HuggingFace`` (tests/parity/test_providers.py). They are for comparison, and for weights
that exist in one package's format only; ``HuggingFace`` is faster and can be fine-tuned, and `spooftrace
import-checkpoint` makes its folders from the other packages' files.
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

FAMILIES = ("hubert", "unispeech_sat", "wav2vec2", "wavlm", "xls_r", "xlsr")  # how the names in s3prl.hub begin


class Provider(LayeredFrontEnd):
    """What the three have in common: the outputs of ``HuggingFace``, with its numbering of the layers.

    Outputs are taken by hooks on the layers. Only utterances of one length run together: the packages' own batches are
    not exact (s3prl and fairseq normalise the first convolution of Base models over padding, torchaudio the whole batch
    at once). The weights are frozen.

    Args:
        network: As the package builds it.
        encoder: The part of it that has ``layers`` and the final ``layer_norm``.
        output, layers, normalize: As in ``HuggingFace``.
        model: Its name in error messages.
    """

    packable = False  # Other kernels than the package's own would miss the point.
    time_first = True  # whether the layers take (T, B, D), not (B, T, D)

    def __init__(
        self,
        network: nn.Module,
        encoder: nn.Module,
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
        self.blocks = tuple(encoder.layers)  # A tuple, so that they are not saved twice.
        self.freeze_unless_finetuned()

    @abstractmethod
    def run(self, wave: Tensor) -> Tensor:
        """The network's official output (b, T, D) for waves (b, n) without padding; T may be too large by a frame."""

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        if self.normalize:
            wave = standardize(wave, wave_len)
        wave = F.pad(wave, (0, max(0, self.samples_per_frame - wave.shape[1])))
        wave_len = wave_len.clamp(min=self.samples_per_frame)
        if self.output == "pooled":
            return map_by_length(self._outputs, wave, wave_len)
        return map_by_length(self._outputs, wave, wave_len, time=-2, frames=self.count_frames(wave.shape[1]))

    def _outputs(self, wave: Tensor) -> Tensor:
        """wave (b, n) -> what ``output`` names."""
        seen: dict[int, Tensor] = {}
        frames = self.count_frames(wave.shape[1])

        def keep(number: int, x: Any) -> None:
            x = x[0] if isinstance(x, tuple) else x  # Most layers return more beside it.
            x = x.transpose(0, 1) if self.time_first else x  # (T, b, D) -> (b, T, D)
            seen[number] = x[:, :frames]  # fairseq and s3prl fill up to an even number of frames.

        with ExitStack() as hooks:
            for number in sorted(set(self.layers) - {-1}):
                if number == 0:
                    hook = self.blocks[0].register_forward_pre_hook(lambda _, inputs: keep(0, inputs))
                else:
                    hook = self.blocks[number - 1].register_forward_hook(lambda _, __, x, n=number: keep(n, x))
                hooks.enter_context(hook)
            seen[-1] = self.run(wave)[:, :frames]
        outputs = [seen[number] for number in self.layers]
        if self.output == "pooled":
            return torch.cat([output.float().mean(1) for output in outputs], dim=1)  # L x (b, T, D) -> (b, L * D)
        return outputs[0] if self.output == "last" else torch.stack(outputs, dim=1)  # L x (b, T, D) -> (b, L, T, D)


class S3PRL(Provider):
    """wav2vec 2.0, XLS-R, HuBERT, WavLM and UniSpeech-SAT of s3prl (tools/install_s3prl.sh).

    s3prl's own hidden states are layers 0 to L - 1 and -1.

    Args:
        model: Name in ``s3prl.hub``, such as ``wavlm_large``, whose weights s3prl downloads; or with ``checkpoint``
            ``wav2vec2_local``, ``hubert_local``, ``wavlm_local``, ``unispeech_sat_local``.
        checkpoint: File in s3prl's format.
        output, layers: As in ``HuggingFace``.
        normalize: None: what the checkpoint says, which is what s3prl itself does.

    Raises:
        InputError: s3prl is not installed, knows no such model, or cannot get or read its weights.
        ValueError: No such output or layer.
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
        # The module has other functions, too, some of which run a file of the caller.
        if not model.startswith(FAMILIES) or not callable(getattr(hub, model, None)):
            raise InputError(f"s3prl has no model {model!r}: wavlm_large, hubert_base, wav2vec2_local, ... have one")
        if checkpoint is not None and not Path(checkpoint).is_file():
            raise InputError(f"{checkpoint}: no such file")
        with _weights_only():
            try:
                network = getattr(hub, model)(**({} if checkpoint is None else {"ckpt": checkpoint}))
            except Exception as error:  # Many classes: a download, a pickle, a setting, a name of a weight.
                hint = "; give checkpoint, a local file" if checkpoint is None else ""
                raise InputError(f"{checkpoint or model}: s3prl cannot load it ({_reason(error)}){hint}") from error
        encoder = getattr(getattr(network, "model", None), "encoder", None)
        # wav2vec 2.0, HuBERT, WavLM; each of their classes keeps the setting elsewhere.
        settings = [getattr(network, name, None) for name in ("task_cfg", "cfg")]
        holder, key = next(((one, "normalize") for one in settings if one is not None), (network, "wav_normalize"))
        if not hasattr(encoder, "layer_norm") or not hasattr(holder, key):
            raise InputError(f"{model}: not one of s3prl's wav2vec 2.0, HuBERT, WavLM or UniSpeech-SAT models")
        if normalize is None:
            normalize = bool(getattr(holder, key))
        setattr(holder, key, False)  # ``standardize`` does the same, F.layer_norm over the utterance.
        super().__init__(network, encoder, output, layers, normalize, model)

    def run(self, wave: Tensor) -> Tensor:
        return self.network(list(wave))["hidden_states"][-1]  # (b, n) -> b x (n,)


class Fairseq(Provider):
    """wav2vec 2.0, XLS-R and HuBERT of fairseq (tools/install_fairseq.sh).

    Args:
        checkpoint: File of a pre-trained or fine-tuned model as fairseq wrote it. It is read by
            ``spooftrace.pretrained.checkpoint_file``, which runs no code in it, and not by fairseq.
        output, layers: As in ``HuggingFace``.
        normalize: None: what the checkpoint says.

    Raises:
        InputError: fairseq is not installed, or this is no such checkpoint.
        ValueError: No such output or layer.
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
        told = fairseq_wav2vec2.settings(content) if isinstance(content, dict) else {}
        if not told or not isinstance(content.get("model"), dict):
            raise InputError(
                f"{checkpoint}: no fairseq checkpoint with settings and weights; for weights without settings use "
                "spooftrace import-checkpoint and HuggingFace"
            )
        network = _fairseq_network(told)
        weights = content["model"]
        prefix = "w2v_encoder.w2v_model."  # of a model fine-tuned for recognition
        if any(name.startswith(prefix) for name in weights):
            weights = {name[len(prefix) :]: weights[name] for name in weights if name.startswith(prefix)}
        left_out = fairseq_wav2vec2.LEFT_OUT
        _load(network, {name: weights[name] for name in weights if not name.startswith(left_out)}, checkpoint)
        if normalize is None:
            normalize = told.get("normalize", False)
        super().__init__(network, network.encoder, output, layers, normalize, checkpoint)

    def run(self, wave: Tensor) -> Tensor:
        output = self.network.extract_features(wave, padding_mask=None, mask=False)
        return output["x"] if isinstance(output, dict) else output[0]  # wav2vec 2.0; HuBERT


class TorchAudio(Provider):
    """wav2vec 2.0, XLS-R, HuBERT and WavLM of torchaudio (tools/install_torchaudio.sh).

    Args:
        pipeline: Name in ``torchaudio.pipelines`` (``WAV2VEC2_XLSR_300M``, ``WAVLM_LARGE``, ...): the architecture,
            whether waves are normalised, and the weights, which torchaudio downloads.
        checkpoint: File with the state dict to use instead of a download.
        output, layers: As in ``HuggingFace``.
        normalize: None: what the pipeline says.

    Raises:
        InputError: torchaudio is not installed, has no such pipeline, or the weights are not to be had or do not fit.
        ValueError: No such output or layer.
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
            except Exception as error:  # A download may fail in many ways.
                raise InputError(
                    f"{pipeline}: torchaudio cannot download it ({_reason(error)}): give checkpoint, a local file"
                ) from error
            network = getattr(network, "model", network)  # Inside a module that normalises waves.
        else:
            # A pipeline's parts have no public names.
            build = {"Wav2Vec2": models.wav2vec2_model, "WavLM": models.wavlm_model}[bundle._model_type]
            network = build(**bundle._params)
            _load(network, read_checkpoint(checkpoint), checkpoint)
        network.aux = None  # The classes of a recogniser: official are the features below them.
        normalize = bundle._normalize_waveform if normalize is None else normalize
        super().__init__(network, network.encoder.transformer, output, layers, normalize, pipeline)

    def run(self, wave: Tensor) -> Tensor:
        return self.network(wave)[0]


def _fairseq_network(told: dict[str, Any]) -> nn.Module:
    """fairseq's model without the parts that only pre-training needs."""
    if str(told.get("_name") or told.get("arch")).startswith("hubert"):
        hubert = import_package("fairseq.models.hubert.hubert")
        config = _filled(hubert.HubertConfig, told | {"label_rate": 50, "layerdrop": 0.0})
        task = import_package("fairseq.tasks.hubert_pretraining").HubertPretrainingConfig()
        network = hubert.HubertModel(config, task, [None])
    else:
        wav2vec2 = import_package("fairseq.models.wav2vec.wav2vec2")
        network = wav2vec2.Wav2Vec2Model(
            _filled(wav2vec2.Wav2Vec2Config, told | {"quantize_targets": False, "quantize_input": False})
        )
    network.remove_pretraining_modules()
    network.encoder.layerdrop = 0.0
    return network


def _filled(config: type, told: dict[str, Any]) -> Any:
    return config(**{field.name: told[field.name] for field in fields(config) if told.get(field.name) is not None})


def _load(network: nn.Module, weights: Any, file: str) -> None:
    try:
        network.load_state_dict(weights)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise InputError(f"{file}: not the weights of this model: {_reason(error)}") from error


@contextmanager
def _weights_only() -> Iterator[None]:
    """torch.load runs no code of a file in here, whatever it is asked for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
