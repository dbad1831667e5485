"""Losses of the detection task: values in closed form, small reference formulations, and use in a system."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config, save_config
from spooftrace.scoring import score
from spooftrace.system.system import StreamShape, System
from spooftrace.system.weights import load_weights
from spooftrace.tasks import Attribution, Detection
from spooftrace.tasks.losses import AMSoftmax, BinaryFocal, CrossEntropy, OCSoftmax, P2SGrad
from spooftrace.training.train import train

LFCC = {"lfcc": StreamShape("frames", 60)}

MARGIN_LOSSES = [OCSoftmax, AMSoftmax, P2SGrad]


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 0, 1])


def along(loss, *directions):
    """The loss with its directions set."""
    with torch.no_grad():
        loss.directions.copy_(torch.tensor(directions))
    return loss


def test_cross_entropy_weighs_the_classes():
    outputs, targets = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]]), torch.tensor([0, 1])
    loss = CrossEntropy((0.1, 0.9))(outputs, targets)
    assert loss.item() == pytest.approx(0.1 * math.log(2) + 0.9 * math.log(4 / 3))  # the weights sum to 1
    assert Detection(class_weight=(0.1, 0.9)).loss(outputs, targets) == loss


@pytest.mark.parametrize("weights", [(-1.0, 2.0), (0.0, 0.0), (math.nan, 1.0), (1.0, math.inf)])
def test_invalid_class_weights_are_refused(weights):
    for make in (
        lambda: CrossEntropy(weights),
        lambda: Attribution("utt2codec", classes=["a", "b"], class_weight=list(weights)),
    ):
        with pytest.raises(ValueError, match="class_weight"):
            make()


def test_cross_entropy_in_double_precision():
    outputs, targets = torch.tensor([[1.0, 2.0], [0.5, 0.1]], dtype=torch.float64), torch.tensor([0, 1])
    for criterion in (CrossEntropy((0.25, 0.75)), Attribution("utt2codec", ["a", "b"], [0.25, 0.75]).loss):
        single = criterion(outputs.float(), targets)
        assert criterion(outputs, targets).item() == pytest.approx(single.item(), rel=1e-6)


def test_focal_at_an_undecided_output():
    # p is one half whatever the target: alpha * (1 - 1 / 2) ** 2 * log 2.
    loss = BinaryFocal()(torch.zeros(2, 1), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(0.25 * 0.25 * math.log(2))


def test_focal_equals_the_nes2net_recipe():
    torch.manual_seed(0)
    outputs, targets = 3 * torch.randn(50, 1, dtype=torch.float64), torch.randint(2, (50,))
    expected = 0.0
    for output, target in zip(outputs.squeeze(1).tolist(), targets.tolist(), strict=True):
        soft, probability = target * 0.9 + 0.05, 1 / (1 + math.exp(-output))
        entropy = -soft * math.log(probability) - (1 - soft) * math.log(1 - probability)
        expected += 0.25 * (1 - math.exp(-entropy)) ** 2 * entropy / 50
    assert BinaryFocal()(outputs, targets).item() == pytest.approx(expected)


def test_focal_without_focus_is_cross_entropy():
    outputs, targets = torch.tensor([[2.0], [-1.0]]), torch.tensor([1, 0])
    loss = BinaryFocal(gamma=0, alpha=1, smoothing=0)(outputs, targets)
    assert loss.item() == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2)


def test_oc_softmax_at_its_margins():
    # Cosines at the margins cost log 2 each; a bona fide utterance along the direction costs next to nothing.
    loss = along(OCSoftmax(2), [3.0, 0.0])
    at_margin = torch.tensor([[0.9, math.sqrt(1 - 0.81)], [0.2, math.sqrt(1 - 0.04)]])
    assert loss(at_margin, torch.tensor([1, 0])).item() == pytest.approx(math.log(2), rel=1e-5)
    assert loss.scores(at_margin).tolist() == pytest.approx([0.9, 0.2])
    assert loss(torch.tensor([[7.0, 0.0]]), torch.tensor([1])).item() == pytest.approx(math.log1p(math.exp(-2)))
    assert loss(torch.tensor([[7.0, 0.0]]), torch.tensor([0])).item() == pytest.approx(16 + math.log1p(math.exp(-16)))


def test_am_softmax_without_margin_is_cross_entropy_of_cosines(batch):
    embeddings, targets = batch
    loss = AMSoftmax(5, margin=0, scale=7).double()
    cosines = F.cosine_similarity(embeddings[:, None], loss.directions[None], dim=2)
    assert loss(embeddings, targets).item() == pytest.approx(F.cross_entropy(7 * cosines, targets).item())


def test_am_softmax_by_hand():
    loss = along(AMSoftmax(2), [1.0, 0.0], [0.0, 2.0])  # spoof, bona fide
    embedding = torch.tensor([[3.0, 4.0]])  # cosines 0.6 and 0.8
    for target, (own, other) in ((1, (0.8, 0.6)), (0, (0.6, 0.8))):
        expected = math.log1p(math.exp(20 * (other - (own - 0.9))))
        assert loss(embedding, torch.tensor([target])).item() == pytest.approx(expected, rel=1e-5)
    assert loss.scores(embedding).item() == pytest.approx(0.2)


def test_p2sgrad_by_hand():
    loss = along(P2SGrad(2), [1.0, 0.0], [0.0, 2.0])
    embedding = torch.tensor([[3.0, 4.0]])
    assert loss(embedding, torch.tensor([1])).item() == pytest.approx((0.6**2 + 0.2**2) / 2)
    assert loss.scores(embedding).item() == pytest.approx(0.8)


@pytest.mark.parametrize("kind", MARGIN_LOSSES)
def test_the_norm_of_an_embedding_has_no_effect(kind, batch):
    embeddings, targets = batch
    torch.manual_seed(1)
    loss = kind(5).double()
    assert loss(100 * embeddings, targets).item() == pytest.approx(loss(embeddings, targets).item())
    torch.testing.assert_close(loss.scores(embeddings / 9), loss.scores(embeddings))


@pytest.mark.parametrize("loss", [CrossEntropy((0.5, 0.5)), BinaryFocal(), OCSoftmax(4), AMSoftmax(4), P2SGrad(4)])
def test_training_gives_bona_fide_the_higher_score(loss):
    torch.manual_seed(0)
    outputs = torch.randn(8, loss.num_outputs, requires_grad=True)
    targets = torch.arange(8) % 2
    optimizer = torch.optim.SGD([outputs, *loss.parameters()], lr=2.0)
    for _ in range(50):
        optimizer.zero_grad()
        loss(outputs, targets).backward()
        optimizer.step()
    scores = loss.scores(outputs)
    assert scores.shape == (8,)
    assert scores[targets == 1].min() > scores[targets == 0].max()


def test_cosines_stay_exact_in_mixed_precision():
    torch.manual_seed(0)
    loss, embeddings = OCSoftmax(64), torch.randn(5, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss.scores(embeddings)
    torch.testing.assert_close(mixed, loss.scores(embeddings), rtol=0, atol=1e-6)


def config_with(write_config, loss, num_outputs):
    backend = {"class_path": "LinearProbe", "init_args": {"input_dim": 60, "num_outputs": num_outputs}}
    task = {"class_path": "Detection", "init_args": {"loss": loss}}
    return load_config([write_config(backend=backend, task=task)])


@pytest.mark.parametrize("name", ["OCSoftmax", "AMSoftmax", "P2SGrad"])
def test_a_system_keeps_the_directions_of_its_loss(write_config, tmp_path, name):
    config = config_with(write_config, {"class_path": name, "init_args": {"dim": 16}}, 16)
    save_config(config, tmp_path / "config.yaml")
    assert load_config([tmp_path / "config.yaml"]) == config
    system, other = (
        System(config, LFCC),
        System(config, LFCC),
    )
    assert "task.criterion.directions" in dict(system.named_parameters())
    other.load_own_state(system.own_state(), Path("here"))
    for one in (system, other):
        one.eval()
    batch = {"lfcc": torch.randn(3, 7, 60)}
    torch.testing.assert_close(other.task.scores(other(batch)), system.task.scores(system(batch)))


def test_a_loss_sets_the_number_of_outputs(write_config):
    assert System(config_with(write_config, "BinaryFocal", 1), LFCC).task.num_outputs == 1
    with pytest.raises(InputError, match=r"num_outputs is 2, but the task Detection needs 16"):
        System(
            config_with(write_config, {"class_path": "OCSoftmax", "init_args": {"dim": 16}}, 2),
            LFCC,
        )
    with pytest.raises(InputError, match="Nonsense"):
        config_with(write_config, "Nonsense", 2)


@pytest.mark.slow
def test_training_with_a_margin_loss_and_augmentation(recipe, make_data, write_config):
    config = load_config(
        [
            write_config(
                backend={"class_path": "LinearProbe", "init_args": {"input_dim": 60, "num_outputs": 8}},
                task={
                    "class_path": "Detection",
                    "init_args": {"loss": {"class_path": "OCSoftmax", "init_args": {"dim": 8}}},
                },
                data={"crop": 3200, "batch_size": 4, "num_workers": 0, "eval_crop": "full", "rawboost": 2},
            )
        ]
    )
    train(config, make_data("train", 24), make_data("dev", 8, seed=1), Path("dump"), Path("exp"))
    run = json.loads(Path("exp/run.json").read_text(encoding="utf-8"))
    assert run["best"]["dev_eer"] < 0.3
    assert "task.criterion.directions" in load_weights(Path("exp/model.safetensors"))
    score(Path("exp"), Path("data/dev"), Path("dump"), Path("scores.txt"))
    scores = [float(line.split()[1]) for line in Path("scores.txt").read_text(encoding="utf-8").splitlines()]
    assert len(scores) == 8 and all(-1 <= value <= 1 for value in scores)
