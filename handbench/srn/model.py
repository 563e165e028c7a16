"""SRN, the Stacked Regression Network (Ren et al., BMVC 2019). B batch, J joints, S crop side, T stages."""

from __future__ import annotations

import torch
import torchvision
from torch import nn

from handbench.errors import ShapeError
from handbench.srn.config import STRIDE, ModelConfig

_SMALLEST_SQUARE = 1e-8
"""Floor of |p - pj|^2, so that the square root has a gradient everywhere; 0.01 mm in the usual cube."""


class SRN(nn.Module):
    """Regresses the pose T times; every stage after the first sees the poses before it as images.

    Attributes:
        pre: stem of one channel and first residual layer: the preliminary features, (B, C, S/4, S/4).
        features: residual layers 2 to 4 of each stage.
        fcs: the linear layer of each stage.

    Parameters at J = 14 with ResNet-18: 11,191,786 (T = 1), 22,304,020 (T = 2), 33,487,934 (T = 3).

    Source: SRN section 3 and figure 2. The names of the parts are those of the authors' released checkpoints.
    """

    def __init__(self, config: ModelConfig, joints: int) -> None:
        super().__init__()
        self.config = config
        self.joints = joints
        stem = _resnet(config)
        stem.conv1 = _with_inputs(stem.conv1, 1)
        self.pre = nn.Sequential(stem.conv1, stem.bn1, stem.relu, stem.maxpool, stem.layer1)
        stages = [_stage(config, extra=4 * joints * earlier) for earlier in range(config.stages)]
        self.features = nn.ModuleList(stages)
        self.fcs = nn.ModuleList(nn.Linear(stem.fc.in_features, 3 * joints) for _ in stages)

    def forward(self, depth: torch.Tensor) -> list[torch.Tensor]:
        """The pose of every stage; the last is the prediction.

        Args:
            depth: (B, 1, S, S) crop in [-1, 1], background +1.

        Returns:
            T tensors (B, J, 3), `uvd_si_norm`.

        Raises:
            ShapeError: if `depth` has another shape.
        """
        side = self.config.crop_size
        if tuple(depth.shape[1:]) != (1, side, side):
            raise ShapeError(f"depth has shape {tuple(depth.shape)}, this model takes (B, 1, {side}, {side})")
        poses: list[torch.Tensor] = []
        seen = self.pre(depth)  # (B, C, S/4, S/4), and 4J channels more for each stage before
        for features, fc in zip(self.features, self.fcs, strict=True):
            if poses:
                seen = torch.cat((seen, reparameterise(poses[-1], depth, self.config.theta)), dim=1)
            pose = fc(features(seen).mean(dim=(2, 3)))
            poses.append(pose.unflatten(1, (self.joints, 3)))
        return poses


def reparameterise(pose: torch.Tensor, depth: torch.Tensor, theta: float) -> torch.Tensor:
    """A pose as images that fit the preliminary features: 3D unit vector fields and heat maps.

    With p = (u, v, d) of a pixel and pj the joint, both in `uvd_si_norm`, and lambda = 1 where the pixel is
    foreground and |p - pj| < theta, else 0:

        D = lambda (p - pj) / |p - pj|        H = lambda (theta - |p - pj|)

    No parameters; differentiable with respect to the pose.

    Args:
        pose: (B, J, 3), `uvd_si_norm`.
        depth: (B, 1, S, S) crop in [-1, 1], background +1.
        theta: radius in `uvd_si_norm`.

    Returns:
        (B, 4J, S/4, S/4): u, v, d of D for joint 0, then for joint 1 and so on; after them H of every joint.

    Source: SRN Eq. 1 (H) and Eq. 2 (D).
    """
    points, foreground = pixel_points(depth)  # (B, 3, h, w), (B, 1, h, w)
    offset = points[:, None] - pose[..., None, None]  # (B, J, 3, h, w)
    distance = offset.square().sum(dim=2, keepdim=True).clamp_min(_SMALLEST_SQUARE).sqrt()  # (B, J, 1, h, w)
    inside = foreground[:, None] & (distance < theta)
    direction = torch.where(inside, offset / distance, 0.0)
    heat = torch.where(inside, theta - distance, 0.0)
    return torch.cat((direction.flatten(1, 2), heat.flatten(1, 2)), dim=1)


def pixel_points(depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the pixels of the preliminary features are, in `uvd_si_norm`.

    Every fourth pixel of the crop is taken (nearest neighbour, depths are never mixed); feature pixel k is centred on
    crop pixel 4k, as the strides of the stem have it. Crop pixel i has u = (i - (S - 1) / 2) / (S / 2), which is the
    convention of `HandBox.image_from_crop`.

    Args:
        depth: (B, 1, S, S) crop in [-1, 1], background +1.

    Returns:
        (B, 3, S/4, S/4) u, v, d; and (B, 1, S/4, S/4) bool, True where the pixel is not background.
    """
    batch, _, _, side = depth.shape
    small = depth[..., ::STRIDE, ::STRIDE]
    index = torch.arange(0, side, STRIDE, device=depth.device, dtype=depth.dtype)
    along = (index - (side - 1) / 2) / (side / 2)
    v, u = torch.meshgrid(along, along, indexing="ij")
    grid = torch.stack((u, v)).expand(batch, -1, -1, -1)
    return torch.cat((grid, small), dim=1), small < 1


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
