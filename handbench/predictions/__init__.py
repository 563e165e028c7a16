"""Prediction files: every layout in circulation, read and written; label files of the same form read the same way.

A text carries no frame keys, so its lines are the frames of the published list in order; names are joined by key.
"""

from handbench.predictions.model import Predictions, RawPoints
from handbench.predictions.read import parse, read_bytes, read_predictions, sidecar
from handbench.predictions.reading import Reading
from handbench.predictions.text import parse_uvd_text
from handbench.predictions.write import LAYOUTS, SUFFIXES, layout_of, write_predictions

__all__ = [
    "LAYOUTS",
    "SUFFIXES",
    "Predictions",
    "RawPoints",
    "Reading",
    "layout_of",
    "parse",
    "parse_uvd_text",
    "read_bytes",
    "read_predictions",
    "sidecar",
    "write_predictions",
]
