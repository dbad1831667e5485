"""CtrSVDD (SVDD Challenge 2024): singing voice deepfake detection under controlled conditions.

Where it comes from. Zenodo 10467648 (train, dev) and 12703261 (eval with labels); licence CC BY-NC-ND 4.0. Paper: Zang
et al. 2024, "CtrSVDD: a benchmark dataset and baseline analysis for controlled singing voice deepfake detection".

How it lies on disk (``--root``)::

    train.txt  dev.txt  test_groundtruth.txt
    {train_set,dev_set,test_set}/CtrSVDD_####_{T,D,E}_#######.flac     16 kHz; the folders may lack their '_set'

A line is ``SOURCE SINGER UTT - ATTACK KEY``, e.g. ``jvsmusic CtrSVDD_0097 CtrSVDD_0097_D_0010993 - A06 deepfake``;
``-`` is the attack of bona fide singing. ``utt2source`` is SOURCE. Train and dev share the attacks A01 to A08, eval has
A09 to A14. The challenge ranks by the EER without A14 and without the bona fide singing of ``acesinger``:
``spooftrace evaluate`` follows that rule by ``utt2attack`` and ``utt2source``, and a data directory of just these is
made by ``utils/subset_data_dir.sh --where 'utt2attack!=A14' --where 'utt2source!=acesinger'``.

The bona fide singing of four databases is listed but not in the release; everyone cuts it out of recordings under
licences of their own, at times listed in github.com/SVDDChallenge/CtrSVDD_Utils (``--timestamps`` is its folder
``timestamps``)::

    --bonafide oniku=ONIKU_KURUMI_UTAGOE_DB --bonafide ofuton=OFUTON_P_UTAGOE_DB     train
    --bonafide kiritan=kiritan_singing --bonafide jvs=jvs_music_ver1                 dev, both

A line of these files is ``PATH UTT START END``, in seconds. It is separated by blanks, where the challenge's own script
asks for tabs and stops. The cuts are made as by that script: the whole recording is converted to 16 kHz, then cut at
``int(seconds * 16000)`` and written as 16-bit FLAC, to ``OUT/audio/ctrsvdd``. A ``segments`` table would do without
files, but reading then converts each piece by itself, which changes its ends (by up to 0.005 of full scale in a trial).
Cutting goes on where it was interrupted; remove a cut to have it made again.

Beware: early versions of jvs_timestamps_dev.txt have other ids than dev.txt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.corpora.corpus import Corpus, Expected, MissingFiles
from spooftrace.corpora.protocol import Trials, rows
from spooftrace.corpora.request import Request
from spooftrace.datadir import DataDir

SEEN = [f"A{number:02d}" for number in range(1, 9)]
UNSEEN = [f"A{number:02d}" for number in range(9, 15)]
# set -> protocols, audio folders, counts
SETS = {
    "train": (("train.txt",), ("train_set", "train"), Expected(12169, 72235)),
    "dev": (("dev.txt",), ("dev_set", "dev"), Expected(6547, 37078)),
    "eval": (("test_groundtruth.txt", "test.txt"), ("test_set", "test", "eval_set", "eval"), Expected(13596, 79173)),
}
# database -> the sets that have singing of it
DATABASES = {"oniku": ("train",), "ofuton": ("train",), "kiritan": ("dev",), "jvs": ("train", "dev")}
UTT = r"CtrSVDD_\d+_[A-Z]_\d+"
LINE = rf"\S+\s+\S+\s+{UTT}\s"


@dataclass(frozen=True)
class Cut:
    """A piece of a recording, in seconds, that is to become an utterance."""

    utt: str
    recording: Path
    start: float
    end: float


def prepare(request: Request, bonafide: Sequence[str] = (), timestamps: Path | None = None) -> list[DataDir]:
    """Write ``train``, ``dev`` and ``eval``, after cutting the bona fide singing that was asked for."""
    databases = parse_databases(bonafide, timestamps)
    tree = [folder for _, folders, _ in SETS.values() for folder in folders]
    corpus = Corpus.from_request("CtrSVDD", request, SETS, "ctrsvdd", tree=tree)
    for name, protocol in corpus.label_files({name: entry[0] for name, entry in SETS.items()}, LINE).items():
        with corpus.preparing(name):
            _, folders, expected = SETS[name]
            trials = read_protocol(protocol)
            utts = trials.tables["utt2spk"]
            cuts = read_cuts(name, databases, timestamps, protocol, utts)
            outside = make_cuts(cuts, request.out / "audio/ctrsvdd" / name)
            try:
                corpus.write(name, trials, expected, folders, labels=protocol, outside=outside)
            except MissingFiles as error:
                needed = [
                    database for database, sets in DATABASES.items() if name in sets and database not in databases
                ]
                hint = f"; singing of {', '.join(needed)} is not in the release, see --bonafide" if needed else ""
                raise MissingFiles(f"{error}{hint}") from None
    return corpus.finish()


def read_protocol(path: str | Path) -> Trials:
    """The trials of a protocol: singer, label, attack (``utt2attack``), database of the singer (``utt2source``).

    Raises:
        InputError: a line is not of this corpus (file and line are named).
    """
    trials = Trials(UTT, {"utt2attack": {"-", *SEEN, *UNSEEN}})
    for number, (source, singer, utt, _, attack, label) in rows(path, 6):
        trials.add((path, number), utt, speaker=singer, label=label, attack=attack, source=source)
    return trials


def parse_databases(words: Iterable[str], timestamps: Path | None) -> dict[str, Path]:
    """Database -> its folder, from ``NAME=DIR``.

    Raises:
        InputError: an unknown name, no folder, or no ``--timestamps`` with them.
    """
    databases: dict[str, Path] = {}
    for word in words:
        name, _, folder = word.partition("=")
        if name not in DATABASES or not folder:
            raise InputError(f"--bonafide {word}: expected NAME=DIR with NAME one of {', '.join(DATABASES)}")
        if not Path(folder).is_dir():
            raise InputError(f"--bonafide {word}: no such folder; give the folder of the database as it was unpacked")
        databases[name] = Path(folder)
    if databases and timestamps is None:
        raise InputError("--bonafide needs --timestamps, the folder 'timestamps' of CtrSVDD_Utils")
    return databases


def read_cuts(
    name: str, databases: dict[str, Path], timestamps: Path | None, protocol: Path, utts: Iterable[str]
) -> list[Cut]:
    """What is to be cut for one set.

    Raises:
        InputError: no such file of times, a line of it is wrong, an utterance is not in the protocol, or a recording is
            not in the database.
    """
    cuts = []
    known = set(utts)
    for database, folder in databases.items():
        if name not in DATABASES[database]:
            continue
        path = Path(timestamps or "") / f"{database}_timestamps_{name}.txt"
        for number, (file, utt, *times) in rows(path, 4):
            try:
                start, end = map(float, times)
            except ValueError:
                raise InputError(f"{path}:{number}: '{' '.join(times)}' is not a start and an end in seconds") from None
            if utt not in known:
                raise InputError(f"{path}:{number}: '{utt}' is not in {protocol}; get the newest version of the times")
            # Kiritan's recordings are in a folder 'wav', which early instructions did not count in.
            found = [path for path in (folder / file, folder / "wav" / file) if path.is_file()]
            if not found:
                raise InputError(f"{path}:{number}: {folder} has no {file}; is it the folder of {database}?")
            cuts.append(Cut(utt, found[0], start, end))
    return cuts


def make_cuts(cuts: Sequence[Cut], folder: Path) -> dict[str, str]:
    """Write pieces of recordings as 16 kHz FLAC files, those that are not there yet.

    Returns:
        Utterance -> file.

    Raises:
        InputError: a recording is damaged or too short.
    """
    files = {cut.utt: folder / f"{cut.utt}.flac" for cut in cuts}
    todo: dict[Path, list[Cut]] = {}
    for cut in cuts:
        if not files[cut.utt].is_file():
            todo.setdefault(cut.recording, []).append(cut)
    if todo:
        from spooftrace.audio import read_audio, write_flac  # only here: other corpora need no audio
        from spooftrace.audio.reading import MAX_OVERSHOOT
    for recording, own in todo.items():
        wave = read_audio(recording, SAMPLE_RATE)
        for cut in own:
            first, last = int(cut.start * SAMPLE_RATE), int(cut.end * SAMPLE_RATE)
            # The times are rounded, so that an end may lie a little behind that of the recording.
            if not 0 <= first < min(last, len(wave)) or last > len(wave) + MAX_OVERSHOOT * SAMPLE_RATE:
                seconds = len(wave) / SAMPLE_RATE
                raise InputError(f"{recording}: has {seconds:.2f} s, cannot cut {cut.utt}, {cut.start} to {cut.end}")
            write_flac(files[cut.utt], wave[first:last], SAMPLE_RATE)
    return {utt: str(file) for utt, file in files.items()}
