"""Speaker embeddings from speechbrain (``tools/install_speechbrain.sh``): x-vector and ECAPA-TDNN, on VoxCeleb."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.common.errors import InputError
from spooftrace.frontends.base import FrontEnd, Length
from spooftrace.frontends.by_length import map_by_length
from spooftrace.pretrained.checkpoint_file import read_checkpoint
from spooftrace.pretrained.finding import find_folder, models_folder, require_hub
from spooftrace.pretrained.packages import import_package

FILE = "embedding_model.ckpt"
MIN_SAMPLES = 800  # both networks reflect up to 4 frames of 10 ms at the ends


class _Speaker(FrontEnd):
    """Log-mel energies minus their mean over the utterance -> network -> one vector (B, D) per utterance.

    The features are those of speechbrain's ``EncoderClassifier.encode_batch``. Utterances are batched by length,
    because padding would change the output of speechbrain's convolutions. The settings are those of the published
    models; their ``hyperparams.yaml`` is not read, because reading it can run code. Utterances shorter than 50 ms are
    padded with zeros. The weights are frozen.
    """

    packable = False  # speechbrain's modules access attributes of their convolutions

    def __init__(self, model: str, network: nn.Module, n_mels: int, dim: int):
        path = _weights_file(model)
        try:
            network.load_state_dict(read_checkpoint(path))
        except (AttributeError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: not the weights of {type(self).__name__}: {reason}") from error
        super().__init__("vector", dim=dim, frame_rate=0)
        self.filters = import_package("speechbrain.lobes.features").Fbank(n_mels=n_mels)
        self.network = network
        self.freeze_unless_finetuned()

    def num_frames(self, num_samples: Length) -> Length:
        return torch.ones_like(num_samples) if isinstance(num_samples, Tensor) else 1

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {}

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        wave = F.pad(wave, (0, max(0, MIN_SAMPLES - wave.shape[1])))
        return map_by_length(self._embed, wave, wave_len.clamp(min=MIN_SAMPLES))

    def _embed(self, wave: Tensor) -> Tensor:
        x = self.filters(wave)  # (b, n) -> (b, T, mels)
        return self.network(x - x.mean(1, keepdim=True)).squeeze(1)  # (b, 1, D) -> (b, D)


class XVector(_Speaker):
    """x-vector (Snyder et al. 2018): 512 numbers per utterance, from 24 log-mel energies; 4.2 M parameters.

    speechbrain adds random numbers below 1e-4 to the means of its statistics pooling, also at inference. This class
    replaces them by zeros, which makes the vectors reproducible.

    Args:
        model: Folder or Hugging Face name with ``embedding_model.ckpt``.

    Raises:
        InputError: Speechbrain is not installed, the model cannot be had, or it is another one.
    """

    def __init__(self, model: str = "speechbrain/spkrec-xvect-voxceleb"):
        network = import_package("speechbrain.lobes.models.Xvector").Xvector(in_channels=24, lin_neurons=512)
        pooling = import_package("speechbrain.nnet.pooling").StatisticsPooling
        for module in network.modules():
            if isinstance(module, pooling):
                module._get_gauss_noise = torch.zeros
        super().__init__(model, network, n_mels=24, dim=512)


class ECAPA(_Speaker):
    """ECAPA-TDNN (Desplanques et al. 2020): 192 numbers per utterance, from 80 log-mel energies; 20.8 M parameters.

    Args:
        model: Folder or Hugging Face name with ``embedding_model.ckpt``.

    Raises:
        InputError: Speechbrain is not installed, the model cannot be had, or it is another one.
    """

    def __init__(self, model: str = "speechbrain/spkrec-ecapa-voxceleb"):
        ecapa = import_package("speechbrain.lobes.models.ECAPA_TDNN").ECAPA_TDNN
        network = ecapa(input_size=80, channels=[1024, 1024, 1024, 1024, 3072], lin_neurons=192)
        super().__init__(model, network, n_mels=80, dim=192)


def _weights_file(model: str) -> Path:
    """Find ``embedding_model.ckpt`` in a folder, the models folder, the Hugging Face cache or the hub."""
    folder = find_folder(model)
    local = models_folder()
    if folder is None and local is not None and (local / Path(model).name / FILE).is_file():
        folder = local / Path(model).name  # speechbrain's folders may lack config.json
    if folder is not None:
        return folder / FILE  # ``read_checkpoint`` reports a missing file
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(model, FILE, local_files_only=True))
    except OSError:
        require_hub(model)
        return Path(hf_hub_download(model, FILE))
