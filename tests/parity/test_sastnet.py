"""SASTNet computes what ResponsibleGenAI/CodecFake-Source-Tracing computes, part by part, and takes its checkpoints."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from backend_cases import keys_sha256, make_input, official_keys, reference, set_weights
from helpers.tolerance import assert_equal_up_to_rounding
from transformers import WhisperConfig, WhisperModel

from spooftrace.backends import W2V2AASIST, SASTNet
from spooftrace.backends.parts.crossmodal import CrossModalTransformer, positions
from spooftrace.backends.parts.mae import MultiDecoderMAE, draw_mask, sincos_positions
from spooftrace.backends.parts.reconstruction import AutomaticWeighting, reconstruction_loss
from spooftrace.official import OFFICIAL_CHECKPOINTS
from spooftrace.official.contents import PRETRAINING_ONLY, split_checkpoint
from spooftrace.official.importing import fill, skeleton, write_config
from spooftrace.official.matching import choose, renamed
from spooftrace.official.sastnet import NAMES
from spooftrace.system.system import count_parameters

CHECKPOINTS = {
    checkpoint.system: checkpoint for checkpoint in OFFICIAL_CHECKPOINTS if checkpoint.system.startswith("sastnet")
}
OFFICIAL = {"sastnet_vq": "VQ", "sastnet_aux": "AUX", "sastnet_dec": "DEC", "sastnet_bin": "Bin"}
PARAMETERS = {"VQ": 234_894_412, "AUX": 234_894_412, "DEC": 209_082_539, "Bin": 183_270_666}
LOSS_WEIGHTS = 2  # of the automatic weighting, which the official code keeps outside of the model
SMALL = {"encoder": (64, 2, 4), "decoder": (32, 2, 4)}


def small_mae(decoders):
    """The autoencoder of a reference file, its images and the official outputs."""
    case = reference(f"sast_mae_small_dec{decoders}")
    mae = MultiDecoderMAE(decoders, **SMALL).eval()
    mae.load_state_dict(case["state_dict"], strict=True)
    return mae, case["inputs"]["img_B1HW"].squeeze(1), case


def test_positions_of_patches():
    outputs = reference("sast_mae_posembed")["outputs"]
    for name, dim in (("encoder_pos_embed", 768), ("decoder_pos_embed", 512)):
        torch.testing.assert_close(sincos_positions((16, 8), dim), outputs[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("decoders", [1, 4])
def test_what_is_hidden_and_what_the_encoder_makes_of_the_rest(decoders):
    mae, image, case = small_mae(decoders)
    torch.manual_seed(case["inputs"]["seed_2d"])
    hidden = draw_mask(len(image), mae.grid, case["inputs"]["mask_ratio"])
    assert hidden.visible == 72
    assert torch.equal(hidden.mask.float(), case["outputs"]["mask"])
    assert torch.equal(hidden.order.argsort(dim=1), case["outputs"]["ids_restore"])
    with torch.no_grad():
        assert_equal_up_to_rounding(mae.encoder(image, hidden), case["outputs"]["enc_masked"], mae)


@pytest.mark.parametrize("decoders", [1, 4])
def test_tokens_and_reconstruction_in_training(decoders):
    mae, image, case = small_mae(decoders)
    torch.manual_seed(case["inputs"]["seed_2d"])
    with torch.no_grad():
        tokens, errors = mae(image, case["inputs"]["mask_ratio"])
    outputs, labels = case["outputs"], case["inputs"]["labels"]
    assert_equal_up_to_rounding(tokens, outputs["train_attn_out"], mae)
    assert_equal_up_to_rounding(errors, outputs["per_decoder_masked_mse"], mae)
    assert_equal_up_to_rounding(reconstruction_loss(errors, labels), outputs["recon_loss"], mae)
    if decoders > 1:
        paper = reconstruction_loss(errors, labels, hinge="mean")
        assert_equal_up_to_rounding(paper, outputs["recon_loss_paper_formula"], mae)


@pytest.mark.parametrize("decoders", [1, 4])
def test_tokens_in_inference_but_for_their_order(decoders):
    """The official inference shuffles the tokens: it masks no patch, but draws a random order of all."""
    mae, image, case = small_mae(decoders)
    with torch.no_grad():
        tokens, errors = mae(image)
    assert errors is None
    official = case["outputs"]["predict"]
    place = (tokens.unsqueeze(2) - official.unsqueeze(1)).abs().amax(dim=3).argmin(dim=2)  # (B, 129), of ours in theirs
    assert all(torch.equal(order.sort().values, torch.arange(129)) for order in place)
    assert not torch.equal(place[0], torch.arange(129))
    found = official.gather(1, place.unsqueeze(2).expand_as(official))
    assert_equal_up_to_rounding(tokens, found, mae)


def test_cross_modal_transformer():
    case = reference("sast_crossmodal_small")
    model = CrossModalTransformer(64, num_layers=2, num_heads=4).eval()
    bookkeeping = {"version", "embed_positions._float_tensor"}
    model.load_state_dict({name: t for name, t in case["state_dict"].items() if name not in bookkeeping}, strict=True)
    acoustic, semantic = (case["inputs"][name].transpose(0, 1) for name in ("query_TBC", "kv_TBC"))  # -> (B, T, D)
    with torch.no_grad():
        torch.testing.assert_close(positions(129, 64), case["outputs"]["pos_emb_first_item"], atol=1e-6, rtol=0)
        for out, queries, source in (("out_q_kv", acoustic, semantic), ("out_kv_q", semantic, acoustic)):
            expected = case["outputs"][out].transpose(0, 1)
            assert_equal_up_to_rounding(model(queries, source), expected, model)
            assert_equal_up_to_rounding(model.run(queries, source, with_map=True)[0], expected, model)


def test_weighting_of_the_losses():
    case = reference("sast_awl")
    weighting = AutomaticWeighting(*case["inputs"]["losses_order"])
    with torch.no_grad():
        ones = weighting(*case["inputs"]["losses"])
        torch.testing.assert_close(ones, case["outputs"]["loss_with_params_ones"], atol=1e-6, rtol=0)
        weighting.load_state_dict(case["state_dict"])
        torch.testing.assert_close(weighting(*case["inputs"]["losses"]), case["outputs"]["loss"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("system", OFFICIAL)
def test_published_size(system):
    outputs = len(CHECKPOINTS[system].config(1024, 24)["task"]["init_args"]["class_weight"])
    with torch.device("meta"):
        model = SASTNet(num_outputs=outputs)
    assert count_parameters(model) == PARAMETERS[OFFICIAL[system]] + LOSS_WEIGHTS
    assert count_parameters(model.mae) == {4: 191_816_576, 3: 166_004_864, 2: 140_193_152}[outputs]
    for transformer in (model.fusion.semantic_to_acoustic, model.fusion.acoustic_to_semantic, model.fusion.fusion):
        assert count_parameters(transformer) == 14_177_280


@pytest.mark.parametrize("system", OFFICIAL)
def test_every_official_name_is_one_of_ours(system):
    official = official_keys(f"sastnet_{OFFICIAL[system]}_without_ssl_whisper")
    checkpoint = CHECKPOINTS[system]
    ours, unknown = renamed(checkpoint, {name: torch.empty(shape, device="meta") for name, shape in official.items()})
    with torch.device("meta"):
        expected = SASTNet(**checkpoint.config(1024, 24)["backend"]["init_args"]).state_dict()
    assert unknown == []
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in expected.items()}


@pytest.mark.slow
@pytest.mark.parametrize("system", OFFICIAL)
def test_every_official_tensor_has_its_place(tmp_path, system):
    """A whole official file: XLS-R as fairseq has it, all of Whisper small, and the rest; names and shapes only."""
    own = official_keys(f"sastnet_{OFFICIAL[system]}_without_ssl_whisper")
    ssl = {f"SSL_model.model.{name}": shape for name, shape in official_keys("fairseq_xlsr300m_wav2vec2model").items()}
    with torch.device("meta"):
        layers = {"encoder_layers": 12, "decoder_layers": 12, "encoder_attention_heads": 12}
        whisper = WhisperModel(WhisperConfig(d_model=768, decoder_attention_heads=12, **layers)).state_dict()
    whisper = {f"whisper.model.{name}": tuple(tensor.shape) for name, tensor in whisper.items()}
    state = {name: torch.empty(shape, device="meta") for name, shape in {**own, **ssl, **whisper}.items()}
    parts = split_checkpoint(state, Path("official.pth"))
    checkpoint = choose(system, parts, Path("official.pth"))
    assert checkpoint == CHECKPOINTS[system]
    model, needs = skeleton(write_config(checkpoint, parts, tmp_path), tmp_path)
    expected = model.own_state()
    filled, dropped = fill(expected, checkpoint, parts, Path("official.pth"))
    assert {name: tensor.shape for name, tensor in filled.items()} == {n: t.shape for n, t in expected.items()}
    assert len(filled) - 1 + len(dropped) == len(state)  # but for the weights of the losses
    assert sum(why == "of the frozen Whisper" for why in dropped.values()) == len(whisper)
    assert list(dropped.values()).count(PRETRAINING_ONLY) == 7
    assert needs == "openai/whisper-small"
    assert count_parameters(model.backend) == PARAMETERS[OFFICIAL[system]] + LOSS_WEIGHTS


SIZES = {"encoder": (32, 2, 4), "decoder": (16, 1, 4), "fusion": (2, 4), "reduced_dim": 32}


def test_how_the_parts_are_put_together():
    """Step by step in the order of the official ``predict``, each part by its official name."""
    model = SASTNet(20, 3, semantic_dim=32, semantic_frames=40, image=(48, 32), **SIZES).eval()
    set_weights(model)
    state, parts = model.state_dict(), {}
    makers = {
        "at_transformer": lambda: CrossModalTransformer(32, 2, 4),
        "ta_transformer": lambda: CrossModalTransformer(32, 2, 4),
        "at_ta_transformer": lambda: CrossModalTransformer(32, 2, 4),
        "SSL_proj": lambda: torch.nn.Linear(20, 32),
        "MAE": lambda: MultiDecoderMAE(3, (48, 32), 16, SIZES["encoder"], SIZES["decoder"]),
        "multiclass_branch": lambda: W2V2AASIST(32, 3, 32),  # LL, first_bn and so on go the same way
    }
    for official, make in makers.items():
        ours = next(re.sub(*rule, f"{official}.x") for rule in NAMES if re.fullmatch(rule[0], f"{official}.x"))[:-1]
        parts[official] = make().eval()
        own = {name.removeprefix(ours): tensor for name, tensor in state.items() if name.startswith(ours)}
        parts[official].load_state_dict(own)
    frames, whisper = make_input([2, 48, 20]), make_input([2, 41, 32])
    with torch.no_grad():
        acoustic, _ = parts["MAE"](parts["SSL_proj"](frames))
        semantic = F.avg_pool1d(whisper[:, :40].transpose(1, 2), kernel_size=2, stride=2).transpose(1, 2)
        a_to_t = parts["at_transformer"](acoustic, semantic)
        t_to_a = parts["ta_transformer"](semantic, acoustic)
        expected = parts["multiclass_branch"](parts["at_ta_transformer"](a_to_t, t_to_a))
        assert_equal_up_to_rounding(model(frames, whisper), expected, model)


def test_stored_outputs():
    """A small network of every part, which stays as it is where the reference material is missing."""
    model = SASTNet(20, 3, semantic_dim=24, semantic_frames=40, image=(48, 32), **SIZES).eval()
    set_weights(model)
    with torch.no_grad():
        outputs = model(make_input([2, 48, 20]), make_input([2, 41, 24]))
    assert keys_sha256(model) == "b1d1b691ca9a7aefc7aeb9870a08f67db27a39c1066ef05322a253f0ced71bbd"
    assert (outputs[0] - outputs[1]).abs().max() > 0.05, "the stored case must follow its input"
    expected = torch.tensor([[-0.2416372, -0.5273973, 0.4488958], [-0.2387820, -0.4755467, 0.4549973]])
    assert_equal_up_to_rounding(outputs, expected, model)
