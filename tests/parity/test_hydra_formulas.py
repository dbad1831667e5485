"""Our balls compute the formulas that HYDRA's paper prints (arXiv 2506.12627), one operation at a time."""

import pytest
import torch
from backend_cases import reference

from spooftrace.backends.parts.poincare import make_balls, printed_weighted_sum, to_balls, weighted_sum

CURVATURES = ("0.5", "1.0", "2.0")


@pytest.fixture(scope="module")
def case() -> dict:
    return reference("hydra_paper_formulas")


def ball_of(curvature: str):
    ball = make_balls(1)
    with torch.no_grad():
        ball.isp_c.fill_(torch.tensor(float(curvature), dtype=torch.float64).expm1().log())  # softplus backwards
    return ball


@pytest.mark.parametrize("c", CURVATURES)
def test_exponential_and_logarithmic_map(case, c):
    v, expected = case["inputs"]["v"], case["outputs"]
    points, tangents = to_balls(ball_of(c), v[:, None])
    torch.testing.assert_close(points[:, 0], expected[f"exp_v_c{c}"])
    torch.testing.assert_close(tangents[:, 0], expected[f"log_standard_c{c}"])


@pytest.mark.parametrize("c", CURVATURES)
def test_printed_logarithmic_map(case, c):
    v = case["inputs"]["v"][:, None]  # (B, 1, d)
    found = printed_weighted_sum(ball_of(c), v, v.new_ones(len(v), 1, 1))
    torch.testing.assert_close(found[:, 0], case["outputs"][f"log_paper_c{c}"])


@pytest.mark.parametrize("c", CURVATURES)
def test_moebius_addition(case, c):
    """Two points with weight 1 each: h = exp_0(v) (+) exp_0(w)."""
    both = torch.stack([case["inputs"]["v"], case["inputs"]["w"]], dim=1)  # (B, 2, d)
    tangents = weighted_sum(ball_of(c), both, both.new_ones(len(both), 1, 2))
    points, _ = to_balls(ball_of(c), tangents)
    torch.testing.assert_close(points[:, 0], case["outputs"][f"add_c{c}"])
    printed = printed_weighted_sum(ball_of(c), both, both.new_ones(len(both), 1, 2))
    torch.testing.assert_close(printed, 2 * tangents)


@pytest.mark.parametrize("c", CURVATURES)
def test_moebius_scalar_multiplication(case, c):
    v = case["inputs"]["v"][:, None]
    points, _ = to_balls(ball_of(c), weighted_sum(ball_of(c), v, v.new_full((len(v), 1, 1), 0.3)))
    torch.testing.assert_close(points[:, 0], case["outputs"][f"scal0.3_c{c}"])
