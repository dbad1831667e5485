"""Poincaré balls with learned curvatures, on geoopt, as the hyperbolic models of codec parsing use them.

The Poincaré ball of curvature -c holds the points of norm below 1 / sqrt(c). Points are functions of tangent vectors at
the origin here (the exponential map), so nothing needs a Riemannian optimizer: what is trained are ordinary weights and
the curvatures.

Everything is computed in double precision, whatever the precision of the training: geoopt keeps points away from the
edge by a relative 0.00001, and in single precision by 0.004, where the tangent vector is 3.1 / sqrt(c) long instead of
6.1. The tensors are small, so it costs next to nothing; and autocast leaves double precision alone.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from geoopt import PoincareBall


def make_balls(count: int) -> PoincareBall:
    """``count`` balls in one geoopt object, each with a learned c > 0 that starts at 1.

    Its functions take (..., count, d), the points of ball k at index k. With a count of 1 any number of points are all
    of that ball. The curvatures are in double precision, as everything in the balls.
    """
    # Loads scipy and compiles, which takes a second: only for the systems that have a ball.
    from geoopt import PoincareBall

    return PoincareBall(c=torch.ones(count, 1, dtype=torch.float64), learnable=True)


def to_balls(balls: PoincareBall, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Tangent vectors at the origin -> their points, by exp_0, and the tangent vectors of these points, by log_0.

    What comes back as tangent vectors is what went in, except for vectors longer than the ball can hold, which are
    shortened.

    Args:
        vectors: (B, K, d) of any floating point type.

    Returns:
        Points and tangent vectors, (B, K, d) float64 each.
    """
    points = balls.expmap0(vectors.double())
    return points, balls.logmap0(points)


def weighted_sum(balls: PoincareBall, tangents: Tensor, weights: Tensor) -> Tensor:
    """Möbius sums of the points of K balls, one sum in each of T balls: h_t = sum over k of alpha_t(k) (x) z(k).

    A Möbius sum needs its terms in one ball. Those of h_t are in the ball of target t, to which the point of ball k
    comes through the tangent space at the origin that all balls share, z -> exp_0^{c_t}(log_0^{c_k}(z)): its direction
    and its distance from the origin stay as they are. Möbius addition depends on the order; it is that of k.

    Args:
        balls: T balls, or one for all.
        tangents: (B, K, d), where the points are, as tangent vectors at the origin.
        weights: (B, T, K), not negative.

    Returns:
        log_0 of the sums, (B, T, d).

    Source of the map between balls: Chami et al., "Hyperbolic graph convolutional neural networks", NeurIPS 2019.
    """
    # In tangent vectors at the origin, Möbius multiplication by a number is multiplication by it.
    scaled = weights.unsqueeze(3) * tangents.unsqueeze(1)  # (B, T, K, 1) * (B, 1, K, d) -> (B, T, K, d)
    first, *others = (balls.expmap0(term) for term in scaled.unbind(dim=2))  # K x (B, T, d)
    return balls.logmap0(reduce(balls.mobius_add, others, first))


def printed_weighted_sum(balls: PoincareBall, tangents: Tensor, weights: Tensor) -> Tensor:
    """As :func:``weighted_sum``, but as HYDRA's paper prints it.

    The coordinates of ball k are multiplied and added with c_k wherever they are, the sum is mapped back with the c_t
    of the target, and log_0 has the factor 2 / sqrt(c), with which it undoes exp_0 only to a factor of 2. Coordinates
    outside of the ball in which they are used are moved to its edge.
    """
    from geoopt.manifolds.stereographic import math

    curvatures = balls.k.expand(tangents.size(1), 1)  # (K, 1), negative
    points = balls.expmap0(tangents)  # (B, K, d)
    total = torch.zeros_like(points[:, :1])  # the origin, which is neutral in Möbius addition
    for k, curvature in enumerate(curvatures):
        scaled = math.mobius_scalar_mul(weights[:, :, k, None], points[:, k, None], k=curvature)  # (B, T, d)
        total = math.mobius_add(math.project(total, k=curvature), scaled, k=curvature)
    return 2 * balls.logmap0(balls.projx(total))  # (B, T, d)


def disc_view(tangents: Tensor) -> Tensor:
    """Points of the balls in the unit disc, to be drawn: distance and, as far as two dimensions allow, direction.

    For each ball the tangent vectors (B, K, d) are projected on the two directions in which they differ most from the
    origin, and mapped by exp_0 to the disc of curvature -1.

    Returns:
        (B, K, 2).

    Raises:
        ValueError: D is less than 2.
    """
    if tangents.size(-1) < 2:
        raise ValueError(f"a view of two dimensions needs points of two or more, not {tangents.size(-1)}")
    by_ball = tangents.detach().transpose(0, 1)  # (B, K, d) -> (K, B, d)
    _, directions = torch.linalg.eigh(by_ball.mT @ by_ball)  # ascending; (K, d, d), one a column
    axes = directions[..., -2:].flip(-1)  # (K, d, 2)
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))  # (K, 1, 2)
    flat = by_ball @ (axes * largest.sign())  # an eigenvector's sign is arbitrary: -> (K, B, 2)
    radius = flat.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return (flat * radius.tanh() / radius).transpose(0, 1)  # -> (B, K, 2)
