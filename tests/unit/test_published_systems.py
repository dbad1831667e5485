"""Every configuration in conf/systems and egs/*/conf: it loads, its parts fit, and published settings are as published.

No weights are needed: back-ends are built on the meta device, streams are described by what their configuration says.
"""

from functools import cache
from pathlib import Path

import pytest
import torch

from spooftrace.config import build, load_config
from spooftrace.frontends.layered import LAYOUTS
from spooftrace.system import StreamShape, System, count_parameters

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("conf/systems/*.yaml"), *ROOT.glob("egs/*/conf/*.yaml")])
SSL_WIDTH, SSL_LAYERS = 1024, 24  # XLS-R 300M and WavLM Large

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
}
# Of our own making: baselines, probes, and what a recipe adds to a published system for its own data.
OURS = {"lfcc_linear", "whisper_linear", "whisper_nes2net_x", "xls_r_linear", "xls_r_lstm"}
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
    return load_config([base, path] if base.exists() and base != path else [path])


def shape_of(node: dict) -> StreamShape:
    """What the stream of this configuration gives, without its weights."""
    arguments, kind = node.get("init_args", {}), node["class_path"].rpartition(".")[2]
    if kind == "HuggingFace":
        return StreamShape(LAYOUTS[arguments["output"]], SSL_WIDTH)
    if kind == "EnCodec":
        assert arguments["output"] == "codes"
        return StreamShape("codes", 8)  # 6 kbit/s
    if kind in ("Whisper", "WhisperLayers"):
        return StreamShape("frames" if kind == "Whisper" else "layers", 512)  # Whisper-base
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
        system = System(config, shapes)  # raises where layouts, widths or the number of outputs do not fit
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


def test_share_of_parameters_that_qaf_static_trains():
    """4.4 % of WavLM Large in the paper."""
    with torch.device("meta"):
        trained = count_parameters(build(load("conf/systems/qaf_static")["backend"]), trainable=True)
    assert round(100 * trained / 315_453_120, 1) == 4.4
