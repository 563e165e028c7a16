"""Joints of one data set in the order of another."""

from __future__ import annotations

from handbench.datasets.spec import JointSet
from handbench.errors import HandbenchError


def joint_order(source: JointSet, target: JointSet) -> tuple[int, ...]:
    """Where the joints of `target` lie in `source`, matched by name.

    `xyz[..., joint_order(hands17, msra), :]` brings (..., 21, 3) joints of HANDS17 into the order of MSRA. Names are
    equal only where the same point of the hand is meant, so NYU and ICVL have no such order with another data set.

    Returns:
        For each joint of `target`, its index in `source`.

    Raises:
        HandbenchError: naming the joints of `target` that `source` lacks.
    """
    index = {name: i for i, name in enumerate(source.names)}
    missing = [name for name in target.names if name not in index]
    if missing:
        raise HandbenchError(f"no joints named {', '.join(missing)}; joints are brought into another order by name")
    return tuple(index[name] for name in target.names)
