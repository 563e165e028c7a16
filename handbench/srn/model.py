"""SRN, the Stacked Regression Network (Ren et al., BMVC 2019), and a plain small CNN.

B batch, J points (the joints, or one centre), S crop side, T stages.
"""

from __future__ import annotations

import itertools

import torch
import torchvision
from torch import nn

from handbench.errors import ShapeError
from handbench.srn.config import ModelConfig
from handbench.srn.representation import representation


class PoseNetwork(nn.Module):
    """Regresses points from a crop, T times.

    Attributes:
        config: of the network.
        joints: J, how many points; 1 for a centre.
    """

    def __init__(self, config: ModelConfig, joints: int) -> None:
        super().__init__()
        self.config = config
        self.joints = joints

    def require_crop(self, depth: torch.Tensor) -> None:
        """Refuse crops of another shape than (B, 1, S, S).

        Raises:
            ShapeError: naming both.
        """
        side = self.config.crop_size
        if tuple(depth.shape[1:]) != (1, side, side):
            raise ShapeError(f"depth has shape {tuple(depth.shape)}, this model takes (B, 1, {side}, {side})")


class FullLinear(nn.Linear):
    """A linear layer that `torch.autocast` leaves in the precision of its weights.

    A pose in bfloat16 would have steps of up to 0.5 mm in a cube of 250 mm.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs)."""
        with torch.autocast("cuda" if input.is_cuda else "cpu", enabled=False):
            return super().forward(input.to(self.weight.dtype))


def build_model(config: ModelConfig, joints: int) -> PoseNetwork:
    """The network that a configuration describes, with random weights.

    Args:
        config: of the network.
        joints: J, how many points; 1 for a centre.

    Raises:
        HandbenchError: if its representation cannot be made for the side of the crop.
    """
    return SmallCNN(config, joints) if config.backbone == "small" else SRN(config, joints)


class SRN(PoseNetwork):
    """Regresses the pose T times; every stage after the first sees the poses before it as images.

    Attributes:
        pre: stem of one channel and first residual layer: the preliminary features, (B, C, S/4, S/4).
        represent: what makes images of the pose of each stage but the last.
        features: residual layers 2 to 4 of each stage.
        fcs: the linear layer of each stage.

    Parameters at J = 14 with ResNet-18: 11,191,786 (T = 1), 22,304,020 (T = 2), 33,487,934 (T = 3).

    Source: SRN section 3 and figure 2. The names of the parts are those of the authors' released checkpoints.
    """

    def __init__(self, config: ModelConfig, joints: int) -> None:
        super().__init__(config, joints)
        stem = _resnet(config)
        stem.conv1 = _with_inputs(stem.conv1, 1)
        self.pre = nn.Sequential(stem.conv1, stem.bn1, stem.relu, stem.maxpool, stem.layer1)
        images = [representation(config, joints) for _ in range(config.stages - 1)]
        stages = [_stage(config, extra) for extra in itertools.accumulate((i.channels for i in images), initial=0)]
        self.represent = nn.ModuleList(images)
        self.features = nn.ModuleList(stages)
        self.fcs = nn.ModuleList(FullLinear(stem.fc.in_features, 3 * joints) for _ in stages)

    def forward(self, depth: torch.Tensor) -> list[torch.Tensor]:
        """The pose of every stage; the last is the prediction.

        Args:
            depth: (B, 1, S, S) crop in [-1, 1], background +1.

        Returns:
            T tensors (B, J, 3) in the coordinates of the configuration: `uvd_si_norm`, or the box's own.

        Raises:
            ShapeError: if `depth` has another shape.
        """
        self.require_crop(depth)
        poses: list[torch.Tensor] = []
        seen = self.pre(depth)  # (B, C, S/4, S/4), and the images of the poses before
        for stage, (features, fc) in enumerate(zip(self.features, self.fcs, strict=True)):
            if stage:
                seen = torch.cat((seen, self.represent[stage - 1](poses[-1], depth)), dim=1)
            pose = fc(features(seen).mean(dim=(2, 3), dtype=fc.weight.dtype))
            poses.append(pose.unflatten(1, (self.joints, 3)))
        return poses


class SmallCNN(PoseNetwork):
    """Four convolutions, each with pooling, and two fully connected layers: for a centre it need not be more.

    Of the kind of DeepPrior++'s refinement network (Oberweger and Lepetit, ICCVW 2017), which V2V-PoseNet
    uses as well; with batch normalisation, and sized for one crop of S px.
    """

    _WIDTHS, _HIDDEN = (16, 32, 64, 64), 256

    def __init__(self, config: ModelConfig, joints: int) -> None:
        super().__init__(config, joints)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((1, *self._WIDTHS)):
            conv = nn.Conv2d(inputs, outputs, kernel_size=3 if layers else 5, padding="same", bias=False)
            layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        pixels = (config.crop_size >> len(self._WIDTHS)) ** 2
        self.fcs = nn.Sequential(
            nn.Linear(self._WIDTHS[-1] * pixels, self._HIDDEN),
            nn.ReLU(inplace=True),
            FullLinear(self._HIDDEN, 3 * joints),
        )

    def forward(self, depth: torch.Tensor) -> list[torch.Tensor]:
        """As `SRN.forward`, of one stage: a list of one (B, J, 3).

        Raises:
            ShapeError: if `depth` has another shape.
        """
        self.require_crop(depth)
        points: torch.Tensor = self.fcs(self.features(depth).flatten(1))
        return [points.reshape(-1, self.joints, 3)]


def _stage(config: ModelConfig, extra: int) -> nn.Sequential:
    """Residual layers 2 to 4 that take `extra` channels beside the preliminary features."""
    net = _resnet(config)
    first = net.layer2[0]
    channels = first.conv1.in_channels + extra
    first.conv1 = _with_inputs(first.conv1, channels)
    first.downsample[0] = _with_inputs(first.downsample[0], channels)
    return nn.Sequential(net.layer2, net.layer3, net.layer4)


def _resnet(config: ModelConfig) -> torchvision.models.ResNet:
    return torchvision.models.get_model(config.backbone, weights=None)


def _with_inputs(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """The same convolution for another number of input channels, initialised as torchvision's ResNet does."""
    new = nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]  # torch types a pair as tuple[int, ...]
        conv.stride,  # type: ignore[arg-type]  # as above
        conv.padding,  # type: ignore[arg-type]  # as above
        bias=False,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new
