"""MSRA Hand Gesture (Sun et al. 2015, "MSRA-15"): facts."""

from handbench.camera import Camera
from handbench.datasets.spec import FINGERS, DatasetSpec, JointSet, Protocol, SplitSpec

# Order of joint.txt: wrist, then mcp, pip, dip and tip of each finger; the thumb comes last (authors' read-me).
_SEGMENTS = (("mcp", "M"), ("pip", "P"), ("dip", "D"), ("tip", "T"))
_FINGERS = (*FINGERS[1:], "thumb")  # the authors call the pinky "little"
_WRIST = 0

# Frames of P0 to P8. Old: lines of the frame list in awesome-hand-pose-estimation. New: lines of the centre files of
# V2V-PoseNet. The nominal 9 x 17 x 500 = 76,500 is neither.
_OLD = (8499, 8492, 8412, 8488, 8500, 8497, 8497, 8498, 8492)
_NEW = (8499, 8499, 8406, 8498, 8500, 8497, 8498, 8498, 8496)
_SUBJECTS = tuple(f"P{i}" for i in range(9))

_CAMERA = Camera(241.42, 241.42, 160, 120, 320, 240)  # authors' read-me; nobody uses another

SPEC = DatasetSpec(
    name="msra",
    title="MSRA Hand Gesture",
    sensor="Intel Creative (time of flight)",
    camera=_CAMERA,
    scoring_camera=_CAMERA,
    joints=JointSet(
        names=("wrist", *(f"{finger}_{segment}" for finger in _FINGERS for segment, _ in _SEGMENTS)),
        parents=(-1, *(_WRIST if i % 4 == 0 else i for i in range(20))),
        fingers=("palm", *(finger for finger in _FINGERS for _ in _SEGMENTS)),
        scored=tuple(range(21)),  # all of them, in file order
        labels=("Wrist", *(f"{f}.{s}" for f in ("Index", "Mid", "Ring", "Pinky", "Thumb") for _, s in _SEGMENTS)),
    ),
    handedness="right",  # authors' read-me
    background=None,  # 0; a frame holds the box around the hand and nothing else
    depth_range_mm=(100.0, 700.0),  # V2V-PoseNet; REN takes 10 to 1000
    cube_mm=dict(zip(_SUBJECTS, (200.0,) * 3 + (180.0,) * 3 + (170.0, 160.0, 150.0), strict=True)),  # DeepPrior, SRN
    splits=(
        SplitSpec(
            name="all",  # each frame is tested once and trained with eight times
            frames={"old": sum(_OLD), "new": sum(_NEW)},  # 76,375 and 76,391
            subjects={
                "old": dict(zip(_SUBJECTS, _OLD, strict=True)),
                "new": dict(zip(_SUBJECTS, _NEW, strict=True)),
            },
        ),
    ),
    protocols=tuple(
        Protocol(
            name=name,
            split="all",
            frames=sum(counts),
            group_kind="subject",
            groups=tuple(zip(_SUBJECTS, counts, strict=True)),
            note=f"leave one subject out, nine folds, {release} release; mean over all frames, not mean of the folds",
        )
        for name, release, counts in (("msra/loso-9", "old", _OLD), ("msra/loso-9-new", "new", _NEW))
    ),
    raw_axes="y points up and z is negative in joint.txt: u = 160 + 241.42 x/|z|, v = 120 - 241.42 y/|z|",
    citation="""\
@inproceedings{sun2015cascaded,
  author    = {Sun, Xiao and Wei, Yichen and Liang, Shuang and Tang, Xiaoou and Sun, Jian},
  title     = {Cascaded Hand Pose Regression},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {824--832},
  year      = {2015}
}""",
    licence="no licence file; the authors' read-me asks to cite the paper",
    obtain="https://jimmysuen.github.io (cvpr15_MSRAHandGestureDB.zip, new release; the old one is no longer linked)",
    notes=(
        "two releases are in circulation, with the same names and other frames; a centre or result file of one "
        "is shifted against the other",
        "the published results and REN's centres are of the old release, the centres of V2V-PoseNet of the new one",
        "frames are concatenated subject by subject, gestures in the order 1 to 9, I, IP, L, MP, RP, T, TIP, Y",
        "the box in a .bin file ends before right and bottom: (right - left) x (bottom - top) depths",
        "'500 frames a gesture' is nominal; joint.txt says in its first line how many there are",
        "two published lists call 126 and 133 frames of the old release invalid (faulty labels, hardly any depth); "
        "published numbers count them all the same",
    ),
)
