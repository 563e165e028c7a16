"""`handbench show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from handbench.console import claim_output, note, overwrite_option, progress, whole_or_nothing
from handbench.errors import HandbenchError

if TYPE_CHECKING:
    from handbench.plots.show_panels import Panel, Panels, View
    from handbench.plots.show_rows import Rows
    from handbench.plots.show_scores import ScoredFrames
    from handbench.store import Split, Store

SUFFIXES = (".png", ".pdf", ".svg")
_SHEET = Path("sheet.png")
_WIDTH = 6.875  # inches, two columns of CVPR
_FRAMES, _ROWS = 16, 6  # without and with augmentations


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--split", help="Which split. Default: what the scores are of, else test, or the only one.")
@click.option("--index", help="Rows from 0, as 3,5,10-20. Default: frames spread over the split.")
@click.option("--subject", help="Only frames of this subject.")
@click.option("--status", help="Only frames of this status, as 'image missing'; bad = all but ok.")
@click.option("--error", "scores", type=click.Path(path_type=Path), help="A scores file: its worst frames.")
@click.option("--pred", type=click.Path(path_type=Path), help="Predictions to draw. Default: what --error scored.")
@click.option("--count", type=click.IntRange(1, 400), help="How many frames. Default: 16, with --augment 6.")
@click.option("--crop", is_flag=True, help="Draw crops, not whole frames.")
@click.option("--augment", type=click.IntRange(0, 11), default=0, help="So many augmented crops beside each crop.")
@click.option("--config", type=click.Path(path_type=Path), help="Augment as this training configuration (TOML) does.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One range of it, as augment.mirror=0.5.")
@click.option("--crop-size", "size", type=click.IntRange(8, 1024), default=128, show_default=True, help="Side, px.")
@click.option("--seed", type=click.IntRange(0), help="Of the augmentation. Default: that of --config, else 0.")
@click.option("--rerun", is_flag=True, help="Open a 3D view of cloud, box and joints; with -o FILE.rrd save it.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="sheet.png (default), .pdf, .svg; .rrd for --rerun.")
@overwrite_option
def show(store: Path, out: Path | None, rerun: bool, overwrite: bool, **options: Any) -> None:
    """Draw frames of STORE on one sheet, with box, skeleton and, if asked, predictions.

    Bones have the colours of their fingers; boxes and predictions are red.
    """
    target = _target(out, rerun, overwrite)
    if rerun:
        from handbench.plots.show_rerun import require_rerun

        require_rerun()
    opened, split, rows, panels, title = _choose(store, **options)
    if rerun:
        from handbench.plots.show_rerun import show_frames

        show_frames(opened, split, rows, panels.joints_xyz, panels.pred_xyz, target)
        note(f"{f'wrote {target}' if target else 'opened the viewer'}: {title}")
    else:
        assert target is not None
        _draw(opened, rows, panels, title, target, options["augment"])


def _target(out: Path | None, rerun: bool, overwrite: bool) -> Path | None:
    """Where to write to; None for the viewer."""
    if rerun and out is None:
        return None
    path = out or _SHEET
    suffixes = (".rrd",) if rerun else SUFFIXES
    if path.suffix not in suffixes:
        raise HandbenchError(f"{path} is none of {', '.join(suffixes)}{'' if rerun else ' (.rrd goes with --rerun)'}")
    claim_output(path, overwrite)
    return path


def _choose(
    store: Path,
    split: str | None,
    index: str | None,
    subject: str | None,
    status: str | None,
    scores: Path | None,
    pred: Path | None,
    count: int | None,
    **view: Any,
) -> tuple[Store, Split, Rows, Panels, str]:
    """The frames, what to make panels with, and a line that says what they are."""
    from handbench.plots.show_panels import Panels
    from handbench.plots.show_rows import Choice, default_split
    from handbench.plots.show_scores import read_pred_uvd, read_scored
    from handbench.store import Store

    looks = _view(**view)
    choice = Choice(index, subject, status, count or (_ROWS if looks.augment else _FRAMES))
    opened = Store(store)
    scored = read_scored(scores, opened) if scores else None
    frames = opened[split or (scored.split if scored else default_split(opened))]
    _check_augment(opened, looks)
    error = scored.error_mm(frames) if scored else None
    pred = pred or (_scored_predictions(scored) if scored else None)
    uvd = read_pred_uvd(pred, opened, frames) if pred else None
    rows = choice.rows(frames, error)
    chosen = f"{'the worst ' if scored and index is None else ''}{len(rows):,} of {len(frames):,} frames"
    facts = [f"{store.name}, {frames.name}: {chosen}", *_method(scored, pred), f"centre {frames.center_method}"]
    return opened, frames, rows, Panels(opened, frames, looks, uvd, error), "; ".join(facts)


def _method(scored: ScoredFrames | None, pred: Path | None) -> list[str]:
    return [scored.name] if scored else [pred.stem] if pred else []


def _view(crop: bool, augment: int, config: Path | None, sets: tuple[str, ...], size: int, seed: int | None) -> View:
    from handbench.plots.show_panels import View

    if config is None and not sets:
        return View(crop, augment, size=size, seed=seed or 0)
    if not augment:
        raise HandbenchError("--config and --set say how to augment; add --augment N")
    from handbench.srn.config import load_config

    training = load_config(file=config, sets=sets)
    return View(crop, augment, training.augment, size, training.seed if seed is None else seed)


def _check_augment(store: Store, view: View) -> None:
    if view.augment:
        from handbench.store.windows import check_margin

        check_margin(store, view.config)


def _scored_predictions(scored: ScoredFrames) -> Path | None:
    found = scored.find_predictions()
    if found is None:
        name = scored.prediction.get("file", "the predictions")
        note(f"{name}, which was scored, is not beside the scores any more; pass --pred FILE to draw it")
    return found


def _draw(store: Store, rows: Rows, panels: Panels, title: str, out: Path, augment: int) -> None:
    from handbench.plots.show import columns_of, draw_sheet
    from handbench.plots.style import paper_style, save_figure

    shown: list[Panel] = []
    with progress("show", len(rows), "frames") as advance:
        for row in rows.tolist():
            shown += panels.of(row)
            advance(1)
    columns = columns_of(len(shown), 1 + augment)
    with paper_style(), whole_or_nothing(out) as partial:
        save_figure(draw_sheet(shown, store.spec.joints, columns, _WIDTH, title), partial, out.suffix)
    note(f"wrote {out}: {title}")
    problems = [f"{panel.frame}: {panel.problem}" for panel in shown if panel.problem]
    if problems:
        note(f"{len(problems)} pictures are empty, the first: {problems[0]}")
