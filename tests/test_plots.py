"""The two figures: what they show, how they look, what they refuse."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from numpy.testing import assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.conditions import Conditions
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.eval.score import score
from handbench.eval.truth import Truth
from handbench.plots.command import SIZES
from handbench.plots.curves import METRICS, curve_rows, draw_curves, label_of
from handbench.plots.joints import draw_joints, joint_rows
from handbench.plots.select import read_results
from handbench.plots.style import method_styles, paper_style
from handbench.predictions import Predictions
from handbench.scores import Scores, write_scores

# name -> noise in mm, from the worst to the best
METHODS = {"DeepPrior": 12.0, "REN-9x6x6": 8.0, "HandPointNet": 6.0, "SRN": 4.0}


def scores_of(name: str, noise: float, data_set: str = "nyu", frames: int = 60) -> Scores:
    """Scores of a made-up method: labels with noise."""
    spec = dataset(data_set)
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-90, 90, (frames, len(spec.joints.scored), 3)) + np.array([0.0, 0.0, 500.0])
    truth = Truth(
        spec=spec,
        published=spec.protocol,
        camera=spec.scoring_camera,
        joints_xyz=xyz,
        group=np.full(frames, ""),
        flaw=np.full(frames, ""),
        frame_key=None,
        source={"kind": "text", "file": "labels.txt", "sha256": "0" * 64},
    )
    return score(Predictions(name, xyz_to_uvd(xyz + rng.normal(0, noise, xyz.shape), spec.scoring_camera)), truth)


@pytest.fixture(scope="module")
def results() -> list[Scores]:
    return [scores_of(name, noise) for name, noise in METHODS.items()]


@pytest.fixture
def folder(tmp_path: Path, results: list[Scores]) -> Path:
    folder = tmp_path / "scores"
    folder.mkdir()
    for scores in results:
        write_scores(folder / f"{scores.name}.scores.json", scores)
    return folder


@pytest.fixture(autouse=True)
def in_style() -> Iterator[None]:
    with paper_style():
        yield


def run(*args: object) -> Result:
    result = CliRunner().invoke(main, ["plot", *map(str, args)])
    assert result.exit_code == 0, result.output
    return result


def refusal(*args: object) -> str:
    """The one line that a user's mistake gets."""
    result = CliRunner().invoke(main, ["plot", *map(str, args)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def legend_of(figure: Figure) -> Legend:
    (legend,) = [legend for legend in (figure.axes[0].get_legend(), *figure.legends) if legend is not None]
    return legend


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in legend_of(figure).get_texts()]


def printed_texts(figure: Figure) -> list[Text]:
    """All texts that end up on paper; matplotlib keeps tick labels beyond the axes without drawing them."""
    figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = [axes.xaxis.label, axes.yaxis.label, *legend_of(figure).get_texts()]
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in texts if text.get_text()]


# ---- curves


def test_curves_show_the_numbers_of_the_scores_and_nothing_else(results: list[Scores]) -> None:
    for name, metric in METRICS.items():
        (axes,) = draw_curves(results, "SRN", name, SIZES["cvpr-column"]).axes
        for line, scores in zip(axes.get_lines(), results, strict=True):
            assert_array_equal(line.get_ydata(), getattr(scores.whole, metric.key))
            assert_array_equal(line.get_xdata(), range(81))


def test_curves_have_the_axes_that_readers_expect(results: list[Scores]) -> None:
    figure = draw_curves(results, None, "max-frame", SIZES["bmvc"])
    (axes,) = figure.axes
    assert axes.get_xlabel() == "Maximum allowed distance to GT (mm)"
    assert axes.get_ylabel() == "Fraction of frames within distance (%)"
    assert axes.get_xlim() == (0, 80)
    assert axes.get_ylim() == (0, 100)
    figure.draw_without_rendering()
    assert [t for t in axes.get_xticks() if 0 <= t <= 80] == list(range(0, 81, 10))
    assert [t for t in axes.get_xticks(minor=True) if 0 <= t <= 80] == list(range(5, 80, 10))
    assert [t for t in axes.get_yticks() if 0 <= t <= 100] == list(range(0, 101, 10))


def test_legend_runs_from_worst_to_best_with_the_mean_error(results: list[Scores]) -> None:
    texts = legend_texts(draw_curves(results, None, "max-frame", SIZES["bmvc"]))
    assert texts == [f"{s.name} ({s.whole.mean_error_mm:.2f} mm)" for s in results]


def test_own_method_is_last_and_strongest(folder: Path) -> None:
    results = read_results([folder], own="DeepPrior")
    assert [scores.name for scores in results] == ["REN-9x6x6", "HandPointNet", "SRN", "DeepPrior"]
    *others, own = draw_curves(results, "DeepPrior", "max-frame", 3.3).axes[0].get_lines()
    assert own.get_linestyle() == "-"
    assert all(own.get_linewidth() > 1.5 * line.get_linewidth() for line in others)
    assert all(own.get_zorder() > line.get_zorder() for line in others)


def test_a_legend_that_would_lie_on_curves_goes_above_the_panel(results: list[Scores]) -> None:
    flat = replace(results[0], name="Flat", whole=replace(results[0].whole, max_frame_success_percent=(5.0,) * 81))
    figure = draw_curves([flat, *results], None, "max-frame", 3.3)
    figure.draw_without_rendering()
    assert figure.axes[0].get_legend() is None
    (legend,) = figure.legends
    assert legend.get_window_extent().y0 >= figure.axes[0].get_window_extent().y1
    assert draw_curves(results, None, "max-frame", 3.3).axes[0].get_legend() is not None


def test_names_that_matplotlib_would_take_for_something_else(results: list[Scores]) -> None:
    odd = [replace(results[0], name="_mine"), replace(results[1], name="a$b$")]
    assert legend_texts(draw_curves(odd, None, "max-frame", 3.3)) == [label_of(scores) for scores in odd]
    assert label_of(odd[0]).startswith(" _mine (")
    assert label_of(odd[1]).startswith(r"a\$b\$ (")


# ---- joints


def test_bars_show_the_numbers_of_the_scores_and_the_true_mean(results: list[Scores]) -> None:
    figure = draw_joints(results, "SRN", SIZES["cvpr-width"])
    (axes,) = figure.axes
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert names[:4] == ["Palm", "Wrist1", "Wrist2", "Thumb.R1"]
    assert names[-2:] == ["Pinky.T", "Mean"]
    assert axes.get_ylabel() == "Mean Error (mm)"
    for scores, bars in zip(results, axes.containers, strict=True):
        by_label = dict(zip(scores.joint_labels, scores.whole.mean_error_mm_by_joint, strict=True))
        heights = [bar.get_height() for bar in bars]
        assert heights == [by_label[name] for name in names[:-1]] + [scores.whole.mean_error_mm]


def test_bars_of_one_joint_do_not_overlap(results: list[Scores]) -> None:
    (axes,) = draw_joints(results, None, 3.3).axes
    spans = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for group in axes.containers for bar in group)
    assert all(left[1] <= right[0] + 1e-9 for left, right in pairwise(spans))


def test_a_joint_that_is_never_labelled_has_no_bar(results: list[Scores]) -> None:
    errors = (float("nan"), *results[0].whole.mean_error_mm_by_joint[1:])
    holed = replace(results[0], whole=replace(results[0].whole, mean_error_mm_by_joint=errors))
    draw_joints([holed], None, 3.3).draw_without_rendering()
    assert joint_rows([holed])[-2] == ["Pinky.T", ""]


# ---- looks


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["curves", "joints"])
@pytest.mark.parametrize("data_set", ["nyu", "icvl"])
def test_no_text_is_cut_small_or_overlaps(size: str, kind: str, data_set: str) -> None:
    methods = [scores_of(f"Method-{i}x6x6", 12 - i, data_set) for i in range(9)]
    width = SIZES[size]
    figure = (
        draw_curves(methods, "Method-8x6x6", "max-frame", width)
        if kind == "curves"
        else draw_joints(methods, "Method-8x6x6", width)
    )
    texts = printed_texts(figure)
    assert figure.get_figwidth() == width
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= figure.bbox.x1, name
        assert box.y1 <= figure.bbox.y1, name
    assert {text.get_fontsize() for text in texts} <= {7, 8}
    for i, (name, box) in enumerate(boxes):
        for other, other_box in boxes[i + 1 :]:
            assert not box.overlaps(other_box), (name, other)


def test_methods_differ_in_colour_or_dash() -> None:
    styles = method_styles([str(i) for i in range(37)], own="36")
    assert len({(style.color, style.dash) for style in styles.values()}) == 37
    assert len({(style.color, style.hatch) for style in styles.values()}) == 37
    dashes = [styles[str(i)].dash for i in range(9)]
    assert dashes[0] == "-"
    assert all(one != other for one, other in pairwise(dashes))
    assert styles["36"].is_own


# ---- the command


@pytest.mark.parametrize(
    ("kind", "suffix"), [("curves", ".pdf"), ("curves", ".svg"), ("joints", ".png"), ("joints", ".pdf")]
)
def test_a_figure_its_numbers_and_the_same_bytes_again(folder: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    start = {".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}[suffix]
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    run(kind, folder, "-o", first, "--own", "SRN")
    run(kind, *sorted(folder.iterdir()), "-o", second, "--own", "SRN")
    assert first.read_bytes().startswith(start)
    assert first.read_bytes() == second.read_bytes()
    assert b"/Type3" not in first.read_bytes()
    assert first.with_suffix(".csv").read_text() == second.with_suffix(".csv").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", f"a{suffix}", "b.csv", f"b{suffix}", "scores"]


def test_pdf_embeds_true_type(folder: Path, tmp_path: Path) -> None:
    run("curves", folder, "-o", tmp_path / "fig.pdf")
    assert b"/CIDFontType2" in (tmp_path / "fig.pdf").read_bytes()


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_csv_holds_unrounded_numbers(folder: Path, tmp_path: Path, results: list[Scores]) -> None:
    run("curves", folder, "-o", tmp_path / "c.png", "--metric", "joint")
    rows = table(tmp_path / "c.csv")
    assert rows == curve_rows(results, "joint")
    assert rows[0] == ["threshold_mm", *METHODS]
    assert [float(row[4]) for row in rows[1:]] == list(results[3].whole.joint_success_percent)
    run("joints", folder, "-o", tmp_path / "j.png")
    rows = table(tmp_path / "j.csv")
    assert rows[-1] == ["Mean", *(repr(scores.whole.mean_error_mm) for scores in results)]
    assert [row[0] for row in rows[1:3]] == ["Palm", "Wrist1"]


def test_two_protocols_are_never_one_figure(folder: Path, tmp_path: Path) -> None:
    write_scores(tmp_path / "LRF.scores.json", scores_of("LRF", 3.0, "icvl"))
    message = refusal("curves", folder, tmp_path / "LRF.scores.json", "-o", tmp_path / "fig.pdf")
    assert "DeepPrior is scored on nyu/view1-14j (60 frames, 14 joints), LRF on icvl/seq1+2-16j (60 frames" in message
    write_scores(tmp_path / "Short.scores.json", scores_of("Short", 3.0, frames=30))
    assert "Short on nyu/view1-14j (30 frames" in refusal(
        "joints", folder, tmp_path / "Short.scores.json", "-o", tmp_path / "fig.pdf"
    )
    assert list(tmp_path.glob("fig*")) == []


def test_what_plot_refuses(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "fig.png"
    assert "no scores are called 'Mine'; there are DeepPrior" in refusal("curves", folder, "-o", out, "--own", "Mine")
    assert "holds no scores files" in refusal("curves", tmp_path, "-o", out)
    assert "No such file" in refusal("curves", tmp_path / "none.scores.json", "-o", out)
    assert "two scores files are called SRN" in refusal("joints", folder, folder / "SRN.scores.json", "-o", out)
    assert "is none of .pdf, .png, .svg" in refusal("joints", folder, "-o", tmp_path / "fig.jpg")
    assert "does not exist; create it first" in refusal("joints", folder, "-o", tmp_path / "none" / "fig.pdf")
    (tmp_path / "fig.csv").touch()
    assert "fig.csv exists already" in refusal("joints", folder, "-o", out)
    run("joints", folder, "-o", out, "--overwrite")
    assert "fig.png exists already" in refusal("joints", folder, "-o", out)


def test_reading_results_directly_raises_the_same(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="holds no scores files"):
        read_results([tmp_path], None)


def test_drawing_imports_neither_pandas_nor_torch_nor_zarr(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from handbench.cli import main\n"
        f"main(['plot', 'curves', {str(folder)!r}, '-o', {str(tmp_path / 'fig.pdf')!r}], standalone_mode=False)\n"
        "print(*{'pandas', 'torch', 'zarr', 'dask'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# ---- viewpoints and marks


def test_viewpoint_curves_and_their_numbers(tmp_path: Path) -> None:
    write_scores(tmp_path / "A.scores.json", scores_of("A", 4.0, "msra", 400))
    write_scores(tmp_path / "B.scores.json", scores_of("B", 8.0, "msra", 400))
    run("viewpoint", tmp_path, "-o", tmp_path / "v.pdf", "--angle", "pitch", "--own", "A")
    rows = table(tmp_path / "v.csv")
    assert rows[0] == ["pitch_degrees", "frames", "B", "A"]
    assert all(-10 <= int(row[0]) <= 90 and int(row[0]) % 2 == 0 for row in rows[1:])
    assert all(float(row[2]) > float(row[3]) for row in rows[1:] if int(row[1]) > 5)
    assert (tmp_path / "v.pdf").read_bytes().startswith(b"%PDF")


def test_labels_without_a_palm_have_no_viewpoint(folder: Path, tmp_path: Path) -> None:
    message = refusal("viewpoint", folder, "-o", tmp_path / "v.pdf")
    assert "tell no yaw: it comes from labels of a wrist and of the root of the middle finger" in message
    assert not (tmp_path / "v.pdf").exists()


def test_marks_stand_in_the_legend_and_are_explained(tmp_path: Path) -> None:
    marked = replace(scores_of("Mine", 4.0), conditions=Conditions(center_method="gt-mean", ensemble=True))
    assert label_of(marked).startswith("Mine †§ (")
    write_scores(tmp_path / "Mine.scores.json", marked)
    said = run("curves", tmp_path, "-o", tmp_path / "c.png").stderr
    assert "† hand centres that rest on the truth: Mine; say so in the caption" in said
    assert "‡" not in said


def test_labels_of_two_files_in_one_figure_are_named(tmp_path: Path) -> None:
    write_scores(tmp_path / "A.scores.json", scores_of("A", 4.0))
    other = {"kind": "text", "file": "other.txt", "sha256": "1" * 64}
    write_scores(tmp_path / "B.scores.json", replace(scores_of("B", 8.0), truth=other))
    said = run("curves", tmp_path, "-o", tmp_path / "c.png").stderr
    assert "scored against other.txt (sha256 111111111111): B; the labels are not of one file" in said
