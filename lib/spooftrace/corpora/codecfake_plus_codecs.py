"""The 31 codecs and the 17 speech-generation models of CodecFake+, and what the corpus's taxonomy says about them.

Three questions are asked about a codec: how it quantizes (``vq``: multi-codebook ``mvq``, single-codebook ``svq``,
scalar ``sq``), which auxiliary objective it was trained with (``aux``: ``none``, semantic distillation ``sem``,
disentanglement ``disent``), and what its decoder predicts (``dec``: the waveform, ``time``, or a spectrum, ``freq``).
Bona fide speech is ``real`` in all three. So it stands in the data directories; the corpus's files spell it in three
ways.

Source: the label lists and the dictionaries of the authors' source-tracing repository, which agree with each other
(Chen et al. 2025, "Codec-based deepfake source tracing via neural audio codec taxonomy", arXiv 2505.12994).

``nac`` (kHz, kbit/s, quantizers; ``-`` where not known) comes from the codec's name and the usual figures of that
checkpoint: bit rate = frame rate x quantizers x log2(codebook). It has not been compared with the authors' settings.
"""

from __future__ import annotations

from dataclasses import dataclass

REAL = "real"
TASKS = {"vq": ("mvq", "svq", "sq"), "aux": ("none", "sem", "disent"), "dec": ("time", "freq")}


@dataclass(frozen=True)
class Codec:
    """One codec of CoRS: the family it belongs to, its classes, its parameters."""

    family: str
    vq: str
    aux: str
    dec: str
    nac: str = "- - -"


# The key is the end of a file name, p225_001_KEY.wav, misspellings included.
CODECS = {
    "SpeechTokenizer_hubert_avg": Codec("SpeechTokenizer", "mvq", "sem", "time", "16 4 8"),
    "DAC24": Codec("DAC", "mvq", "none", "time", "24 24 32"),
    "Encodec_6b24k": Codec("EnCodec", "mvq", "none", "time", "24 6 8"),
    "Encodec_24b24k": Codec("EnCodec", "mvq", "none", "time", "24 24 32"),
    "HiFi_Codec_16k_320d_large_universal": Codec("HiFi-Codec", "mvq", "none", "time", "16 2 4"),
    "FunCodec_zh_en-general-16k-nq32ds320": Codec("FunCodec", "mvq", "none", "time", "16 16 32"),
    "FunCodec_en-libritts-16k-gr1nq32ds320": Codec("FunCodec", "mvq", "none", "freq", "16 16 32"),
    "FACodec_encodec-decoder-v2_16k": Codec("FACodec", "mvq", "disent", "time", "16 4.8 6"),
    "llm_codec": Codec("LLM-Codec", "mvq", "sem", "time"),
    "snac_24khz": Codec("SNAC", "mvq", "none", "time", "24 0.98 3"),
    "snac_44khz": Codec("SNAC", "mvq", "none", "time", "44.1 - -"),
    "xcodec_hubert_libirispeech": Codec("X-Codec", "mvq", "sem", "time"),
    "xocdec_hubert_general_audio": Codec("X-Codec", "mvq", "sem", "time"),
    "bigcodec": Codec("BigCodec", "svq", "none", "time", "- - 1"),
    "ticodec_1g1r": Codec("TiCodec", "svq", "disent", "time", "- - 1"),
    "ticodec_1g2r": Codec("TiCodec", "mvq", "disent", "time", "- - 2"),
    "ticodec_1g4r": Codec("TiCodec", "mvq", "disent", "time", "- - 4"),
    "mini": Codec("Mimi", "mvq", "sem", "time", "24 1.1 8"),
    "sqcodec50dim9": Codec("SQ-Codec", "sq", "none", "time"),
    "SemantiCodec_0.35kbps_16k": Codec("SemantiCodec", "mvq", "sem", "freq", "16 0.35 -"),
    "SemantiCodec_0.70kbps_16k": Codec("SemantiCodec", "mvq", "sem", "freq", "16 0.7 -"),
    "SemantiCodec_1.40kbps_16k": Codec("SemantiCodec", "mvq", "sem", "freq", "16 1.4 -"),
    "wavtokenizer_small_320_24k_4096": Codec("WavTokenizer", "svq", "none", "freq", "24 0.9 1"),
    "wavtokenizer_medium_320_24k_4096": Codec("WavTokenizer", "svq", "none", "freq", "24 0.9 1"),
    "languagecodec": Codec("Language-Codec", "mvq", "none", "freq"),
    "vocos_encodec_6": Codec("Vocos", "mvq", "none", "freq", "24 6 8"),
    "vocos_encodec_12": Codec("Vocos", "mvq", "none", "freq", "24 12 16"),
    "socodec_16384x4_120ms_16khz_chinese": Codec("SoCodec", "mvq", "disent", "freq", "16 0.467 4"),
    "audiodec_24k_320d": Codec("AudioDec", "mvq", "none", "freq", "24 6.4 8"),
    "spectralcodecs": Codec("Spectral Codecs", "sq", "none", "freq"),
    "hilcodec_speech": Codec("HILCodec", "mvq", "none", "time"),
}
# Other spellings of the same, one of the authors' dictionary and two that put a name right.
SPELLINGS = {
    "mimicodec": "mini",
    "xcodec_hubert_general_audio": "xocdec_hubert_general_audio",
    "xcodec_hubert_librispeech": "xcodec_hubert_libirispeech",
}
NOT_IN_CORS_ALL = "Encodec_24b24k"


@dataclass(frozen=True)
class Model:
    """One speech-generation model of CoSG: the classes of its codec, and how many clips there are of each label."""

    vq: str
    aux: str
    dec: str
    bonafide: int
    spoof: int


MODELS = {
    "CLAMTTS": Model("mvq", "none", "freq", 41, 78),
    "ELLAV": Model("mvq", "none", "time", 8, 8),
    "GPST": Model("mvq", "none", "time", 10, 30),
    "MASKGCT": Model("mvq", "none", "freq", 576, 576),
    "NS2": Model("mvq", "none", "time", 23, 23),
    "NS3": Model("mvq", "disent", "time", 32, 32),
    "RALLE": Model("mvq", "none", "time", 5, 5),
    "SIMPLESPEECH1": Model("sq", "none", "time", 34, 32),
    "SIMPLESPEECH2": Model("sq", "none", "time", 31, 31),
    "SINGLECODEC": Model("svq", "disent", "freq", 8, 14),
    "SPEECHX": Model("mvq", "none", "time", 8, 8),
    "TACOLM": Model("mvq", "none", "time", 8, 8),
    "TI1G1R": Model("svq", "disent", "time", 6, 6),
    "UNIAUDIO": Model("mvq", "none", "time", 11, 11),
    "USLM": Model("mvq", "sem", "time", 5, 5),
    "VALLE": Model("mvq", "none", "time", 53, 57),
    "VIOLA": Model("mvq", "none", "time", 7, 7),
}
UNKNOWN_CODEC = (
    "NS2",
    "SINGLECODEC",
    "MASKGCT",
)  # models whose codec is not in CoRS: "CoSG (kn. codec)" leaves them out
