"""Guarantees of every back-end, tested on small models of each kind."""

import pytest
import torch
from helpers.small_backends import BACKENDS, EVERY, make, make_inputs
from torch import Tensor

import spooftrace.backends
from spooftrace.backends.parts.aggregation import make_aggregation
from spooftrace.backends.parts.batchnorm import PreciseBatchNorm2d

FEWEST = {"AASIST": 2315, "W2V2AASIST": 3}  # frames or samples, at the published sizes; all others take one
SEMANTIC_DIM = 768  # of SASTNet's second stream there
LAYOUT_NDIM = {"wave": 2, "vector": 2, "frames": 3, "codes": 3, "layers": 4}


def loss_of(model: spooftrace.backends.Backend, outputs: Tensor) -> Tensor:
    """The loss of a task, with the back-end's auxiliary loss."""
    loss = outputs.square().sum()
    return model.total_loss(loss, torch.zeros(len(outputs), dtype=torch.long))


def test_every_back_end_is_tested():
    assert {case[0] for case in BACKENDS.values()} == {*spooftrace.backends.__all__} - {"Backend"}


@EVERY
def test_attributes(name):
    model = make(name, num_outputs=[1, 2] if name.endswith("two tasks") else 3)
    shapes = BACKENDS[name][2]
    assert model.num_outputs == 3
    assert len(model.layouts) == len(shapes)
    for layouts, shape in zip(model.layouts, shapes, strict=True):
        assert len(shape) in {LAYOUT_NDIM[layout] for layout in layouts}
    assert name == "AASIST" or model.input_dim == BACKENDS[name][1]["input_dim"]
    for layout in ("`" + layout + "`" for layouts in model.layouts for layout in layouts):
        assert layout in type(model).__doc__ or layout in type(model).__mro__[1].__doc__


@EVERY
def test_any_length_from_the_minimum(name):
    model = make(name).eval()
    least = BACKENDS[name][3]
    for frames in (least, least + 1, 50, 77):
        with torch.no_grad():
            output = model(*make_inputs(name, 2, frames))
        assert output.shape == (2, 2) and output.isfinite().all()


@EVERY
def test_too_few_frames_or_another_shape_give_one_line(name):
    model = make(name).eval()
    shape = BACKENDS[name][2][0]
    good, *others = make_inputs(name, 2, 50)
    bad = [good[0] if name != "LinearProbe" else good[0, 0], good[None]]
    if "T" in shape:
        bad.append(make_inputs(name, 2, BACKENDS[name][3] - 1)[0])
    if shape[-1] != "T":
        bad.append(good[..., :-1])
    if len(shape) > 3 and name != "SLS":  # which takes any number of layers
        bad.append(good[:, :-1])
    for x in bad:
        with pytest.raises(ValueError, match=r"^\w+ takes .*; got \([\d, ]+\)$"):
            model(x, *others)


@pytest.mark.parametrize("name", [name for name, case in BACKENDS.items() if "T" in case[2][0]])
@pytest.mark.parametrize("frames", [1, 10])
def test_short_inputs_at_the_published_sizes(name, frames):
    """In training and in use: an output, or one line that says how long an input must be. Shapes only, on meta."""
    class_path, init_args, _, _ = BACKENDS[name]
    sizes = {key: value for key, value in init_args.items() if key in ("aggregation", "activation", "pool")}
    if name.startswith("LinearProbe"):
        sizes["input_dim"] = 1024
    if class_path == "SASTNet":  # all blocks of a transformer are alike
        sizes |= {"encoder": [768, 1, 12], "decoder": [512, 1, 16]}
    if name == "SASTNet, a spectrum":
        sizes |= {"input_dim": 128, "image": [512, 128], "spectrum": [-7.0, 5.0], "semantic_dim": None}
    with torch.device("meta"):
        model = getattr(spooftrace.backends, class_path)(**sizes)
        layers = (getattr(model, "aggregation", None) or model).num_layers or 24
        inputs = []
        for layouts, width in zip(model.layouts, [getattr(model, "input_dim", None), SEMANTIC_DIM], strict=False):
            shapes = {
                "wave": (2, frames),
                "frames": (2, frames, width),
                "layers": (2, layers, frames, width),
                "codes": (2, 8, frames),
            }
            inputs.append(torch.zeros(shapes[layouts[0]]))
    for mode in (True, False):
        model.train(mode)
        if frames >= FEWEST.get(class_path, 1):
            assert model(*inputs).shape == (2, model.num_outputs)
        else:
            with pytest.raises(ValueError, match=rf"T of at least {FEWEST[class_path]}|at least 2315 samples"):
                model(*inputs)


@EVERY
def test_items_of_a_batch_are_independent_in_eval_mode(name):
    model = make(name).eval()
    inputs = make_inputs(name, 3, 60)
    with torch.no_grad():
        together = model(*inputs)
        alone = torch.cat([model(*(x[i : i + 1] for x in inputs)) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@EVERY
def test_all_trained_weights_have_gradients(name):
    model = make(name)
    loss_of(model, model(*make_inputs(name, 4, 500 if name == "AASIST" else 50))).backward()
    for key, p in model.named_parameters():
        if p.requires_grad:
            assert p.grad is not None and p.grad.isfinite().all(), key
            if not key.endswith("bias"):  # a bias just before a batch norm has zero gradient
                assert p.grad.any(), key


@EVERY
def test_state_dicts_are_complete_and_load_strictly(name):
    """State dicts load strictly, and hold everything: two models with the same one give the same outputs."""
    model, other = make(name), make(name)
    for p in other.parameters():
        torch.nn.init.normal_(p)
    other.load_state_dict(model.state_dict(), strict=True)
    inputs = make_inputs(name, 2, 50)
    with torch.no_grad():
        assert torch.equal(model.eval()(*inputs), other.eval()(*inputs))


@pytest.mark.parametrize("kind", ["sea", "weighted_sum", "attm"])
def test_aggregations(kind):
    torch.manual_seed(0)
    aggregation = make_aggregation(kind, num_layers=5, dim=4)
    layers = torch.randn(2, 5, 7, 4)
    assert aggregation(layers).shape == (2, 7, 4)
    torch.testing.assert_close(aggregation(layers)[1:], aggregation(layers[1:]))
    if kind == "weighted_sum":
        torch.testing.assert_close(aggregation(layers), layers.mean(dim=1))


def test_wrong_aggregations_are_named():
    with pytest.raises(ValueError, match="aggregation must be one of sea, weighted_sum, attm or null, not mean"):
        make("LSTMProbe", aggregation="mean")
    with pytest.raises(ValueError, match="aggregation sea needs 3 layers or more, not 2"):
        make("LSTMProbe", aggregation="sea", num_layers=2)
    with pytest.raises(ValueError, match="projection must be linear or mlp, not none"):
        make("AttMLSTM", projection="none")
    with pytest.raises(ValueError, match="reduced_dim must be at least scale; got 4 and 8"):
        make("ReducedRes2Net", reduced_dim=4, scale=8)
    with pytest.raises(ValueError, match="activation must be relu or selu, not gelu"):
        make("Nes2NetX", activation="gelu")


def test_batch_norm_with_channels_last_keeps_its_precision():
    """In outputs, gradients and running statistics: against torch's own in double precision and the default layout."""
    torch.manual_seed(0)
    x = 0.5 + torch.randn(2, 8, 24, 5000)
    grad = torch.randn_like(x)
    exact, ours = torch.nn.BatchNorm2d(8).double(), PreciseBatchNorm2d(8)
    torch.nn.init.normal_(ours.weight)
    torch.nn.init.normal_(ours.bias)
    exact.load_state_dict(ours.state_dict())
    results = []
    for norm, layout in ((exact, torch.contiguous_format), (ours, torch.channels_last)):
        leaf = x.to(norm.weight.dtype).to(memory_format=layout).requires_grad_()
        output = norm(leaf)
        assert output.is_contiguous(memory_format=layout)
        output.backward(grad.to(output))
        results.append([output, leaf.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b.double().contiguous(), a, atol=1e-5 * float(a.detach().abs().max()), rtol=0)
    assert ours.num_batches_tracked == 1
    torch.testing.assert_close(ours.eval()(x).double(), exact.eval()(x.double()), atol=1e-5, rtol=1e-5)


def test_aasist_trains_with_channels_last_as_without():
    """In double precision it keeps the default layout."""
    model, other = make("AASIST"), make("AASIST").double()
    for dropout in (m for each in (model, other) for m in each.modules() if isinstance(m, torch.nn.Dropout)):
        dropout.p = 0.0
    wave = torch.randn(3, 4000)
    assert model.eval().encode(wave).stride() != other.eval().encode(wave.double()).stride()
    torch.testing.assert_close(model(wave).double(), other(wave.double()), atol=1e-5, rtol=1e-5)
    model.train()(wave).square().sum().backward()
    other.train()(wave.double()).square().sum().backward()
    for (name, p), exact in zip(model.named_parameters(), other.parameters(), strict=True):
        if p.requires_grad and p.grad.norm() > 1e-3:
            assert (p.grad - exact.grad).norm() < 1e-3 * exact.grad.norm(), name
