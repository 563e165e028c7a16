"""Checkpoints of the authors' released code, against a plain twin of that code made from what is known of it."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import torchvision
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose
from torch import nn

from handbench.cli import main
from handbench.srn.checkpoint import load_checkpoint
from handbench.srn.config import ModelConfig
from handbench.srn.model import SRN

JOINTS, SIDE = 14, 128


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _conv(inputs: int, old: nn.Conv2d) -> nn.Conv2d:
    stride, padding, kernel = old.stride[0], int(old.padding[0]), old.kernel_size[0]
    return nn.Conv2d(inputs, old.out_channels, kernel, stride, padding, bias=False)


class Twin(nn.Module):
    """The released network, image by image and joint by joint."""

    def __init__(self, stages: int) -> None:
        super().__init__()
        nets = [torchvision.models.resnet18() for _ in range(stages + 1)]
        first = nets[-1]
        self.pre = nn.Sequential(_conv(1, first.conv1), first.bn1, first.relu, first.maxpool, first.layer1)
        self.features, self.fcs = nn.ModuleList(), nn.ModuleList()
        for i, net in enumerate(nets[:-1]):
            block = net.layer2[0]
            block.conv1 = _conv(64 + i * 4 * JOINTS, block.conv1)
            block.downsample[0] = _conv(64 + i * 4 * JOINTS, block.downsample[0])
            self.features.append(nn.Sequential(net.layer2, net.layer3, net.layer4))
            self.fcs.append(nn.Linear(512, 3 * JOINTS))

    def forward(self, depth: torch.Tensor) -> torch.Tensor:
        seen, pose = self.pre(depth), torch.zeros(0)
        for i, (features, fc) in enumerate(zip(self.features, self.fcs, strict=True)):
            if i:
                seen = torch.cat(
                    (seen, torch.stack([self.images(p, d[0]) for p, d in zip(pose, depth, strict=True)])), 1
                )
            pose = fc(nn.functional.avg_pool2d(features(seen), 4).flatten(1)).reshape(-1, JOINTS, 3)
        return pose

    def images(self, pose: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        small = nn.functional.interpolate(depth[None, None], (32, 32), mode="nearest")[0, 0]
        mesh = torch.linspace(-1, 1, 32)
        vectors, heats = [], []
        for u, v, d in pose:
            offset = torch.stack((u - mesh[None, :].expand(32, 32), v - mesh[:, None].expand(32, 32), d - small))
            distance = torch.sqrt((offset**2).sum(0) + 1e-8)
            seen = ((distance <= 1) & (small < 1)).float()
            vectors += list(offset / distance * seen)
            heats.append((1 - distance) * seen)
        return torch.stack(vectors + heats)


@pytest.fixture(scope="module")
def twin() -> Twin:
    torch.manual_seed(0)
    model = Twin(stages=2)
    with torch.no_grad():  # so that joints lie in the box, and running means are not all 0
        model.train()(torch.rand(8, 1, SIDE, SIDE) * 2 - 1)
    return model.eval()


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_same_joints_as_the_released_code(tmp_path: Path, twin: Twin, wrapped: bool) -> None:
    weights = twin.state_dict()
    content = {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in weights.items()}}
    torch.save(content if wrapped else weights, tmp_path / "authors.pth")
    out = tmp_path / "srn.safetensors"
    result = run("model", "import", tmp_path / "authors.pth", "-o", out, "--dataset", "nyu")
    assert result.output == f"{out}: 2 stages on resnet18, 14 joints of nyu\n"
    model, card = load_checkpoint(out, torch.device("cpu"))
    torch.manual_seed(1)
    depth = torch.rand(3, 1, SIDE, SIDE) * 2 - 1
    depth[:, :, :, 90:] = 1  # background
    with torch.no_grad():
        assert_allclose(model(depth)[-1], twin(depth), atol=1e-5)
    assert card.config.model == ModelConfig(representation="released", theta=1.0)
    shown = json.loads(run("model", "info", out, "--json").output)
    assert (shown["parameters"], shown["joints"], shown["dataset"]) == (22_304_020, 14, "nyu")


def test_what_is_no_released_network_is_said_in_one_line(tmp_path: Path, twin: Twin) -> None:
    source, out = tmp_path / "a.pth", tmp_path / "a.safetensors"

    def message(content: object, dataset: str = "nyu") -> str:
        torch.save(content, source)
        result = run("model", "import", source, "-o", out, "--dataset", dataset)
        assert result.exit_code == 2
        assert not out.exists()
        return result.output

    weights = twin.state_dict()
    assert "holds no state dict" in message([1, 2])
    assert "it is another network" in message(torchvision.models.resnet18().state_dict())
    assert "predicts 14 joints, ICVL Hand Posture has 16" in message(weights, "icvl")
    assert "nope" in message(weights, "nope")
    few = {name: value for name, value in weights.items() if not name.startswith("features.1.2")}
    assert "not the weights of an SRN of 2 stages on resnet18: Missing key" in message(few)
    assert "could be a program" in message(twin)
    source.write_bytes(pickle.dumps(weights, protocol=2)[:100])
    result = run("model", "import", source, "-o", out, "--dataset", "nyu")
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert "there is no file" in run("model", "import", tmp_path / "no.pth", "-o", out, "--dataset", "nyu").output
    assert "not as a.pth" in run("model", "import", source, "-o", source, "--dataset", "nyu").output


def test_cost_of_a_preset() -> None:
    """The stem alone: 64 x 64 positions, 64 channels of 7 x 7 products, two operations each."""
    shown = json.loads(run("model", "info", "--preset", "paper-nyu", "--json").output)
    assert shown["parameters"] == 22_304_020
    assert shown["flops"] > 2 * 64 * 64 * 64 * 49
    single = SRN(ModelConfig(stages=1), joints=21)
    text = run("model", "info", "--preset", "paper-nyu", "--joints", 21).output
    assert "22,361,406" in text
    assert sum(p.numel() for p in single.parameters()) < 22_361_406
    assert run("model", "info").exit_code == 2
