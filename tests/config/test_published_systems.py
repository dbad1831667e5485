"""Every configuration in conf/systems and egs/*/conf: it loads, its parts fit, and published settings are as published.

No weights are needed: back-ends are built on the meta device, streams are described by what their configuration says.
"""

from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from spooftrace.config.loading import build, load_config
from spooftrace.config.settings import Config
from spooftrace.frontends.layered import LAYOUTS
from spooftrace.system.system import StreamShape, System, count_parameters

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("conf/systems/*.yaml"), *ROOT.glob("egs/*/conf/*.yaml")])
SSL_LAYERS = 24  # of XLS-R 300M and WavLM Large
SSL_WIDTHS = {"base": 768, "large": 1024, "300m": 1024, "1b": 1280}  # by a part of the name
WHISPER_WIDTHS = {"openai/whisper-base": 512, "openai/whisper-small": 768}
SPEAKER_WIDTHS = {"XVector": 512, "ECAPA": 192}

# Of each published setting, and of those that stand beside them in a paper's table: parameters of the back-end
# (aggregation of layers included), class of the optimizer, learning rate, weight decay, batch, crop and which part of a
# long recording it is, RawBoost, epochs at most, what selects the epoch.
PUBLISHED = {
    "conf/systems/aasist": (297_866, "Adam", 1e-4, 1e-4, 24, 64600, "random", 0, 100, "dev_eer"),
    "conf/systems/aasist_l": (85_306, "Adam", 1e-4, 1e-4, 24, 64600, "random", 0, 100, "dev_eer"),
    "conf/systems/w2v2_aasist": (447_242, "Adam", 1e-6, 1e-4, 14, 64600, "first", 5, 100, "last_epoch"),
    "conf/systems/w2v2_aasist_df": (447_242, "Adam", 1e-6, 1e-4, 14, 64600, "first", 3, 100, "last_epoch"),
    "egs/codecfake/conf/w2v2_aasist": (447_242, "Adam", 5e-4, 5e-4, 128, 64600, "first", 0, 10, "dev_loss"),
    "conf/systems/lcnn": (4_111_074, "Adam", 5e-4, 5e-4, 128, 64600, "first", 0, 10, "dev_loss"),
    "conf/systems/sls": (23_399_429, "Adam", 1e-6, 1e-4, 5, 64600, "first", 3, 50, "train_loss"),
    "conf/systems/nes2net": (510_769 + 400, "AdamW", 1e-6, 1e-4, 34, 64000, "random", 8, 75, "dev_eer"),
    "egs/ctrsvdd/conf/nes2net_x": (511_014 + 400, "AdamW", 1e-6, 1e-4, 34, 64000, "random", 8, 75, "dev_eer"),
    "conf/systems/nes2net_x_selu": (511_014 + 400, "AdamW", 1e-6, 1e-4, 34, 64000, "random", 8, 75, "dev_eer"),
    "conf/systems/nes2net_x": (512_039, "Adam", 2.5e-7, 1e-4, 12, 64600, "first", 4, 100, "dev_loss_augmented"),
    "egs/asvspoof5/conf/nes2net_x": (512_039, "Adam", 1e-6, 1e-4, 64, 64600, "random", 0, 100, "dev_eer"),
    "egs/asvspoof2019/conf/nes2net": (511_794, "Adam", 2.5e-7, 1e-4, 12, 64600, "first", 4, 100, "dev_loss_augmented"),
    "conf/systems/reduced_res2net": (494_098, "Adam", 2.5e-7, 1e-4, 12, 64600, "first", 4, 100, "dev_loss_augmented"),
    "conf/systems/attm_lstm": (51_275_794, "AdamW", 1e-4, 1e-4, 64, 64600, "random", 0, 30, "dev_loss"),
    "conf/systems/attm_lstm_frozen": (12_585_104 + 935_810, "Adam", 1e-4, 1e-4, 64, 64600, "random", 0, 30, "dev_eer"),
    "conf/systems/qaf_static": (14_029_970, "Adam", 1e-4, 1e-4, 64, 64600, "random", 0, 30, "dev_eer"),
    "conf/systems/qaf_static_frozen": (14_029_970, "Adam", 1e-4, 1e-4, 64, 64600, "random", 0, 30, "dev_eer"),
    "conf/systems/qaf_mean": (14_028_946, "Adam", 1e-4, 1e-4, 64, 64600, "random", 0, 30, "dev_eer"),
    # The last two numbers of SASTNet are the weights of its losses.
    "conf/systems/sastnet_vq": (234_894_412 + 2, "AdamW", 5e-6, 1e-4, 12, 82200, "first", 5, 40, "dev_loss"),
    "conf/systems/sastnet_aux": (234_894_412 + 2, "AdamW", 5e-6, 1e-4, 12, 82200, "first", 5, 40, "dev_loss"),
    "conf/systems/sastnet_dec": (209_082_539 + 2, "AdamW", 5e-6, 1e-4, 12, 82200, "first", 5, 40, "dev_loss"),
    "conf/systems/sastnet_bin": (183_270_666 + 2, "AdamW", 5e-6, 1e-4, 12, 82200, "first", 5, 40, "dev_loss"),
    "conf/systems/smae_aux": (114_837_196 + 2, "AdamW", 5e-6, 1e-4, 12, 82200, "first", 5, 40, "dev_loss"),
    "conf/systems/mmae_aux": (192_321_484 + 2, "AdamW", 5e-6, 1e-4, 12, 82200, "first", 5, 40, "dev_loss"),
    "conf/systems/w2v2_mmae_aux": (192_362_572 + 2, "AdamW", 5e-6, 1e-4, 12, 82200, "first", 5, 40, "dev_loss"),
    "conf/systems/whisper_mmae_aux": (234_853_324 + 2, "AdamW", 5e-6, 1e-4, 12, 82200, "first", 5, 40, "dev_loss"),
    "conf/systems/nacsp_cnn": (5_934_543, "Adam", 1e-3, 0.0, 32, 64600, "random", 0, 50, "dev_rmse"),
    "conf/systems/nacsp_hyperbolic": (8_397_284, "Adam", 1e-3, 0.0, 32, 64600, "random", 0, 50, "dev_rmse"),
    "conf/systems/hydra": (9_446_223, "Adam", 1e-3, 0.0, 32, 64600, "random", 0, 50, "dev_rmse"),
    "conf/systems/mio": (5_318_463, "Adam", 1e-3, 0.0, 32, 64600, "random", 0, 50, "dev_rmse"),
    "conf/systems/aasist_parsing": (414_635, "Adam", 1e-3, 0.0, 32, 64600, "random", 0, 50, "dev_rmse"),
} | {
    f"conf/systems/{name}": (size, "Adam", 1e-6, 1e-4, 8, 64600, "first", 5, 20, "dev_loss")
    for name, size in {
        "s_bin": 447_242, "s_vq": 447_564, "s_aux": 447_564, "s_dec": 447_403,
        "d_vq": 535_572, "d_aux": 535_572, "d_dec": 535_411, "m1": 712_071, "m2": 624_063,
    }.items()
}  # fmt: skip
# Of our own making: baselines, probes, and what a recipe adds to a published system for its own data.
OURS = {"lfcc_linear", "parse_linear", "whisper_linear", "whisper_nes2net_x", "xls_r_linear", "xls_r_lstm"}
RECIPES_OF_OUR_OWN = {"mini", "codecfake_plus"}

SCHEDULES = {  # kind, epochs, factor, final_lr
    "conf/systems/aasist": ("cosine", None, None, 5e-6),
    "conf/systems/nes2net": ("cosine_waves", 5, None, 1e-9),
    "egs/ctrsvdd/conf/nes2net_x": ("cosine_waves", 5, None, 1e-9),
    "egs/asvspoof5/conf/nes2net_x": ("cosine", None, None, 1e-7),
    "conf/systems/attm_lstm": ("warmup_decay", 5, 0.8, 0.0),
    "conf/systems/lcnn": ("staircase", 2, 0.5, 0.0),
    "egs/codecfake/conf/w2v2_aasist": ("staircase", 2, 0.5, 0.0),
    "conf/systems/sls": ("constant", None, None, 0.0),
    "conf/systems/s_vq": ("constant", None, None, 0.0),
    "conf/systems/sastnet_vq": ("cosine_waves", 40, None, 0.0),  # one half of a wave, for there are 40 epochs
    "conf/systems/nes2net_x": ("constant", None, None, 0.0),
    "egs/asvspoof2019/conf/nes2net": ("constant", None, None, 0.0),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT).with_suffix(""))


@cache
def load(name: str) -> dict:
    """A system as a recipe runs it: a file of egs/<recipe>/conf lies over the system of its name, if there is one."""
    path = ROOT / f"{name}.yaml"
    base = ROOT / "conf/systems" / path.name
    return load_config([base, path] if base.exists() and base != path else [path]).as_dict()


def shape_of(node: dict) -> StreamShape:
    """What the stream of this configuration gives, without its weights."""
    arguments, kind = node.get("init_args", {}), node["class_path"].rpartition(".")[2]
    if kind == "HuggingFace":
        width = next(width for part, width in SSL_WIDTHS.items() if part in arguments["model"].split("-"))
        return StreamShape(LAYOUTS[arguments["output"]], width)
    if kind == "EnCodec":
        assert arguments["output"] == "codes"
        return StreamShape("codes", 8)  # 6 kbit/s
    if kind.startswith("Whisper"):
        layout = {"Whisper": "frames", "WhisperLayers": "layers", "WhisperPooled": "vector"}[kind]
        return StreamShape(layout, WHISPER_WIDTHS[arguments["model"]])
    if kind in SPEAKER_WIDTHS:
        return StreamShape("vector", SPEAKER_WIDTHS[kind])
    if kind == "SmallCodec":
        return StreamShape("codes", 8)
    frontend = build(node)
    return StreamShape(frontend.layout, frontend.dim)


@pytest.mark.parametrize("name", [name_of(path) for path in FILES])
def test_loads_and_its_parts_fit(name):
    config = load(name)
    shapes = {stream: shape_of(node) for stream, node in config["streams"].items()}
    if config["backend"]["init_args"].get("codebooks"):  # a recipe's own codec, which stage 1 fetches
        config = {**config, "backend": {**config["backend"]}}
        config["backend"]["init_args"] = {**config["backend"]["init_args"], "codebooks": None}
    with torch.device("meta"):
        system = System(
            Config.from_dict(config), shapes
        )  # raises where layouts, widths or the number of outputs do not fit
    node = next(iter(config["streams"].values()))
    if shapes[next(iter(shapes))].layout == "layers":
        layers = node["init_args"]["layers"] or list(range(SSL_LAYERS))
        wanted = config["backend"]["init_args"].get("num_layers", len(layers))  # SLS takes any number
        assert len(layers) == wanted
    assert count_parameters(system.backend, trainable=True) > 0


def test_every_published_configuration_is_listed():
    listed = {*PUBLISHED, *(f"conf/systems/{name}" for name in OURS)}
    ours = {name_of(path) for path in FILES if path.parts[-3] in RECIPES_OF_OUR_OWN}
    assert listed | ours == set(map(name_of, FILES)), "add a row to PUBLISHED, or the name to OURS"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings(name):
    config = load(name)
    with torch.device("meta"):
        backend = build(config["backend"])
    data, arguments = config["data"], config["optimizer"]["init_args"]
    found = (
        sum(p.numel() for p in backend.parameters()),
        config["optimizer"]["class_path"].rpartition(".")[2],
        arguments["lr"],
        arguments["weight_decay"],
        data["batch_size"],
        data["crop"],
        data["train_crop"],
        data["rawboost"],
        config["trainer"]["max_epochs"],
        config["trainer"]["monitor"],
    )
    assert found == PUBLISHED[name]
    assert tuple(arguments["betas"]) == (0.9, 0.999)
    assert data["pad"] == "repeat"


@pytest.mark.parametrize("name", SCHEDULES)
def test_published_schedules(name):
    schedule = load(name)["schedule"]
    assert (schedule["kind"], schedule["epochs"], schedule["factor"], schedule["final_lr"]) == SCHEDULES[name]


def test_rules_that_only_one_system_has():
    sls = load("conf/systems/sls")["trainer"]
    assert sls["patience"] == 1  # and the model is the best epoch, the one before the last
    attm = load("conf/systems/attm_lstm")["trainer"]
    assert (attm["backend_only_epochs"], attm["average_best"], attm["patience"], attm["min_epochs"]) == (10, 5, 5, 21)
    asvspoof5 = load("egs/asvspoof5/conf/nes2net_x")
    assert asvspoof5["streams"]["ssl"]["init_args"]["frozen_layers"] == 0  # the convolutions
    assert asvspoof5["trainer"]["patience"] == 5
    assert asvspoof5["data"]["noise"] and asvspoof5["data"]["reverb"]
    for name in ("conf/systems/w2v2_aasist", "conf/systems/w2v2_aasist_df"):
        assert load(name)["data"]["augment_dev"] is True


@pytest.mark.parametrize(
    ("name", "model", "normalize", "finetune", "layers"),
    [
        ("conf/systems/nes2net_x", "facebook/wav2vec2-xls-r-300m", False, True, None),
        ("conf/systems/sls", "facebook/wav2vec2-xls-r-300m", False, True, None),
        ("conf/systems/w2v2_aasist", "facebook/wav2vec2-xls-r-300m", False, True, None),
        ("conf/systems/nes2net", "microsoft/wavlm-large", True, True, [*range(24), -1]),
        ("egs/ctrsvdd/conf/nes2net_x", "microsoft/wavlm-large", True, True, [*range(24), -1]),
        ("egs/asvspoof5/conf/nes2net_x", "microsoft/wavlm-large", False, True, None),
        ("conf/systems/attm_lstm", "microsoft/wavlm-large", False, True, [*range(1, 13)]),
        ("conf/systems/qaf_static", "microsoft/wavlm-large", False, False, [*range(1, 13)]),
        ("conf/systems/lcnn", "facebook/wav2vec2-xls-r-300m", True, False, [5]),
        ("egs/codecfake/conf/w2v2_aasist", "facebook/wav2vec2-xls-r-300m", True, False, [5]),
        ("conf/systems/s_vq", "facebook/wav2vec2-xls-r-300m", False, True, None),
        ("conf/systems/m1", "facebook/wav2vec2-xls-r-300m", False, True, None),
        ("conf/systems/sastnet_vq", "facebook/wav2vec2-xls-r-300m", False, True, None),
        ("conf/systems/aasist_parsing", "facebook/wav2vec2-base", None, False, None),
    ],
)
def test_published_front_ends(name, model, normalize, finetune, layers):
    found = load(name)["streams"]["ssl"]["init_args"]
    assert (found["model"], found["normalize"], found["finetune"], found["layers"]) == (
        model,
        normalize,
        finetune,
        layers,
    )


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        ("s_bin", [0.1, 0.9]),  # spoof first, as in all detection
        ("s_vq s_aux sastnet_vq sastnet_aux smae_aux mmae_aux whisper_mmae_aux w2v2_mmae_aux", [0.1, 0.3, 0.3, 0.3]),
        ("s_dec", [0.1, 0.45, 0.45]),
        ("sastnet_dec", [0.2, 0.4, 0.4]),
        ("sastnet_bin", [0.5, 0.5]),
    ],
)
def test_published_class_weights(names, weights):
    for name in names.split():
        assert load(f"conf/systems/{name}")["task"]["init_args"]["class_weight"] == weights


@pytest.mark.parametrize(
    ("name", "tables"), [("d_vq", "vq"), ("d_aux", "aux"), ("d_dec", "dec"), ("m1", "aux dec vq"), ("m2", "aux dec vq")]
)
def test_published_heads(name, tables):
    weights = {"aux": [0.1, 0.3, 0.3, 0.3], "dec": [0.1, 0.45, 0.45], "vq": [0.1, 0.3, 0.3, 0.3]}
    heads = {"utt2label": [0.9, 0.1]} if name != "m2" else {}  # M2 is the one without detection
    heads |= {f"utt2{table}": weights[table] for table in tables.split()}
    found = load(f"conf/systems/{name}")["task"]["init_args"]["heads"]
    assert found == heads
    assert list(found) == list(heads)


def test_share_of_parameters_that_qaf_static_trains():
    """4.4 % of WavLM Large in the paper."""
    with torch.device("meta"):
        trained = count_parameters(build(load("conf/systems/qaf_static")["backend"]), trainable=True)
    assert round(100 * trained / 315_453_120, 1) == 4.4


@pytest.mark.parametrize("vector", sorted(path.stem for path in ROOT.glob("conf/vectors/*.yaml")))
def test_every_model_of_codec_parsing_fits_every_back_end_for_vectors(vector):
    over = ROOT / f"conf/vectors/{vector}.yaml"
    for name in ("parse_linear", "nacsp_cnn", "nacsp_hyperbolic", "hydra"):
        config = load_config([ROOT / f"conf/systems/{name}.yaml", over]).as_dict()
        with torch.device("meta"):
            backend = build(config["backend"])
        assert StreamShape("vector", backend.input_dim) == shape_of(config["streams"]["vector"])
    alone = yaml.safe_load((ROOT / f"conf/frontends/{vector}.yaml").read_text(encoding="utf-8"))
    ours, theirs = config["streams"]["vector"], next(iter(alone["streams"].values()))
    assert ours["init_args"]["model"] == theirs["init_args"]["model"], "one model under one name"


@pytest.mark.parametrize(
    ("files", "classes"),
    [
        (["conf/tasks/vq"], "real mvq svq sq"),
        (["conf/tasks/aux"], "real none sem disent"),
        (["conf/tasks/dec"], "real time freq"),
        (["conf/tasks/vq", "egs/mini/conf/tasks/vq"], "real mvq svq sq"),
        (["conf/tasks/aux", "egs/mini/conf/tasks/aux"], "real none sem disent"),
        (["conf/tasks/dec", "egs/mini/conf/tasks/dec"], "real time freq"),
        (["egs/st_codecfake/conf/tasks/codec"], "real mimi speechtokenizer funcodec encodec facodec snac"),
        (
            ["egs/mini/conf/tasks/codec"],
            "real rvq8_freq rvq_time fsq_freq svq_time rvq_freq_sem rvq_freq_dis rvq_freq_24k",
        ),
    ],
)
@pytest.mark.parametrize("system", ["lfcc_linear", "xls_r_linear", "aasist", "parse_linear"])
def test_a_task_makes_a_tracer_of_another_system(files, classes, system):
    config = load_config([ROOT / f"conf/systems/{system}.yaml", *(ROOT / f"{file}.yaml" for file in files)]).as_dict()
    with torch.device("meta"):
        backend, task = build(config["backend"]), build(config["task"])
    assert list(task.classes) == classes.split()
    assert backend.num_outputs == task.num_outputs == len(task.weight)
    assert task.label_file == f"utt2{Path(files[-1]).name}"
    assert config["trainer"]["monitor"] == "dev_error"
