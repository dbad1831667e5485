"""Poincaré balls with learned curvatures, based on geoopt, for the hyperbolic models of codec parsing.

The Poincaré ball of curvature -c holds the points of norm below 1 / sqrt(c). Points are computed from tangent vectors
at the origin by the exponential map. Only ordinary weights and the curvatures are trained, which needs no Riemannian
optimizer.

All functions compute in double precision, whatever the precision of the training. geoopt keeps points away from the
edge by a relative 0.00001, and in single precision by 0.004, which limits tangent vectors to a length of 3.1 / sqrt(c)
instead of 6.1. The tensors are small, therefore the cost is negligible, and autocast does not change double precision.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from geoopt import PoincareBall


def make_balls(count: int) -> PoincareBall:
    """Create ``count`` balls in one geoopt object, each with a learned c > 0 that starts at 1.

    Its functions take (..., count, d), with the points of ball k at index k. With a count of 1, all points are in one
    ball. The curvatures are in double precision.
    """
    # Imported here because geoopt takes a second to load (scipy, compilation).
    from geoopt import PoincareBall

    return PoincareBall(c=torch.ones(count, 1, dtype=torch.float64), learnable=True)


def to_balls(balls: PoincareBall, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Map tangent vectors at the origin to points by exp_0, and the points back to tangent vectors by log_0.

    The tangent vectors returned equal the input, except that vectors beyond the edge of the ball are shortened.

    Args:
        balls: K balls, or one for all.
        vectors: (B, K, d) of any floating point type.

    Returns:
        Points and tangent vectors, (B, K, d) float64 each.
    """
    points = balls.expmap0(vectors.double())
    return points, balls.logmap0(points)


def weighted_sum(balls: PoincareBall, tangents: Tensor, weights: Tensor) -> Tensor:
    """Compute Möbius sums of the points of K balls, one in each of T balls: h_t = sum over k of alpha_t(k) (x) z(k).

    A Möbius sum needs its terms in one ball. Those of h_t are in the ball of target t. A point of ball k is mapped to
    it through the tangent space at the origin, z -> exp_0^{c_t}(log_0^{c_k}(z)), which keeps its direction and its
    distance from the origin. Möbius addition depends on the order of the terms, which is that of k.

    Args:
        balls: T balls, or one for all.
        tangents: (B, K, d), the points as tangent vectors at the origin.
        weights: (B, T, K), not negative.

    Returns:
        log_0 of the sums, (B, T, d).

    Source of the map between balls: Chami et al., "Hyperbolic graph convolutional neural networks", NeurIPS 2019.
    """
    # Möbius scalar multiplication is ordinary multiplication of the tangent vector at the origin.
    scaled = weights.unsqueeze(3) * tangents.unsqueeze(1)  # (B, T, K, 1) * (B, 1, K, d) -> (B, T, K, d)
    first, *others = (balls.expmap0(term) for term in scaled.unbind(dim=2))  # K x (B, T, d)
    return balls.logmap0(reduce(balls.mobius_add, others, first))


def printed_weighted_sum(balls: PoincareBall, tangents: Tensor, weights: Tensor) -> Tensor:
    """Compute ``weighted_sum`` with the formulas that HYDRA's paper prints.

    The coordinates of ball k are multiplied and added with c_k, the sum is mapped back with c_t of the target, and
    log_0 has the factor 2 / sqrt(c), which doubles the tangent vectors. Coordinates outside a ball are projected to its
    edge.
    """
    from geoopt.manifolds.stereographic import math

    curvatures = balls.k.expand(tangents.size(1), 1)  # (K, 1), negative
    points = balls.expmap0(tangents)  # (B, K, d)
    total = torch.zeros_like(points[:, :1])  # the origin, the neutral element of Möbius addition
    for k, curvature in enumerate(curvatures):
        scaled = math.mobius_scalar_mul(weights[:, :, k, None], points[:, k, None], k=curvature)  # (B, T, d)
        total = math.mobius_add(math.project(total, k=curvature), scaled, k=curvature)
    return 2 * balls.logmap0(balls.projx(total))  # (B, T, d)


def disc_view(tangents: Tensor) -> Tensor:
    """Project points of the balls to the unit disc for a figure.

    For each ball the tangent vectors (B, K, d) are projected to their two principal directions about the origin, and
    mapped by exp_0 to the disc of curvature -1.

    Returns:
        (B, K, 2).

    Raises:
        ValueError: D is less than 2.
    """
    if tangents.size(-1) < 2:
        raise ValueError(f"a view in two dimensions needs points with at least two, not {tangents.size(-1)}")
    by_ball = tangents.detach().transpose(0, 1)  # (B, K, d) -> (K, B, d)
    _, directions = torch.linalg.eigh(by_ball.mT @ by_ball)  # (K, d, d), one per column, ascending
    axes = directions[..., -2:].flip(-1)  # (K, d, 2)
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))  # (K, 1, 2)
    flat = by_ball @ (axes * largest.sign())  # (K, B, 2); fixes the arbitrary signs of the eigenvectors
    radius = flat.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return (flat * radius.tanh() / radius).transpose(0, 1)  # -> (B, K, 2)
