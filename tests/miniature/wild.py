"""Official layouts made into those that people keep: as archives, converters and file managers leave them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

Change = Callable[[Path], None]


def move(source: str, destination: str) -> Change:
    """Files or folders that match ``source`` go to ``destination``, below the root; ``{}`` in it is their name."""

    def change(root: Path) -> None:
        matches = sorted(root.glob(source))
        assert matches, source
        # Aside first: the destination may lie within the source.
        aside = root / "being moved"
        for match in matches:
            aside.mkdir()
            match.rename(aside / match.name)
            target = root / destination.format(match.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            (aside / match.name).rename(target)
            aside.rmdir()

    return change


def convert(files: str, extension: str, keep: bool = False, every: int = 1) -> Change:
    """Audio files that match, or one in ``every``, get another extension; with ``keep`` the old ones stay."""

    def change(root: Path) -> None:
        for path in sorted(root.glob(files))[::every]:
            if keep:
                shutil.copy(path, path.with_suffix(extension))
            else:
                path.rename(path.with_suffix(extension))

    return change


def split(folder: str, *destinations: str) -> Change:
    """The files of a folder are dealt out to several, in turn."""

    def change(root: Path) -> None:
        for number, path in enumerate(sorted((root / folder).iterdir())):
            target = root / destinations[number % len(destinations)]
            target.mkdir(parents=True, exist_ok=True)
            path.rename(target / path.name)

    return change


def sort_by_label(folder: str, meta: str, *parents: str) -> Change:
    """The files that a ``meta.csv`` lists go to ``PARENT/real`` and ``PARENT/fake``, parents in turn."""

    def change(root: Path) -> None:
        for number, line in enumerate((root / meta).read_text().splitlines()[1:]):
            file, _, label = line.rsplit(",", 2)
            target = root / parents[number % len(parents)] / ("fake" if label == "spoof" else "real")
            target.mkdir(parents=True, exist_ok=True)
            (root / folder / file).rename(target / file)

    return change


def rename(files: str, new_name: Callable[[str], str]) -> Change:
    """Files that match get the name that ``new_name`` gives for theirs."""

    def change(root: Path) -> None:
        for path in sorted(root.glob(files)):
            path.rename(path.with_name(new_name(path.name)))

    return change


def strip(files: str, prefix: str) -> Change:
    """Files lose what their names begin with, up to and including ``prefix``."""

    def change(root: Path) -> None:
        for path in sorted(root.glob(files)):
            path.rename(path.with_name(path.name.partition(prefix)[2]))

    return change


def remove(pattern: str) -> Change:
    def change(root: Path) -> None:
        for path in root.glob(pattern):
            path.unlink()

    return change


def litter(root: Path) -> None:
    """What file managers leave beside audio, in every folder."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for path in [path for path in folder.iterdir() if path.is_file()][:3]:
            (folder / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        for name in ("Thumbs.db", ".DS_Store"):
            (folder / name).write_bytes(b"\0")


def link_back(root: Path) -> None:
    """Every folder gets a link to the one above it, and one to the root."""
    for folder in [path for path in root.rglob("*") if path.is_dir() and not path.is_symlink()]:
        (folder / "up").symlink_to("..")
        (folder / "top").symlink_to(root)


def to_links(root: Path) -> None:
    """All files lie elsewhere, and links to them here."""
    store = root.parent / "store"
    store.mkdir()
    for number, path in enumerate(sorted(path for path in root.rglob("*") if path.is_file())):
        target = store / str(number)
        path.rename(target)
        path.symlink_to(target)


def change_case(root: Path) -> None:
    """Folders are written in capitals."""
    for path in sorted((path for path in root.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(path.name.upper()))


LA, PROTOCOLS = "LA/ASVspoof2019_LA", "LA/ASVspoof2019_LA_cm_protocols"
SETS = ("train", "dev", "eval")
EACH_SET = [f"{LA}_{name}" for name in SETS]
ALIKE: dict[str, tuple[Change, ...]] = {
    "as released": (),
    "one level down": (move("*", "somewhere/{}"),),
    "two levels down": (move("*", "a/b b/{}"),),
    "capitals": (change_case,),
    "litter": (litter,),
    "links back": (link_back,),
    "links": (to_links,),
}
# corpus -> layout -> changes; where a layout's name has FOLDER@ in front, that folder is given as the root
LAYOUTS: dict[str, dict[str, tuple[Change, ...]]] = {
    "asvspoof2019": {
        "LA/LA": (move("LA/*", "LA/LA/{}"),),
        "archive/LA/LA": (move("LA/*", "archive/LA/LA/{}"),),
        "protocols beside the audio": (move(PROTOCOLS, "ASVspoof2019_LA_cm_protocols"),),
        "protocols in keys": (move(f"{PROTOCOLS}/*", "keys/{}"), move("LA/*", "ASVspoof2019/LA/{}")),
        "database/ASVspoof_LA_cm_protocols": (move(f"{PROTOCOLS}/*", "database/ASVspoof_LA_cm_protocols/{}"),),
        "converted in place": (convert("LA/*/flac/*.flac", ".wav"),),
        "converted beside": (convert("LA/*/flac/*.flac", ".wav", keep=True),),
        "converted in part": (convert("LA/*/flac/*.flac", ".wav", every=2),),
        "more copies in part": (
            convert("LA/*/flac/*.flac", ".wav", keep=True, every=3),
            convert("LA/*/flac/*[13579].flac", ".wav"),
        ),
        "capital extensions": (convert("LA/*/flac/*.flac", ".FLAC"),),
        "wav": (
            convert("LA/*/flac/*.flac", ".wav"),
            *(move(f"{folder}/flac", f"{folder}/wav") for folder in EACH_SET),
        ),
        "no flac folder": tuple(move(f"{folder}/flac/*", folder + "/{}") for folder in EACH_SET),
        "flat": (
            *(move(f"{folder}/flac/*", "flac/{}") for folder in EACH_SET),
            move(f"{PROTOCOLS}/*", "protocols/{}"),
        ),
        "LA/ASVspoof2019_LA_train/flac@too low": (),
        f"{PROTOCOLS}@too low": (),
    },
    "asvspoof2021": {
        "keys-full": tuple(move(f"keys/{track}", f"{track}-keys-full/keys/{track}") for track in ("LA", "DF")),
        "keys-stage-1": tuple(move(f"keys/{track}", f"{track}-keys-stage-1/keys") for track in ("LA", "DF")),
        "key in the audio folder": tuple(
            move(f"keys/{track}/CM/trial_metadata.txt", f"ASVspoof2021_{track}_eval/trial_metadata.txt")
            for track in ("LA", "DF")
        ),
        "DF/CM": tuple(move(f"keys/{track}/CM", f"{track}/CM") for track in ("LA", "DF")),
        "a folder each": tuple(
            move(f"ASVspoof2021_{track}_eval", f"{track}/ASVspoof2021_{track}_eval") for track in ("LA", "DF")
        ),
        "four parts": (
            split(
                "ASVspoof2021_DF_eval/flac",
                *(f"ASVspoof2021_DF_eval_part0{number}/ASVspoof2021_DF_eval/flac" for number in range(4)),
            ),
        ),
        "three parts beside the first": (
            split(
                "ASVspoof2021_DF_eval/flac",
                "ASVspoof2021_DF_eval/flac.0",
                *(f"ASVspoof2021_DF_eval_part0{number}/ASVspoof2021_DF_eval/flac" for number in range(1, 4)),
            ),
            lambda root: (root / "ASVspoof2021_DF_eval/flac").rmdir(),
            move("ASVspoof2021_DF_eval/flac.0", "ASVspoof2021_DF_eval/flac"),
        ),
        "within the 2019 tree": (move("ASVspoof2021_*", "ASVspoof2019/LA/{}"),),
        "wav": (
            convert("*/flac/*.flac", ".wav"),
            move("ASVspoof2021_LA_eval/flac", "ASVspoof2021_LA_eval/wav"),
            move("ASVspoof2021_DF_eval/flac", "ASVspoof2021_DF_eval/wav"),
        ),
    },
    "asvspoof5": {
        "beside the audio": (move("ASVspoof5_protocols/*", "{}"),),
        "protocols": (move("ASVspoof5_protocols", "protocols"),),
        "cm_protocols": (move("ASVspoof5_protocols", "cm_protocols/ASVspoof5_protocols"),),
        "ASVSpoof2024": (
            move("*", "ASVSpoof2024/{}"),
            move("ASVSpoof2024/ASVspoof5_protocols", "ASVSpoof2024/asvspoof5_protocols"),
        ),
        "flac_E": (move("flac_E_eval", "flac_E"),),
        "a folder for each set": (
            move("flac_T", "ASVspoof5_train/flac_T"),
            move("flac_D", "ASVspoof5_dev/flac_D"),
            move("flac_E_eval", "ASVspoof5_eval/flac_E_eval"),
        ),
        "a folder for each tar": (
            split("flac_E_eval", *(f"flac_E_a{letter}/flac_E_eval" for letter in "abc")),
            split("flac_T", *(f"flac_T_a{letter}/flac_T" for letter in "ab")),
        ),
        "Eval": (move("flac_E_eval", "Eval/flac_E_eval"),),
        "flac_D@too low": (),
    },
    "in_the_wild": {
        "twice": (move("release_in_the_wild/*", "release_in_the_wild/release_in_the_wild/{}"),),
        "twice, list above": (move("release_in_the_wild/*.wav", "release_in_the_wild/release_in_the_wild/{}"),),
        "list beside": (move("release_in_the_wild/meta.csv", "meta.csv"),),
        "real and fake": (
            move("release_in_the_wild/meta.csv", "meta.csv"),
            sort_by_label("release_in_the_wild", "meta.csv", "release_in_the_wild"),
        ),
        "train, val and test": (
            move("release_in_the_wild/meta.csv", "meta.csv"),
            sort_by_label("release_in_the_wild", "meta.csv", *(f"itw/{name}" for name in ("train", "val", "test"))),
        ),
        "ds_wild": (
            move("release_in_the_wild/meta.csv", "ds_wild/protocols/meta.csv"),
            move("release_in_the_wild", "ds_wild/release_in_the_wild"),
        ),
        "flac": (convert("*/*.wav", ".flac"),),
    },
    "partialspoof": {
        "a folder for each archive": (
            *(move(f"database/{name}", f"{name}/database/{name}") for name in SETS),
            move("database/protocols", "protocols/database/protocols"),
            move("database/segment_labels", "segment_labels_v1.2/database/segment_labels"),
        ),
        "extracted_audio": (move("database/eval", "extracted_audio/database/eval"),),
        "wav": tuple(move(f"database/{name}/con_wav", f"PartialSpoof/wav/{name}") for name in SETS),
        "database/dev@too low": (),
    },
    "codecfake_xie": {
        "tests at the root": (move("Codecfake/test/*", "Codecfake/{}"),),
        "train-1": (
            split("Codecfake/train", "Codecfake/train.0", "Codecfake/train-1"),
            lambda root: (root / "Codecfake/train").rmdir(),
            move("Codecfake/train.0", "Codecfake/train"),
        ),
        "train_split": (move("Codecfake/train", "Codecfake/train_split/train"),),
        "labels beside": (move("Codecfake/label/*", "Codecfake/{}"),),
        "Codecfake/label@too low": (),
    },
    "codecfake_wu": {
        "flat": (move("*/*.wav", "processed/{}"),),
        "names without the codec": (strip("*/*+*.wav", "+"),),
        "without the list": (remove("datalist.csv"), remove("valle/*")),
        "list elsewhere": (move("datalist.csv", "meta/datalist.csv"),),
    },
    "codecfake_plus": {
        "twice": (move("CoRS/*", "CoRS/CoRS/{}"), move("CoSG/*", "CoSG/CoSG/{}")),
        "labels elsewhere": (move("*_labels.txt", "labels/{}"),),
        "as the authors call it": (move("CoRS", "all_data_16k"),),
        "flac": (convert("CoRS/*.wav", ".flac"),),
        "flac in part": (convert("CoRS/*.wav", ".flac", every=3), convert("CoSG/*.wav", ".flac", every=3)),
        "CoRS@too low": (),
    },
    "spoofceleb": {
        "twice": (move("spoofceleb", "SpoofCeleb/spoofceleb"),),
        "capitals above": (
            move("spoofceleb/flac", "SPOOFCELEB/Flac"),
            move("spoofceleb/metadata", "SPOOFCELEB/Metadata"),
        ),
        "wav": (convert("spoofceleb/flac/*/*/*/*.flac", ".wav"), move("spoofceleb/flac", "spoofceleb/wav")),
        "spoofceleb/metadata@too low": (),
    },
    "mlaad": {
        "capitals above": (move("fake", "mlaad/Fake"),),
        "MLAAD_v5": (move("fake", "MLAAD_v5/fake"),),
        "16 kHz copies": (move("fake", "Processed_sr_16000_PCM16/MLAAD/fake"),),
        "fake@too low": (),
    },
    "ctrsvdd": {
        "train": (move("train_set", "train"), move("dev_set", "dev"), move("test_set", "eval")),
        "a folder each": (move("train_set", "a/train_set"), move("dev_set", "b/dev_set"), move("*.txt", "labels/{}")),
        "wav": (convert("*_set/*.flac", ".wav"),),
        "flat": (move("*_set/*", "flac/{}"),),
        "dev_set@too low": (),
    },
    "st_codecfake": {
        "labels beside": (move("st-codecfake/label/*", "st-codecfake/{}"),),
        "two archives": (move("st-codecfake/ALM", "14631085/ALM"), move("st-codecfake", "14631091/st-codecfake")),
        "flac": (convert("st-codecfake/train/*.wav", ".flac"),),
    },
}


def cases() -> list[tuple[str, str, str, tuple[Change, ...]]]:
    """Corpus, name of a layout, the folder that is given as root, and the changes that make the layout."""
    all_cases = []
    for corpus, layouts in LAYOUTS.items():
        for name, changes in {**ALIKE, **layouts}.items():
            if name == "capitals" and corpus in ("spoofceleb", "mlaad"):
                continue  # folders are part of their ids
            given, at, _ = name.partition("@")
            all_cases.append((corpus, name, given if at else "", changes))
    return all_cases
