"""Every layout in circulation: read by its content, written and read again, real files against their twins."""

import gzip
import hashlib
import json
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import loadmat, savemat

from handbench.camera import uvd_to_xyz, xyz_to_uvd
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.predictions import LAYOUTS, Predictions, Reading, layout_of, parse, read_predictions, write_predictions
from handbench.predictions.anatomy import curl, flip_of
from handbench.predictions.columns import read_columns
from handbench.predictions.names import frame_keys, gap_in, published_names
from handbench.predictions.orders import known_orders, order_of, parse_order
from tests.hands_of_text import NYU, hands, keys, predictions

CAMERA = NYU.scoring_camera
ICVL, MSRA, HANDS17 = dataset("icvl"), dataset("msra"), dataset("hands17")
LIE_X = (11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 12, 13, 0)


def text_of(points: np.ndarray, decimals: int = 4) -> bytes:
    rows = points.reshape(len(points), -1).tolist()
    return "".join(" ".join(f"{x:.{decimals}f}" for x in row) + "\n" for row in rows).encode()


def written(tmp_path: Path, data: bytes, name: str = "a.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "hands17"])
def test_written_and_read_again(layout: str, tmp_path: Path) -> None:
    if layout.startswith("parquet"):
        pytest.importorskip("pyarrow")
    path, given = tmp_path / "SRN.any", predictions()
    write_predictions(path, given, layout, NYU)
    again = read_predictions(path, 14, NYU)
    digits = 1.2e-3 if layout.endswith("uvd") else 1e-4
    assert_allclose(uvd_to_xyz(again.uvd, CAMERA), uvd_to_xyz(given.uvd, CAMERA), atol=digits)
    assert again.provenance == {"model": "srn"}
    has_names = layout.startswith(("named", "npz", "csv", "parquet"))
    assert again.frame_key == (given.frame_key if has_names else None)


@pytest.mark.parametrize("layout", ["npz", "csv", "parquet"])
def test_tables_keep_every_bit_and_what_is_not_predicted(layout: str, tmp_path: Path) -> None:
    if layout == "parquet":
        pytest.importorskip("pyarrow")
    uvd = predictions().uvd.copy()
    uvd[3, 2] = np.nan
    write_predictions(tmp_path / "a", Predictions("a", uvd, keys(40)), layout, NYU)
    assert_array_equal(read_predictions(tmp_path / "a", 14).uvd, uvd)


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    for layout in ("matlab", "matlab73", "csv"):
        sums = set()
        for name in ("a", "b"):
            write_predictions(tmp_path / name, predictions(), layout, NYU)
            sums.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        assert len(sums) == 1, layout


def test_published_files_of_other_layouts_agree_with_their_uvd_twins(real: Path) -> None:
    truth = uvd_to_xyz(read_predictions(real / "nyu" / "groundtruth.txt", 14).uvd, CAMERA)
    for name, twin, error in (
        ("HandPointNet_xyz.mat", "HandPointNet", 10.540),
        ("DenseReg_named_xyz.txt", "DenseReg", 10.214),
    ):
        read = uvd_to_xyz(read_predictions(real / "nyu" / "other_layouts" / name, 14).uvd, CAMERA)
        other = uvd_to_xyz(read_predictions(real / "nyu" / "predictions" / f"{twin}.txt", 14).uvd, CAMERA)
        assert_allclose(read, other, atol=0.002)
        assert round(float(np.linalg.norm(read - truth, axis=2).mean()), 3) == error


def test_label_layouts_of_others(real: Path) -> None:
    labels = read_predictions(real / "icvl" / "groundtruth.txt", 16).uvd
    assert_array_equal(read_predictions(real / "icvl" / "keypoints_uvd.mat", 16).uvd, labels)
    first = read_predictions(real / "icvl" / "test_seq_1.txt", 16)
    assert_array_equal(first.uvd, labels[:702])
    assert first.frame_key is not None
    assert first.frame_key[701] == "test/test_seq_1/image_0701"
    raw = read_predictions(real / "nyu_one_frame" / "test" / "joint_data.mat", 14).uvd
    assert_array_equal(raw, read_predictions(real / "nyu" / "groundtruth.txt", 14).uvd[:1])


@pytest.mark.parametrize(
    ("flip", "said"), [("", "y down"), ("y", "y up"), ("yz", "y up, z negative"), ("z", "z negative, y down")]
)
def test_axes_of_xyz_are_told_by_the_hands(flip: str, said: str, tmp_path: Path) -> None:
    signs = np.array([-1.0 if axis in flip else 1.0 for axis in "xyz"])
    given = read_predictions(written(tmp_path, text_of(hands() * signs)), 14)
    assert_allclose(uvd_to_xyz(given.uvd, CAMERA), hands(), atol=1e-4)
    assert given.source["read_as"] == f"xyz, {said}"


def test_curl_tells_right_from_left() -> None:
    assert curl(hands(), NYU.joints) == 1
    assert curl(hands() * (-1, 1, 1), NYU.joints) == -1
    flat = hands(400).copy()
    flat[:, :, 2] = 600 + np.random.default_rng(1).normal(0, 1, (400, 14))
    assert abs(curl(flat, NYU.joints)) < 0.5
    assert flip_of(flat, NYU) is None


def test_flat_hands_in_xyz_are_not_guessed(tmp_path: Path) -> None:
    flat = hands() * (1, 1, 0) + (0, 0, 600)
    path = written(tmp_path, text_of(flat))
    with pytest.raises(
        HandbenchError, match=r"a\.txt holds xyz, and its hands do not tell whether y points up or down"
    ):
        read_predictions(path, 14)
    up = read_predictions(path, 14, reading=Reading(flip="y"))
    assert_allclose(uvd_to_xyz(up.uvd, CAMERA), flat * (1, -1, 1), atol=1e-4)


def test_labels_of_all_real_methods_curl_as_their_data_set_says(real: Path) -> None:
    for path in sorted(real.glob("*/predictions/*.txt")):
        spec = dataset(path.parts[-3])
        xyz = uvd_to_xyz(read_predictions(path, len(spec.joints.scored)).uvd, spec.scoring_camera)
        assert abs(curl(xyz, spec.joints)) > 0.8, path
        assert flip_of(xyz, spec) == "", path


def test_reading_options(tmp_path: Path) -> None:
    xyz = hands()

    def read(points: np.ndarray, **options: object) -> np.ndarray:
        reading = Reading(**options)  # type: ignore[arg-type]  # each test names fields of its own
        path = written(tmp_path, text_of(points, 7))
        return uvd_to_xyz(read_predictions(path, 14, NYU, reading=reading).uvd, CAMERA)

    assert_allclose(read(xyz / 1000, unit="m"), xyz, atol=1e-3)
    assert_allclose(read(xyz / 10, unit="cm"), xyz, atol=1e-4)
    uvd = xyz_to_uvd(xyz, CAMERA)
    assert_allclose(read(uvd[:, :, [1, 0, 2]], swap=True), xyz, atol=1e-4)
    assert_allclose(read(uvd * (1, 1, 0.001), unit="m"), xyz, atol=1e-3)
    assert_allclose(read(xyz_to_uvd(xyz, ICVL.camera), camera=ICVL.camera), xyz, atol=1e-4)
    assert_allclose(read(uvd * (1, -1, 1) + (0, 480, 0), flip="y"), xyz, atol=1e-4)
    mixed = np.empty_like(xyz)
    mixed[:, list(LIE_X)] = xyz
    assert_allclose(read(mixed, space="xyz", flip="", order=parse_order("lie-x", NYU)), xyz, atol=1e-4)
    assert_allclose(read(np.roll(uvd, 10, axis=0), frames=((11, 40), (1, 10))), xyz, atol=1e-4)


def test_joints_are_taken_by_number_and_by_name(tmp_path: Path) -> None:
    xyz = hands()
    uvd = xyz_to_uvd(xyz, CAMERA)
    for order in known_orders(NYU):
        if order.count == 14:
            continue
        everything = np.full((40, order.count, 3), 7.0)
        everything[:, list(order.take)] = uvd
        assert_allclose(read_predictions(written(tmp_path, text_of(everything)), 14).uvd, uvd, atol=1e-4)
    labels = NYU.joints.labels[::-1]
    header = ",".join(["frame_key", *(f"{label}_{axis}" for axis in "duv" for label in labels)])
    columns = np.concatenate([uvd[:, ::-1, 2], uvd[:, ::-1, 0], uvd[:, ::-1, 1]], axis=1)
    rows = [f"{key}," + ",".join(map(repr, row)) for key, row in zip(keys(40), columns.tolist(), strict=True)]
    given = read_predictions(written(tmp_path, "\n".join([header, *rows, ""]).encode(), "a.csv"), 14)
    assert_array_equal(given.uvd, uvd)
    assert given.frame_key == keys(40)


def test_srn_joints_are_the_scored_ones() -> None:
    raw = (0, 1, 3, 5, 6, 7, 9, 11, 12, 13, 15, 17, 18, 19, 21, 23, 24, 25, 27, 28, 32, 30, 31)  # SRN's joint_select
    order = parse_order("srn-23", NYU)
    assert tuple(raw[i] for i in order.take) == NYU.joints.scored


def test_orders_of_21_joints_are_inverses() -> None:
    to_msra, to_hands17 = parse_order("hands17", MSRA), parse_order("msra", HANDS17)
    assert to_msra.take == (
        0,
        2,
        9,
        10,
        11,
        3,
        12,
        13,
        14,
        4,
        15,
        16,
        17,
        5,
        18,
        19,
        20,
        1,
        6,
        7,
        8,
    )  # SRN hands172msra
    assert [to_msra.take[i] for i in to_hands17.take] == list(range(21))
    assert order_of(20, MSRA) is None


def test_named_frames_come_in_the_published_order(tmp_path: Path) -> None:
    uvd = predictions().uvd
    names = [f"depth_1_{i + 1:07d}.png" for i in range(40)]
    mixed = np.random.default_rng(3).permutation(40)
    lines = text_of(uvd).decode().splitlines()
    data = "".join(f"test\\{names[i]}\t{lines[i]}\r\n" for i in mixed).encode()
    given = read_predictions(written(tmp_path, data), 14)
    assert given.frame_key == keys(40)
    assert_allclose(given.uvd, uvd, atol=1e-4)


def test_names_of_frames() -> None:
    assert frame_keys("icvl", ["test_seq_1\\image_0000.png".replace("\\", "/")], "a") == ("test/test_seq_1/image_0000",)
    assert frame_keys("icvl", ["-90/201406030937/image_-001.png"], "a") == ("train/-90/201406030937/image_-001",)
    assert frame_keys("msra", ["P0/TIP/000000_depth.bin", "x/P8/1/000012"], "a") == ("P0/TIP/000000", "P8/1/000012")
    assert frame_keys("hands17", ["image_D00000001.png", "training/images/image_D00000002.png"], "a") == (
        "test/image_D00000001",
        "train/image_D00000002",
    )
    for name, key in (("nyu", "test/1/0000001"), ("icvl", "test/test_seq_2/image_0893"), ("msra", "P3/MP/000416")):
        assert frame_keys(name, published_names(name, [key]), "a") == (key,)
    with pytest.raises(
        HandbenchError, match=r"a, frame 2: 'depth_1_1.png' is no frame of nyu; expected a name as test/"
    ):
        frame_keys("nyu", ["test/1/0000001", "depth_1_1.png"], "a")
    assert gap_in(keys(5)) == ""
    assert gap_in(keys(5)[1:]) == "test/1/0000002"
    assert gap_in((*keys(3), "test/1/0000005")) == "test/1/0000005"


def test_a_layout_without_names_does_not_skip_frames(tmp_path: Path) -> None:
    given = predictions()
    assert given.frame_key is not None
    some = Predictions("SRN", np.delete(given.uvd, 7, axis=0), (*given.frame_key[:7], *given.frame_key[8:]))
    with pytest.raises(HandbenchError, match=r"frames before test/1/0000009 are missing; all later lines would shift"):
        write_predictions(tmp_path / "a.txt", some, "uvd", NYU)
    assert not list(tmp_path.iterdir())
    write_predictions(tmp_path / "a.txt", some, "named-uvd", NYU)
    assert len(read_predictions(tmp_path / "a.txt", 14)) == 39


def hands17_predictions(frames: int = 5) -> Predictions:
    xyz = np.random.default_rng(0).normal(0, 40, (frames, 21, 3)) + np.array([0, 0, 500])
    names = tuple(f"test/image_D{i + 1:08d}" for i in range(frames))
    return Predictions("SRN", xyz_to_uvd(xyz, HANDS17.camera), names)


def test_hands17_submission(tmp_path: Path) -> None:
    given = hands17_predictions()
    write_predictions(tmp_path / "result.txt", given, "hands17", HANDS17)
    text = (tmp_path / "result.txt").read_bytes()
    first = text.split(b"\n")[0].split(b"\t")
    assert first[0] == b"frame/images/image_D00000001.png"
    assert len(first) == 65
    assert first[-1] == b""
    write_predictions(tmp_path / "result.zip", given, "hands17", HANDS17)
    with ZipFile(tmp_path / "result.zip") as archive:
        assert archive.namelist() == ["result.txt"]
        assert archive.read("result.txt") == text
    for name in ("result.txt", "result.zip"):
        again = read_predictions(tmp_path / name, 21)  # the names say that it is HANDS17
        assert_allclose(uvd_to_xyz(again.uvd, HANDS17.camera), uvd_to_xyz(given.uvd, HANDS17.camera), atol=1e-4)
        assert again.frame_key == given.frame_key


def test_msra_has_a_variable_a_subject(tmp_path: Path) -> None:
    names = tuple(f"P{p}/1/{i:06d}" for p in range(3) for i in range(4))
    uvd = np.random.default_rng(0).uniform(20, 200, (12, 21, 3)) + np.array([0, 0, 200])
    write_predictions(tmp_path / "a.mat", Predictions("a", uvd, names), "matlab", MSRA)
    arrays = loadmat(tmp_path / "a.mat")
    assert arrays["P1_xyz_estimation"].shape == (4, 21, 3)
    assert (arrays["P1_xyz_estimation"][..., 2] < 0).all()  # the raw axes: y up, z negative
    assert_allclose(read_predictions(tmp_path / "a.mat", 21, MSRA).uvd, uvd, atol=1e-9)


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1)])
def test_matlab_axes_in_any_order(axes: tuple[int, int, int], tmp_path: Path) -> None:
    xyz = hands() * (1, -1, 1)
    savemat(tmp_path / "a.mat", {"estimate": xyz.transpose(axes), "fps": 30.0, "name": "SRN"})
    assert_allclose(uvd_to_xyz(read_predictions(tmp_path / "a.mat", 14).uvd, CAMERA), hands(), atol=1e-9)
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file["xyz_estimation"] = xyz.transpose(axes).T
    assert_allclose(uvd_to_xyz(read_predictions(tmp_path / "b.mat", 14).uvd, CAMERA), hands(), atol=1e-9)


def test_matlab_files_that_cannot_be_read(tmp_path: Path) -> None:
    def refusal(**arrays: object) -> str:
        savemat(tmp_path / "a.mat", arrays)
        with pytest.raises(HandbenchError) as caught:
            read_predictions(tmp_path / "a.mat", 14)
        return str(caught.value)

    xyz = hands()
    assert "a, b could all be the points; name one with --variable" in refusal(a=xyz, b=xyz)
    assert "has no variable of shape (frames, joints, 3); it holds c (3, 4)" in refusal(c=np.zeros((3, 4)))
    assert "u, v and a confidence, no depth" in refusal(pred_joint_uvconf=np.zeros((1, 5, 36, 3)))
    assert "xyz_estimation has shape (40, 15, 3), expected (frames, 14 or 36 or 23, 3)" in refusal(
        xyz_estimation=np.zeros((40, 15, 3))
    )
    savemat(tmp_path / "a.mat", {"a": xyz, "b": xyz + 1})
    second = read_predictions(tmp_path / "a.mat", 14, reading=Reading(variable="b"))
    assert_allclose(uvd_to_xyz(second.uvd, CAMERA), xyz + 1, atol=1e-9)


def test_packed_and_bare_files(tmp_path: Path) -> None:
    uvd = predictions().uvd
    data = text_of(uvd, 6)
    for name, packed in (("SRN.txt.gz", gzip.compress(data)), ("SRN.npy", npy(uvd)), ("x.zip", zipped(data))):
        given = read_predictions(written(tmp_path, packed, name), 14)
        assert_allclose(given.uvd, uvd, atol=1e-6)
    assert given.name == "x"
    assert read_predictions(tmp_path / "SRN.txt.gz", 14).name == "SRN"
    with pytest.raises(HandbenchError, match="holds 2 files; an archive of predictions holds a single one"):
        parse(zipped(data, data), "a.zip", NYU)
    with pytest.raises(HandbenchError, match="is a damaged gzip file"):
        parse(gzip.compress(data)[:-9], "a.gz", NYU)


def npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(*members: bytes) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for i, member in enumerate(members):
            archive.writestr(f"result{i}.txt", member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("header", "space", "numbers"),
    [
        ("frame_key,Palm_u,Palm_v,Palm_d", "uvd", (1, 2, 3)),
        ("name,palm.X,palm.Y,palm.Z", "xyz", (1, 2, 3)),
        ("x0,y0,z0,x1,y1,z1", "xyz", (0, 1, 2, 3, 4, 5)),
        ("x0,x1,y0,y1,z0,z1", "xyz", (0, 2, 4, 1, 3, 5)),
        ("image,0_v,0_u,0_d", "uvd", (2, 1, 3)),
        ("joint0x,joint0y,joint0z", "xyz", (0, 1, 2)),
        ("frame,0,1,2", "", (1, 2, 3)),
    ],
)
def test_columns(header: str, space: str, numbers: tuple[int, ...]) -> None:
    columns = read_columns(header.split(","), "a.csv")
    assert columns.space == space
    assert columns.numbers == numbers


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("frame_key,Palm_u,Palm_v", "has 2 columns of numbers, not three a joint"),
        ("Palm_u,Palm_v,Palm_x", "joint 'Palm' has the columns Palm_u, Palm_v, Palm_x; it needs u, v, d or x, y, z"),
        ("Palm_u,Palm_u,Palm_d", "the column 'Palm_u' comes twice"),
        ("a,b,conf", "the column 'a' is neither a name of frames"),
    ],
)
def test_bad_columns(header: str, message: str) -> None:
    with pytest.raises(HandbenchError, match=r"a\.csv") as caught:
        read_columns(header.split(","), "a.csv")
    assert message in str(caught.value)


def test_csv_is_strict(tmp_path: Path) -> None:
    write_predictions(tmp_path / "a.csv", predictions(3), "csv", NYU)
    good = (tmp_path / "a.csv").read_bytes()

    def refusal(data: bytes) -> str:
        with pytest.raises(HandbenchError) as caught:
            parse(data, "a.csv", NYU)
        return str(caught.value)

    assert "a.csv, line 4: " in refusal(good[: good.rindex(b",")] + b"\n")
    assert "ends within its last line" in refusal(good[:-6])
    line = good.split(b"\n")[2]
    assert "a.csv, line 3: 43 numbers, expected 42" in refusal(good.replace(line, line + b",1"))


def test_numbers_that_no_hand_has_are_refused(tmp_path: Path) -> None:
    text = text_of(predictions(3).uvd, 3)
    value = text.split()[44]
    path = written(tmp_path, text.replace(value, value.replace(b".", b"")))
    with pytest.raises(HandbenchError, match=r"frame 2: joint 0 has \d+, which is no position in px, mm or m"):
        read_predictions(path, 14)
    with pytest.raises(HandbenchError, match="lies at z = 0, in the camera itself"):
        read_predictions(
            written(tmp_path, text_of(hands() * (1, 1, 1) - (0, 0, hands()[1, 2, 2]), 12)),
            14,
            reading=Reading(space="xyz", flip=""),
        )
    unseen = hands()
    unseen[4, 3] = 0
    assert np.isnan(read_predictions(written(tmp_path, text_of(unseen)), 14).uvd[4, 3]).all()


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(HandbenchError, match=r"a\.parquet: Parquet needs pyarrow; pip install pyarrow, or use CSV"):
        write_predictions(tmp_path / "a.parquet", predictions(), "parquet", NYU)
    with pytest.raises(HandbenchError, match="Parquet needs pyarrow"):
        parse(b"PAR1....", "a.parquet", NYU)


def test_layout_by_suffix() -> None:
    assert layout_of(Path("a.csv")) == "csv"
    assert layout_of(Path("a.MAT")) == "matlab"
    with pytest.raises(HandbenchError, match=r"a\.foo does not say its layout; name it \.txt, \.npz"):
        layout_of(Path("a.foo"))


def test_provenance_goes_along(tmp_path: Path) -> None:
    write_predictions(tmp_path / "a.mat", predictions(), "matlab", NYU)
    assert json.loads((tmp_path / "a.mat.json").read_text())["provenance"] == {"model": "srn"}
    write_predictions(tmp_path / "b.mat", predictions(named=False), "matlab", NYU)
    assert not (tmp_path / "b.mat.json").exists()
