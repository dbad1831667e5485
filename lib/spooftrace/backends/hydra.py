"""HYDRA: codec parameters by attention over hyperbolic subspaces."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parsing_cnn import TARGETS, TargetHeads, VectorEncoder, check_vector
from spooftrace.backends.parts.poincare import disc_view, make_balls, printed_weighted_sum, to_balls, weighted_sum


class HYDRA(Backend):
    """HYDRA: vector (B, input_dim) -> (B, num_outputs), each target from its own mixture of K hyperbolic subspaces.

    Convolutions run over the vector. K = num_outputs linear maps follow, each with exp_0 into a Poincaré ball of
    learned curvature. For each target, attention weighs the K points; their Möbius sum goes through log_0 and a network
    with two hidden layers. In training, a total correlation loss keeps the subspaces apart (``total_loss``). Parameters
    by width of the vector: 8,463,183 for 192 (ECAPA), 9,446,223 for 512 (x-vector, Whisper-base), 10,232,655 for 768
    (the base models), 11,805,519 for 1280 (MMS-1B, XLS-R-1B); the paper gives 8 to 12 million.

    Streams: ``vector``, as for ``ParsingCNN``.

    There is no official code, and the paper is inconsistent in places. This implementation reads it as follows;
    ``formulas="printed"`` computes the first two items as they are printed.

    * The paper's log_0 has the factor 2 / sqrt(c), which makes log_0(exp_0(v)) = 2 v. The factor here is 1 / sqrt(c),
      which makes it v.
    * The paper adds points of balls of different curvature. Möbius addition is not defined for them, and the paper does
      not name a curvature. Because it maps the sum h_t back with c_t, the sum is computed in the ball of target t;
      ``spooftrace.backends.parts.poincare.weighted_sum`` maps the points of the other balls to it. As c_t goes to 0,
      the sum becomes a plain weighted mean; c_t measures how far target t departs from it.
    * The total correlation loss is a divergence between densities that the paper does not name, and has no weight.
      Mutual information does not change under invertible maps such as log_0. It is therefore estimated between the
      tangent vectors, with normal densities (``total_correlation``). The sum includes (i, j) and (j, i), as printed.
      The weight 0.01 reduces this loss several times in training and leaves the errors of the targets dominant.
    * The paper defines the attention only as a softmax over the subspaces. Here the score of subspace k for target t is
      the product of its tangent vector with a learned query of (t, k), plus a bias, over sqrt(d). Queries and biases
      start at 0, which gives equal weights at the start of training.
    * Subspaces of 32 dimensions and hidden layers of 1600 units give the published numbers of parameters for every
      width; 120 and 30 units as in ``ParsingCNN`` would give 0.7 to 4 million.
    * The curvatures start at 1. Convolutions and dropout are those of ``ParsingCNN``.

    Args:
        input_dim: Width of the vector, at least 4.
        num_outputs: Number of targets, and of subspaces.
        ball_dim: Dimension of a subspace.
        hidden_dim: Width of both hidden layers of a target.
        attention: "task", learned, or "uniform", equal weights (an ablation).
        shared_ball: Use one ball, with one curvature, for all subspaces and targets (an ablation).
        htc_weight: Weight of the total correlation loss; 0 leaves it out (an ablation).
        formulas: "consistent" or "printed"; see the first two items above.
        dropout: Probability that training sets an activation to zero, see ``ParsingCNN``.

    Raises:
        ValueError: An unknown ``attention`` or ``formulas``, a negative ``htc_weight``, an ``input_dim`` that is too
            small, or an input of another shape.

    Source: Chetia Phukan et al., "Towards Neural Audio Codec Source Parsing", arXiv 2506.12627, section "HYDRA".
    """

    layouts = (("vector",),)

    def __init__(
        self,
        input_dim: int = 512,
        num_outputs: int = 3,
        ball_dim: int = 32,
        hidden_dim: int = 1600,
        attention: Literal["task", "uniform"] = "task",
        shared_ball: bool = False,
        htc_weight: float = 0.01,
        formulas: Literal["consistent", "printed"] = "consistent",
        dropout: float = 0.3,
    ):
        super().__init__()
        if attention not in ("task", "uniform"):
            raise ValueError(f"attention must be task or uniform, not {attention}")
        if formulas not in ("consistent", "printed"):
            raise ValueError(f"formulas must be consistent or printed, not {formulas}")
        if htc_weight < 0:
            raise ValueError(f"htc_weight must not be negative, but is {htc_weight}")
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.ball_dim = ball_dim
        self.htc_weight = htc_weight
        self.sum_of_points = weighted_sum if formulas == "consistent" else printed_weighted_sum
        self.encoder = VectorEncoder(input_dim, dropout)
        self.project = nn.Linear(self.encoder.output_dim, num_outputs * ball_dim)
        self.balls = make_balls(1 if shared_ball else num_outputs)
        self.query: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        if attention == "task":
            self.query = nn.Parameter(torch.zeros(num_outputs, num_outputs, ball_dim))  # (T, K, d)
            self.bias = nn.Parameter(torch.zeros(num_outputs, num_outputs))  # (T, K)
        self.heads = TargetHeads(ball_dim, (hidden_dim, hidden_dim), num_outputs, dropout)
        self._tangents: Tensor | None = None  # of the last training batch, for ``total_loss``

    def forward(self, x: Tensor) -> Tensor:
        _, tangents = self.embed(x)  # (B, D) -> (B, K, d)
        self._tangents = tangents if self.training and self.htc_weight else None
        mixed = self.sum_of_points(self.balls, tangents, self._weights(tangents))  # -> (B, T, d)
        return self.heads(mixed.to(self.project.weight.dtype).unbind(dim=1))  # -> (B, num_outputs)

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map vectors (B, input_dim) to points of the K balls and to their tangent vectors at the origin, (B, K, d)."""
        check_vector(self, x, self.input_dim)
        vectors = self.project(self.encoder(x))  # (B, D) -> (B, F) -> (B, K * d)
        return to_balls(self.balls, vectors.unflatten(1, (self.num_outputs, self.ball_dim)))

    def _weights(self, tangents: Tensor) -> Tensor:
        """Compute attention (B, T, K), whose rows sum to 1, from tangent vectors (B, K, d)."""
        if self.query is None or self.bias is None:
            count = self.num_outputs
            return tangents.new_full((tangents.size(0), count, count), 1 / count)
        scores = torch.einsum("bkd,tkd->btk", tangents, self.query.double()) + self.bias  # -> (B, T, K)
        return (scores / self.ball_dim**0.5).softmax(dim=-1)

    def total_loss(
        self, loss: Tensor, targets: Tensor, whole: Callable[[Tensor], Tensor] = lambda share: share
    ) -> Tensor:
        """Add the weighted total correlation of the last ``forward`` batch to the loss of the targets.

        Args:
            loss: Loss of the targets, of the batch of all ranks.
            targets: Not used.
            whole: Gathers a tensor of this rank's batch from all ranks.
        """
        if self.htc_weight == 0:
            return loss
        if self._tangents is None:
            raise ValueError("total_loss must follow a forward in training mode")
        tangents, self._tangents = self._tangents, None  # keeping it would keep the graph of the batch in memory
        return loss + self.htc_weight * total_correlation(whole(tangents)).to(loss.dtype)

    def figures(self) -> dict[str, float]:
        """Return the learned c of each ball, by its target; the curvature of the ball is -c."""
        values = self.balls.c.flatten().tolist()
        if len(values) == 1:
            return {"curvature": values[0]}
        names = TARGETS if len(values) == len(TARGETS) else range(1, len(values) + 1)
        return {f"curvature_{name}": value for name, value in zip(names, values, strict=True)}

    @torch.no_grad()
    def attention(self, x: Tensor) -> Tensor:
        """Compute the weight of each subspace for each target, (B, T, K), from vectors (B, input_dim)."""
        return self._weights(self.embed(x)[1])

    @torch.no_grad()
    def disc_points(self, x: Tensor) -> Tensor:
        """Map vectors (B, input_dim) to points of the K balls in the unit disc (B, K, 2), see ``poincare.disc_view``.

        The directions of the view depend on the batch; pass all vectors of a figure in one batch.
        """
        return disc_view(self.embed(x)[1])


def total_correlation(vectors: Tensor) -> Tensor:
    """Sum over i != j of the mutual information between vectors i and j, in nats, for normal distributions.

    The mutual information is (log det R_i + log det R_j - log det R_ij) / 2, where R are the correlation matrices of
    vector i, of vector j and of both. With fewer than 2 d utterances in the batch it would be infinite. R is therefore
    shrunk towards the identity by 2 d / (2 d + B): the estimate is too low for small batches and right for large ones.

    Args:
        vectors: (B, K, d). A dimension that is constant over the batch carries no information.

    Returns:
        A scalar of at least 0; 0 for a batch of one.
    """
    batch, count, dim = vectors.shape
    if batch < 2:
        return vectors.sum() * 0.0
    x = vectors.double().flatten(1)  # (B, K, d) -> (B, K * d)
    x = x - x.mean(dim=0)
    x = x * (x.square().sum(dim=0) + 1e-12).rsqrt()
    shrinkage = 2 * dim / (2 * dim + batch)
    identity = torch.eye(count * dim, dtype=x.dtype, device=x.device)
    correlation = (1 - shrinkage) * (x.T @ x) + shrinkage * identity  # (K * d, K * d)
    blocks = correlation.unflatten(1, (count, dim)).unflatten(0, (count, dim)).transpose(1, 2)  # (K, K, d, d)
    single = [torch.logdet(blocks[i, i]) for i in range(count)]
    total = vectors.new_zeros((), dtype=torch.float64)
    for i, j in combinations(range(count), 2):
        both = torch.cat([torch.cat([blocks[i, i], blocks[i, j]], 1), torch.cat([blocks[j, i], blocks[j, j]], 1)])
        total = total + single[i] + single[j] - torch.logdet(both)  # twice the half, for (i, j) and (j, i)
    return total
