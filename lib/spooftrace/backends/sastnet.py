"""SASTNet: what a codec has done to speech, told from what is said and how it sounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spooftrace.backends.parts.crossmodal import SemanticAcousticFusion
from spooftrace.backends.parts.mae import MultiDecoderMAE
from spooftrace.backends.parts.reconstruction import AutomaticWeighting, Hinge, reconstruction_loss
from spooftrace.backends.parts.shapes import check_shape
from spooftrace.backends.w2v2_aasist import W2V2AASIST

WEIGHTING_LR = 1e-3  # AdamW's default, because the official script names none for the weights of the losses
WINDOW_SLACK = 0.05  # of a window; so many frames more do not make a second one


class SASTNet(nn.Module):
    """Semantic-Acoustic Source Tracing Network: frames, and semantic frames -> logits (B, num_outputs), real first.

    Acoustic frames (B, T, input_dim) are projected to the width of an image, which a masked autoencoder with a decoder
    for each class refines; cross-modal transformers relate its tokens to Whisper's frames (B, T', semantic_dim); the
    classifier is that of W2V2-AASIST. 234,894,412 parameters with the defaults, which are those of VQ and AUX (DEC with
    3 outputs 209,082,539, BIN with 2 183,270,666), and two more, the weights of the losses. Rows of the paper's tables:

        SASTNet                 SASTNet()
        W2V2 + M-MAE            SASTNet(semantic_dim=None)
        Whisper + M-MAE         SASTNet(input_dim=128, image=[512, 128], spectrum=[mean, deviation])
        M-MAE, S-MAE            the same with semantic_dim=None; S-MAE has num_decoders=1, too

    Streams, in this order: ``frames``, and ``frames`` of Whisper unless ``semantic_dim`` is None. They cover the same
    time, and the image as many frames as the published 82,200 samples give. Shorter input is repeated from its start;
    longer input is cut into windows that cover all of it, whose outputs are averaged.

    In training a share of the image is hidden (``spooftrace.backends.parts.mae.hide``), and the loss is the weighted
    sum of that of the task and the reconstruction loss. Otherwise nothing is hidden.

    Unlike the released code:

    * Tokens keep their order where nothing is hidden, as they do in training. There, inference shuffles them
      (``random_masking`` with ratio 0): a score depends on the seed, the batch size and the place in the list.
    * The dev set is scored as test sets are, with nothing hidden and the front-end in evaluation mode.
    * Every frame has its position, see ``CrossModalTransformer``.

    Optional methods that training calls: ``total_loss``, ``optimizer_groups``, ``figures``, and ``initialise``.

    Args:
        input_dim: Width of the frames.
        num_outputs: Number of classes.
        semantic_dim: Width of the semantic frames; None does without them.
        semantic_frames: How many of them belong to an image.
        image: Frames T and width F of the image.
        spectrum: The frames are the image, after (x - mean) / (2 deviation) with this mean and deviation, as AudioMAE
            takes its spectrograms; None: they are projected to it.
        num_decoders: 1, or one for each class (None).
        patch, encoder, decoder: See ``MultiDecoderMAE``.
        fusion: Layers and heads of each cross-modal transformer.
        reduced_dim: Width of the classifier's input, see ``W2V2AASIST``.
        mask_ratio: Of the image, in training.
        margin, hinge: See ``reconstruction_loss``.
        pretrained: File of AudioMAE base that a training starts from, see ``initialise``.

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
        self._errors: Tensor | None = None  # of the last batch in training, for ``total_loss``

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
        """What the cross-modal transformers look at, see ``SemanticAcousticFusion.run``; of the first window.

        The acoustic tokens are a class token and the patches, row by row: ``mae.grid[1]`` of them for each time.

        Raises:
            ValueError: There are no semantic frames in this model.
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
        """Loss to minimise, from the loss of the task and its targets (B,), for the batch of the last ``forward``.

        Loss and targets are those of the whole batch; ``whole`` makes it of the share that this process has seen.

        Raises:
            ValueError: That was not in training, or an item has several targets.
        """
        if self._errors is None:
            raise ValueError("total_loss belongs to training, right after forward")
        if targets.ndim != 1 and self._errors.size(1) > 1:
            raise ValueError("several decoders need one class for each item; with several tasks take num_decoders: 1")
        errors, self._errors = self._errors, None
        return self.weighting(reconstruction_loss(whole(errors), targets, self.margin, self.hinge), loss)

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """The weights of the losses have a learning rate of their own and no weight decay."""
        return [{"params": list(self.weighting.parameters()), "lr": WEIGHTING_LR, "weight_decay": 0.0}]

    def figures(self) -> dict[str, float]:
        """The factors of both losses."""
        return {f"weight_{name}": weight for name, weight in self.weighting.weights().items()}

    def initialise(self) -> str:
        """Load ``pretrained`` before the first training step, and return one line for the log.


        Raises:
            ValueError: It cannot be read, or is of other sizes.
        """
        if self.pretrained is None:
            return "masked autoencoder: random weights (backend.init_args.pretrained names no file of AudioMAE base)"
        self.mae.load_pretrained(self.pretrained)
        return f"masked autoencoder: starts from {self.pretrained}"

    def _image(self, frames: Tensor) -> Tensor:
        """(B, T, input_dim) -> (B, T, F)."""
        if self.projection is not None:
            return self.projection(frames)
        mean, deviation = self.spectrum
        return (frames - mean) / (2 * deviation)

    def _windows(self, *streams: Tensor) -> tuple[int, list[Tensor]]:
        """Streams cut into W windows that together cover them: W, and each stream (W * B, frames of a window, D)."""
        if len(streams) != len(self.layouts):
            raise ValueError(f"SASTNet takes {len(self.layouts)} streams here; got {len(streams)}")
        frames, *semantic = streams
        check_shape(self, frames, "frames", ("B", "T", self.input_dim))
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
