"""Download sources of the corpora of codec-generated speech."""

from __future__ import annotations

from spooftrace.corpora.source_types import BY, BY_NC_ND, Bundle, CorpusSource, File, files_of, zenodo

COSG_SHA256 = "1748998d84037dd621ea39355b65b9cfa76b4105fe34457902edc240d47508ed"

SOURCES: dict[str, CorpusSource] = {
    # Official: github.com/roger-tseng/CodecFake; the pages of both datasets (79.2 GB, one zip a codec).
    "codecfake_wu": CorpusSource(
        title="CodecFake (Wu, Tseng and Lee, Interspeech 2024)",
        licence="CC BY 4.0",
        permits=BY,
        page="https://huggingface.co/datasets/rogertseng/CodecFake_wavs",
        bundles=(
            Bundle(
                "audio", "15 zips, one a codec", (File("*.zip", record="huggingface:rogertseng/CodecFake_wavs"),), 79.2
            ),
            Bundle(
                "labels", "list of all files", (File("datalist.csv", record="huggingface:rogertseng/CodecFake"),), 0.1
            ),
        ),
        tree="""\
datalist.csv
CODEC/CODEC+p###_###.wav""",
        notes=("The zips are reported to hold no genuine speech; that is VCTK, at 10283/3443 of Edinburgh DataShare.",),
    ),
    # Official: the dataset's card (parts 0 to 3 are one .tar.xz). Reported: sizes; sha256 of all but the four parts.
    "codecfake_plus": CorpusSource(
        title="CodecFake+ (Chen et al. 2025): CoRS and CoSG",
        licence="MIT, as the card says; VCTK and the demo pages that CoSG comes from have terms of their own",
        permits=BY,
        page="https://huggingface.co/datasets/CodecFake/CodecFake_Plus_Dataset",
        bundles=(
            Bundle(
                "cors",
                "re-synthesized speech of 31 codecs, and its labels",
                files_of(
                    "huggingface:CodecFake/CodecFake_Plus_Dataset",
                    "sha256",
                    {
                        **dict.fromkeys(f"Codecfake_plus_CoRS.part{number}" for number in range(4)),
                        "CoRS_labels.txt": "78d2cc2784188fecd8c082c9a180593ff7b60cf89672e6b1a5b37aae4c26bd08",
                    },
                    {
                        **dict.fromkeys((f"Codecfake_plus_CoRS.part{number}" for number in range(4)), 25_052_014_980),
                        "CoRS_labels.txt": 62_363_876,
                    },
                ),
                100.3,
            ),
            Bundle(
                "cosg",
                "speech of 17 speech-generation models, and its labels",
                files_of(
                    "huggingface:CodecFake/CodecFake_Plus_Dataset",
                    "sha256",
                    {
                        "CodecFake_plus_CoSG.tar.xz": COSG_SHA256,
                        "CoSG_labels.txt": "9b32a0b2a9dc5aa13277e7ec0e4b145b2e3941954cb903356ce6b86b099e2eb9",
                    },
                    {"CodecFake_plus_CoSG.tar.xz": 243_976_528, "CoSG_labels.txt": 74_650},
                ),
                0.2,
            ),
        ),
        tree="""\
CoRS_labels.txt, CoRS/p###_###[_CODEC].wav    (or all_data_16k/)
CoSG_labels.txt, CoSG/MODEL_#.wav""",
    ),
    # Official: github.com/xieyuankun/ST-Codecfake, README (records and tree). No file names are published there.
    "st_codecfake": CorpusSource(
        title="ST-Codecfake (Xie et al. 2025)",
        licence="CC BY-NC-ND 4.0",
        permits=BY_NC_ND,
        page="https://zenodo.org/records/14631091",
        bundles=(
            Bundle("main", "train, dev, evaluation with seen and unseen codecs", zenodo(14631091, "*")),
            Bundle("open_set", "other configurations, other sources, audio language models", zenodo(14631085, "*")),
        ),
        tree="""\
label/{train,dev,eval_id,eval_ood7,eval_ood8-11}.txt
{train,dev,eval_id,eval_ood}/*.wav
{ID_diff_config,ID_diff_source,OOD_diff_config,OOD_diff_source,ALM}/SET/*.wav""",
    ),
    # Official: github.com/xieyuankun/Codecfake, README (records and names). Reported: label.zip; A3.zip holds A3_fake.
    "codecfake_xie": CorpusSource(
        title="Codecfake (Xie et al. 2024)",
        licence="CC BY-NC-ND 4.0",
        permits=BY_NC_ND,
        page="https://zenodo.org/records/13838106",
        bundles=(
            Bundle("labels", "labels", zenodo(13838106, "label.zip")),
            Bundle(
                "train",
                "training audio, a zip in 17 volumes",
                zenodo(13838106, "train_split.zip", *(f"train_split.z{number:02d}" for number in range(1, 6)))
                + zenodo(13841652, *(f"train_split.z{number:02d}" for number in range(6, 11)))
                + zenodo(13853860, *(f"train_split.z{number:02d}" for number in range(11, 17))),
            ),
            Bundle("dev", "development audio", zenodo(13841216, "dev_split.zip", "dev_split.z01", "dev_split.z02")),
            Bundle(
                "test",
                "test audio: codecs C1 to C7, audio language models A1 to A3",
                zenodo(13838823, *(f"{name}.zip" for name in "C1 C2 C3 C4 C5 C6 A1 A2 A3".split()))
                + zenodo(11125029, "C7.zip"),
                folder="test",
            ),
        ),
        tree="""\
label/*.txt
train/*.wav
dev/*.wav
test/{C1..C7,A1..A3}/*.wav""",
        notes=(
            "A3.zip is reported to unpack as A3_fake: rename test/A3_fake to test/A3.",
            "An older version of the records has train_split.z01 to .z19; volumes of the two do not mix.",
        ),
    ),
}
