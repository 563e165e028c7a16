"""Orders that the joints of files in circulation come in, and how to bring them into the scored order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from handbench.datasets import DatasetSpec, dataset
from handbench.datasets.maps import joint_order
from handbench.datasets.spec import FINGERS
from handbench.errors import HandbenchError


@dataclass(frozen=True)
class JointOrder:
    """One order of joints.

    Attributes:
        name: as `--order` takes it; a list of indices if it has none.
        title: for people.
        count: how many joints a file in this order has.
        take: for each scored joint, its place in the file.
    """

    name: str
    title: str
    count: int
    take: tuple[int, ...]

    def __post_init__(self) -> None:
        if not all(0 <= i < self.count for i in self.take):
            raise HandbenchError(f"joint order {self.name} takes joints that a file of {self.count} joints has not")


# Sources: evaluation code of awesome-hand-pose-estimation (lie-x, cnn-pose), NYU authors' evaluate_predictions.m
# (conv_joint_names, the same order as cnn-pose), SRN and AWR loaders (23 joints).
_NYU = (
    JointOrder("lie-x", "Lie-X joint order", 14, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 12, 13, 0)),
    JointOrder("authors", "the order of NYU's authors, palm first", 14, (*range(6, 14), 3, 4, 5, 1, 2, 0)),
    JointOrder(
        *("srn-23", "the 23 joints that SRN and AWR train with", 23),
        (0, 2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 21, 22, 20),
    ),
)
_SEGMENTS = ("mcp", "pip", "dip", "tip")
_THUMB_FIRST = ("wrist", *(f"{finger}_{segment}" for finger in FINGERS for segment in _SEGMENTS))  # SRN's hands17tomano


def known_orders(spec: DatasetSpec) -> tuple[JointOrder, ...]:
    """The orders that files of a data set are known to come in; the scored one is the first."""
    joints = spec.joints
    scored = len(joints.scored)
    orders = [JointOrder("scored", "the scored order", scored, tuple(range(scored)))]
    if joints.scored != tuple(range(len(joints))):
        orders.append(JointOrder("all", f"all {len(joints)} joints of the labels", len(joints), joints.scored))
    if spec.name == "nyu":
        orders += _NYU
    if spec.name in ("msra", "hands17"):
        orders += _orders_of_21(spec)
    return tuple(orders)


def _orders_of_21(spec: DatasetSpec) -> list[JointOrder]:
    """The orders of the other sets of 21 joints: wrist, and four joints a finger."""
    names = spec.joints.names
    other = dataset("hands17" if spec.name == "msra" else "msra")
    tip_first = (names[0], *(f"{f}_{s}" for f in (*FINGERS[1:], "thumb") for s in reversed(_SEGMENTS)))
    thumb = tuple(_THUMB_FIRST.index(name) for name in names)
    return [
        JointOrder(other.name, f"the order of {other.title}", 21, joint_order(other.joints, spec.joints)),
        JointOrder("thumb-first", "thumb first, finger by finger, root to tip", 21, thumb),
        JointOrder("tip-first", "index first, tip to root", 21, tuple(tip_first.index(name) for name in names)),
    ]


def parse_order(text: str, spec: DatasetSpec) -> JointOrder:
    """An order as a user names it: a name of `known_orders`, or for each scored joint its place in the file, from 0.

    Raises:
        HandbenchError: if it is neither; the message lists the names.
    """
    orders = {order.name: order for order in known_orders(spec)}
    if text in orders:
        return orders[text]
    if re.fullmatch(r"\d+(,\d+)+", text):
        take = tuple(map(int, text.split(",")))
        wanted = len(spec.joints.scored)
        if len(take) == wanted == len(set(take)):
            return JointOrder(text, f"the order {text}", max(take) + 1, take)
        raise HandbenchError(f"--order names {len(set(take))} different joints, {spec.name} is scored on {wanted}")
    near = get_close_matches(text.lower(), orders, n=1)
    hint = f"did you mean {near[0]}? there are" if near else "give"
    raise HandbenchError(
        f"unknown joint order {text!r} of {spec.name}; {hint} {', '.join(orders)}, or for each scored joint its place "
        "in the file, from 0, as 11,10,9,..."
    )


def order_of(count: int, spec: DatasetSpec) -> JointOrder | None:
    """The order of a file by its number of joints, where that leaves no doubt; None if no order has so many."""
    fitting = [order for order in known_orders(spec) if order.count == count]
    return fitting[0] if fitting else None
