"""SASTNet: masks, losses, variants, inputs of any length, AudioMAE's weights, official checkpoints."""

import argparse
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from helpers.official_files import fairseq_names, tiny
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spooftrace.backends import SASTNet
from spooftrace.backends.parts.mae import MultiDecoderMAE, draw_mask
from spooftrace.backends.parts.reconstruction import AutomaticWeighting, reconstruction_loss
from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config
from spooftrace.official import matching
from spooftrace.official import sastnet as official
from spooftrace.official.base import node
from spooftrace.official.importing import import_system
from spooftrace.system.weights import load_weights

SIZES = {"encoder": [32, 2, 4], "decoder": [16, 1, 4], "fusion": [1, 4], "reduced_dim": 32}
SMALL = {"input_dim": 20, "num_outputs": 3, "semantic_dim": 24, "semantic_frames": 64, "image": [64, 48], **SIZES}
VARIANTS = {  # rows of the paper's tables: what differs from SMALL
    "SASTNet": {},
    "W2V2 + M-MAE": {"semantic_dim": None},
    "Whisper + M-MAE": {"input_dim": 48, "spectrum": [-7.0, 5.0]},
    "M-MAE": {"input_dim": 48, "spectrum": [-7.0, 5.0], "semantic_dim": None},
    "S-MAE": {"input_dim": 48, "spectrum": [-7.0, 5.0], "semantic_dim": None, "num_decoders": 1},
}
TARGETS = torch.tensor([0, 1, 2])


@pytest.fixture(autouse=True)
def one_thread():
    """For models this small, handing work to threads takes longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(**changes):
    torch.manual_seed(0)
    return SASTNet(**{**SMALL, **changes})


def streams_for(model, batch=3, frames=64, semantic=65):
    torch.manual_seed(1)
    streams = [torch.randn(batch, frames, model.input_dim), torch.randn(batch, semantic, 24)]
    return streams[: len(model.layouts)]


def training_step(model, streams):
    outputs = model.train()(*streams)
    return model.total_loss(F.cross_entropy(outputs, TARGETS), TARGETS)


@given(
    batch=st.integers(1, 3), rows=st.integers(2, 20), columns=st.integers(2, 12), ratio=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_whole_rows_and_columns_are_masked(batch, rows, columns, ratio, seed):
    torch.manual_seed(seed)
    hidden = draw_mask(batch, (rows, columns), ratio)
    seen = ~hidden.mask.view(batch, rows, columns)
    kept = [max(1, int(size * (1 - ratio / 2))) for size in (rows, columns)]
    assert hidden.visible == kept[0] * kept[1] == int(seen[0].sum())
    for item in seen:
        assert torch.equal(item, item.any(dim=1).unsqueeze(1) & item.any(dim=0))
        assert (int(item.any(dim=1).sum()), int(item.any(dim=0).sum())) == tuple(kept)
    for order, mask in zip(hidden.order, hidden.mask, strict=True):
        assert torch.equal(order[: hidden.visible], (~mask).nonzero().flatten())
        assert torch.equal(order[hidden.visible :], mask.nonzero().flatten())
    torch.manual_seed(seed)
    assert torch.equal(draw_mask(batch, (rows, columns), ratio).mask, hidden.mask)


def test_masks_differ_between_items_and_steps():
    torch.manual_seed(0)
    masks = [draw_mask(4, (16, 8), 0.4).mask for _ in range(2)]
    assert len({tuple(row.tolist()) for mask in masks for row in mask}) == 8


def test_a_masked_patch_changes_the_errors_but_not_the_tokens():
    mae = MultiDecoderMAE(2, (32, 48), 16, SIZES["encoder"], SIZES["decoder"]).eval()
    image = torch.randn(1, 32, 48)
    torch.manual_seed(3)
    mask = draw_mask(1, mae.grid, 0.4).mask[0]
    number = int(mask.nonzero()[0])
    row, column = divmod(number, mae.grid[1])
    other = image.clone()
    other[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] += 1
    results = []
    for one in (image, other):
        torch.manual_seed(3)
        results.append(mae(one, 0.4))
    torch.testing.assert_close(results[0][0], results[1][0])
    assert (results[0][1] - results[1][1]).abs().min() > 1e-3
    square = image[0, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
    assert torch.equal(mae.patches(image)[0, number].view(16, 16), square)


@given(st.data())
def test_reconstruction_loss(data):
    """Against the two formulas, written out."""
    decoders, batch = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 4))
    number = st.floats(0, 3, width=32)
    errors = data.draw(st.lists(st.lists(number, min_size=decoders, max_size=decoders), min_size=batch, max_size=batch))
    targets = data.draw(st.lists(st.integers(0, decoders - 1), min_size=batch, max_size=batch))
    each, mean = [], []
    for row, target in zip(errors, targets, strict=True):
        own, others = row[target], [error for i, error in enumerate(row) if i != target]
        each.append(own + sum(max(0.0, 0.1 + own - other) for other in others) / len(others))
        mean.append(own + max(0.0, 0.1 + own - sum(others) / len(others)))
    found = [reconstruction_loss(torch.tensor(errors), torch.tensor(targets), 0.1, form) for form in ("each", "mean")]
    torch.testing.assert_close(torch.stack(found), torch.tensor([sum(each), sum(mean)]) / batch, atol=1e-5, rtol=1e-5)
    assert found[0] >= found[1] - 1e-5  # a hinge is convex


def test_learned_weights_of_the_losses_favour_the_smaller_loss():
    weighting = AutomaticWeighting("large", "small")
    for _ in range(50):
        (gradient,) = torch.autograd.grad(weighting(torch.tensor(3.0), torch.tensor(0.2)), weighting.params)
        weighting.params.data -= 0.01 * gradient
    weights = weighting.weights()
    assert list(weights) == ["large", "small"] and weights["small"] > 0.5 > weights["large"] > 0


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_train_all_their_weights(name):
    model = made(**VARIANTS[name])
    assert len(model.layouts) == (2 if "SASTNet" in name or "Whisper" in name else 1)
    assert len(model.mae.all_decoders) == (1 if name == "S-MAE" else 3)
    assert (model.projection is None) == ("W2V2" not in name and name != "SASTNet")
    streams = streams_for(model)
    loss = training_step(model, streams)
    loss.backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    without = {name for name, gradient in trained.items() if gradient is None or not gradient.any()}
    assert without == set()
    with torch.no_grad():
        assert model.eval()(*streams).shape == (3, 3)


def test_no_patch_is_masked_outside_training():
    model, streams = made().eval(), streams_for(made())
    with torch.no_grad():
        first, second = model(*streams), model(*streams)
        alone = torch.cat([model(*(stream[i : i + 1] for stream in streams)) for i in range(3)])
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="total_loss must follow a forward in training mode"):
        model.total_loss(first.sum(), TARGETS)


def test_a_training_step_follows_from_the_seed():
    model, losses = made(), []
    streams = streams_for(model)
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        losses.append(training_step(model, streams).detach())
    assert losses[0] == losses[1] != losses[2]
    with pytest.raises(ValueError, match="total_loss must follow a forward in training mode"):
        model.total_loss(losses[0], TARGETS)


def test_the_total_loss_is_the_weighted_sum_of_both():
    model = made(hinge="mean", margin=0.3)
    model.train()(*streams_for(model))
    errors = model._errors.detach()
    with torch.no_grad():
        model.weighting.params.copy_(torch.tensor([0.5, 2.0]))
        total = model.total_loss(torch.tensor(1.5), TARGETS)
    expected = 2 * reconstruction_loss(errors, TARGETS, 0.3, "mean") + 0.125 * 1.5 + math.log(1.25) + math.log(5)
    torch.testing.assert_close(total, expected)
    assert model.figures() == pytest.approx({"weight_reconstruction": 2.0, "weight_classification": 0.125})


def test_the_weights_of_the_losses_are_a_separate_group():
    (group,) = made().optimizer_groups()
    optimizer = torch.optim.AdamW([{"params": [nn.Parameter(torch.ones(1))]}, group], lr=5e-6, weight_decay=1e-4)
    assert [(one["lr"], one["weight_decay"]) for one in optimizer.param_groups] == [(5e-6, 1e-4), (1e-3, 0.0)]
    assert [tuple(p.shape) for p in group["params"]] == [(2,)]


def test_input_of_another_length():
    model = made().eval()
    frames, semantic = streams_for(model, frames=160, semantic=160)
    with torch.no_grad():
        windows = [model(frames[:, s : s + 64], semantic[:, s : s + 64]) for s in (0, 48, 96)]
        torch.testing.assert_close(model(frames, semantic), torch.stack(windows).mean(dim=0), atol=1e-5, rtol=1e-5)
        exact = model(frames[:, :64], semantic[:, :64])
        assert torch.equal(model(frames[:, :66], semantic[:, :66]), exact)  # two frames more are no second window
        repeated = [one[:, torch.arange(64) % 10] for one in (frames, semantic)]
        torch.testing.assert_close(model(frames[:, :10], semantic[:, :10]), model(*repeated), atol=1e-5, rtol=1e-5)
    loss = training_step(model, [frames, semantic])  # crops that are longer than the image train, too
    assert loss.isfinite()


def test_both_streams_affect_the_outputs():
    model = made().eval()
    frames, semantic = streams_for(model)
    with torch.no_grad():
        outputs = model(frames, semantic)
        assert (model(frames + torch.randn_like(frames), semantic) - outputs).abs().max() > 1e-3
        assert (model(frames, semantic + torch.randn_like(semantic)) - outputs).abs().max() > 1e-3


def test_attention_maps():
    model = made().eval()
    with torch.no_grad():
        maps = model.attention_maps(*streams_for(model))
    tokens, semantic = 1 + 4 * 3, 32  # class token and patches; pairs of frames
    assert {name: tuple(one.shape) for name, one in maps.items()} == {
        "SA": (3, semantic, tokens), "AS": (3, tokens, semantic), "fusion": (3, tokens, semantic),
    }  # fmt: skip
    for one in maps.values():
        torch.testing.assert_close(one.sum(dim=2), torch.ones(one.shape[:2]))
    with pytest.raises(ValueError, match="no cross-modal attention"):
        made(semantic_dim=None).attention_maps(torch.randn(1, 32, 20))


def test_reduced_precision():
    model = made()
    with torch.autocast("cpu", torch.bfloat16):
        loss = training_step(model, streams_for(model))
    assert loss.isfinite()
    loss.backward()


def audiomae(model, **changes):
    """What AudioMAE's file holds, for the sizes of a model; its first layer is for other images."""
    torch.manual_seed(9)
    parts = {**model.mae.encoder.state_dict(), **model.mae.all_decoders[0].state_dict()}
    state = {name: torch.randn_like(tensor) for name, tensor in parts.items()}
    state |= {"pos_embed": torch.randn(1, 513, 32), "decoder_blocks.1.attn.tau": torch.ones(1), **changes}
    return {"model": state, "args": argparse.Namespace(epochs=32), "epoch": 32}


def test_audiomae_weights_are_copied_except_the_first_layers(tmp_path):
    model = made(pretrained=str(tmp_path / "a folder" / "mae_pretrained_base.pth"))
    (tmp_path / "a folder").mkdir()
    content = audiomae(model)
    torch.save(content, model.pretrained)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert model.initialise() == f"masked autoencoder: starts from {model.pretrained}"
    kept = {"pos_embed", "decoder_pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    kept |= {"decoder_embed.weight", "decoder_embed.bias"}
    for name, tensor in model.state_dict().items():
        part, _, rest = name.removeprefix("mae.").partition(".")
        inside = rest if part == "encoder" else rest.partition(".")[2] if part == "all_decoders" else None
        if not name.startswith("mae.") or inside is None or inside in kept:
            assert torch.equal(tensor, before[name]), name
        else:
            assert torch.equal(tensor, content["model"][inside]), name


def test_a_missing_or_unsuitable_audiomae_is_refused(tmp_path):
    assert "random weights" in made().initialise()
    path = tmp_path / "mae.pth"
    with pytest.raises(ValueError, match=r"mae\.pth: no AudioMAE can be read from it"):
        made(pretrained=str(path)).initialise()
    model = made(pretrained=str(path))
    torch.save(audiomae(model, cls_token=torch.zeros(1, 1, 768)), path)
    with pytest.raises(ValueError, match=r"cls_token is \(1, 1, 768\); .* needs \(1, 1, 32\)"):
        model.initialise()
    content = audiomae(model)
    del content["model"]["decoder_norm.bias"]
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"decoder_norm\.bias is missing"):
        model.initialise()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_decoders": 2}, "num_decoders must be 1 or one for each of the 3 outputs, not 2"),
        ({"hinge": "both"}, "hinge must be each or mean, not both"),
        ({"mask_ratio": 1.0}, "mask_ratio must lie between 0 and 1"),
        ({"spectrum": [0.0, 1.0]}, "spectrum is a mean and a deviation, of frames as wide as the image"),
        ({"image": [32, 40]}, r"image must be two multiples of patch 16, 32 or more each; got \[32, 40\]"),
        ({"encoder": [40, 2, 4]}, "must be a multiple of 16; got 40"),
        ({"decoder": [16, 1]}, "decoder must be width, blocks and heads"),
        ({"fusion": [1, 5]}, "a width of 32 cannot be split over 5 heads of the fusion"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        made(**changes)


def test_wrong_inputs_are_named():
    model = made()
    frames, semantic = streams_for(model)
    with pytest.raises(ValueError, match=r"SASTNet takes 2 streams here; got 1"):
        model(frames)
    with pytest.raises(ValueError, match=r"SASTNet takes frames \(B, T, 20\); got \(3, 65, 24\)"):
        model(semantic, frames)
    with pytest.raises(ValueError, match=r"SASTNet takes frames \(3, T, 24\); got \(2, 65, 24\)"):
        model(frames, semantic[:2])
    model.train()(frames, semantic)
    with pytest.raises(ValueError, match="several decoders need one class for each item"):
        model.total_loss(torch.tensor(1.0), torch.zeros(3, 2, dtype=torch.long))


SMALL_SIZES = {**SIZES, "num_outputs": 3, "semantic_dim": 48, "image": [32, 48], "encoder": [48, 1, 4]}
OFFICIAL = {ours.replace(r"\1", ""): theirs.replace(r"\.(.+)", ".") for theirs, ours in official.NAMES[:6]}


def official_name(name):
    """Where the official code keeps a tensor of our back-end."""
    graph = ("GAT_", "HtrgGAT_", "pool_", "pos_S", "master", "out_layer")
    for ours, theirs in OFFICIAL.items():
        if name.startswith(ours) and (ours != "classifier." or name.removeprefix(ours).startswith(graph)):
            return theirs + name.removeprefix(ours)
    return name.removeprefix("classifier.")


@pytest.fixture(scope="module")
def network():
    """A self-supervised model as wide as those whose number of heads is known without settings."""
    return tiny("wav2vec2", True, width=768, layers=1)


@pytest.fixture
def small_checkpoint(monkeypatch):
    """The official checkpoint for DEC with small sizes."""
    checkpoint = next(candidate for candidate in official.CHECKPOINTS if candidate.system == "sastnet_dec")

    def config(width, depth):
        settings = checkpoint.config(width, depth)
        return {**settings, "backend": node("SASTNet", input_dim=width, **SMALL_SIZES)}

    small = type(checkpoint)(**{**vars(checkpoint), "config": config})
    monkeypatch.setattr(matching, "OFFICIAL_CHECKPOINTS", (small,))
    return small


def official_file(folder, network, **changes):
    backend = SASTNet(768, **SMALL_SIZES)
    state = {official_name(name): tensor for name, tensor in backend.state_dict().items() if "weighting" not in name}
    state |= {f"SSL_model.model.{name}": tensor for name, tensor in fairseq_names(network, True).items()}
    state |= {f"whisper.model.{name}": torch.ones(2) for name in ("encoder.conv1.weight", "decoder.layers.0.fc1.bias")}
    for name in ("ta_transformer", "at_transformer", "at_ta_transformer"):
        state[f"{name}.version"] = torch.ones(1)
        state[f"{name}.embed_positions._float_tensor"] = torch.full((1,), torch.nan)  # never set there
    torch.save(state | changes, folder / "SAST_Net_DEC.pth")
    return folder / "SAST_Net_DEC.pth", backend


def test_an_official_file_becomes_an_experiment(tmp_path, network, small_checkpoint):
    path, backend = official_file(tmp_path, network)
    result = import_system("sastnet_dec", path, tmp_path / "exp")
    assert result.needs == "openai/whisper-small"
    assert sum(why == "of the frozen Whisper" for why in result.dropped.values()) == 2
    assert sum(why == "without effect" for why in result.dropped.values()) == 6
    state = load_weights(tmp_path / "exp" / "model.safetensors")
    for name, tensor in backend.state_dict().items():
        assert torch.equal(state[f"backend.{name}"], tensor), name
    name = "encoder.layers.0.final_layer_norm.weight"
    assert torch.equal(state[f"frontends.ssl.{name}"], network.state_dict()[name])
    assert len(state) == result.mapped + 1  # the weights of the losses, which start anew
    config = load_config([tmp_path / "exp" / "config.yaml"])
    assert list(config.streams) == ["ssl", "whisper"] and config.data.crop == 82200
    assert config.streams["whisper"]["init_args"]["finetune"] is False
    assert config.task["init_args"]["table"] == "utt2dec"


def test_an_incomplete_official_file_is_refused(tmp_path, network, small_checkpoint):
    path, _ = official_file(tmp_path, network, **{"LL.bias": torch.full((32,), torch.nan)})
    with pytest.raises(InputError, match=r"NaN or infinite values in 1 tensor, first LL\.bias"):
        import_system("sastnet_dec", path, tmp_path / "exp")
    path, _ = official_file(tmp_path, network, stray=torch.ones(1))
    with pytest.raises(InputError, match="not sastnet_dec: 1 tensor missing, unknown or of another shape, first stray"):
        import_system("sastnet_dec", path, tmp_path / "exp")


def test_names_of_the_checkpoints_do_not_overlap():
    names = [official_name(name) for name in made(num_outputs=4).state_dict()]
    assert len(set(names)) == len(names)
    assert not any(a == b for a, b in itertools.combinations(OFFICIAL.values(), 2))
