"""handbench: convert, crop, train, score and plot for 3D hand pose estimation from depth images.

Units are millimetres and pixels. The camera frame has x to the right, **y down** and z forward; pixel centres
lie at integers. docs/conventions.md has the whole list.
"""

from handbench._version import __version__

__all__ = ["__version__"]
