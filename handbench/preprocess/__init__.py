"""Crops of hands: the 3D box, its coordinate systems, the one warp, augmentation and centres."""

from handbench.preprocess.augment import AugmentConfig, perturb
from handbench.preprocess.box import HandBox
from handbench.preprocess.center import com_xyz, mean_joint_xyz
from handbench.preprocess.crop import crop, crop_batch

__all__ = ["AugmentConfig", "HandBox", "com_xyz", "crop", "crop_batch", "mean_joint_xyz", "perturb"]
