"""CodecFake+'s baselines compute what ResponsibleGenAI/CodecFake-Source-Tracing computes, for one task or more."""

from functools import cache
from pathlib import Path

import pytest
import torch
from backend_cases import assert_equals_stored, count, official_keys, reference

from spooftrace.backends import W2V2AASIST
from spooftrace.common.errors import InputError
from spooftrace.official import OFFICIAL_CHECKPOINTS
from spooftrace.official.contents import split_checkpoint
from spooftrace.official.importing import fill, skeleton, write_config
from spooftrace.official.matching import choose, looks_like, renamed
from spooftrace.system.system import count_parameters

SIZES = {"binary_branch": 2, "multiclass_branch_as": 4, "multiclass_branch_ds": 3, "multiclass_branch_qs": 4}
BIN, AUX, DEC, VQ = SIZES
SYSTEMS = {  # branches in the order of the official model, and the published number of parameters without XLS-R
    "S_BIN": ([BIN], 447_242),
    "S_AUX": ([AUX], 447_564),
    "S_DEC": ([DEC], 447_403),
    "S_VQ": ([VQ], 447_564),
    "D_AUX": ([BIN, AUX], 535_572),
    "D_DEC": ([BIN, DEC], 535_411),
    "D_VQ": ([BIN, VQ], 535_572),
    "M1": ([BIN, AUX, DEC, VQ], 712_071),
    "M2": ([AUX, DEC, VQ], 624_063),
}
LISTED = sorted(SYSTEMS.keys() - {"D_DEC", "D_VQ"})  # There are no key lists of these two.
XLS_R = 315_437_696  # parameters that a front-end has


def checkpoint_of(name):
    return next(checkpoint for checkpoint in OFFICIAL_CHECKPOINTS if checkpoint.system == name.lower())


def backend_keys(name):
    """Names and shapes that the official code saves, without XLS-R; D_DEC and D_VQ are M1 without two branches."""
    if name in LISTED:
        return official_keys(f"codecfake_w2v2_aasist_{name}_without_ssl")
    gone = tuple(f"{branch}." for branch in SIZES if branch not in SYSTEMS[name][0])
    return {key: shape for key, shape in backend_keys("M1").items() if not key.startswith(gone)}


@cache
def official_parts(name):
    """What importing makes of a file's names and shapes; there is no memory for its tensors."""
    xls_r = {f"ssl_model.model.{k}": shape for k, shape in official_keys("fairseq_xlsr300m_wav2vec2model").items()}
    state = {key: torch.empty(shape, device="meta") for key, shape in (backend_keys(name) | xls_r).items()}
    return split_checkpoint(state, Path(f"{name}.pth"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_published_size(name):
    branches, parameters = SYSTEMS[name]
    sizes = [SIZES[branch] for branch in branches]
    assert count(W2V2AASIST, num_outputs=sizes) == parameters
    if len(sizes) == 1:
        assert count(W2V2AASIST, num_outputs=sizes[0]) == parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_official_tensor_has_its_place(tmp_path, name):
    parts, file = official_parts(name), Path(f"{name}.pth")
    checkpoint = choose(name.lower(), parts, file)
    assert checkpoint.title == f"{name} of CodecFake+"
    model, needs = skeleton(write_config(checkpoint, parts, tmp_path), tmp_path)
    expected = model.own_state()
    filled, dropped = fill(expected, checkpoint, parts, file)
    assert {key: tensor.shape for key, tensor in filled.items()} == {key: t.shape for key, t in expected.items()}
    assert len(filled) + len(dropped) == len(backend_keys(name)) + len(official_keys("fairseq_xlsr300m_wav2vec2model"))
    assert sorted(dropped) == sorted([*parts.dropped, "masked_spec_embed"])
    assert count_parameters(model) == SYSTEMS[name][1] + XLS_R
    assert needs is None


@pytest.mark.slow
def test_each_looks_like_itself_and_is_refused_as_another():
    for name in SYSTEMS:
        parts = official_parts(name)
        assert looks_like(parts.backend, parts.sizes) == [name.lower()]
    for name, other in (("S_AUX", "s_vq"), ("S_BIN", "w2v2_aasist"), ("D_VQ", "m1")):
        parts = official_parts(name)
        with pytest.raises(InputError, match=f"^f: not {other}: .*; it looks like {name.lower()}$") as error:
            choose(other, parts, Path("f"))
        assert "\n" not in str(error.value)


# The reference graph has two outputs. A last layer whose rows are sums of its rows gives the same sums of its outputs,
# so that what the official code gives for three and four classes follows from what it gives for two.
SUMS = {
    2: [[1.0, 0.0], [0.0, 1.0]],
    3: [[0.0, 1.0], [1.0, -2.0], [0.5, 3.0]],
    4: [[2.0, 0.0], [-1.0, 1.0], [0.0, -3.0], [1.0, 0.5]],
}


@pytest.mark.parametrize("name", ["S_VQ", "D_DEC", "M2", "M1"])
def test_outputs_equal_official(name):
    case = reference("w2v2_aasist_backend")
    branches, _ = SYSTEMS[name]
    graph = ("GAT_", "HtrgGAT_", "pool_", "pos_S", "master", "out_layer")
    official = {key: t for key, t in case["state_dict"].items() if not key.startswith(graph)}
    for branch in branches:
        for key, tensor in case["state_dict"].items():
            if key.startswith("out_layer"):
                tensor = torch.tensor(SUMS[SIZES[branch]]) @ tensor  # (C, 2) @ (2, ...) -> (C, ...)
            if key.startswith(graph):
                official[f"{branch}.{key}"] = tensor
    assert official.keys() == backend_keys(name).keys()
    ours, unknown = renamed(checkpoint_of(name), official)
    model = W2V2AASIST(num_outputs=[SIZES[branch] for branch in branches]).eval()
    model.load_state_dict(ours, strict=True)
    assert not unknown and model.num_outputs == sum(SIZES[branch] for branch in branches)
    with torch.no_grad():
        outputs = model.double()(case["inputs"]["feat_T50"].double())
    logits = case["outputs"]["logits_T50"]  # (B, 2)
    expected = torch.cat([logits @ torch.tensor(SUMS[SIZES[branch]]).T for branch in branches], dim=1)
    assert_equals_stored(outputs, expected)
