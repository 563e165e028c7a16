"""HANDS17, the frame-based task of the 2017 Hands in the Million challenge (Yuan et al. 2017): facts."""

from handbench.camera import PRESETS
from handbench.datasets.spec import FINGERS, DatasetSpec, JointSet, Protocol, SplitSpec

# Order of Training_Annotation.txt: wrist, the five mcp from the thumb, then pip, dip and tip of each finger.
_TAIL = (("pip", "P"), ("dip", "D"), ("tip", "T"))
_LABELS = ("Thumb", "Index", "Mid", "Ring", "Pinky")
_WRIST = 0

# The parent of a pip is the mcp of its finger (1 to 5), that of a dip or tip the joint before it.
_TAIL_PARENTS = tuple(1 + i // 3 if i % 3 == 0 else 5 + i for i in range(15))

SPEC = DatasetSpec(
    name="hands17",
    title="HANDS 2017, frame-based",
    sensor="Intel RealSense SR300",
    camera=PRESETS["hands17"],  # same in every repository
    scoring_camera=PRESETS["hands17"],  # labels and submissions are xyz, nothing is projected
    joints=JointSet(
        names=("wrist", *(f"{f}_mcp" for f in FINGERS), *(f"{f}_{segment}" for f in FINGERS for segment, _ in _TAIL)),
        parents=(-1, *(_WRIST for _ in FINGERS), *_TAIL_PARENTS),
        fingers=("palm", *FINGERS, *(finger for finger in FINGERS for _ in _TAIL)),
        scored=tuple(range(21)),  # all of them, in file order
        labels=("Wrist", *(f"{f}.M" for f in _LABELS), *(f"{f}.{s}" for f in _LABELS for _, s in _TAIL)),
    ),
    handedness="right",  # the way the fingers curl in the label line of denseReg's data/util.py
    background=None,  # 0
    depth_range_mm=(100.0, 1500.0),  # V2V-PoseNet
    cube_mm={"*": 200.0},  # SRN; V2V-PoseNet 250, Pixelwise Regression 300
    splits=(
        SplitSpec("train", {"only": 957032}),  # lines of Training_Annotation.txt; 5 subjects
        SplitSpec("test", {"only": 295510}),  # lines of BoundingBox.txt; 10 subjects
    ),
    protocols=(
        Protocol(
            name="hands17/frame",
            split="test",
            frames=295510,
            note="21 joints; five of the ten test subjects are in the training set (seen), five are not (unseen)",
        ),
    ),
    raw_axes="none differs: x right, y down, z forward",
    citation="""\
@article{yuan2017hands,
  author  = {Yuan, Shanxin and Ye, Qi and Garcia-Hernando, Guillermo and Kim, Tae-Kyun},
  title   = {The 2017 Hands in the Million Challenge on {3D} Hand Pose Estimation},
  journal = {arXiv preprint arXiv:1707.02237},
  year    = {2017}
}

@inproceedings{yuan2017bighand,
  author    = {Yuan, Shanxin and Ye, Qi and Stenger, Bj{\\"o}rn and Jain, Siddhant and Kim, Tae-Kyun},
  title     = {{BigHand2.2M} Benchmark: Hand Pose Dataset and State of the Art Analysis},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2017}
}""",
    licence="no public licence; given on request, not to be passed on",
    obtain="ask the organisers through http://icvl.ee.ic.ac.uk/hands17/challenge (images.zip, frame.zip)",
    notes=(
        "the data do not say which test frames show seen and which unseen subjects; "
        "only the challenge server reports the two apart",
        "test labels came with a later release (12/2019); without them only a submission file can be made",
        "not every listed image exists; such a frame keeps its row and its label",
        "images are numbered from 1: line i of Training_Annotation.txt is image_D%08d.png with number i",
        "HANDS19 Task 1 is another split of the same recordings (175,951 / 124,999 frames)",
    ),
)
