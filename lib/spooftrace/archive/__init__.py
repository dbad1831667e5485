"""The Kaldi ark/scp store: one array per key, written once, read by key from a mapped file without copying.

An **ark** is a sequence of entries ``key SPACE data``; an **scp** is a table of ``key path:offset`` lines, the offset
being that of the data. Kaldi and kaldiio read what is written here:

| array | stored as |
|---|---|
| float32 or float64, 1 or 2 axes | Kaldi's binary vector or matrix (``FV``, ``FM``, ``DV``, ``DM``) |
| float32, 2 axes, with ``compress`` | Kaldi's two-byte matrix (``CM2``): 65,536 steps from minimum to maximum |
| float32, more axes, with ``compress``: layers (L, T, D) | float16 in a ``.npy`` file, as below |
| the rest: codes (Q, T), layers (L, T, D), float16 ... | a ``.npy`` file inside the entry, as by kaldiio |

Kaldi's own tools do not know the last kind; kaldiio, and with it ESPnet, does. Read, but never written, are Kaldi's
one-byte matrices (``CM``, ``CM3``) and vectors and matrices as text. Pickled objects, audio and vectors of integers are
refused by name.

>>> import os, tempfile
>>> import numpy as np
>>> folder = tempfile.mkdtemp()
>>> ark, scp = os.path.join(folder, "feats.ark"), os.path.join(folder, "feats.scp")
>>> with ArchiveWriter(ark, scp) as writer:
...     writer.write("utt1", np.ones((3, 2), np.float32))
>>> ArchiveReader(scp)["utt1"].sum()
np.float32(6.0)
"""

from spooftrace.archive.reader import ArchiveReader, StoredArray, is_whole, merge_scp, read_scp, read_sequential
from spooftrace.archive.sums import damaged_entries, merge_sums, read_sums
from spooftrace.archive.writer import ArchiveWriter

__all__ = [
    "ArchiveReader",
    "ArchiveWriter",
    "StoredArray",
    "damaged_entries",
    "is_whole",
    "merge_scp",
    "merge_sums",
    "read_scp",
    "read_sequential",
    "read_sums",
]
