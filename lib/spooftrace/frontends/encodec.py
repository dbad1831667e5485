"""EnCodec (Défossez et al. 2022, "High fidelity neural audio compression"): codes and codebook vectors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.frontends.base import Codebook, FrontEnd, Layout, Length
from spooftrace.frontends.by_length import map_by_length
from spooftrace.frontends.resample import Resample
from spooftrace.pretrained.checkpoint_file import read_checkpoint
from spooftrace.pretrained.finding import from_pretrained
from spooftrace.pretrained.packages import import_package

RATE = 24000  # sample rate of the codec, Hz
LAYOUTS: dict[str, Layout] = {"codes": "codes", "sum": "frames", "quantizers": "layers"}  # output -> layout


class _EnCodec(FrontEnd):
    """Base class of both implementations.

    Utterances are batched by length without padding: if the length is not a multiple of a frame, EnCodec's convolutions
    reflect the end of the utterance, and padding would change the last frame.
    """

    packable = False  # other rounding can change the choice between two codes at nearly equal distances

    network: Any  # a module of transformers or of the encodec package

    def __init__(
        self,
        network: nn.Module,
        codebooks: Sequence[Codebook],
        bandwidth: float,
        bandwidths: Sequence[float],
        hop: int,
        output: Literal["codes", "sum", "quantizers"],
    ):
        """Set up a network with one codebook per quantizer, (K, D) in ``embed``, and a list of valid bandwidths."""
        if output not in LAYOUTS:
            raise ValueError(f"output {output!r} is none of {', '.join(LAYOUTS)}")
        if bandwidth not in bandwidths:
            raise ValueError(f"bandwidth {bandwidth} kbit/s is none of {', '.join(map(str, bandwidths))}")
        size, width = codebooks[0].embed.shape
        # Bits per code times codes per second, as in both packages.
        count = max(1, int(1000 * bandwidth // ((size - 1).bit_length() * -(-RATE // hop))))
        super().__init__(LAYOUTS[output], dim=count if output == "codes" else width, frame_rate=RATE / hop)
        self.output = output
        self.bandwidth = float(bandwidth)
        self.hop = hop
        self.network = network
        self.codebooks = tuple(codebooks[:count])  # a tuple, because a ModuleList would save them twice
        self.resample = Resample(SAMPLE_RATE, RATE)
        self.freeze_unless_finetuned()

    @abstractmethod
    def encode(self, wave: Tensor) -> Tensor:
        """Encode waves (b, 1, n) at 24 kHz as codes (b, Q, T)."""

    def num_frames(self, num_samples: Length) -> Length:
        return (self.resample.num_samples(num_samples) + self.hop - 1) // self.hop

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {"bandwidth": self.bandwidth, "output": self.output}

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        time = -1 if self.output == "codes" else -2
        # Rounding in reduced precision would change codes.
        with torch.autocast(wave.device.type, enabled=False):
            return map_by_length(self._outputs, wave.float(), wave_len, time, self.num_frames(wave.shape[1]))

    def _outputs(self, wave: Tensor) -> Tensor:
        """Compute the outputs of waves (b, n) at 16 kHz."""
        codes = self.encode(self.resample(wave).unsqueeze(1))  # (b, n) -> (b, 1, 3 n / 2) -> (b, Q, T)
        if self.output == "codes":
            return codes
        vectors = [F.embedding(codes[:, q], book.embed) for q, book in enumerate(self.codebooks)]  # Q x (b, T, D)
        # Added in this order, because a sum of a stack would round differently.
        return (
            reduce(torch.add, vectors) if self.output == "sum" else torch.stack(vectors, dim=1)
        )  # -> (b, T, D) or (b, Q, T, D)


class EnCodec(_EnCodec):
    """EnCodec at 24 kHz from transformers: wave (B, N) at 16 kHz -> T = ceil(N / 16000 * 75) frames, 75 per second.

    The wave is resampled (``Resample``) and not normalised. The codec is frozen, and its decoder is not kept.

    Args:
        bandwidth: 1.5, 3, 6, 12 or 24 kbit/s, which is 2, 4, 8, 16 or 32 quantizers. There is deliberately no default:
            that of transformers is 1.5, with 2 quantizers.
        output: ``codes`` gives the indices (B, Q, T), integers from 0 to 1023; ``sum`` the sum of the codebook vectors
            (B, T, 128), which is the decoder's input; ``quantizers`` the vectors of each quantizer (B, Q, T, 128).
        model: Folder or Hugging Face name, see ``spooftrace.pretrained.finding``.

    Raises:
        InputError: The model is not available, or not a mono model at 24 kHz without normalisation.
        ValueError: An unknown bandwidth or output.
    """

    def __init__(
        self,
        bandwidth: float,
        output: Literal["codes", "sum", "quantizers"] = "codes",
        model: str = "facebook/encodec_24khz",
    ):
        from transformers import EncodecModel  # takes seconds to import

        network: Any = from_pretrained(EncodecModel, model)
        config = network.config
        kind = (config.sampling_rate, config.audio_channels, config.normalize, config.chunk_length_s)
        if kind != (RATE, 1, False, None):
            raise InputError(f"{model}: not a model of whole mono waves at 24 kHz (the one at 48 kHz is for music)")
        del network.decoder
        codebooks = [layer.codebook for layer in network.quantizer.layers]
        super().__init__(
            network, codebooks, bandwidth, config.target_bandwidths, prod(config.upsampling_ratios), output
        )

    def encode(self, wave: Tensor) -> Tensor:
        return self.network.encode(wave, bandwidth=self.bandwidth).audio_codes[0]


class EnCodecPackage(_EnCodec):
    """``EnCodec`` computed by Meta's encodec package (``tools/install_encodec.sh``): equal weights give equal codes.

    Args:
        bandwidth: Bandwidth in kbit/s, see ``EnCodec``.
        checkpoint: File with the package's state dict (``encodec_24khz-d7cc33bc.th``).
        output: Kind of output, see ``EnCodec``.

    Raises:
        InputError: The package is not installed, or the file does not hold its weights.
        ValueError: An unknown bandwidth or output.
    """

    def __init__(self, bandwidth: float, checkpoint: str, output: Literal["codes", "sum", "quantizers"] = "codes"):
        network = import_package("encodec").EncodecModel.encodec_model_24khz(pretrained=False)
        try:
            network.load_state_dict(read_checkpoint(checkpoint))
        except (AttributeError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{checkpoint}: not the encodec package's model at 24 kHz: {reason}") from error
        del network.decoder
        codebooks = [layer._codebook for layer in network.quantizer.vq.layers]
        super().__init__(network, codebooks, bandwidth, network.target_bandwidths, network.encoder.hop_length, output)

    def encode(self, wave: Tensor) -> Tensor:
        self.network.set_target_bandwidth(self.bandwidth)
        ((codes, _),) = self.network.encode(wave)
        return codes
