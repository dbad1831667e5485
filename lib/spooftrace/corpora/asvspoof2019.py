"""ASVspoof 2019, logical access (LA).

Where it comes from. Edinburgh DataShare, handle 10283/3336: ``LA.zip``; licence ODC-By. Papers: Todisco et al. 2019,
"ASVspoof 2019: Future horizons in spoofed and fake audio detection"; Wang et al. 2020, "ASVspoof 2019: A large-scale
public database".

How it lies on disk (``--root`` is the folder with ``LA``, or ``LA`` itself)::

    LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt      train is .trn
                                    ASVspoof2019.LA.cm.{dev,eval}.trl.txt     the others are .trl
    LA/ASVspoof2019_LA_{train,dev,eval}/flac/LA_{T,D,E}_#######.flac      16 kHz; enrolment speech is here too

Other layouts are searched for: protocols in another folder, audio in ``wav`` or all in one folder, FLAC converted to
WAV.

A line is ``SPEAKER UTT - ATTACK KEY``, e.g. ``LA_0098 LA_T_9839348 - A06 spoof``; ``-`` is the attack of bona fide
speech. Train and dev share the attacks A01 to A06, eval has A07 to A19.

Beware: leading and trailing silence gives the class away in part (Mueller et al. 2021, "Speech is silver, silence is
golden").
"""

from __future__ import annotations

from pathlib import Path

from spooftrace.corpora.corpus import Corpus, Expected
from spooftrace.corpora.protocol import Trials, rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

SEEN = [f"A{number:02d}" for number in range(1, 7)]
PROTOCOLS = ("ASVspoof2019_LA_cm_protocols", "ASVspoof_LA_cm_protocols")
UNSEEN = [f"A{number:02d}" for number in range(7, 20)]
SETS = {
    "train": ("trn", Expected(2580, 22800, dict.fromkeys(SEEN, 3800))),
    "dev": ("trl", Expected(2548, 22296, dict.fromkeys(SEEN, 3716))),
    "eval": ("trl", Expected(7355, 63882, dict.fromkeys(UNSEEN, 4914))),
}


def prepare(request: Request) -> list[DataDir]:
    """Write ``train``, ``dev`` and ``eval``."""
    folders = [folder for name in SETS for folder in audio_places(name)]
    corpus = Corpus.from_request("ASVspoof 2019 LA", request, SETS, "asvspoof2019", inner=("LA",), tree=folders)
    protocols = {
        name: [f"{folder}/ASVspoof2019.LA.cm.{name}.{ending}.txt" for folder in PROTOCOLS]
        for name, (ending, _) in SETS.items()
    }
    for name, path in corpus.label_files(protocols).items():
        with corpus.preparing(name):
            corpus.write(name, read_protocol(path), SETS[name][1], audio_places(name), labels=path)
    return corpus.finish()


def audio_places(name: str) -> list[str]:
    """Folders where the audio of a set may be, the official one first."""
    return [f"ASVspoof2019_LA_{name}/{audio}" for audio in ("flac", "wav")] + [f"ASVspoof2019_LA_{name}"]


def read_protocol(path: str | Path) -> Trials:
    """The trials of a countermeasure protocol: speaker, label, attack (``utt2attack``).

    Raises:
        InputError: a line is not of this corpus (file and line are named).
    """
    trials = Trials(r"LA_[TDE]_\d{7}", {"utt2attack": {"-", *SEEN, *UNSEEN}})
    for number, (speaker, utt, _, attack, label) in rows(path, 5):
        trials.add((path, number), utt, speaker=speaker, label=label, attack=attack)
    return trials
