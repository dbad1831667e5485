"""Model files in the formats of other projects, with random weights."""

import re

import numpy as np
import soundfile
import torch
import transformers
from torch import nn

HUB = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}


# (transformers' name, fairseq's), written from the projects' class definitions, as the inverse of the tested mapping
FAIRSEQ = [
    (r"masked_spec_embed", "mask_emb"),
    (r"feature_projection\.projection", "post_extract_proj"),
    (r"feature_projection\.layer_norm", "layer_norm"),
    (r"(conv_layers\.\d)\.conv", r"\1.0"),
    (r"pos_conv_embed\.conv\.parametrizations\.weight\.original0", "pos_conv.0.weight_g"),
    (r"pos_conv_embed\.conv\.parametrizations\.weight\.original1", "pos_conv.0.weight_v"),
    (r"pos_conv_embed\.conv\.bias", "pos_conv.0.bias"),
    (r"(encoder\.layers\.\d)\.layer_norm", r"\1.self_attn_layer_norm"),
    (r"attention\.gru_rel_pos_const", "attention.grep_a"),
    (r"attention\.gru_rel_pos_linear", "attention.grep_linear"),
    (r"attention\.rel_attn_embed", "attention.relative_attention_bias"),
    (r"\.attention\.", ".self_attn."),
    (r"feed_forward\.intermediate_dense", "fc1"),
    (r"feed_forward\.output_dense", "fc2"),
]


def tiny(kind, large, width=64, layers=2):
    """Return a random model; for width 768 the number of heads is known without settings."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{HUB[kind]}Config")(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=4 if width == 64 else 12, intermediate_size=32,
        conv_dim=[16] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, conv_bias=large,
        feat_extract_norm="layer" if large else "group", do_stable_layer_norm=large,
    )  # fmt: skip
    model = getattr(transformers, f"{HUB[kind]}Model")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def fairseq_names(model, large):
    state = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in [*FAIRSEQ, (r"(conv_layers\.\d)\.layer_norm", r"\1.2.1" if large else r"\1.2")]:
            name = re.sub(ours, theirs, name)
        state[name] = tensor
    return state


AASIST_L = {"channels": [32, 32, 24, 24, 24, 24], "gat_dims": [24, 32], "pool_ratios": [0.4, 0.5, 0.7]}


def randomised(backend):
    """Randomise weights and statistics, to differ from those of a new model."""
    torch.manual_seed(1)
    for name, tensor in backend.state_dict().items():
        if tensor.is_floating_point():
            tensor.add_(0.1 * (torch.rand_like(tensor) if name.endswith("running_var") else torch.randn_like(tensor)))
    return backend.eval()


def saved(folder, state, name="official.pth"):
    torch.save(state, folder / name)
    return folder / name


def recording(folder, samples=5000):
    wave = (0.1 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)
    soundfile.write(folder / "call.wav", wave, 16000, subtype="FLOAT")
    return folder / "call.wav", torch.from_numpy(wave)


def with_ssl(network, backend, prefix="", ssl_prefix="ssl_model.model."):
    """Return the file of a system that contains the self-supervised model, including its pre-training heads."""
    state = {f"{prefix}{name}": tensor for name, tensor in backend.items()}
    extra = {"quantizer.vars": torch.ones(1), "project_q.weight": torch.ones(1)}
    return state | {f"{prefix}{ssl_prefix}{name}": t for name, t in (fairseq_names(network, True) | extra).items()}


class Whole(nn.Module):
    """A module with these tensors, for a whole-module pickle like that of Codecfake."""

    def __init__(self, state):
        super().__init__()
        parts = {}
        for name, tensor in state.items():
            first, dot, rest = name.partition(".")
            if dot:
                parts.setdefault(first, {})[rest] = tensor
            elif tensor.is_floating_point():
                self.register_parameter(first, nn.Parameter(tensor))
            else:
                self.register_buffer(first, tensor)
        for name, part in parts.items():
            self.add_module(name, Whole(part))
        self.pool = nn.MaxPool2d(3)  # a class of PyTorch
