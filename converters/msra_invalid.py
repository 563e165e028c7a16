"""Frames of MSRA with faulty labels or hardly any depth, as two groups published them. Numbers of the old release.

Published results are over all frames, these included.

Sources: `valid.mat` beside each gesture of geliuhao/CVPR2016_HandPoseEstimation (126 frames);
`preprocess/msra_valid.mat` of 3huo/Hand-Pointnet (those and 7 more).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_BOTH = {
    "P1/5": "434",
    "P1/6": "74-75 77 79-83 88-89",
    "P1/7": "0",
    "P1/8": "172-173 300 312",
    "P1/T": "407-410 453-455",
    "P1/TIP": "177",
    "P2/8": "477",
    "P2/MP": "173-175 345-354 356 359-360",
    "P2/RP": "162 436-440",
    "P2/TIP": "127 172-174",
    "P3/3": "134-138 140 262-264 267-268 289-290 467-472",
    "P3/4": "329 442-443 445-452",
    "P3/5": "164 298 379",
    "P3/6": "337",
    "P3/L": "447",
    "P3/MP": "215",
    "P4/4": "378",
    "P4/RP": "32",
    "P4/T": "4-6 9 45-46 89-91",
    "P4/TIP": "91-95 167",
    "P5/2": "14 23 36 40",
    "P5/4": "188",
    "P6/7": "186 188",
    "P6/8": "422-423",
    "P6/I": "90",
    "P6/TIP": "466",
    "P7/2": "284 338 352",
    "P7/4": "345",
    "P7/6": "39 43",
    "P7/T": "258",
    "P8/4": "151 168 309",
    "P8/T": "258",
}
_HAND_POINTNET_ONLY = {
    "P1/8": "318",
    "P3/4": "130",
    "P4/T": "496",
    "P5/5": "156",
    "P5/T": "485",
    "P7/IP": "18",
    "P8/IP": "18",
}


def _keys(table: Mapping[str, str]) -> Iterator[str]:
    for gesture, ranges in table.items():
        for span in ranges.split():
            first, _, last = span.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield f"{gesture}/{number:06d}"


INVALID: Mapping[str, str] = {
    **dict.fromkeys(_keys(_BOTH), "CVPR2016_HandPoseEstimation, Hand-Pointnet"),
    **dict.fromkeys(_keys(_HAND_POINTNET_ONLY), "Hand-Pointnet"),
}
"""Frame key in the old release -> who lists it."""


def invalid_frames(release: str) -> frozenset[str]:
    """Keys of the frames that a published list calls invalid.

    Args:
        release: "old" or "new". Nobody published a list for the new release, whose numbers are shifted.

    Returns:
        133 keys for the old release, none for any other.
    """
    return frozenset(INVALID) if release == "old" else frozenset()
