"""Names of frames: between the image paths that files in circulation carry and the keys of a store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from handbench.errors import HandbenchError

_PNG = r"(?:\.png)?"
_NYU_IMAGE = re.compile(rf"(.*/)?(?:synth)?depth_([123])_(\d{{7}}){_PNG}")
_NYU_KEY = re.compile(r"(?:train|test)/[123]/\d{7}")
_ICVL_IMAGE = re.compile(
    rf"(?:.*/)??(?:(?:Depth|test|train)/)?((?:-?\d+(?:-5)?/)?(?:\d{{12}}|test_seq_\d)/image_-?\d+){_PNG}"
)
_MSRA_IMAGE = re.compile(r"(?:.*/)?(P\d/[A-Z1-9]+/\d{6})(?:_depth(?:\.bin)?)?")
_HANDS17_IMAGE = re.compile(rf"(.*/)?(image_D\d{{8}}){_PNG}")
_TRAIN = re.compile(r"(?:^|/)[Tt]rain(?:ing)?/")
_DIGITS = re.compile(r"(.*?)(\d+)")


def frame_keys(dataset: str, names: Sequence[str], where: str) -> tuple[str, ...]:
    """The keys of frames that a file names by image path or by key.

    Args:
        dataset: name of the data set. Of one that is not our own, names are taken for keys, less their suffix.
        names: image paths as written, with slashes or backslashes, whole or the last parts; or keys.
        where: name of the file for messages.

    Raises:
        HandbenchError: naming the first name that is no frame of the data set.
    """
    key_of = _KEYS.get(dataset, _any_key)
    keys = []
    for row, name in enumerate(names, start=1):
        key = key_of(name.replace("\\", "/"))
        if not key:
            raise HandbenchError(
                f"{where}, frame {row}: {name!r} is no frame of {dataset}; expected {_EXAMPLES[dataset]}"
            )
        keys.append(key)
    return tuple(keys)


def dataset_of_name(name: str) -> str:
    """The data set that has frames of that name; "" if none of ours has."""
    return next((dataset for dataset, key_of in _KEYS.items() if key_of(name.replace("\\", "/"))), "")


def published_names(dataset: str, keys: Sequence[str]) -> tuple[str, ...]:
    """Image paths as the lists in circulation write them: `test/depth_1_0000001.png`, `P0/1/000000_depth.bin`.

    Raises:
        HandbenchError: naming the first key that is not of the data set.
    """
    checked = frame_keys(dataset, keys, "frame keys")
    return tuple(map(_NAMES.get(dataset, lambda key: key), checked))


def gap_in(keys: Sequence[str]) -> str:
    """What is missing between keys that count on: "" if nothing is, else the first key after a gap.

    Keys that end in a number are counted on within all that comes before the number, from 0 or 1.
    """
    last: dict[str, int] = {}
    for key in sorted(keys):
        match = _DIGITS.fullmatch(key)
        if not match:
            continue
        run, number = match[1], int(match[2])
        if number - last.get(run, min(number, 1) - 1) != 1:
            return key
        last[run] = number
    return ""


def _nyu_key(name: str) -> str:
    match = _NYU_IMAGE.fullmatch(name)
    if match:
        return f"{_split_of(match[1] or '')}/{match[2]}/{match[3]}"
    return name if _NYU_KEY.fullmatch(name) else ""


def _icvl_key(name: str) -> str:
    match = _ICVL_IMAGE.fullmatch(name)
    return f"{'test' if match[1].startswith('test_seq_') else 'train'}/{match[1]}" if match else ""


def _msra_key(name: str) -> str:
    match = _MSRA_IMAGE.fullmatch(name)
    return match[1] if match else ""


def _hands17_key(name: str) -> str:
    match = _HANDS17_IMAGE.fullmatch(name)
    return f"{_split_of(match[1] or '')}/{match[2]}" if match else ""


def _any_key(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and "/" not in suffix else name


@lru_cache(maxsize=1024)
def _split_of(folder: str) -> str:
    return "train" if _TRAIN.search(folder) else "test"


def _nyu_name(key: str) -> str:
    split, view, number = key.split("/")
    return f"{split}/depth_{view}_{number}.png"


def _hands17_name(key: str) -> str:
    split, _, stem = key.partition("/")
    return f"{'training' if split == 'train' else 'frame'}/images/{stem}.png"


_KEYS: dict[str, Callable[[str], str]] = {
    "nyu": _nyu_key,
    "icvl": _icvl_key,
    "msra": _msra_key,
    "hands17": _hands17_key,
}
_NAMES: dict[str, Callable[[str], str]] = {
    "nyu": _nyu_name,
    "icvl": lambda key: f"{key.partition('/')[2]}.png",
    "msra": lambda key: f"{key}_depth.bin",
    "hands17": _hands17_name,
}
_EXAMPLES = {
    "nyu": "a name as test/depth_1_0000001.png or a key as test/1/0000001",
    "icvl": "a name as test_seq_1/image_0000.png or a key as test/test_seq_1/image_0000",
    "msra": "a name as P0/1/000000_depth.bin or a key as P0/1/000000",
    "hands17": "a name as frame/images/image_D00000001.png or a key as test/image_D00000001",
}
