"""The back-ends of codec parsing: properties of all four, and of the CNN, the single ball and MiO."""

import copy

import pytest
import torch
from torch import Tensor, nn

from spooftrace.backends import HYDRA, HyperbolicCNN, MiO, ParsingCNN
from spooftrace.backends.parsing_cnn import VectorEncoder

SMALL = {
    "ParsingCNN": (ParsingCNN, {"input_dim": 12}),
    "HyperbolicCNN": (HyperbolicCNN, {"input_dim": 12, "ball_dim": 4, "hidden_dim": 16}),
    "HyperbolicCNN, tangent": (
        HyperbolicCNN,
        {"input_dim": 12, "ball_dim": 4, "hidden_dim": 16, "readout": "tangent"},
    ),
    "HYDRA": (HYDRA, {"input_dim": 12, "ball_dim": 4, "hidden_dim": 16}),
    "HYDRA, printed": (HYDRA, {"input_dim": 12, "ball_dim": 4, "hidden_dim": 16, "formulas": "printed"}),
    "HYDRA, ablated": (
        HYDRA,
        {"input_dim": 12, "ball_dim": 4, "hidden_dim": 16, "attention": "uniform", "shared_ball": True},
    ),
    "MiO": (MiO, {"input_dim": 12, "other_dim": 9, "merged_dim": 5}),
}
EVERY = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(autouse=True)
def one_thread():
    """For models this small, handing work to threads takes longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(name: str, **changes) -> nn.Module:
    torch.manual_seed(0)
    kind, arguments = SMALL[name]
    return kind(**{**arguments, **changes})


def make_inputs(model: nn.Module, batch: int) -> list[Tensor]:
    """A batch of random vectors for each stream."""
    torch.manual_seed(1)
    widths = [model.input_dim, getattr(model, "other_dim", 0)][: len(model.layouts)]
    return [torch.randn(batch, width) for width in widths]


@EVERY
def test_one_output_per_target(name):
    model = make(name, num_outputs=2).eval()
    assert model.num_outputs == 2 and make(name).num_outputs == 3
    assert all(layouts == ("vector",) for layouts in model.layouts)
    output = model(*make_inputs(model, 5))
    assert output.shape == (5, 2) and output.dtype == torch.float32 and output.isfinite().all()


@EVERY
def test_items_of_a_batch_are_independent_in_eval_mode(name):
    model = make(name).eval()
    inputs = make_inputs(model, 3)
    alone = torch.cat([model(*(x[i : i + 1] for x in inputs)) for i in range(3)])
    torch.testing.assert_close(model(*inputs), alone, atol=1e-5, rtol=1e-5)


@EVERY
def test_another_shape_gives_one_line(name):
    model = make(name)
    good = make_inputs(model, 3)
    for bad in (good[0][:, :-1], good[0][0], good[0][:0], good[0][None]):
        with pytest.raises(ValueError, match=r"^\w+ takes vector \(B, 12\); got \([\d, ]+\)$"):
            model(bad, *good[1:])
    if len(good) == 2:
        with pytest.raises(ValueError, match=r"MiO takes vector \(B, 9\); got \(3, 8\)$"):
            model(good[0], good[1][:, :-1])


@EVERY
def test_all_trained_weights_have_gradients(name):
    model = make(name, dropout=0.0)
    outputs = model(*make_inputs(model, 16))
    loss = outputs.square().sum()
    if hasattr(model, "total_loss"):
        loss = model.total_loss(loss, torch.zeros(16, 3))
    loss.backward()
    for key, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), key
        # Read through log_0, the curvature of a single ball has no effect, see its docstring.
        assert p.grad.abs().max() > 1e-9 or (name == "HyperbolicCNN, tangent" and key == "balls.isp_c"), key


@EVERY
def test_state_dicts_are_complete(name):
    """Two models with the same state give the same outputs; statistics of the standardisation are part of it."""
    model, other = make(name), make(name)
    for p in other.parameters():
        nn.init.normal_(p)
    inputs = make_inputs(model, 20)
    with torch.no_grad():
        model(*inputs)  # training mode: moves the statistics
    model = copy.deepcopy(model.eval())
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(model(*inputs), other.eval()(*inputs))


@EVERY
def test_scale_and_offset_of_the_vectors_do_not_matter(name):
    model = make(name, dropout=0.0)
    inputs = make_inputs(model, 32)
    torch.testing.assert_close(model(*inputs), model(*(1000 * x - 70 for x in inputs)), atol=1e-3, rtol=1e-3)


@EVERY
def test_statistics_of_the_vectors_converge_after_one_batch(name):
    """Of numbers that are large and hardly vary, too; the same items give the same outputs in training and in use."""
    model = make(name, dropout=0.0)
    inputs = [5 + 1e-2 * x for x in make_inputs(model, 256)]
    with torch.no_grad():
        torch.testing.assert_close(model(*inputs), model.eval()(*inputs), atol=1e-2, rtol=1e-2)


@pytest.mark.slow
@EVERY
def test_training_beats_the_mean_predictor(name):
    model = make(name, dropout=0.1)
    inputs = make_inputs(model, 400)
    mixing = torch.randn(12, 3, generator=torch.Generator().manual_seed(2))
    targets = torch.tanh(inputs[0] @ mixing)
    targets = (targets - targets.mean(0)) / targets.std(0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for epoch in range(15):
        for chosen in torch.randperm(400, generator=torch.Generator().manual_seed(epoch)).split(100):
            loss = nn.functional.mse_loss(model(*(x[chosen] for x in inputs)), targets[chosen])
            if hasattr(model, "total_loss"):
                loss = model.total_loss(loss, targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    error = (model.eval()(*inputs) - targets).square().mean(0)  # of the mean predictor: 1
    assert (error < 0.5).all()


def test_published_layers_of_the_cnn():
    """Convolutions of 64 and 128 filters with kernel 3, then 120, 30 and 1 for each target."""
    model = make("ParsingCNN")
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv1d)]
    assert [(m.in_channels, m.out_channels, m.kernel_size) for m in convolutions] == [(1, 64, (3,)), (64, 128, (3,))]
    for head in model.heads.heads:
        assert [m.out_features for m in head if isinstance(m, nn.Linear)] == [120, 30, 1]


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        (ParsingCNN, (2_248_143, 5_934_543, 8_883_663, 14_781_903)),
        (HyperbolicCNN, (8_069_604, 8_397_284, 8_659_428, 9_183_716)),
        (HYDRA, (8_463_183, 9_446_223, 10_232_655, 11_805_519)),
    ],
)
def test_sizes_are_those_of_the_docstrings(kind, counts):
    for width, count in zip((192, 512, 768, 1280), counts, strict=True):
        with torch.device("meta"):
            model = kind(input_dim=width)
        assert sum(p.numel() for p in model.parameters()) == count
        assert f"{count:,} for {width}" in " ".join(kind.__doc__.split())
        assert kind is not HYDRA or 8e6 <= count <= 12e6  # as published


def test_size_of_mio():
    with torch.device("meta"):
        assert sum(p.numel() for p in MiO().parameters()) == 5_318_463
    assert "5,318,463 parameters" in MiO.__doc__


def test_bilinear_pooling_holds_all_products():
    """Of a number of the one vector and a number of the other; as roots that keep the sign, normalised."""
    model = make("MiO").eval()
    inputs = make_inputs(model, 2)
    seen = []
    model.heads.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0][0]))
    with torch.no_grad():
        model(*inputs)
        first, second = model.first(inputs[0]), model.second(inputs[1])
    expected = torch.stack([torch.outer(a, b).flatten() for a, b in zip(first, second, strict=True)])
    expected = expected.sign() * expected.abs().sqrt()
    expected = 5 * expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(seen[0], expected, atol=1e-3, rtol=0)


def test_mio_is_finite_for_vectors_of_zeros():
    model = make("MiO")
    inputs = [torch.zeros(4, 12), torch.zeros(4, 9)]
    for layer in (model.first[1], model.second[1]):
        nn.init.zeros_(layer.bias)
    output = model(*inputs)
    output.sum().backward()
    assert output.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_single_ball_read_through_the_tangent_space_is_euclidean():
    """As the class says: the curvature then has no effect, and it has one where the ball's coordinates are read."""
    inputs = make_inputs(make("HyperbolicCNN"), 6)
    for readout, same in (("tangent", True), ("ball", False)):
        model = make("HyperbolicCNN", readout=readout).eval()
        before = model(*inputs)
        nn.init.constant_(model.balls.isp_c, 3.0)
        assert torch.allclose(before, model(*inputs), atol=1e-5) == same
        assert model.figures() == {"curvature": pytest.approx(3.0486, abs=1e-4)}  # softplus(3)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="input_dim must be at least 4, not 3"):
        VectorEncoder(3, 0.0)
    with pytest.raises(ValueError, match="readout must be ball or tangent, not log"):
        make("HyperbolicCNN", readout="log")
    with pytest.raises(ValueError, match="attention must be task or uniform, not none"):
        make("HYDRA", attention="none")
    with pytest.raises(ValueError, match="formulas must be consistent or printed, not both"):
        make("HYDRA", formulas="both")
    with pytest.raises(ValueError, match=r"htc_weight must not be negative, but is -0\.1"):
        make("HYDRA", htc_weight=-0.1)
