"""What a later stage sees of the pose before it: the pose made into images, one module each way.

All give images of the side of the preliminary features (32 x 32 for a crop of 128 px), so that they can be exchanged
one for another and nothing else changes. SRN's own is `Field`; the others are what the paper compares it with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from handbench.errors import HandbenchError
from handbench.srn.config import STRIDE, ModelConfig

_SMALLEST_SQUARE = 1e-8
"""Floor of |p - pj|^2, so that the square root has a gradient everywhere; 0.01 mm in the usual cube."""


class Representation(nn.Module):
    """A pose as images, differentiable with respect to the pose.

    `forward` takes pose, (B, J, 3) `uvd_si_norm`, and depth, the (B, 1, S, S) crop in [-1, 1] with background +1, and
    gives (B, C, S/4, S/4).

    Attributes:
        channels: how many images C.
    """

    channels: int


class Nothing(Representation):
    """No images: the later stages see what the first one saw."""

    channels = 0

    def forward(self, pose: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """(B, 0, S/4, S/4)."""
        side = depth.shape[-1] // STRIDE
        return depth.new_empty((len(depth), 0, side, side))


class Deconvolution(Representation):
    """Images that are learned: the pose as a vector through three transposed convolutions, each twice as wide and high.

    It has parameters, and it does not see the depth. As many channels as `Field`, 4J. What the paper's own has inside
    is not printed; this is the plainest that reaches the same size.
    """

    _WIDTH, _DOUBLINGS = 64, 3

    def __init__(self, joints: int, crop_size: int) -> None:
        super().__init__()
        self.channels = 4 * joints
        first = crop_size // STRIDE >> self._DOUBLINGS
        if first << self._DOUBLINGS != crop_size // STRIDE:
            raise HandbenchError(
                f"model.crop_size is {crop_size}, with model.representation 'deconvolution' it must be a multiple of "
                f"{STRIDE << self._DOUBLINGS}"
            )
        layers: list[nn.Module] = [nn.Linear(3 * joints, self._WIDTH * first**2)]
        layers += [nn.Unflatten(1, (self._WIDTH, first, first)), nn.ReLU(inplace=True)]
        for _ in range(self._DOUBLINGS - 1):
            layers += [_doubling(self._WIDTH, self._WIDTH), nn.BatchNorm2d(self._WIDTH), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, _doubling(self._WIDTH, self.channels))

    def forward(self, pose: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """(B, 4J, S/4, S/4)."""
        images: torch.Tensor = self.layers(pose.flatten(1))
        return images


class HeatMaps2D(Representation):
    """One Gaussian a joint, exp(-r^2 / (2 std^2)) with r the distance in the image, whatever the depth.

    Args:
        joints: J.
        std: of the Gaussian, in px of the images.
        depth_maps: also give, for each joint, its depth times its Gaussian.
    """

    def __init__(self, joints: int, std: float, depth_maps: bool) -> None:
        super().__init__()
        self._std, self._depth_maps = std, depth_maps
        self.channels = (2 if depth_maps else 1) * joints

    def forward(self, pose: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """(B, J, S/4, S/4), or (B, 2J, S/4, S/4): heat maps, then depth maps."""
        points, _ = pixel_points(depth)
        pixels = points.shape[-1] / 2  # px of the images in one unit of `uvd_si_norm`
        square = (points[:, None, :2] - pose[..., :2, None, None]).square().sum(dim=2) * pixels**2
        heat = torch.exp(-square / (2 * self._std**2))
        if not self._depth_maps:
            return heat
        return torch.cat((heat, heat * pose[..., 2, None, None]), dim=1)


class HeatMaps3D(Representation):
    """The 3D heat maps of `Field` alone: H of SRN Eq. 1."""

    def __init__(self, joints: int, theta: float) -> None:
        super().__init__()
        self._theta, self.channels = theta, joints

    def forward(self, pose: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """(B, J, S/4, S/4)."""
        return reparameterise(pose, depth, self._theta)[:, -self.channels :]


class Field(Representation):
    """SRN's own: 3D unit vector fields and 3D heat maps (SRN Eq. 1 and 2)."""

    def __init__(self, joints: int, theta: float) -> None:
        super().__init__()
        self._theta, self.channels = theta, 4 * joints

    def forward(self, pose: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """(B, 4J, S/4, S/4), as `reparameterise`."""
        return reparameterise(pose, depth, self._theta)


class ReleasedField(Representation):
    """`Field` as the authors' released code computes it; for its checkpoints, see `handbench.srn.released`.

    It differs in what the paper does not print: the vectors point from the pixel to the joint, the pixels spread over
    [-1, 1] inclusive, and 1e-8 is added to the square of the distance.

    Source: PengfeiRen96/SRN.
    """

    def __init__(self, joints: int, theta: float) -> None:
        super().__init__()
        self._theta, self.channels = theta, 4 * joints

    def forward(self, pose: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """(B, 4J, S/4, S/4): u, v, d of the vectors for joint 0, then joint 1 and so on; then the heat maps."""
        small = depth[..., ::STRIDE, ::STRIDE]
        along = torch.linspace(-1, 1, small.shape[-1], device=depth.device, dtype=depth.dtype)
        v, u = torch.meshgrid(along, along, indexing="ij")
        points = torch.cat((torch.stack((u, v)).expand(len(depth), -1, -1, -1), small), dim=1)
        offset = pose[..., None, None] - points[:, None]
        distance = (offset.square().sum(dim=2, keepdim=True) + _SMALLEST_SQUARE).sqrt()
        inside = ((distance <= self._theta) & (small[:, None] < 1)).to(depth.dtype)
        direction, heat = inside * offset / distance, inside * (self._theta - distance)
        return torch.cat((direction.flatten(1, 2), heat.flatten(1, 2)), dim=1)


_BUILDERS: dict[str, Callable[[ModelConfig, int], Representation]] = {
    "none": lambda config, joints: Nothing(),
    "deconvolution": lambda config, joints: Deconvolution(joints, config.crop_size),
    "heatmaps-2d": lambda config, joints: HeatMaps2D(joints, config.heatmap_std, depth_maps=False),
    "heatmaps-2d-depth": lambda config, joints: HeatMaps2D(joints, config.heatmap_std, depth_maps=True),
    "heatmaps-3d": lambda config, joints: HeatMaps3D(joints, config.theta),
    "heatmaps-3d-field": lambda config, joints: Field(joints, config.theta),
    "released": lambda config, joints: ReleasedField(joints, config.theta),
}


def representation(config: ModelConfig, joints: int) -> Representation:
    """The `Representation` that a configuration names, for poses of so many joints.

    Raises:
        HandbenchError: if it cannot be made for the side of the crop.
    """
    return _BUILDERS[config.representation](config, joints)


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


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """A transposed convolution that gives twice the side."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
