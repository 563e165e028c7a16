"""What a folder of raw data is, and what it lacks, before anything is converted."""

from __future__ import annotations

from pathlib import Path

from handbench.converters.files import folder_names
from handbench.converters.inspection import Inspection, Recogniser, look_at_images
from handbench.converters.recognise import RECOGNISERS, inspect_frames
from handbench.datasets import dataset
from handbench.errors import HandbenchError


def inspect(root: Path) -> Inspection:
    """Recognise a folder of raw data, count what is there, and say what is missing or odd.

    Reads the labels, lists the folders of images, and decodes the last image of each folder.

    Args:
        root: the folder.

    Raises:
        HandbenchError: if it is no folder, or nothing that handbench knows; the message says what was looked for.
    """
    if not root.is_dir():
        raise HandbenchError(f"{root} is no folder; give the folder that holds the raw data")
    name = next((name for name, recogniser in RECOGNISERS.items() if recogniser.matches(root)), None)
    if name is not None:
        recogniser = RECOGNISERS[name]
        return _inspect_tree(Inspection(root, name, dataset(name).title, recogniser.layout(root)), recogniser)
    for path in (*root.absolute().parents[:2], *(root / name for name in sorted(folder_names(root)))):
        for other, recogniser in RECOGNISERS.items():
            if recogniser.matches(path):
                raise HandbenchError(f"{root} is not the whole folder of a data set; give {path}, which is {other}")
    if (frames := inspect_frames(root)) is not None:
        return frames
    shapes = "; ".join(f"{name}: {known.looks_for}" for name, known in RECOGNISERS.items())
    raise HandbenchError(
        f"{root} is nothing that handbench knows; it looked for {shapes}; or depth images without labels"
    )


def _inspect_tree(inspection: Inspection, recogniser: Recogniser) -> Inspection:
    try:
        reader = recogniser.open(inspection.path)
    except HandbenchError as error:
        inspection.findings.append(str(error))
        return inspection
    tables = {}
    for split in reader.splits:
        try:
            tables[split] = reader.table(split)
        except HandbenchError as error:
            inspection.findings.append(f"{split}: {error}")
    recogniser.judge(reader, tables, inspection)
    for split, table in tables.items():
        look_at_images(reader, split, table, inspection, recogniser.unusable)
    return inspection
