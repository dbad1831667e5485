"""Graph attention over spectral and temporal nodes: the classifier of AASIST and of every model built on it.

Layers: graph attention (GAT), heterogeneous stacking graph attention (HS-GAL) and graph pooling;
``SpectroTemporalGraph`` puts them together, from two sets of nodes to the outputs.
Module and parameter names are those of the official checkpoints.

Source: Jung et al., "AASIST", ICASSP 2022, sections 3.2 to 3.4; models/AASIST.py in clovaai/aasist.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _attention_vector(dim: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(dim, 1)))


def _batch_norm(bn: nn.BatchNorm1d, nodes: Tensor) -> Tensor:
    """Normalise each of the D features over batch and nodes: (B, N, D) -> (B, N, D)."""
    return bn(nodes.flatten(0, 1)).view_as(nodes)  # (B, N, D) -> (B * N, D) -> (B, N, D)


def _pair_logits(a: Tensor, b: Tensor, proj: nn.Linear, vector: Tensor) -> Tensor:
    """Compute the attention logit of every pair of nodes of ``a`` and ``b`` from their product."""
    pairs = a.unsqueeze(2) * b.unsqueeze(1)  # (B, N, 1, D) * (B, 1, M, D) -> (B, N, M, D)
    return torch.matmul(torch.tanh(proj(pairs)), vector).squeeze(-1)  # -> (B, N, M, D') -> (B, N, M)


class GraphAttention(nn.Module):
    """Graph attention layer (GAT): (B, N, in_dim) -> (B, N, out_dim), a fully connected graph with self-loops.

    Args:
        in_dim: Width of the nodes.
        out_dim: Width of the output.
        temperature: Divisor of the attention logits; values above 1 flatten the attention map.
    """

    def __init__(self, in_dim: int, out_dim: int, temperature: float):
        super().__init__()
        self.temperature = temperature
        self.att_weight = _attention_vector(out_dim)
        self.att_proj = nn.Linear(in_dim, out_dim)
        self.proj_with_att = nn.Linear(in_dim, out_dim)
        self.proj_without_att = nn.Linear(in_dim, out_dim)
        self.bn = nn.BatchNorm1d(out_dim)
        self.input_drop = nn.Dropout(0.2)

    def forward(self, nodes: Tensor) -> Tensor:
        x = self.input_drop(nodes)
        logits = _pair_logits(x, x, self.att_proj, self.att_weight)  # (B, N, N)
        attention = torch.softmax(logits / self.temperature, dim=-1)  # (B, N, N)
        x = self.proj_with_att(attention @ x) + self.proj_without_att(x)  # (B, N, in_dim) -> (B, N, out_dim)
        return F.selu(_batch_norm(self.bn, x))


class HeterogeneousGraphAttention(nn.Module):
    """Heterogeneous stacking graph attention layer (HS-GAL), with a stack ("master") node.

    Nodes of two types, x1 (B, N1, in_dim) and x2 (B, N2, in_dim), are projected to one space and attend to each other
    with separate attention vectors for pairs 1-1, 2-2 and 1-2. The master node (B or 1, 1, in_dim) attends to all
    nodes; no node attends to it. ``forward`` returns x1 (B, N1, out_dim), x2 (B, N2, out_dim) and the master node (B,
    1, out_dim).
    """

    def __init__(self, in_dim: int, out_dim: int, temperature: float):
        super().__init__()
        self.temperature = temperature
        self.att_weight11 = _attention_vector(out_dim)
        self.att_weight22 = _attention_vector(out_dim)
        self.att_weight12 = _attention_vector(out_dim)
        self.att_weightM = _attention_vector(out_dim)
        self.proj_type1 = nn.Linear(in_dim, in_dim)
        self.proj_type2 = nn.Linear(in_dim, in_dim)
        self.att_proj = nn.Linear(in_dim, out_dim)
        self.att_projM = nn.Linear(in_dim, out_dim)
        self.proj_with_att = nn.Linear(in_dim, out_dim)
        self.proj_without_att = nn.Linear(in_dim, out_dim)
        self.proj_with_attM = nn.Linear(in_dim, out_dim)
        self.proj_without_attM = nn.Linear(in_dim, out_dim)
        self.bn = nn.BatchNorm1d(out_dim)
        self.input_drop = nn.Dropout(0.2)

    def forward(self, x1: Tensor, x2: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes = [x1.size(1), x2.size(1)]
        x = torch.cat([self.proj_type1(x1), self.proj_type2(x2)], dim=1)  # -> (B, N1 + N2, in_dim), N = N1 + N2
        x = self.input_drop(x)
        attention = torch.softmax(self._logits(*x.split(sizes, dim=1)) / self.temperature, dim=-1)  # (B, N, N)
        master = self._update_master(x, master)
        x = self.proj_with_att(attention @ x) + self.proj_without_att(x)  # (B, N, in_dim) -> (B, N, out_dim)
        x1, x2 = F.selu(_batch_norm(self.bn, x)).split(sizes, dim=1)  # (B, N, D) -> (B, N1, D), (B, N2, D)
        return x1, x2, master

    def _logits(self, x1: Tensor, x2: Tensor) -> Tensor:
        # The logits are symmetric, therefore block 2-1 is block 1-2 transposed. Blocks give the same numbers as the
        # published code, which fills slices of one matrix, without computing N1 * N2 of the N * N pairs twice.
        block11 = _pair_logits(x1, x1, self.att_proj, self.att_weight11)  # (B, N1, N1)
        block12 = _pair_logits(x1, x2, self.att_proj, self.att_weight12)  # (B, N1, N2)
        block22 = _pair_logits(x2, x2, self.att_proj, self.att_weight22)  # (B, N2, N2)
        rows1 = torch.cat([block11, block12], dim=2)  # -> (B, N1, N)
        rows2 = torch.cat([block12.transpose(1, 2), block22], dim=2)  # -> (B, N2, N)
        return torch.cat([rows1, rows2], dim=1)  # -> (B, N, N)

    def _update_master(self, x: Tensor, master: Tensor) -> Tensor:
        logits = torch.matmul(torch.tanh(self.att_projM(x * master)), self.att_weightM)  # (B, N, in_dim) -> (B, N, 1)
        attention = torch.softmax(logits / self.temperature, dim=1)  # (B, N, 1), over the nodes
        gathered = attention.transpose(1, 2) @ x  # (B, 1, N) @ (B, N, in_dim) -> (B, 1, in_dim)
        return self.proj_with_attM(gathered) + self.proj_without_attM(master)  # -> (B, 1, out_dim)


class GraphPool(nn.Module):
    """Keep the nodes with the highest scores, times their scores: (B, N, D) -> (B, max(int(N * ratio), 1), D)."""

    def __init__(self, dim: int, ratio: float):
        super().__init__()
        self.ratio = ratio
        self.proj = nn.Linear(dim, 1)
        self.drop = nn.Dropout(0.3)

    def forward(self, nodes: Tensor) -> Tensor:
        keep = max(int(nodes.size(1) * self.ratio), 1)
        scores = torch.sigmoid(self.proj(self.drop(nodes)))  # (B, N, D) -> (B, N, 1)
        best = torch.topk(scores, keep, dim=1).indices  # (B, keep, 1), highest score first
        return torch.gather(nodes * scores, 1, best.expand(-1, -1, nodes.size(2)))  # (B, N, D) -> (B, keep, D)


def _branch(
    temporal: Tensor,
    spectral: Tensor,
    master: Tensor,
    layer1: HeterogeneousGraphAttention,
    layer2: HeterogeneousGraphAttention,
    pool_t: GraphPool,
    pool_s: GraphPool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one of the two branches: HS-GAL, pooling, and a second HS-GAL with a residual connection."""
    temporal, spectral, master = layer1(temporal, spectral, master)  # width gat_dims[0] -> gat_dims[1]
    spectral, temporal = pool_s(spectral), pool_t(temporal)  # (B, S', D), (B, T', D) -> (B, S'', D), (B, T'', D)
    temporal_2, spectral_2, master_2 = layer2(temporal, spectral, master)
    return temporal + temporal_2, spectral + spectral_2, master + master_2


class SpectroTemporalGraph(nn.Module):
    """Spectral and temporal nodes to outputs: GAT and pooling for each, two HS-GAL branches, readout, linear layer.

    AASIST and W2V2-AASIST inherit from this class because their checkpoints hold these layers at the top level, and
    call ``classify``. Multi-branch models have a ``GraphBranch`` per branch.

    Args:
        in_dim: Width of the input nodes.
        spectral_nodes: Number of spectral nodes; each has a learned position. Any number of temporal nodes works.
        gat_dims: Width after the GAT layers and inside the HS-GAL branches.
        pool_ratios: Fraction of nodes kept among the spectral nodes, the temporal nodes, and inside the branches.
        temperatures: Temperatures of the spectral GAT, the temporal GAT and the HS-GAL layers.
        num_outputs: Number of outputs.

    The official configurations list a fourth pool ratio and a fourth temperature, which their code does not use.
    """

    def __init__(
        self,
        in_dim: int,
        spectral_nodes: int,
        gat_dims: Sequence[int],
        pool_ratios: Sequence[float],
        temperatures: Sequence[float],
        num_outputs: int,
    ):
        super().__init__()
        if (len(gat_dims), len(pool_ratios), len(temperatures)) != (2, 3, 3):
            raise ValueError(
                f"gat_dims must have 2 values, pool_ratios and temperatures 3 each; "
                f"got {list(gat_dims)}, {list(pool_ratios)} and {list(temperatures)}"
            )
        self.num_outputs = num_outputs
        gat_dim, branch_dim = gat_dims
        ratio_s, ratio_t, ratio_branch = pool_ratios
        temperature_s, temperature_t, temperature_branch = temperatures
        self.pos_S = nn.Parameter(torch.randn(1, spectral_nodes, in_dim))
        self.master1 = nn.Parameter(torch.randn(1, 1, gat_dim))
        self.master2 = nn.Parameter(torch.randn(1, 1, gat_dim))
        self.GAT_layer_S = GraphAttention(in_dim, gat_dim, temperature_s)
        self.GAT_layer_T = GraphAttention(in_dim, gat_dim, temperature_t)
        self.HtrgGAT_layer_ST11 = HeterogeneousGraphAttention(gat_dim, branch_dim, temperature_branch)
        self.HtrgGAT_layer_ST12 = HeterogeneousGraphAttention(branch_dim, branch_dim, temperature_branch)
        self.HtrgGAT_layer_ST21 = HeterogeneousGraphAttention(gat_dim, branch_dim, temperature_branch)
        self.HtrgGAT_layer_ST22 = HeterogeneousGraphAttention(branch_dim, branch_dim, temperature_branch)
        self.pool_S = GraphPool(gat_dim, ratio_s)
        self.pool_T = GraphPool(gat_dim, ratio_t)
        self.pool_hS1 = GraphPool(branch_dim, ratio_branch)
        self.pool_hT1 = GraphPool(branch_dim, ratio_branch)
        self.pool_hS2 = GraphPool(branch_dim, ratio_branch)
        self.pool_hT2 = GraphPool(branch_dim, ratio_branch)
        self.drop_way = nn.Dropout(0.2)
        self.drop = nn.Dropout(0.5)
        self.out_layer = nn.Linear(5 * branch_dim, num_outputs)

    def classify(self, spectral: Tensor, temporal: Tensor) -> Tensor:
        """Map nodes (B, spectral_nodes, in_dim) and (B, N, in_dim) to outputs (B, num_outputs)."""
        return self.out_layer(self.drop(self.embed(spectral, temporal)))  # (B, 5 * gat_dims[1]) -> (B, num_outputs)

    def embed(self, spectral: Tensor, temporal: Tensor) -> Tensor:
        """Compute the utterance embedding before dropout and the last linear layer: (B, 5 * gat_dims[1])."""
        spectral = self.pool_S(self.GAT_layer_S(spectral + self.pos_S))  # (B, S, in_dim) -> (B, S', gat_dims[0])
        temporal = self.pool_T(self.GAT_layer_T(temporal))  # (B, T, in_dim) -> (B, T', gat_dims[0])
        nodes = (temporal, spectral)
        branch1 = _branch(
            *nodes, self.master1, self.HtrgGAT_layer_ST11, self.HtrgGAT_layer_ST12, self.pool_hT1, self.pool_hS1
        )
        branch2 = _branch(
            *nodes, self.master2, self.HtrgGAT_layer_ST21, self.HtrgGAT_layer_ST22, self.pool_hT2, self.pool_hS2
        )
        # The order of the dropout draws is that of the published model: the nodes of both branches, then the masters.
        dropped = [(self.drop_way(x1), self.drop_way(x2)) for x1, x2 in zip(branch1, branch2, strict=True)]
        temporal, spectral, master = (torch.maximum(x1, x2) for x1, x2 in dropped)
        return torch.cat(
            [
                temporal.abs().max(dim=1).values,  # (B, T'', D) -> (B, D)
                temporal.mean(dim=1),
                spectral.abs().max(dim=1).values,  # (B, S'', D) -> (B, D)
                spectral.mean(dim=1),
                master.squeeze(1),  # (B, 1, D) -> (B, D)
            ],
            dim=1,
        )  # -> (B, 5 * D)


class GraphBranch(SpectroTemporalGraph):
    """One branch of a multi-branch model, with ``classify`` as its ``forward``."""

    def forward(self, spectral: Tensor, temporal: Tensor) -> Tensor:
        return self.classify(spectral, temporal)
