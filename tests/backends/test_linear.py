"""The linear probe."""

import pytest
import torch

from spooftrace.backends import LinearProbe


def test_is_standardised_mean_then_linear():
    torch.manual_seed(0)
    probe = LinearProbe(input_dim=5, num_outputs=3)
    frames = 7 + 4 * torch.randn(16, 20, 5)
    mean = frames.mean(dim=1)  # (B, T, D) -> (B, D)
    standard = (mean - mean.mean(dim=0)) / (mean.var(dim=0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(probe(frames), standard @ probe.out.weight.T + probe.out.bias)
    probe.eval()
    torch.testing.assert_close(probe(frames), probe(mean))  # a vector is its own mean


def test_mean_std_pools_both():
    probe = LinearProbe(input_dim=4, pooling="mean_std").eval()
    frames = torch.randn(3, 9, 4)
    pooled = probe.pool(frames)
    torch.testing.assert_close(pooled[:, :4], frames.mean(dim=1))
    torch.testing.assert_close(pooled[:, 4:], frames.std(dim=1, correction=0))
    assert probe(frames).shape == (3, 2)


def test_a_single_frame_gives_finite_outputs_and_gradients():
    frames = torch.randn(3, 1, 4, requires_grad=True)
    LinearProbe(input_dim=4, pooling="mean_std")(frames).sum().backward()
    assert frames.grad.isfinite().all()


def test_only_the_linear_layer_is_trained():
    assert {name for name, _ in LinearProbe(6).named_parameters()} == {"out.weight", "out.bias"}


def test_linearly_separable_classes_are_separated():
    """Features of very different scale: the standardisation lets one learning rate serve them all."""
    torch.manual_seed(0)
    scale = torch.tensor([0.1, 1.0, 1e3])
    vectors = torch.randn(256, 3)
    labels = (vectors.sum(dim=1) > 0).long()
    probe = LinearProbe(input_dim=3)
    optimizer = torch.optim.Adam(probe.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(probe(vectors * scale), labels).backward()
        optimizer.step()
    probe.eval()
    assert (probe(vectors * scale).argmax(dim=1) == labels).float().mean() > 0.97


@pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 3, 5), (2, 0, 4), (1, 2, 3, 4)])
def test_wrong_input_is_named(shape):
    with pytest.raises(ValueError, match=r"frames \(B, T, 4\) or vectors \(B, 4\); got \("):
        LinearProbe(input_dim=4).eval()(torch.zeros(shape))


def test_wrong_pooling_is_named():
    with pytest.raises(ValueError, match="pooling must be mean or mean_std, not max"):
        LinearProbe(input_dim=4, pooling="max")
    with pytest.raises(ValueError, match="needs frames"):
        LinearProbe(input_dim=4, pooling="mean_std").eval()(torch.zeros(2, 4))


def test_layers_through_an_aggregation():
    torch.manual_seed(0)
    probe = LinearProbe(input_dim=4, aggregation="weighted_sum", num_layers=3).eval()
    layers = torch.randn(2, 3, 7, 4)
    torch.testing.assert_close(probe(layers), same_without_aggregation(probe)(layers.mean(dim=1)))
    with pytest.raises(ValueError, match=r"LinearProbe takes layers \(B, 3, T, 4\); got \(2, 7, 4\)"):
        probe(layers[:, 0])


def same_without_aggregation(probe: LinearProbe) -> LinearProbe:
    other = LinearProbe(input_dim=probe.input_dim).eval()
    other.load_state_dict({key: x for key, x in probe.state_dict().items() if not key.startswith("aggregation.")})
    return other
