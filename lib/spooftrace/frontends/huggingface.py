"""Self-supervised speech models in transformers: wav2vec 2.0 (XLS-R, MMS), HuBERT, WavLM, UniSpeech, UniSpeech-SAT."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.common.errors import InputError
from spooftrace.frontends.base import length_mask
from spooftrace.frontends.layered import EPSILON, LayeredFrontEnd, check_layers, standardize
from spooftrace.pretrained.finding import from_pretrained, locate_model, normalizes, pretrained_config, without_weights

CLASSES = {  # config.json's model_type -> class of transformers
    "hubert": "HubertModel",
    "unispeech": "UniSpeechModel",
    "unispeech-sat": "UniSpeechSatModel",
    "wav2vec2": "Wav2Vec2Model",
    "wavlm": "WavLMModel",
}


class HuggingFace(LayeredFrontEnd):
    """Layers of a self-supervised model: wave (B, N) -> 50 vectors per second (of 25 ms each) for all public models.

    Layers are numbered as in ``Whisper``: 0 is the input of the first layer, k the output of layer k, -1 the official
    output. The relation of the last layer and -1 depends on the model:

    * Pre-norm models (``do_stable_layer_norm: true``: XLS-R, MMS, WavLM Large, HuBERT Large): -1 is the last layer
      after the encoder's final LayerNorm, fairseq's ``x``; the other outputs are before it, fairseq's
      ``layer_results``.
    * Post-norm models (false: the Base models): that LayerNorm precedes the first layer, each layer ends with its own,
      and -1 equals the last layer.

    s3prl's hidden states are layers 0 to L - 1 and -1. Hooks collect the outputs, because the last entry of
    transformers' ``hidden_states`` is before that LayerNorm in version 5 and after it in version 4.

    Args:
        model: Folder or Hugging Face name, see ``spooftrace.pretrained.finding``.
        output: ``layers`` gives (B, L, T, D); ``last`` gives one layer as frames (B, T, D); ``pooled`` gives the means
            of the layers over time, concatenated (B, L * D).
        layers: Numbers of the layers, in this order; default: 1, 2, ... for ``layers``, -1 for ``last`` and ``pooled``.
            Layers above the highest are neither kept nor computed.
        normalize: Whether each utterance is normalised to mean 0 and variance 1 over its samples, as by
            ``F.layer_norm(wave, wave.shape)`` in fairseq, unilm and s3prl. None follows the model's
            ``preprocessor_config.json``, which describes its pre-training. Published anti-spoofing systems often
            differ; their values are in ``conf/systems``.
        finetune: Train the model, with the dropout of its ``config.json``. The experiment then holds its weights, and
            loading the experiment needs no pretrained ones.
        frozen_layers: Parts that ``finetune`` does not train: None for no part, 0 for the convolutional feature
            extractor, n also for the projection, the positions and the first n layers.
        normalize_eps: Constant added to the variance in the normalisation: 1e-5 in fairseq, unilm and s3prl, 1e-7 in
            transformers' ``Wav2Vec2FeatureExtractor``, which Codecfake uses. At an RMS level of 0.1 the two waves
            differ by 0.05 %, at 0.01 by 5 %, at 0.001 by a factor of 3.2.

    Layer drop and SpecAugment are always off: they would remove layers and mask frames. Models of Base size normalise
    their first convolution over time; transformers includes the padding, this class does not. Utterances shorter than
    one frame (400 samples) are padded with zeros to one.

    Raises:
        InputError: The model is not available or of another kind.
        ValueError: An unknown output or layer.
    """

    # Modules of transformers; their classes depend on the model.
    feature_extractor: Any
    feature_projection: Any
    encoder: Any

    def __init__(
        self,
        model: str,
        output: Literal["layers", "last", "pooled"] = "last",
        layers: list[int] | None = None,
        normalize: bool | None = None,
        finetune: bool = False,
        frozen_layers: int | None = None,
        normalize_eps: float = EPSILON,
    ):
        if frozen_layers is not None and not finetune:
            raise ValueError("frozen_layers needs finetune: true; without it all layers are frozen")
        model, pretrained = locate_model(model, finetune)
        config, network = _load(model, pretrained)
        layers = check_layers(layers, output, config.num_hidden_layers, model)
        if normalize is None:
            normalize = normalizes(model)
        if normalize is None:
            raise InputError(f"{model}: has no preprocessor_config.json with do_normalize; set normalize")
        convolutions = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        super().__init__(output, layers, normalize, config.hidden_size, convolutions, finetune, normalize_eps)
        # The names are those of transformers; the masking vector and the adapter are not used.
        self.feature_extractor = network.feature_extractor
        self.feature_projection = network.feature_projection
        self.encoder = network.encoder
        if -1 not in layers:
            self.encoder.layers = self.encoder.layers[: max(layers)]
            if config.do_stable_layer_norm:  # not used; DDP would wait for its gradient
                self.encoder.layer_norm = nn.Identity()
        self.fixed = self._fix(frozen_layers)
        self.freeze_unless_finetuned()

    def _fix(self, frozen_layers: int | None) -> Sequence[nn.Module]:
        """Freeze and return the parts that are not fine-tuned (a tuple: a ModuleList would save them twice)."""
        if frozen_layers is None:
            return ()
        if not 0 <= frozen_layers <= len(self.encoder.layers):
            raise ValueError(f"frozen_layers {frozen_layers}: must be 0..{len(self.encoder.layers)}")
        fixed: list[nn.Module] = [self.feature_extractor]
        if frozen_layers > 0:
            fixed += [self.feature_projection, self.encoder.pos_conv_embed, *self.encoder.layers[:frozen_layers]]
            if not self.encoder.config.do_stable_layer_norm:
                fixed.append(self.encoder.layer_norm)
        for part in fixed:
            part.requires_grad_(False)
        return tuple(fixed)

    def train(self, mode: bool = True) -> HuggingFace:
        super().train(mode)
        for part in self.fixed:
            part.eval()
        return self

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        if self.normalize:
            wave = standardize(wave, wave_len, self.normalize_eps)
        wave = F.pad(wave, (0, max(0, self.samples_per_frame - wave.shape[1])))
        lengths = self.count_frames(wave_len)  # (B,)
        x = self._convolve(wave, wave_len).transpose(1, 2)  # (B, N) -> (B, C, T) -> (B, T, C)
        x = _first(self.feature_projection(x))  # (B, T, C) -> (B, T, D)
        mask = length_mask(lengths, x.shape[1])
        outputs = self._encode(x, None if mask.all() else mask)
        outputs = [output * mask.unsqueeze(2) for output in outputs]
        if self.output == "pooled":
            outputs = [output.float().sum(1) / lengths.unsqueeze(1) for output in outputs]  # (B, T, D) -> (B, D)
            return torch.cat(outputs, dim=1)  # L x (B, D) -> (B, L * D)
        return outputs[0] if self.output == "last" else torch.stack(outputs, dim=1)  # L x (B, T, D) -> (B, L, T, D)

    def _convolve(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        """Run the convolutions, (B, N) -> (B, C, T), without padding in the norm over time of Base models."""
        first, *others = self.feature_extractor.conv_layers
        x = wave.unsqueeze(1)  # (B, N) -> (B, 1, N)
        if isinstance(getattr(first, "layer_norm", None), nn.GroupNorm):
            kernel, stride = self.convolutions[0]
            frames = (wave_len.clamp(min=self.samples_per_frame) - kernel) // stride + 1
            x = first.conv(x)  # (B, 1, N) -> (B, C, F)
            x = first.activation(masked_group_norm(x, length_mask(frames, x.shape[2]), first.layer_norm))
        else:
            x = first(x)
        for layer in others:
            x = layer(x)
        return x

    def _encode(self, x: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Compute the selected layers, each (B, T, D), of projected frames (B, T, D) with a mask (B, T) or None."""
        outputs: dict[int, Tensor] = {}

        def keep(number: int, _module: nn.Module, _inputs: Any, output: Any) -> None:
            outputs[number] = _first(output)

        # The output of the dropout is the input of the first layer, even if no layer is kept.
        modules = [self.encoder.dropout, *self.encoder.layers]
        with ExitStack() as hooks:
            for number in set(self.layers) - {-1}:
                hooks.enter_context(modules[number].register_forward_hook(partial(keep, number)))
            outputs[-1] = self.encoder(x, attention_mask=mask).last_hidden_state
        return [outputs[number] for number in self.layers]


def masked_group_norm(x: Tensor, mask: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Apply ``norm``, one group per channel, with statistics over the frames of ``mask`` (B, F): (B, C, F) -> same.

    Frames outside the mask become finite values without meaning.
    """
    if mask.all():
        return norm(x)
    mask = mask.unsqueeze(1)  # (B, F) -> (B, 1, F)
    count = mask.sum(2, keepdim=True)
    x = x.float()  # as torch's norms do under autocast
    x = x - (x * mask).sum(2, keepdim=True) / count
    variance = (x * mask).square().sum(2, keepdim=True) / count
    return x * torch.rsqrt(variance + norm.eps) * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1)


def _load(model: str, pretrained: bool) -> tuple[Any, nn.Module]:
    """Load ``config.json`` and the network in float32, without layer drop and masking of frames.

    Without ``pretrained`` the weights of the network are undefined.
    """
    import transformers  # takes seconds to import

    config = pretrained_config(model)
    if config.model_type not in CLASSES:
        raise InputError(f"{model}: a model of type '{config.model_type}'; HuggingFace takes {', '.join(CLASSES)}")
    if getattr(config, "conv_pos_batch_norm", False):
        raise InputError(f"{model}: conv_pos_batch_norm lets padding into the features; not supported")
    config.layerdrop = 0.0
    config.mask_time_prob = config.mask_feature_prob = 0.0
    model_class = getattr(transformers, CLASSES[config.model_type])
    network = from_pretrained(model_class, model, config=config) if pretrained else without_weights(model_class, config)
    if config.model_type == "wavlm":  # the only one without sdpa attention in transformers
        for layer in network.encoder.layers:
            layer.attention.torch_multi_head_self_attention = MethodType(_wavlm_attention, layer.attention)
    return config, network


def _wavlm_attention(
    attention: Any, x: Tensor, mask: Tensor | None, bias: Tensor, *_unused: Any
) -> tuple[Tensor, Tensor | None]:
    """Compute WavLM's attention for x (B, T, D) by sdpa, without returning the attention weights.

    ``mask`` (B, T) is True for frames of the utterance; ``bias`` (B * H, T, T) holds the gated relative positions.
    """
    heads = (len(x), -1, attention.num_heads, attention.head_dim)
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    query, key, value = (project(x).view(heads).transpose(1, 2) for project in projections)  # (B, T, D) -> (B, H, T, d)
    bias = bias.unflatten(0, (len(x), -1))  # (B * H, T, T) -> (B, H, T, T)
    if mask is not None:
        bias = bias.masked_fill(~mask[:, None, None].bool(), -torch.inf)
    dropout = attention.dropout if attention.training else 0.0
    x = F.scaled_dot_product_attention(query, key, value, bias.to(query.dtype), dropout)
    return attention.out_proj(x.transpose(1, 2).flatten(2)), None  # (B, H, T, d) -> (B, T, D)


def _first(output: Any) -> Tensor:
    """Return a tensor, or the first of a tuple: modules return either, depending on the version of transformers."""
    return output[0] if isinstance(output, tuple) else output
