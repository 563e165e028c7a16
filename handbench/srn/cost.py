"""What a network costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from handbench.srn.config import ModelConfig
from handbench.srn.model import build_model


@dataclass(frozen=True)
class Cost:
    """Of a network.

    Attributes:
        parameters: how many are learned.
        flops: floating-point operations for one crop in convolutions and matrix products, two for a multiplication with
            its addition.
    """

    parameters: int
    flops: int


def cost_of(config: ModelConfig, joints: int) -> Cost:
    """Count, on shapes alone: no weight is made and no number computed.

    Args:
        config: of the network.
        joints: J, how many points; 1 for a centre.
    """
    with torch.device("meta"):
        model = build_model(config, joints).eval()
        depth = torch.empty(1, 1, config.crop_size, config.crop_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(depth)
    return Cost(sum(p.numel() for p in model.parameters()), counter.get_total_flops())
