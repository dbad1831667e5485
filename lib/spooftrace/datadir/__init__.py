"""The Kaldi data directory: a folder of sorted tables that says which audio there is and what is known about it.

| file | line |
|---|---|
| ``wav.scp`` | utterance (with ``segments``: recording), path of the audio file relative to the recipe's folder |
| ``segments`` | utterance, recording, start, end (seconds); only where utterances are cut out of longer recordings |
| ``utt2spk``, ``spk2utt`` | utterance, speaker; and the inverse |
| ``utt2label`` | ``bonafide`` or ``spoof`` |
| ``utt2attack`` | what made a spoofed utterance, ``-`` for bona fide speech (``utt2system`` is read, too) |
| ``utt2dur`` | seconds |
| ``utt2codec``, ``utt2vq``, ``utt2aux``, ``utt2dec`` | codec; class of its quantizer, auxiliary objective, decoder |
| ``utt2nac`` | codec parameters: sampling rate (kHz), bitrate (kbit/s), number of quantizers; ``-`` where unknown |
| ``utt2subset``, ``utt2cond`` | subset of the official protocol; transmission or coding condition |
| ``convention`` | one word, no table: whose rules the set is evaluated by (``spooftrace evaluate --help``) |
| ``feats.scp`` | utterance, ``archive:offset`` (see ``spooftrace.archive``) |

``python3 -m spooftrace.cli.datadir --help`` lists the commands behind ``utils/``. Standard library only.
"""

from spooftrace.datadir.directory import FILES, DataDir, validate
from spooftrace.datadir.tables import (
    read_list,
    read_table,
    spk2utt_from_utt2spk,
    table_path,
    utt2spk_from_spk2utt,
    write_table,
)

__all__ = [
    "FILES",
    "DataDir",
    "read_list",
    "read_table",
    "spk2utt_from_utt2spk",
    "table_path",
    "utt2spk_from_spk2utt",
    "validate",
    "write_table",
]
