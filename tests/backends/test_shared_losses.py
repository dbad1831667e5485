"""Losses and gradients of a batch on several ranks equal those on one rank."""

import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.utilities.distributed import _all_gather_ddp_if_available
from torch import Tensor, distributed, nn

from spooftrace import backends
from spooftrace.backends.parts import mae
from spooftrace.backends.parts.shared_batchnorm import SharedBatchNorm, share_batch_norm
from spooftrace.system.system import System
from spooftrace.tasks import Attribution, Detection, Parsing
from spooftrace.training.learner import Learner

BATCH = 12
CLASSES = torch.arange(BATCH) % 4
SASTNET = {
    "input_dim": 20, "num_outputs": 4, "semantic_dim": None, "image": [64, 48], "encoder": [16, 1, 4],
    "decoder": [16, 1, 4], "reduced_dim": 16,
}  # fmt: skip


def vectors() -> Tensor:
    return torch.randn(BATCH, 12, dtype=torch.float64)


def frames(length: int, dim: int) -> Tensor:
    return torch.randn(BATCH, length, dim, dtype=torch.float64)


def numbers() -> Tensor:
    return torch.rand(BATCH, 3, dtype=torch.float64) + 1


def vq() -> Attribution:
    return Attribution("utt2vq")


HYDRA = {"input_dim": 12, "ball_dim": 4, "hidden_dim": 16}
# What is trained on what: back-end, task, features, targets.
CASES = {
    "HYDRA": (lambda: backends.HYDRA(**HYDRA), Parsing, vectors, numbers),
    "HYDRA, heavy correlation": (lambda: backends.HYDRA(**HYDRA, htc_weight=3.0), Parsing, vectors, numbers),
    "SASTNet": (lambda: backends.SASTNet(**SASTNET), vq, lambda: frames(64, 20), None),
    "SASTNet, one hinge": (
        lambda: backends.SASTNet(**SASTNET, hinge="mean", margin=0.0), vq, lambda: frames(64, 20), None,
    ),
    "LinearProbe, weighted": (
        lambda: backends.LinearProbe(8, 2), lambda: Detection([0.1, 0.9]), lambda: frames(6, 8), lambda: CLASSES % 2,
    ),
}  # fmt: skip


def build(name: str) -> tuple[SimpleNamespace, Tensor, Tensor]:
    """A system of one stream in double precision without dropout, its features and targets."""
    torch.manual_seed(0)
    backend, task, features, targets = CASES[name]
    modules = nn.ModuleDict({"backend": backend(), "task": task()}).double().train()
    for module in modules.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return modules, features(), CLASSES if targets is None else targets()


def same_places(batch, grid, ratio, device=None, draw=mae.draw_mask):
    """Draw one mask for all items of a batch, because ranks would draw different masks."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        mask, order, seen = draw(1, grid, ratio, device)
    return mae.PatchMask(mask.expand(batch, -1), order.expand(batch, -1), seen)


def loss_and_gradients(name: str, rank: int = 0, world: int = 1) -> tuple[float, dict[str, Tensor]]:
    """Of one training step in process ``rank`` of ``world``, with the mean of the gradients that DDP takes."""
    modules, features, targets = build(name)
    mae.draw_mask = same_places
    if world > 1:
        share_batch_norm(modules)
    learner = SimpleNamespace(trainer=SimpleNamespace(world_size=world), all_gather=_all_gather_ddp_if_available)
    outputs = modules["backend"](features[rank::world])
    loss = System.loss(
        SimpleNamespace(backend=modules["backend"], task=modules["task"]),
        outputs, targets[rank::world], lambda share: Learner._whole_batch(learner, share),
    )  # fmt: skip
    loss.backward()
    gradients = {key: value.grad for key, value in modules.named_parameters() if value.grad is not None}
    for gradient in gradients.values():
        if world > 1:
            distributed.all_reduce(gradient)
            gradient /= world
    running = {key: value for key, value in modules.named_buffers() if "running" in key}
    return loss.item(), gradients | running


def process(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = (folder / "meeting").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    torch.save({name: loss_and_gradients(name, rank, world) for name in CASES}, folder / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def together(world: int, folder: Path) -> list[dict]:
    """Loss and gradients of each of several ranks."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=process, args=(rank, world, folder)) for rank in range(world)]
    for other in processes:
        other.start()
    for other in processes:
        other.join()
    assert [other.exitcode for other in processes] == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


def test_every_back_end_with_an_auxiliary_loss_is_tested():
    own = {name for name in backends.__all__ if getattr(backends, name).total_loss is not backends.Backend.total_loss}
    assert own == {name.split(",")[0] for name in CASES} & own


@pytest.mark.slow  # each process loads torch
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("world", [2, 3])
def test_loss_and_gradients_of_several_ranks_equal_those_of_one(world, tmp_path, monkeypatch):
    monkeypatch.setattr(mae, "draw_mask", mae.draw_mask)
    found = together(world, tmp_path)
    for name in CASES:
        loss, tensors = loss_and_gradients(name)
        for here in found:
            print(f"{name}: {loss:.12f} alone, {here[name][0]:.12f} with {world}")
            assert here[name][0] == pytest.approx(loss, rel=1e-9)
            assert here[name][1].keys() == tensors.keys()
            for key, value in tensors.items():
                # SASTNet takes the errors of its decoders in float32, so gradients differ by its rounding; those of
                # biases before a batch norm are 0 but for that of double precision.
                tolerance = 1e-10 + 256 * torch.finfo(torch.float32).eps * value.abs().max().item()
                torch.testing.assert_close(
                    here[name][1][key],
                    value,
                    rtol=0,
                    atol=tolerance,
                    msg=lambda text: f"{name}, {key}: {text}",  # noqa: B023
                )


def test_batch_norm_of_one_process_is_as_before():
    for kind, shape in ((nn.BatchNorm1d, (4, 3)), (nn.BatchNorm1d, (4, 3, 5)), (nn.BatchNorm2d, (4, 3, 5, 2))):
        model = nn.Sequential(nn.Identity(), kind(3, momentum=0.3))
        before = model[1].state_dict()
        x = torch.randn(shape)
        expected = model(x)
        share_batch_norm(model)
        assert isinstance(model[1], SharedBatchNorm)
        assert model[1].state_dict().keys() == before.keys()
        torch.testing.assert_close(model(x), expected)
