"""The single-ball baseline of codec parsing: HYDRA with one ball and without attention."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parsing_cnn import TargetHeads, VectorEncoder, check_vector
from spooftrace.backends.parts.poincare import make_balls, to_balls


class HyperbolicCNN(Backend):
    """Vector (B, input_dim) -> (B, num_outputs): convolutions, one Poincaré ball, a network for each target.

    The "Baseline (Hyperbolic)" of codec source parsing, an ablation of HYDRA: one ball instead of one per target, no
    attention, no total correlation loss, everything else as in ``HYDRA``. Parameters by the width of the vector:
    8,069,604 for 192, 8,397,284 for 512, 8,659,428 for 768, 9,183,716 for 1280.

    Streams: ``vector``, as for ``ParsingCNN``.

    The paper applies HYDRA's logarithmic map before the networks of the targets. With a single ball, log_0 undoes
    exp_0: the curvature affects no output and has no gradient, and the model is a Euclidean network with a narrow
    layer. By default the networks therefore read the coordinates in the ball (``readout="ball"``), which depend on the
    curvature; ``readout="tangent"`` follows the text of the paper.

    Args:
        input_dim: Width of the vector, at least 4.
        num_outputs: Number of targets.
        ball_dim: Dimension of the ball.
        hidden_dim: Width of both hidden layers of a target.
        readout: Input of the networks of the targets: coordinates in the ball, or tangent vectors.
        dropout: Probability that training sets an activation to zero, see ``ParsingCNN``.

    Raises:
        ValueError: An unknown ``readout``, ``input_dim`` is too small, an input of another shape.

    Source: Chetia Phukan et al., "Towards Neural Audio Codec Source Parsing", arXiv 2506.12627, figure 3.
    """

    layouts = (("vector",),)

    def __init__(
        self,
        input_dim: int = 512,
        num_outputs: int = 3,
        ball_dim: int = 32,
        hidden_dim: int = 1600,
        readout: Literal["ball", "tangent"] = "ball",
        dropout: float = 0.3,
    ):
        super().__init__()
        if readout not in ("ball", "tangent"):
            raise ValueError(f"readout must be ball or tangent, not {readout}")
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.readout = readout
        self.encoder = VectorEncoder(input_dim, dropout)
        self.project = nn.Linear(self.encoder.output_dim, ball_dim)
        self.balls = make_balls(1)
        self.heads = TargetHeads(ball_dim, (hidden_dim, hidden_dim), num_outputs, dropout)

    def forward(self, x: Tensor) -> Tensor:
        points, tangents = self.embed(x)
        shared = (points if self.readout == "ball" else tangents).squeeze(1).to(self.project.weight.dtype)  # (B, d)
        return self.heads([shared] * self.num_outputs)  # -> (B, num_outputs)

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map vectors (B, input_dim) to points of the ball and tangent vectors at the origin, (B, 1, d) float64."""
        check_vector(self, x, self.input_dim)
        vectors = self.project(self.encoder(x))  # (B, D) -> (B, F) -> (B, d)
        return to_balls(self.balls, vectors.unsqueeze(1))

    def figures(self) -> dict[str, float]:
        """Return the learned c; the curvature of the ball is -c."""
        return {"curvature": self.balls.c.item()}
