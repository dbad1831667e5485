"""Download sources of the corpora for detection."""

from __future__ import annotations

from spooftrace.corpora.source_types import BY, BY_NC, BY_NC_ND, Bundle, CorpusSource, File, files_of, zenodo


def _asvspoof5(*sums: tuple[str, str]) -> tuple[File, ...]:
    return files_of("zenodo:14498691", "md5", dict(sums), {"ASVspoof5_protocols.tar.gz": 20_669_392})


SOURCES: dict[str, CorpusSource] = {
    # Official: Zenodo record 6906306, Edinburgh DataShare 10283/3336. Reported: the md5, as the record's.
    "asvspoof2019": CorpusSource(
        title="ASVspoof 2019, logical access (LA)",
        licence="ODC-By 1.0",
        permits=BY,
        page="https://datashare.ed.ac.uk/handle/10283/3336",
        bundles=(
            Bundle(
                "la",
                "train, dev, eval and protocols",
                files_of("zenodo:6906306", "md5", {"LA.zip": "30c98f11d8b2bc21f2c257bfd78bb5c5"}),
                7.6,
            ),
        ),
        tree="""\
LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{train.trn,dev.trl,eval.trl}.txt
LA/ASVspoof2019_LA_{train,dev,eval}/flac/*.flac""",
    ),
    # Official: records 4837263 and 4835108; md5 of the keys in eval-package/README.md of asvspoof-challenge/2021 (LA
    # packed anew 2023-04-13). Reported: md5 of the LA audio; sizes of the DF audio.
    "asvspoof2021": CorpusSource(
        title="ASVspoof 2021, logical access (LA) and deepfake (DF)",
        licence="ODC-By 1.0",
        permits=BY,
        page="https://www.asvspoof.org/index2021.html",
        bundles=(
            Bundle(
                "la",
                "LA evaluation audio",
                files_of("zenodo:4837263", "md5", {"ASVspoof2021_LA_eval.tar.gz": "2abee34d8b0b91159555fc4f016e4562"}),
                7.8,
            ),
            Bundle(
                "df",
                "DF evaluation audio",
                zenodo(
                    4835108,
                    *(f"ASVspoof2021_DF_eval_part{number:02d}.tar.gz" for number in range(4)),
                    sizes={
                        "ASVspoof2021_DF_eval_part00.tar.gz": 8_637_050_238,
                        "ASVspoof2021_DF_eval_part01.tar.gz": 8_624_944_890,
                        "ASVspoof2021_DF_eval_part02.tar.gz": 8_616_337_195,
                        "ASVspoof2021_DF_eval_part03.tar.gz": 8_656_151_261,
                    },
                ),
                34.5,
            ),
            Bundle(
                "keys",
                "labels and conditions of both",
                tuple(
                    File(
                        f"{track}-keys-full.tar.gz",
                        f"https://www.asvspoof.org/asvspoof2021/{track}-keys-full.tar.gz",
                        checksum=f"md5:{md5}",
                    )
                    for track, md5 in (
                        ("LA", "f052cc2ed276745afa3b5198665d3b26"),
                        ("DF", "dabbc5628de4fcef53036c99ac7ab93a"),
                    )
                ),
            ),
        ),
        tree="""\
ASVspoof2021_{LA,DF}_eval/flac/*.flac
keys/{LA,DF}/CM/trial_metadata.txt
keys/LA/ASV/""",
        notes=("There is no training set: train on asvspoof2019.",),
    ),
    # Official: README_asvspoof5.txt (md5 of every file). Reported: sizes, from the mirror huggingface.co/datasets/
    # jungjee/asvspoof5 and from downloads.
    "asvspoof5": CorpusSource(
        title="ASVspoof 5, track 1",
        licence="ODC-By 1.0; the bona fide speech CC BY 4.0",
        permits=BY,
        page="https://zenodo.org/records/14498691",
        bundles=(
            Bundle(
                "train",
                "training audio",
                _asvspoof5(
                    ("flac_T_aa.tar", "b0cc86b14826a7701b52aad4f53daf9c"),
                    ("flac_T_ab.tar", "d05be3f4be7a343fdbdd0ed29fdff2e1"),
                    ("flac_T_ac.tar", "70d1ba4ad75a20aef3dae541fbd321e3"),
                    ("flac_T_ad.tar", "c9bb56af2cc410d98338d74babcb95c9"),
                    ("flac_T_ae.tar", "a3969816982f3e52300d6147ad796df7"),
                ),
                37.5,
            ),
            Bundle(
                "dev",
                "development audio",
                _asvspoof5(
                    ("flac_D_aa.tar", "df0be44957623991028cce59792beb17"),
                    ("flac_D_ab.tar", "1e8cd685d89b64502692f1bcf1a13db3"),
                    ("flac_D_ac.tar", "5e0031f08c30e4bdbf0c59f91b2d662b"),
                ),
                20.1,
            ),
            Bundle(
                "eval",
                "evaluation audio",
                _asvspoof5(
                    ("flac_E_aa.tar", "a8c800766f3d4ef87971e2b4f29663e2"),
                    ("flac_E_ab.tar", "c35064188f54f07c87aba58de22534a0"),
                    ("flac_E_ac.tar", "ed7cbcd1b2847998b72472ddf6b445e3"),
                    ("flac_E_ad.tar", "626a080e994b05df49c577d7b3dede8d"),
                    ("flac_E_ae.tar", "05f19a5e64fa556714ae1b38eb2ea70b"),
                    ("flac_E_af.tar", "2ca2f52a3bbf827f7ec155ecb47e85d6"),
                    ("flac_E_ag.tar", "671200b5de2fc1e74a563b07b057af8f"),
                    ("flac_E_ah.tar", "eaf885b1299a61eb07f71e82e96dba37"),
                    ("flac_E_ai.tar", "b2625683bf440abae2af901a45542ad9"),
                    ("flac_E_aj.tar", "c50281c8233af6f3b0899604d21ade44"),
                ),
                84.6,
            ),
            Bundle(
                "protocols",
                "protocols and keys",
                _asvspoof5(("ASVspoof5_protocols.tar.gz", "865d0e894ea9f686f0f37e5ae3ae3616")),
            ),
        ),
        tree="""\
ASVspoof5.{train,dev.track_1,eval.track_1}.tsv
flac_T/*.flac
flac_D/*.flac
flac_E_eval/*.flac""",
    ),
    # Official: github.com/SVDDChallenge/CtrSVDD2024_Baseline, README (records). Reported: file names.
    "ctrsvdd": CorpusSource(
        title="CtrSVDD (SVDD challenge 2024, controlled track)",
        licence="CC BY-NC-ND 4.0",
        permits=BY_NC_ND,
        page="https://zenodo.org/records/10467648",
        bundles=(
            Bundle("train", "training audio and protocol", zenodo(10467648, "train_set.zip", "train.txt")),
            Bundle("dev", "development audio and protocol", zenodo(10467648, "dev_set.zip", "dev.txt")),
            Bundle("eval", "evaluation audio and key", zenodo(12703261, "test_set.zip", "test.txt")),
        ),
        tree="""\
{train_set,dev_set,test_set}/*.flac    (or train, dev, test)
train.txt, dev.txt, test.txt           (test.txt is the key of eval, also named test_groundtruth.txt)""",
        notes=(
            "Bona fide singing of Oniku, Ofuton, Kiritan and JVS-MuSiC is not in it: get these from their owners and "
            "cut them with the time stamps of github.com/SVDDChallenge/CtrSVDD_Utils.",
        ),
    ),
    # Official: deepfake-total.com/in_the_wild; Hugging Face mueller91/In-The-Wild. Reported: 8.2 GB.
    "in_the_wild": CorpusSource(
        title="In-the-Wild (Mueller et al. 2022)",
        licence="see the page: CC BY-SA 4.0 and Apache-2.0 are both reported",
        permits=BY,
        page="https://huggingface.co/datasets/mueller91/In-The-Wild",
        bundles=(
            Bundle(
                "all",
                "audio and labels",
                files_of("huggingface:mueller91/In-The-Wild", "sha256", {"release_in_the_wild.zip": None}),
                8.2,
            ),
        ),
        tree="""\
release_in_the_wild/meta.csv
release_in_the_wild/{0..31778}.wav""",
    ),
    # Official: record 5766198. Reported: md5, as the record's.
    "partialspoof": CorpusSource(
        title="PartialSpoof 1.2",
        licence="CC BY 4.0",
        permits=BY,
        page="https://zenodo.org/records/5766198",
        bundles=tuple(
            Bundle(name, what, files_of("zenodo:5766198", "md5", {f"database_{ending}.tar.gz": md5}))
            for name, what, ending, md5 in (
                ("train", "training audio", "train", "c4853ddd831e8e96b0e279fc0a512e7e"),
                ("dev", "development audio", "dev", "ddd4cd3221b7210ac879f67452fb209e"),
                ("eval", "evaluation audio", "eval", "79c7c834d0d9979ecd374a98a059ea19"),
                ("protocols", "protocols", "protocols", "699d81f020e4b7fa8f33747010e1cba8"),
                ("segments", "segment labels", "segment_labels_v1.2", "c2bf6638e59ec7a5cf93c4a510fe4efe"),
            )
        ),
        tree="""\
database/protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.{train,dev,eval}.trl.txt
database/{train,dev,eval}/con_wav/*.wav
database/segment_labels/{train,dev,eval}_seglab_*.npy""",
    ),
    # Official: the dataset's card. Reported: 134 GB.
    "spoofceleb": CorpusSource(
        title="SpoofCeleb (Jung et al. 2025)",
        licence="CC BY 4.0; copyright of the recordings stays with the owners of the videos",
        permits=BY,
        page="https://huggingface.co/datasets/jungjee/spoofceleb",
        by_hand="ask for access on that page with an institutional address, then "
        "'hf download --repo-type dataset jungjee/spoofceleb --local-dir DIR' (134 GB) and unpack",
        tree="""\
metadata/{train,development,evaluation}.csv
flac/{train,development,evaluation}/a##/id#####/*.flac""",
    ),
    # Official: the dataset's card and deepfake-total.com/mlaad. Reported: 242 GB.
    "mlaad": CorpusSource(
        title="MLAAD (Mueller et al. 2024)",
        licence="CC BY-NC 4.0",
        permits=BY_NC,
        page="https://huggingface.co/datasets/mueller91/MLAAD",
        by_hand="accept its terms on that page, then "
        "'hf download --repo-type dataset mueller91/MLAAD --local-dir DIR' (about 242 GB, no archives)",
        tree="""\
fake/LANGUAGE/ATTACK/meta.csv
fake/LANGUAGE/ATTACK/*.wav""",
        notes=("There is no bona fide speech in it; it is made to be paired with M-AILABS.",),
    ),
    # Official: addchallenge.cn.
    "add2022": CorpusSource(
        title="ADD 2022 (Yi et al. 2022)",
        licence="as the access form says",
        permits="as the access form says",
        page="http://addchallenge.cn/add2022",
        by_hand="ask the organisers for access on that page, and unpack what they send into DIR",
        tree="""\
ADD_train_dev/label/{train,dev}_label.txt, ADD_train_dev/{train,dev}/*.wav
track{1,2}adp_out/label.txt, track{1,2}adp_out/*.wav
track3.2_eval_R2/track3_R2_label.txt, track3.2_eval_R2/wav/*.wav""",
    ),
    # Official: addchallenge.cn. Reported: eight Zenodo records of the organisers, 65.4 GB.
    "add2023": CorpusSource(
        title="ADD 2023 (Yi et al. 2023)",
        licence="as the access form says; CC BY-NC-ND 4.0 is reported for the Zenodo records",
        permits=BY_NC_ND,
        page="http://addchallenge.cn/add2023",
        by_hand="ask the organisers for access on that page, or look whether their Zenodo records are open (reported: "
        "track 1.1 12145773, track 1.2 12151404 12175884 12176326, track 2 12176530 12176904, track 3 12179632 "
        "12179884), and unpack into DIR",
        tree="""\
Track1.2/{train,dev,testR1,testR2}/label.txt, .../wav/*.wav
Track3/{train,dev,eval}/wav/*.wav, Track3/label/{train,dev,eval}.txt""",
    ),
}
