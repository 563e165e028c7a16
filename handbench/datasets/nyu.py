"""NYU Hand Pose (Tompson et al. 2014): facts."""

from handbench.camera import Camera
from handbench.datasets.spec import DatasetSpec, JointSet, Protocol, SplitSpec

# Authors' order (calculate_coords.m): four fingers from the pinky, then the thumb, then the palm.
# KNU3 is the tip segment and KNU1 the base segment; A is its far end, B its near end.
_SEGMENTS = ("KNU3_A", "KNU3_B", "KNU2_A", "KNU2_B", "KNU1_A", "KNU1_B")
_FINGERS = (("F1", "pinky"), ("F2", "ring"), ("F3", "middle"), ("F4", "index"), ("TH", "thumb"))
_PALM = 32  # PALM_3, the "palm" of the evaluation and root of the skeleton

_NAMES = tuple(f"{prefix}_{segment}" for prefix, _ in _FINGERS for segment in _SEGMENTS) + tuple(
    f"PALM_{i}" for i in range(1, 7)
)
_PARENTS = (*(_PALM if i % 6 == 5 else i + 1 for i in range(30)), _PALM, _PALM, -1, _PALM, _PALM, _PALM)

SPEC = DatasetSpec(
    name="nyu",
    title="NYU Hand Pose",
    sensor="PrimeSense Carmine 1.09 (structured light), three views",
    camera=Camera(588.036865, 587.075073, 320, 240, 640, 480),  # authors' convert_depth_to_uvd.m
    scoring_camera=Camera(588.03, 587.07, 320, 240, 640, 480),  # literature; differs by < 0.001 mm
    joints=JointSet(
        names=_NAMES,
        parents=_PARENTS,
        fingers=tuple(finger for _, finger in _FINGERS for _ in _SEGMENTS) + ("palm",) * 6,
        scored=(0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, _PALM),  # identical in eight evaluations
        labels=(
            *("Pinky.T", "Pinky.R", "Ring.T", "Ring.R", "Mid.T", "Mid.R", "Index.T", "Index.R"),
            *("Thumb.T", "Thumb.R2", "Thumb.R1", "Wrist2", "Wrist1", "Palm"),
        ),
    ),
    handedness="right",
    background=2001,  # real depth; synthdepth uses 0
    depth_range_mm=(300.0, 1200.0),  # V2V-PoseNet
    cube_mm={"1": 250.0, "2": 250.0 * 5 / 6},  # SRN; the second test subject's hand is 5/6 as large (bone lengths)
    splits=(
        SplitSpec("train", {"only": 72757}, {"only": {"1": 72757}}),
        SplitSpec("test", {"only": 8252}, {"only": {"1": 2440, "2": 5812}}),
    ),
    protocols=(
        Protocol(
            name="nyu/view1-14j",
            split="test",
            frames=8252,
            group_kind="subject",
            groups=(("1 (frames 1-2440)", 2440), ("2 (frames 2441-8252)", 5812)),
            note="view 1, 14 joints; subject 1 is also the training subject",
        ),
    ),
    raw_axes="y points up in joint_xyz; joint_uvd has rows downwards",
    citation="""\
@article{tompson2014real,
  author  = {Tompson, Jonathan and Stein, Murphy and LeCun, Yann and Perlin, Ken},
  title   = {Real-Time Continuous Pose Recovery of Human Hands Using Convolutional Networks},
  journal = {ACM Transactions on Graphics},
  volume  = {33},
  number  = {5},
  year    = {2014}
}""",
    licence="no licence file; published for research by New York University",
    obtain="https://jonathantompson.github.io/NYU_Hand_Pose_Dataset.htm (nyu_hand_dataset_v2.zip, about 92 GB)",
    notes=(
        "joint_data.mat lies inside train/ and inside test/; the small archive without it is not enough",
        "the second test subject starts at frame 2441 (1-based)",
        "depth is G*256 + B of an 8-bit RGB PNG, 2001 means background",
        "in train, views 2 and 3 of frames 1-29116 are exchanged relative to all later frames",
    ),
)
