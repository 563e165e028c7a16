"""ICVL Hand Posture (Tang et al. 2014): facts."""

from handbench.camera import Camera
from handbench.datasets.spec import FINGERS, DatasetSpec, JointSet, Protocol, SplitSpec

# Order of the label files: palm, then root, mid and tip of each finger from the thumb.
_SEGMENTS = (("root", "R"), ("mid", "M"), ("tip", "T"))
_PALM = 0  # the centre of the palm, not the wrist; root of the skeleton

SPEC = DatasetSpec(
    name="icvl",
    title="ICVL Hand Posture",
    sensor="Intel Creative / Senz3D (time of flight)",
    camera=Camera(241.42, 241.42, 160, 120, 320, 240),  # DeepPrior, denseReg, V2V-PoseNet and its centres
    scoring_camera=Camera(240.99, 240.96, 160, 120, 320, 240),  # published tables; differs by about 0.01 mm
    joints=JointSet(
        names=("palm", *(f"{finger}_{segment}" for finger in FINGERS for segment, _ in _SEGMENTS)),
        parents=(-1, *(_PALM if i % 3 == 0 else i for i in range(15))),
        fingers=("palm", *(finger for finger in FINGERS for _ in _SEGMENTS)),
        scored=tuple(range(16)),  # all of them, in file order
        labels=("Palm", *(f"{f}.{s}" for f in ("Thumb", "Index", "Mid", "Ring", "Pinky") for _, s in _SEGMENTS)),
    ),
    handedness="left",  # the way thumb and fingers curl in the test labels (NYU the other way); so says Pose-REN
    background=32001,  # DeepPrior's importer, and what we write; others clip at 30000 or 32000, and 0 occurs too
    depth_range_mm=(100.0, 600.0),  # V2V-PoseNet
    cube_mm={"*": 200.0},  # SRN and V2V-PoseNet; DeepPrior and Pixelwise Regression 250
    splits=(
        # labels.txt holds the 22,068 frames and 14 rotated copies of all of them but image_-001.png
        SplitSpec("train", {"rotated": 331006, "originals": 22068}),
        SplitSpec("test", {"rotated": 1596, "originals": 1596}),  # lines of test_seq_1.txt and test_seq_2.txt
    ),
    protocols=(
        Protocol(
            name="icvl/seq1+2-16j",
            split="test",
            frames=1596,
            group_kind="sequence",
            groups=(("test_seq_1", 702), ("test_seq_2", 894)),
            note="16 joints, sequence 1 then sequence 2",
        ),
        Protocol(
            name="icvl/seq1-16j",
            split="test",
            frames=702,
            group_kind="sequence",
            groups=(("test_seq_1", 702),),
            note="sequence 1 alone, as older methods report (DeepPrior); not comparable with both sequences",
        ),
    ),
    raw_axes="labels are uvd only, rows downwards; no axis is turned",
    citation="""\
@inproceedings{tang2014latent,
  author    = {Tang, Danhang and Chang, Hyung Jin and Tejani, Alykhan and Kim, Tae-Kyun},
  title     = {Latent Regression Forest: Structured Estimation of {3D} Articulated Hand Posture},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {3786--3793},
  year      = {2014}
}""",
    licence="no licence file; published for research by Imperial College London",
    obtain="https://labicvl.github.io/hand.html (Training.tar.gz, Testing.tar.gz)",
    notes=(
        "the lines of test_seq_1.txt and test_seq_2.txt end in a blank and CR CR LF: "
        "in text mode an empty line follows every record",
        "rotated training copies lie in a folder named by their angle (45, 67-5, -90, ...) above the sequence's folder",
        "one label names image_-001.png (sequence 201406030937); treat it as a label without a usable image",
        "loaders of A2J and TriHorn-Net skip 8 training frames or rotated copies of them; why is not said",
        "the refined centres of V2V-PoseNet are xyz made with 241.42; project them with that camera",
        "bone lengths vary by 1.6 to 4.6 mm within a test sequence: the labels are noisy",
    ),
)
