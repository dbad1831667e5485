"""HYDRA: operations on Poincaré balls, also at their edge, attention, total correlation, what is kept in training."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from spooftrace.backends.hydra import HYDRA, total_correlation
from spooftrace.backends.parts.poincare import disc_view, make_balls, printed_weighted_sum, to_balls, weighted_sum

CURVATURES = (0.3, 1.0, 2.5)


@pytest.fixture(autouse=True)
def one_thread():
    """For models this small, handing work to threads takes longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def balls_of(*curvatures: float):
    balls, wanted = make_balls(len(curvatures)), torch.tensor(curvatures, dtype=torch.float64)[:, None]
    with torch.no_grad():
        balls.isp_c.copy_(wanted + (-torch.expm1(-wanted)).log())  # softplus backwards
    return balls


def random_case(batch: int = 4, dim: int = 5, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Tangent vectors (B, 3, dim) and attention (B, 3, 3)."""
    generator = torch.Generator().manual_seed(seed)
    vectors = scale * torch.randn(batch, 3, dim, generator=generator, dtype=torch.float64)
    return vectors, torch.randn(batch, 3, 3, generator=generator, dtype=torch.float64).softmax(-1)


def model_of(**changes) -> HYDRA:
    torch.manual_seed(0)
    return HYDRA(**{"input_dim": 12, "ball_dim": 4, "hidden_dim": 16, **changes})


# The formulas as printed, point by point, in plain Python.


def exp0(v, c):
    norm = np.linalg.norm(v)
    return math.tanh(math.sqrt(c) * norm) * v / (math.sqrt(c) * norm)


def log0(y, c):
    norm = np.linalg.norm(y)
    return math.atanh(math.sqrt(c) * norm) / math.sqrt(c) * y / norm


def add(x, y, c):
    xy, xx, yy = x @ y, x @ x, y @ y
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c**2 * xx * yy)


def multiply(r, x, c):
    norm = np.linalg.norm(x)
    return math.tanh(r * math.atanh(math.sqrt(c) * norm)) * x / (math.sqrt(c) * norm)


def test_weighted_sum_follows_the_formulas():
    """In the ball of the target, to which the points come by exp_0(log_0(.))."""
    vectors, weights = random_case()
    found = weighted_sum(balls_of(*CURVATURES), vectors, weights).detach()
    for b in range(4):
        for t, c in enumerate(CURVATURES):
            terms = []
            for k, own in enumerate(CURVATURES):
                point = exp0(vectors[b, k].numpy(), own)
                terms.append(multiply(float(weights[b, t, k]), exp0(log0(point, own), c), c))
            expected = log0(add(add(terms[0], terms[1], c), terms[2], c), c)
            np.testing.assert_allclose(found[b, t], expected, atol=1e-9)


def test_printed_sum_follows_the_printed_formulas():
    """Multiplied and added with the curvature of each subspace, mapped back with that of the target, times 2."""
    vectors, weights = random_case(scale=0.3)  # short enough for every ball to hold every point
    found = printed_weighted_sum(balls_of(*CURVATURES), vectors, weights).detach()
    for b in range(4):
        terms = [exp0(vectors[b, k].numpy(), c) for k, c in enumerate(CURVATURES)]
        for t, c_t in enumerate(CURVATURES):
            total = multiply(float(weights[b, t, 0]), terms[0], CURVATURES[0])
            for k in (1, 2):
                scaled = multiply(float(weights[b, t, k]), terms[k], CURVATURES[k])
                total = add(total, scaled, CURVATURES[k])
            np.testing.assert_allclose(found[b, t], 2 * log0(total, c_t), atol=1e-9)


def test_with_one_curvature_printed_is_consistent_but_for_the_factor_of_2():
    vectors, weights = random_case()
    for balls in (balls_of(0.7, 0.7, 0.7), balls_of(0.7)):
        printed = printed_weighted_sum(balls, vectors, weights)
        torch.testing.assert_close(printed, 2 * weighted_sum(balls, vectors, weights))


def test_all_weight_on_one_subspace_gives_its_tangent_vector():
    vectors, _ = random_case(scale=0.5)  # short enough for every ball to hold every point
    found = weighted_sum(balls_of(*CURVATURES), vectors, torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    torch.testing.assert_close(found, vectors)


def test_flat_balls_give_the_weighted_mean():
    vectors, weights = random_case()
    torch.testing.assert_close(weighted_sum(balls_of(1e-7), vectors, weights), weights @ vectors, atol=1e-5, rtol=0)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0.01, 1.5), min_size=3, max_size=3),
    st.lists(st.floats(0.05, 3), min_size=3, max_size=3),
)
def test_distances_add_on_a_line(lengths, curvatures):
    """Points in one direction from the origin: their sum is as far as their weighted distances together."""
    direction = torch.tensor([0.6, 0.0, -0.8], dtype=torch.float64)
    vectors = torch.tensor(lengths, dtype=torch.float64)[None, :, None] * direction
    _, weights = random_case(batch=1)
    found = weighted_sum(balls_of(*curvatures), vectors, weights)
    torch.testing.assert_close(found, weights @ vectors, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("curvature", [1e-6, 0.1, 1.0, 40.0, 1e3])
def test_points_stay_inside_and_everything_is_finite_at_the_edge(curvature):
    balls = balls_of(curvature, curvature, curvature)
    lengths = torch.tensor([0.0, 1e-30, 1e-8, 0.1, 3.0, 6.0, 20.0, 1e4, 1e20]) / curvature**0.5
    direction = nn.functional.normalize(torch.arange(1.0, 5.0), dim=0)
    vectors = (lengths[:, None, None] * direction * torch.tensor([1.0, -1.0, 0.5])[:, None]).requires_grad_()
    points, tangents = to_balls(balls, vectors)
    assert points.dtype == tangents.dtype == torch.float64
    assert ((balls.c * points.square().sum(-1, keepdim=True)) < 1).all()
    within = lengths * curvature**0.5 <= 6.0
    torch.testing.assert_close(tangents[within].float(), vectors[within], rtol=1e-4, atol=1e-6)
    _, weights = random_case(batch=len(lengths))
    for sums in (weighted_sum, printed_weighted_sum):
        for leaf in (vectors, *balls.parameters()):
            leaf.grad = None
        _, tangents = to_balls(balls, vectors)
        mixed = sums(balls, tangents, weights)
        mixed.sum().backward()
        assert mixed.isfinite().all()
        assert vectors.grad.isfinite().all() and balls.isp_c.grad.isfinite().all()


@pytest.mark.parametrize("sums", [weighted_sum, printed_weighted_sum])
@pytest.mark.parametrize("scale", [0.3, 1.5])  # with 1.5 points come to sqrt(c) |v| = 5.7, where the ball ends at 6.1
def test_gradients_are_those_of_finite_differences(sums, scale):
    balls = balls_of(0.8, 1.0, 1.2)
    vectors, weights = random_case(batch=2, dim=3, scale=scale, seed=3)
    vectors.requires_grad_()
    weights.requires_grad_()
    raw = balls.isp_c.detach().clone().requires_grad_()

    def mixed(vectors: Tensor, weights: Tensor, raw: Tensor) -> Tensor:
        del balls._parameters["isp_c"]
        balls.isp_c = raw  # a plain tensor, so that its gradient is checked as well
        try:
            return sums(balls, to_balls(balls, vectors)[1], weights)
        finally:
            del balls.isp_c
            balls.isp_c = nn.Parameter(raw.detach())

    assert torch.autograd.gradcheck(mixed, (vectors, weights, raw), atol=1e-6)


@pytest.mark.parametrize("formulas", ["consistent", "printed"])
def test_single_precision_equals_double_precision(formulas):
    """Weights so large that points lie at the edge of the balls."""
    model = model_of(formulas=formulas).eval()
    nn.init.normal_(model.project.weight, std=0.3)
    nn.init.normal_(model.query)
    x = torch.randn(64, 12)
    exact = model_of(formulas=formulas).double().eval()
    exact.load_state_dict(model.state_dict())
    norms = model.embed(x)[1].norm(dim=-1)
    assert norms.max() > 6 and norms.min() < 3
    torch.testing.assert_close(model(x).double(), exact(x.double()), atol=1e-3, rtol=1e-3)


def test_balls_are_computed_in_double_precision_under_autocast():
    model = model_of()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(torch.randn(8, 12))
        loss = model.total_loss(output.float().square().mean(), None)
    loss.backward()
    assert output.isfinite().all() and all(p.grad.isfinite().all() for p in model.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        points, tangents = model.embed(torch.randn(8, 12))
        assert points.dtype == tangents.dtype == model.attention(torch.randn(8, 12)).dtype == torch.float64


@pytest.mark.slow
def test_training_on_hard_data_stays_finite():
    """Constant and huge numbers, heavy tails, targets out of all proportion and a learning rate that is too high."""
    model = model_of(dropout=0.1)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    generator = torch.Generator().manual_seed(0)
    for step in range(60):
        x = torch.randn(16, 12, generator=generator) ** 5 * 10.0 ** (step % 7 - 3)
        x[:, 0] = 4.0
        loss = (model(x) - 1e3 * torch.randn(16, 3, generator=generator)).square().mean()
        loss = model.total_loss(loss, None)
        optimizer.zero_grad()
        loss.backward()
        assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters()), step
        optimizer.step()
    assert all(value > 0 for value in model.figures().values())
    assert model.eval()(x).isfinite().all()


def test_attention_starts_equal_and_follows_the_utterance():
    model = model_of().eval()
    x = torch.randn(5, 12)
    torch.testing.assert_close(model.attention(x), torch.full((5, 3, 3), 1 / 3, dtype=torch.float64))
    nn.init.normal_(model.query, std=30)
    nn.init.normal_(model.bias)
    weights = model.attention(x)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, 3, dtype=torch.float64))
    assert not torch.allclose(weights[0], weights[1]) and not torch.allclose(weights[:, 0], weights[:, 1])
    uniform = model_of(attention="uniform").eval()
    torch.testing.assert_close(uniform.attention(x), torch.full((5, 3, 3), 1 / 3, dtype=torch.float64))
    assert not {"query", "bias"} & uniform.state_dict().keys()


def test_total_correlation_of_normal_numbers():
    """Large batches: -log(1 - rho^2) / 2 for each pair, twice; independent numbers have none."""
    generator = torch.Generator().manual_seed(0)
    a, b, c = torch.randn(3, 40_000, generator=generator)
    correlated = torch.stack([a, 0.8 * a + 0.6 * b, c], dim=1)[:, :, None]  # (B, 3, 1)
    assert total_correlation(correlated).item() == pytest.approx(-math.log(1 - 0.8**2), abs=0.04)
    assert total_correlation(torch.stack([a, b, c], dim=1)[:, :, None]).item() == pytest.approx(0, abs=0.001)


def test_total_correlation_is_invariant_to_scale_offset_and_order():
    vectors, _ = random_case(batch=32)
    vectors[:, 1] += vectors[:, 0]
    expected = total_correlation(vectors)
    torch.testing.assert_close(total_correlation(vectors[:, [2, 0, 1]]), expected)
    torch.testing.assert_close(total_correlation(vectors[:, :, [4, 2, 1, 0, 3]]), expected)
    torch.testing.assert_close(total_correlation(1e-3 * vectors + 7), expected, rtol=1e-4, atol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(2, 4), st.integers(1, 6), st.sampled_from([0.0, 1e-9, 1e6]))
def test_total_correlation_is_finite_and_not_negative(batch, count, dim, scale):
    """For fewer utterances than numbers, and for numbers that do not vary; so is its gradient."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(batch, count, dim, generator=generator, dtype=torch.float64)
    vectors[..., 0] *= scale
    vectors.requires_grad_()
    value = total_correlation(vectors)
    value.backward()
    assert value.isfinite() and value >= -1e-9
    assert vectors.grad.isfinite().all()
    assert batch > 1 or value == 0


def test_total_loss_lowers_the_total_correlation():
    model = model_of(htc_weight=1.0, dropout=0.0)
    x = torch.randn(64, 12)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    values = []
    for _ in range(20):
        model(x)
        loss = model.total_loss(torch.zeros(()), None)
        values.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert values[-1] < 0.7 * values[0]


def test_total_loss_adds_the_weighted_total_correlation_of_the_batch():
    model = model_of(htc_weight=0.25)
    x, loss = torch.randn(16, 12), torch.tensor(2.0)
    model(x)
    expected = 2.0 + 0.25 * total_correlation(model._tangents).item()
    found = model.total_loss(loss, None)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(expected)
    without = model_of(htc_weight=0.0)
    without(x)
    assert without._tangents is None
    assert without.total_loss(loss, None) is loss


def test_no_tensors_are_kept_outside_a_training_step():
    model = model_of()
    model(torch.randn(4, 12))
    model.total_loss(torch.zeros(()), None)
    assert model._tangents is None
    model(torch.randn(4, 12))
    model.eval()(torch.randn(4, 12))
    assert model._tangents is None


def test_figures_are_the_learned_curvatures():
    model = model_of()
    assert model.figures() == pytest.approx({f"curvature_{name}": 1.0 for name in ("khz", "kbps", "quantizers")})
    before = model.figures()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    model(torch.randn(8, 12)).square().sum().backward()
    optimizer.step()
    assert all(model.figures()[name] != value for name, value in before.items())
    assert list(model_of(shared_ball=True).figures()) == ["curvature"]
    assert list(model_of(num_outputs=2).figures()) == ["curvature_1", "curvature_2"]


def test_view_of_the_balls_lies_in_the_unit_disc():
    points = model_of().eval().disc_points(torch.randn(9, 12))
    assert points.shape == (9, 3, 2) and (points.norm(dim=-1) < 1).all()
    flat, _ = random_case(dim=2)
    # Nothing is lost of two dimensions: distances from the origin and angles between points stay.
    view = disc_view(flat)
    torch.testing.assert_close(view.norm(dim=-1), flat.norm(dim=-1).tanh())
    torch.testing.assert_close(
        nn.functional.cosine_similarity(view[:1], view[1:], dim=-1),
        nn.functional.cosine_similarity(flat[:1], flat[1:], dim=-1),
    )
    torch.testing.assert_close(disc_view(flat), view)
    with pytest.raises(ValueError, match="not 1"):
        disc_view(flat[..., :1])
