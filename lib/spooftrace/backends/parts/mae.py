"""A masked autoencoder over spectro-temporal images, with one decoder for each class.

The image is cut into square patches, a vision transformer encodes those that are not masked, and each decoder
reconstructs all of them. A decoder trained on one class reconstructs the others worse; the encoder's tokens attend to
the decoder outputs to use this cue. Module and parameter names are those of the official checkpoints.

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

ATTENTION_HEADS = 16  # of the attention to the decoders' patches
CONTRASTIVE = (512, 128)  # widths of the projection head
# Names of the weights that are copied from AudioMAE, pre-trained on AudioSet; its first layer is for larger images.
PRETRAINED = ("cls_token", "blocks.", "norm.", "mask_token", "decoder_blocks.", "decoder_norm.", "decoder_pred.")


class PatchMask(NamedTuple):
    """Masked patches of each image, the same number in all images.

    Attributes:
        mask: (B, N) bool, True for masked patches.
        order: (B, N), indices of the visible and then of the masked patches, each in ascending order.
        visible: Number of visible patches.
    """

    mask: Tensor
    order: Tensor
    visible: int


def draw_mask(batch: int, grid: Sequence[int], ratio: float, device: torch.device | None = None) -> PatchMask:
    """Mask whole rows (times) and whole columns (frequencies) of the patches, ``ratio / 2`` of each.

    With the published ratio of 0.4 and 16 x 8 patches, 12 rows and 6 columns stay visible: 72 of 128 patches. The draws
    come from torch's generator of that device, rows first, and are determined by ``torch.manual_seed``.
    """
    keep = [max(1, int(size * (1 - ratio / 2))) for size in grid]
    ranks = [torch.rand(batch, size, device=device).argsort(dim=1).argsort(dim=1) for size in grid]
    rows, columns = (rank >= count for rank, count in zip(ranks, keep, strict=True))
    mask = (rows.unsqueeze(2) | columns.unsqueeze(1)).flatten(1)  # (B, R, 1), (B, 1, C) -> (B, R, C) -> (B, N)
    return PatchMask(mask, mask.byte().argsort(dim=1, stable=True), keep[0] * keep[1])


def sincos_positions(grid: Sequence[int], dim: int) -> Tensor:
    """Compute fixed positions of patches in rows and columns: (1, 1 + N, dim), zeros first, for the class token.

    The first half of each vector encodes the column, the second half the row: sines, then cosines, of wavelengths from
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
    """Images (B, T, F) -> one vector per patch (B, N, dim), row by row."""

    def __init__(self, patch: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(1, dim, kernel_size=patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image.unsqueeze(1)).flatten(2).transpose(1, 2)  # (B, 1, T, F) -> (B, dim, R, C) -> (B, N, dim)


class MAEEncoder(nn.Module):
    """Images (B, T, F) -> class token and visible patches, (B, 1 + visible, dim)."""

    def __init__(self, grid: Sequence[int], patch: int, dim: int, depth: int, num_heads: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(sincos_positions(grid, dim), requires_grad=False)
        self.patch_embed = PatchEmbedding(patch, dim)
        self.blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, image: Tensor, mask: PatchMask | None) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed[:, 1:]  # (B, T, F) -> (B, N, D)
        if mask is not None:
            visible = mask.order[:, : mask.visible]
            x = x.gather(1, visible.unsqueeze(2).expand(-1, -1, x.size(2)))  # (B, N, D) -> (B, visible, D)
        token = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([token, x], dim=1)  # -> (B, 1 + visible, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class MAEDecoder(nn.Module):
    """Tokens of the encoder (B, 1 + visible, in_dim) -> pixels of all patches (B, N, patch * patch)."""

    def __init__(self, grid: Sequence[int], patch: int, in_dim: int, dim: int, depth: int, num_heads: int):
        super().__init__()
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.decoder_pos_embed = nn.Parameter(sincos_positions(grid, dim), requires_grad=False)
        self.decoder_embed = nn.Linear(in_dim, dim)
        self.decoder_blocks = nn.ModuleList(Block(dim, num_heads) for _ in range(depth))
        self.decoder_norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_pred = nn.Linear(dim, patch * patch)

    def forward(self, tokens: Tensor, mask: PatchMask | None) -> Tensor:
        x = self.decoder_embed(tokens)  # (B, 1 + visible, E) -> (B, 1 + visible, D)
        if mask is not None:
            batch, patches = mask.order.shape
            masked = self.mask_token.expand(batch, patches - mask.visible, -1).to(x.dtype)
            ordered = torch.cat([x[:, 1:], masked], dim=1)  # (B, N, D), in the order of ``mask.order``
            positions = mask.order.argsort(dim=1).unsqueeze(2).expand_as(ordered)
            x = torch.cat([x[:, :1], ordered.gather(1, positions)], dim=1)  # -> (B, 1 + N, D)
        x = x + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x[:, 1:]))  # (B, N, D) -> (B, N, P * P)


class MultiDecoderMAE(nn.Module):
    """Multi-decoder AudioMAE: images (B, T, F) -> tokens (B, 1 + visible, dim), unmasked (B, 1 + N, dim).

    The tokens of the encoder are queries of an attention to the patches that the decoders reconstruct. 191,816,576
    parameters with the published sizes and 4 decoders; 459,392 of them in ``projection_head``, which the official code
    has for a contrastive loss that it never computes. It exists here for official checkpoints to load, and is neither
    run nor trained.

    Args:
        num_decoders: Number of decoders: the number of classes, or 1.
        image: Height T and width F of the images.
        patch: Side of a patch; must divide T and F.
        encoder: Width, blocks and heads of the encoder.
        decoder: Width, blocks and heads of each decoder.

    Raises:
        ValueError: Sizes that do not fit together.
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
        nn.init.xavier_uniform_(self.encoder.patch_embed.proj.weight.flatten(1))  # as for a linear layer
        mask_tokens = (weight for name, weight in self.named_parameters() if name.endswith(".mask_token"))
        for token in (self.encoder.cls_token, *mask_tokens):
            nn.init.normal_(token, std=0.02)

    def forward(self, image: Tensor, mask_ratio: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """Compute the tokens and the reconstruction error of each decoder.

        Args:
            image: (B, T, F).
            mask_ratio: Masking ratio, see ``draw_mask``; 0 masks nothing.

        Returns:
            Tokens (B, 1 + visible, dim), and the mean squared error over the masked patches (B, num_decoders), None
            without masking.
        """
        mask = draw_mask(len(image), self.grid, mask_ratio, image.device) if mask_ratio else None
        tokens = self.encoder(image, mask)
        decoded = [decoder(tokens, mask) for decoder in self.all_decoders]  # decoders x (B, N, P * P)
        reconstructed = torch.stack(decoded, dim=2)  # -> (B, N, decoders, P * P)
        patches = reconstructed.flatten(1, 2)  # -> (B, N * decoders, P * P)
        attended, _ = self.attn(tokens, self.proj_k(patches), self.proj_v(patches), need_weights=False)
        return attended, None if mask is None else self._errors(image, reconstructed, mask.mask)

    def _errors(self, image: Tensor, reconstructed: Tensor, mask: Tensor) -> Tensor:
        target = self.patches(image).unsqueeze(2).float()  # (B, N, 1, P * P)
        errors = (reconstructed.float() - target).square().mean(dim=3)  # (B, N, decoders)
        return (errors * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True)  # -> (B, decoders)

    def patches(self, image: Tensor) -> Tensor:
        """Cut images into the pixels of each patch: (B, T, F) -> (B, N, patch * patch), row by row."""
        x = image.unflatten(2, (-1, self.patch)).unflatten(1, (-1, self.patch))  # -> (B, R, P, C, P)
        return x.transpose(2, 3).flatten(3).flatten(1, 2)  # -> (B, R, C, P, P) -> (B, N, P * P)

    @torch.no_grad()
    def load_pretrained(self, path: str) -> None:
        """Start the encoder and each decoder from AudioMAE base (``mae_pretrained_base.pth``), as in the official code.

        Blocks, norms, tokens and the last layer are copied; the embeddings of patches and of tokens are not.

        Raises:
            ValueError: The file cannot be read, or its sizes differ.
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
                weight = state.get(name)
                shape = tuple(weight.shape) if isinstance(weight, Tensor) else "missing"
                if shape != tuple(tensor.shape):
                    raise ValueError(f"{path}: {name} is {shape}; the autoencoder needs {tuple(tensor.shape)}")
                tensor.copy_(state[name])
