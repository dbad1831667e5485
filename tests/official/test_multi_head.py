"""W2V2-AASIST with a graph per task, and CodecFake+'s checkpoints of it with their two orders of classes."""

import re

import pytest
import soundfile
import torch
from helpers.official_files import randomised, saved, tiny, with_ssl

from spooftrace.backends import W2V2AASIST
from spooftrace.cli import main as cli
from spooftrace.common.errors import InputError
from spooftrace.config.loading import load_config, save_config
from spooftrace.datadir import DataDir, read_table
from spooftrace.evaluation.outputs import read_outputs
from spooftrace.system.system import System

SMALL = {"input_dim": 12, "reduced_dim": 12, "channels": [4, 4, 4, 4, 4, 4], "gat_dims": [6, 4]}


def select_weights(model, number):
    """The weights of a model for one task that are those of task ``number`` in a model for several."""
    own, prefix = model.state_dict(), f"more_graphs.{number - 1}."
    state = {name: tensor for name, tensor in own.items() if not name.startswith("more_graphs.")}
    return state | {name.removeprefix(prefix): tensor for name, tensor in own.items() if name.startswith(prefix)}


def test_each_task_has_what_a_model_of_its_own_would_give():
    several = randomised(W2V2AASIST(**SMALL, num_outputs=[2, 4, 3]))
    frames = torch.randn(2, 20, 12)
    with torch.no_grad():
        parts = several(frames).split([2, 4, 3], dim=1)
    for number, part in enumerate(parts):
        alone = W2V2AASIST(**SMALL, num_outputs=part.shape[1]).eval()
        alone.load_state_dict(select_weights(several, number), strict=True)
        with torch.no_grad():
            torch.testing.assert_close(part, alone(frames), atol=1e-6, rtol=1e-5)
    assert several.num_outputs == 9


def test_a_task_trains_the_nodes_and_its_own_graph():
    model = W2V2AASIST(**SMALL, num_outputs=[2, 3])
    model(torch.randn(4, 20, 12))[:, 2:].sum().backward()
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"LL", "first_bn", "first_bn1", "encoder", "attention", "more_graphs"}


def test_one_task_in_a_list_is_one_task():
    assert W2V2AASIST(**SMALL, num_outputs=[3]).state_dict().keys() == W2V2AASIST(**SMALL).state_dict().keys()
    with pytest.raises(ValueError, match="a number for each task"):
        W2V2AASIST(**SMALL, num_outputs=[])


def test_tasks_and_outputs_have_to_agree(write_config):
    heads = {"utt2label": None, "utt2vq": None}
    file = write_config(
        streams={"tiny": {"class_path": "miniature.frontend.Projection"}},
        backend={"class_path": "W2V2AASIST", "init_args": {"input_dim": 8, "num_outputs": [2, 3]}},
        task={"class_path": "MultiAttribution", "init_args": {"heads": heads}},
        data={"crop": 3200},
        trainer={"monitor": "dev_loss"},
    )
    with pytest.raises(InputError, match="num_outputs is 5, but the task MultiAttribution needs 6"):
        System(load_config([file]), {})
    config = load_config([file], ["--backend.init_args.num_outputs", "[2, 4]"])
    save_config(config, file)
    assert System(load_config([file]), {}).backend.num_outputs == 6
    assert config.backend["init_args"]["num_outputs"] == [2, 4]


CLASSES = {  # of the official code's branches, in its order
    "binary_branch": ("spoof", "bonafide"),
    "multiclass_branch_as": ("real", "none", "sem", "disent"),
    "multiclass_branch_ds": ("real", "time", "freq"),
    "multiclass_branch_qs": ("real", "mvq", "svq", "sq"),
}
BIN, AUX, DEC, VQ = CLASSES
FILES = {AUX: "scores_aux.txt", DEC: "scores_dec.txt", VQ: "scores_vq.txt"}
SYSTEMS = {
    "s_bin": [BIN],
    "d_aux": [BIN, AUX],
    "m2": [AUX, DEC, VQ],
    "s_dec": [DEC],
    "m1": [BIN, AUX, DEC, VQ],
}
SLOW = ("s_dec", "m1")


@pytest.fixture(scope="module")
def network():
    """A self-supervised model as wide as those whose number of heads is known without settings."""
    return tiny("wav2vec2", True, width=768)


@pytest.fixture
def waves(recipe):
    """Four utterances, which are also ``data/test``."""
    noise = 0.1 * torch.randn(4, 5000, generator=torch.Generator().manual_seed(1))
    files = {f"utt{number}": str(recipe / f"{number}.wav") for number in range(len(noise))}
    for file, wave in zip(files.values(), noise, strict=True):
        soundfile.write(file, wave.numpy(), 16000, subtype="FLOAT")
    DataDir.write("data/test", {"wav.scp": files, "utt2spk": {utt: utt for utt in files}})
    return noise


def official_names(model, branches):
    """The checkpoint that the official code writes for a model."""
    state = {}
    for number, branch in enumerate(branches):
        for name, tensor in select_weights(model, number).items():
            in_graph = re.match("GAT_|HtrgGAT_|pool_|pos_S|master|out_layer", name)
            state[f"{branch}.{name}" if in_graph else name] = tensor
    return state


@pytest.mark.parametrize("system", [pytest.param(s, marks=[pytest.mark.slow] * (s in SLOW)) for s in SYSTEMS])
def test_an_official_file_scores_as_the_official_code_does(waves, network, capsys, tmp_path, system):
    """In the official code detection has spoof first, the tracing tasks have real first."""
    branches = SYSTEMS[system]
    sizes = [len(CLASSES[branch]) for branch in branches]
    torch.manual_seed(3)
    model = W2V2AASIST(input_dim=768, num_outputs=sizes).eval()
    for graph in (model, *model.more_graphs):
        torch.nn.init.normal_(graph.out_layer.weight)  # logits that are far apart
    path = saved(tmp_path, with_ssl(network, official_names(model, branches)))
    assert cli.main(["import-checkpoint", system, str(path), "--out", "exp"]) == 0
    tracing = [branch for branch in branches if branch != BIN]
    assert f"ready; spooftrace {'trace' if tracing else 'detect'} --exp exp FILE" in capsys.readouterr().out
    assert cli.main(["score", "--exp", "exp", "--data", "data/test", "--data.eval_crop", "full"]) == 0

    with torch.no_grad():
        outputs = model(network(waves).last_hidden_state).split(sizes, 1)
    logits = dict(zip(branches, outputs, strict=True))
    for branch in tracing:
        found = read_outputs(f"exp/test/{FILES[branch] if len(branches) > 1 else 'scores.txt'}")
        assert found.columns == CLASSES[branch]
        values = torch.tensor(found.numbers([f"utt{number}" for number in range(len(waves))]), dtype=torch.float32)
        torch.testing.assert_close(values, logits[branch], atol=2e-4, rtol=1e-4)
    if len(branches) > 1 or not tracing:
        if BIN in branches:
            official = logits[BIN].softmax(1)[:, 1]
        else:
            spoof = [logits[branch].softmax(1)[:, 1:].sum(1) for branch in branches]
            official = 1 - torch.stack(spoof).prod(0) ** (1 / len(spoof))
        scores = torch.tensor([float(score) for score in read_table("exp/test/scores.txt").values()])
        torch.testing.assert_close(scores.sigmoid(), official, atol=1e-4, rtol=0)
