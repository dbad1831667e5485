"""SASTNet: codec source tracing from semantic and acoustic features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parts.crossmodal import SemanticAcousticFusion
from spooftrace.backends.parts.mae import MultiDecoderMAE
from spooftrace.backends.parts.reconstruction import AutomaticWeighting, Hinge, reconstruction_loss
from spooftrace.backends.parts.shapes import check_shape
from spooftrace.backends.w2v2_aasist import W2V2AASIST

WEIGHTING_LR = 1e-3  # AdamW's default: the official script sets none for the weights of the losses
WINDOW_SLACK = 0.05  # fraction of a window by which an input may exceed one without a second window


class SASTNet(Backend):
    """Semantic-Acoustic Source Tracing Network: frames, and semantic frames -> logits (B, num_outputs), real first.

    Acoustic frames (B, T, input_dim) are projected to the width of an image and encoded by a masked autoencoder with a
    decoder for each class. Cross-modal transformers relate its tokens to Whisper's frames (B, T', semantic_dim). The
    classifier is that of W2V2-AASIST. 234,894,412 parameters with the defaults, which are those of VQ and AUX (DEC with
    3 outputs has 209,082,539, BIN with 2 has 183,270,666), and two weights of the losses. Rows of the paper's tables:

        SASTNet                 SASTNet()
        W2V2 + M-MAE            SASTNet(semantic_dim=None)
        Whisper + M-MAE         SASTNet(input_dim=128, image=[512, 128], spectrum=[mean, deviation])
        M-MAE, S-MAE            the same with semantic_dim=None; S-MAE has num_decoders=1, too

    Streams, in this order: ``frames``, and ``frames`` of Whisper unless ``semantic_dim`` is None. They cover the same
    time; the image covers 82,200 samples by default, as published. Shorter input is repeated from its start; longer
    input is cut into evenly spaced windows whose outputs are averaged.

    In training a fraction of the image is masked (``spooftrace.backends.parts.mae.draw_mask``), and the loss is the
    weighted sum of the loss of the task and the reconstruction loss. Scoring masks nothing.

    Differences from the official code:

    * Tokens keep their order when no patch is masked. The official inference shuffles them (``random_masking`` with
      ratio 0), which makes a score depend on the seed, the batch size and the position in the list.
    * The dev set is scored like test sets: without masking, and with the front-end in evaluation mode.
    * Every frame has a position, see ``CrossModalTransformer``.

    Training calls the optional methods ``total_loss``, ``optimizer_groups``, ``figures``, and ``initialise``.

    Args:
        input_dim: Width of the frames.
        num_outputs: Number of classes.
        semantic_dim: Width of the semantic frames; None leaves out the semantic stream.
        semantic_frames: Number of semantic frames per image.
        image: Frames T and width F of the image.
        spectrum: Mean and standard deviation of a spectrogram that is used as the image after
            (x - mean) / (2 deviation), as in AudioMAE. None projects the frames to the image.
        num_decoders: Number of decoders, 1 or the number of classes; None means the latter.
        patch, encoder, decoder: See ``MultiDecoderMAE``.
        fusion: Layers and heads of each cross-modal transformer.
        reduced_dim: Width of the classifier's input, see ``W2V2AASIST``.
        mask_ratio: Fraction of the image that is masked in training.
        margin, hinge: See ``reconstruction_loss``.
        pretrained: File of AudioMAE base with initial weights, see ``initialise``.

    Raises:
        ValueError: Sizes that do not fit together, an unknown ``hinge``, inputs of another shape.

    Source: Chen et al., "Towards Generalized Source Tracing for Codec-Based Deepfake Speech", arXiv 2506.07294;
    SAST_Net in ResponsibleGenAI/CodecFake-Source-Tracing.
    """

    def __init__(
        self,
        input_dim: int = 1024,
        num_outputs: int = 4,
        semantic_dim: int | None = 768,
        semantic_frames: int = 256,
        image: Sequence[int] = (256, 128),
        spectrum: Sequence[float] | None = None,
        num_decoders: int | None = None,
        patch: int = 16,
        encoder: Sequence[int] = (768, 12, 12),
        decoder: Sequence[int] = (512, 8, 16),
        fusion: Sequence[int] = (2, 16),
        reduced_dim: int = 128,
        mask_ratio: float = 0.4,
        margin: float = 0.1,
        hinge: Hinge = "each",
        pretrained: str | None = None,
    ):
        super().__init__()
        if num_decoders not in (None, 1, num_outputs):
            raise ValueError(f"num_decoders must be 1 or one for each of the {num_outputs} outputs, not {num_decoders}")
        if hinge not in ("each", "mean"):
            raise ValueError(f"hinge must be each or mean, not {hinge}")
        if not 0 < mask_ratio < 1:
            raise ValueError(f"mask_ratio must lie between 0 and 1, not {mask_ratio}")
        if spectrum is not None and (len(spectrum) != 2 or input_dim != image[1]):
            raise ValueError(
                f"spectrum is a mean and a deviation, of frames as wide as the image; got {list(spectrum)}"
            )
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.widths = (input_dim,) if semantic_dim is None else (input_dim, semantic_dim)  # of the streams
        self.layouts = (("frames",),) * len(self.widths)
        self.image_frames = image[0]
        self.semantic_frames = semantic_frames
        self.spectrum = spectrum
        self.mask_ratio, self.margin, self.hinge = mask_ratio, margin, hinge
        self.pretrained = pretrained
        self.projection = nn.Linear(input_dim, image[1]) if spectrum is None else None
        self.mae = MultiDecoderMAE(num_decoders or num_outputs, image, patch, encoder, decoder)
        dim = encoder[0]
        self.fusion = None if semantic_dim is None else SemanticAcousticFusion(dim, semantic_dim, *fusion)
        self.classifier = W2V2AASIST(dim, num_outputs, reduced_dim)
        self.weighting = AutomaticWeighting("reconstruction", "classification")
        self._errors: Tensor | None = None  # of the last training batch, for ``total_loss``

    def forward(self, *streams: Tensor) -> Tensor:
        windows, (frames, *semantic) = self._windows(*streams)
        tokens, errors = self.mae(self._image(frames), self.mask_ratio if self.training else 0.0)
        if errors is not None:
            errors = errors.unflatten(0, (windows, -1)).mean(dim=0)  # (W * B, K) -> (B, K), for K decoders
        self._errors = errors
        if self.fusion is not None:
            tokens = self.fusion(tokens, *semantic)  # (B, tokens, D) and (B, T', E) -> (B, tokens, D)
        outputs = self.classifier(tokens)  # -> (W * B, num_outputs)
        return outputs.unflatten(0, (windows, -1)).mean(dim=0)  # -> (W, B, num_outputs) -> (B, num_outputs)

    def attention_maps(self, *streams: Tensor) -> dict[str, Tensor]:
        """Return the attention maps of the cross-modal transformers for the first window.

        See ``SemanticAcousticFusion.run``. The acoustic tokens are a class token and the patches, row by row, with
        ``mae.grid[1]`` patches for each time step.

        Raises:
            ValueError: This model has no semantic stream.
        """
        if self.fusion is None:
            raise ValueError("a model without semantic frames has no cross-modal attention")
        _, (frames, semantic) = self._windows(*streams)
        batch = len(streams[0])
        tokens, _ = self.mae(self._image(frames[:batch]))
        return self.fusion.run(tokens, semantic[:batch], with_maps=True)[1]

    def total_loss(
        self, loss: Tensor, targets: Tensor, whole: Callable[[Tensor], Tensor] = lambda share: share
    ) -> Tensor:
        """Combine the loss of the task with the reconstruction loss of the last ``forward`` batch.

        Args:
            loss: Loss of the task, of the batch of all ranks.
            targets: Targets (B,) of the batch of all ranks.
            whole: Gathers a tensor of this rank's batch from all ranks.

        Returns:
            The scalar to minimise.

        Raises:
            ValueError: The last ``forward`` was not in training mode, or an item has several targets.
        """
        if self._errors is None:
            raise ValueError("total_loss must follow a forward in training mode")
        if targets.ndim != 1 and self._errors.size(1) > 1:
            raise ValueError("several decoders need one class for each item; with several tasks take num_decoders: 1")
        errors, self._errors = self._errors, None
        return self.weighting(reconstruction_loss(whole(errors), targets, self.margin, self.hinge), loss)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Return the weights of the losses as a group with its own learning rate and no weight decay."""
        return [{"params": list(self.weighting.parameters()), "lr": WEIGHTING_LR, "weight_decay": 0.0}]

    def figures(self) -> dict[str, float]:
        """Return the factors of both losses."""
        return {f"weight_{name}": weight for name, weight in self.weighting.weights().items()}

    def initialise(self) -> str:
        """Load ``pretrained`` before the first training step, and return one line for the log.

        Raises:
            ValueError: The file cannot be read, or its sizes differ.
        """
        if self.pretrained is None:
            return "masked autoencoder: random weights (backend.init_args.pretrained names no file of AudioMAE base)"
        self.mae.load_pretrained(self.pretrained)
        return f"masked autoencoder: starts from {self.pretrained}"

    def _image(self, frames: Tensor) -> Tensor:
        """(B, T, input_dim) -> (B, T, F)."""
        if self.projection is not None:
            return self.projection(frames)
        assert self.spectrum is not None  # the constructor sets one of the two
        mean, deviation = self.spectrum
        return (frames - mean) / (2 * deviation)

    def _windows(self, *streams: Tensor) -> tuple[int, list[Tensor]]:
        """Cut the streams into W evenly spaced windows: return W, and each stream as (W * B, frames of a window, D)."""
        if len(streams) != len(self.layouts):
            raise ValueError(f"SASTNet takes {len(self.layouts)} streams here; got {len(streams)}")
        frames, *semantic = streams
        check_shape(self, frames, "frames", ("B", "T", self.input_dim))
        if self.fusion is not None:
            for x in semantic:
                check_shape(self, x, "frames", (len(frames), "T", self.fusion.semantic_dim))
        windows = max(1, math.ceil(frames.size(1) / self.image_frames - WINDOW_SLACK))
        lengths = (self.image_frames, self.semantic_frames)[: len(streams)]
        return windows, [_cut(x, length, windows) for x, length in zip(streams, lengths, strict=True)]


def _cut(x: Tensor, length: int, windows: int) -> Tensor:
    """(B, T, D) -> (windows * B, length, D), evenly spaced; what is shorter than ``length`` is repeated first."""
    if x.size(1) < length:
        x = x[:, torch.arange(length, device=x.device) % x.size(1)]
    starts = torch.linspace(0, x.size(1) - length, windows).round().int().tolist()
    return torch.cat([x[:, start : start + length] for start in starts])
