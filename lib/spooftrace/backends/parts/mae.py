"""A masked autoencoder over spectro-temporal images, with one decoder for each class.

The image is cut into square patches, a vision transformer encodes those that are not hidden, and each decoder draws all
of them again. A decoder that has learned to redraw one class draws the others worse, so what the decoders say is told
to the encoder's tokens by attention. Module and parameter names are those of the official checkpoints.

Source: Chen et al., "Towards Generalized Source Tracing for Codec-Based Deepfake Speech", arXiv 2506.07294, section
III-B; SAST_Net/model_MAE.py in ResponsibleGenAI/CodecFake-Source-Tracing. Huang et al., "Masked Autoencoders that
Listen", NeurIPS 2022, for the autoencoder with one decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.common.errors import InputError
from spooftrace.pretrained.checkpoint_file import read_checkpoint

ATTENTION_HEADS = 16  # of the attention over the decoders' patches
CONTRASTIVE = (512, 128)  # widths of the projection head
# What the AudioMAE that was trained on AudioSet is taken over from; its first layer is for larger images.
PRETRAINED = ("cls_token", "blocks.", "norm.", "mask_token", "decoder_blocks.", "decoder_norm.", "decoder_pred.")


class Hidden(NamedTuple):
    """Which of N patches are hidden, for each image: the same number in all of them.

    Attributes:
        mask: (B, N) bool, True for hidden ones.
        order: (B, N), numbers of the patches that are seen and then of those that are hidden, both ascending.
        seen: How many are seen.
    """

    mask: Tensor
    order: Tensor
    seen: int


def hide(batch: int, grid: Sequence[int], ratio: float, device: torch.device | None = None) -> Hidden:
    """Hide whole rows (times) and whole columns (frequencies) of the patches, each half of ``ratio`` of them.

    With the published ratio of 0.4 and 16 x 8 patches, 12 rows and 6 columns are left: 72 of 128 patches. The draws
    come from torch's generator of that device, rows first, so they follow from ``torch.manual_seed``.
    """
    keep = [max(1, int(size * (1 - ratio / 2))) for size in grid]
    ranks = [torch.rand(batch, size, device=device).argsort(dim=1).argsort(dim=1) for size in grid]
    rows, columns = (rank >= count for rank, count in zip(ranks, keep, strict=True))
    mask = (rows.unsqueeze(2) | columns.unsqueeze(1)).flatten(1)  # (B, R, 1), (B, 1, C) -> (B, R, C) -> (B, N)
    return Hidden(mask, mask.byte().argsort(dim=1, stable=True), keep[0] * keep[1])


def sincos_positions(grid: Sequence[int], dim: int) -> Tensor:
    """Fixed positions of patches in rows and columns: (1, 1 + N, dim), a zero vector first, for the class token.

    The first half of each vector tells the column, the second half the row: sines, then cosines, of wavelengths from
    2 pi to 10000 * 2 pi.
    """
    rows, columns = (torch.arange(size, dtype=torch.float64) for size in grid)
    places = torch.cartesian_prod(rows, columns).flip(1)  # (N, 2), the column first
    rates = 10000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    angles = places.unsqueeze(2) * rates  # (N, 2, dim / 4)
    vectors = torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)  # (N, 2, dim / 2) -> (N, dim)
    return F.pad(vectors, (0, 0, 1, 0)).unsqueeze(0).float()  # -> (1, 1 + N, dim)


class SelfAttention(nn.Module):
    """Multi-head self-attention, (B, T, D) -> (B, T, D)."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.qkv(x).unflatten(2, (3, self.num_heads, -1))  # (B, T, D) -> (B, T, 3 D) -> (B, T, 3, H, D / H)
        queries, keys, values = x.permute(2, 0, 3, 1, 4)  # -> 3 x (B, H, T, D / H)
        x = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(x.transpose(1, 2).flatten(2))  # (B, H, T, D / H) -> (B, T, D)


class FeedForward(nn.Module):
    """Two layers with GELU between them, (B, T, in_dim) -> (B, T, out_dim)."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Block of a vision transformer, LayerNorm before each half: (B, T, D) -> (B, T, D)."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = SelfAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = FeedForward(dim, 4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """Images (B, T, F) -> one vector for each patch (B, N, dim), row by row."""

    def __init__(self, patch: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image.unsqueeze(1)).flatten(2).transpose(1, 2)  # (B, 1, T, F) -> (B, dim, R, C) -> (B, N, dim)


class MAEEncoder(nn.Module):
    """Images (B, T, F) -> class token and the patches that are seen, (B, 1 + seen, dim)."""

    def __init__(self, grid: Sequence[int], patch: int, dim: int, depth: int, num_heads: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(sincos_positions(grid, dim), requires_grad=False)
        self.patch_embed = PatchEmbedding(patch, dim)
        self.blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, image: Tensor, hidden: Hidden | None) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed[:, 1:]  # (B, T, F) -> (B, N, D)
        if hidden is not None:
            seen = hidden.order[:, : hidden.seen]
            x = x.gather(1, seen.unsqueeze(2).expand(-1, -1, x.size(2)))  # (B, N, D) -> (B, seen, D)
        token = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([token, x], dim=1)  # -> (B, 1 + seen, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class MAEDecoder(nn.Module):
    """Tokens of the encoder (B, 1 + seen, in_dim) -> the pixels of all patches (B, N, patch * patch)."""

    def __init__(self, grid: Sequence[int], patch: int, in_dim: int, dim: int, depth: int, num_heads: int):
        super().__init__()
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.decoder_pos_embed = nn.Parameter(sincos_positions(grid, dim), requires_grad=False)
        self.decoder_embed = nn.Linear(in_dim, dim)
        self.decoder_blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_pred = nn.Linear(dim, patch * patch)

    def forward(self, tokens: Tensor, hidden: Hidden | None) -> Tensor:
        x = self.decoder_embed(tokens)  # (B, 1 + seen, E) -> (B, 1 + seen, D)
        if hidden is not None:
            batch, patches = hidden.order.shape
            blanks = self.mask_token.expand(batch, patches - hidden.seen, -1).to(x.dtype)
            drawn = torch.cat([x[:, 1:], blanks], dim=1)  # (B, N, D), in the order of ``hidden``
            place = hidden.order.argsort(dim=1).unsqueeze(2).expand_as(drawn)
            x = torch.cat([x[:, :1], drawn.gather(1, place)], dim=1)  # -> (B, 1 + N, D)
        x = x + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x[:, 1:]))  # (B, N, D) -> (B, N, P * P)


class MultiDecoderMAE(nn.Module):
    """Multi-decoder AudioMAE: images (B, T, F) -> tokens (B, 1 + seen, dim), with all patches seen (B, 1 + N, dim).

    The tokens of the encoder are queries of an attention whose keys and values are the patches that the decoders have
    drawn. 191,816,576 parameters with the published sizes and 4 decoders; 459,392 of them in ``projection_head``, which
    the official code has for a contrastive loss that it never computes. It is here so that official checkpoints load,
    is not run, and is not trained.

    Args:
        num_decoders: Number of decoders, one for each class, or 1.
        image: Height T and width F of the images.
        patch: Side of a patch; divides both.
        encoder: Width, blocks and heads of the encoder.
        decoder: Width, blocks and heads of each decoder.

    Raises:
        ValueError: Sizes that do not divide each other.
    """

    def __init__(
        self,
        num_decoders: int = 4,
        image: Sequence[int] = (256, 128),
        patch: int = 16,
        encoder: Sequence[int] = (768, 12, 12),
        decoder: Sequence[int] = (512, 8, 16),
    ):
        super().__init__()
        if len(image) != 2 or any(size % patch or size < 2 * patch for size in image):
            least = f"{2 * patch} or more each"
            raise ValueError(f"image must be two multiples of patch {patch}, {least}; got {list(image)}")
        for name, sizes in (("encoder", encoder), ("decoder", decoder)):
            if len(sizes) != 3 or sizes[0] % 4 or sizes[0] % sizes[2]:
                wanted = "width, blocks and heads, with a width that 4 and the heads divide"
                raise ValueError(f"{name} must be {wanted}; got {list(sizes)}")
        if encoder[0] % ATTENTION_HEADS:
            raise ValueError(f"the width of the encoder must be a multiple of {ATTENTION_HEADS}; got {encoder[0]}")
        self.patch = patch
        self.grid = tuple(size // patch for size in image)
        dim = encoder[0]
        self.encoder = MAEEncoder(self.grid, patch, *encoder)
        self.all_decoders = nn.ModuleList(MAEDecoder(self.grid, patch, dim, *decoder) for _ in range(num_decoders))
        self.proj_k = nn.Linear(patch * patch, dim)
        self.proj_v = nn.Linear(patch * patch, dim)
        self.attn = nn.MultiheadAttention(dim, ATTENTION_HEADS, batch_first=True)
        self.projection_head = FeedForward(dim, *CONTRASTIVE).requires_grad_(False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as AudioMAE does: Xavier for linear layers and patches, N(0, 0.02) for the two tokens."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.encoder.patch_embed.proj.weight.flatten(1))  # as if it were a linear layer
        for token in (self.encoder.cls_token, *(decoder.mask_token for decoder in self.all_decoders)):
            nn.init.normal_(token, std=0.02)

    def forward(self, image: Tensor, mask_ratio: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """Tokens, and how badly each decoder has drawn what was hidden.

        Args:
            image: (B, T, F).
            mask_ratio: Half of it is the share of times that are hidden, half that of frequencies (``hide``); 0 hides
                nothing.

        Returns:
            Tokens (B, 1 + seen, dim); mean squared error over the hidden patches (B, num_decoders), None without any.
        """
        hidden = hide(len(image), self.grid, mask_ratio, image.device) if mask_ratio else None
        tokens = self.encoder(image, hidden)
        drawn = torch.stack(
            [decoder(tokens, hidden) for decoder in self.all_decoders], dim=2
        )  # (B, N, decoders, P * P)
        patches = drawn.flatten(1, 2)  # -> (B, N * decoders, P * P)
        attended, _ = self.attn(tokens, self.proj_k(patches), self.proj_v(patches), need_weights=False)
        return attended, None if hidden is None else self._errors(image, drawn, hidden.mask)

    def _errors(self, image: Tensor, drawn: Tensor, mask: Tensor) -> Tensor:
        wanted = self.patches(image).unsqueeze(2).float()  # (B, N, 1, P * P)
        errors = (drawn.float() - wanted).square().mean(dim=3)  # (B, N, decoders)
        return (errors * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True)  # -> (B, decoders)

    def patches(self, image: Tensor) -> Tensor:
        """The pixels of each patch: (B, T, F) -> (B, N, patch * patch), row by row."""
        x = image.unflatten(2, (-1, self.patch)).unflatten(1, (-1, self.patch))  # -> (B, R, P, C, P)
        return x.transpose(2, 3).flatten(3).flatten(1, 2)  # -> (B, R, C, P, P) -> (B, N, P * P)

    @torch.no_grad()
    def load_pretrained(self, path: str) -> None:
        """Start the encoder and each decoder from AudioMAE base (``mae_pretrained_base.pth``), as in the official code.

        Blocks, norms, tokens and the last layer are copied; the embeddings of patches and of tokens are not.

        Raises:
            ValueError: The file cannot be read, or is of other sizes.
        """
        try:
            content = read_checkpoint(path)
        except InputError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise ValueError(f"{path}: no AudioMAE can be read from it: {reason}") from error
        state = content.get("model") if isinstance(content, dict) else None
        if not isinstance(state, dict):
            raise ValueError(f"{path}: no AudioMAE can be read from it: it has no weights under 'model'")
        for part in (self.encoder, *self.all_decoders):
            for name, tensor in part.state_dict().items():
                if not name.startswith(PRETRAINED):
                    continue
                given = state.get(name)
                shape = tuple(given.shape) if isinstance(given, Tensor) else "missing"
                if shape != tuple(tensor.shape):
                    raise ValueError(f"{path}: {name} is {shape}; the autoencoder needs {tuple(tensor.shape)}")
                tensor.copy_(state[name])
