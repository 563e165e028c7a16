"""An ablation as Markdown and as LaTeX: the same cells, the same footnotes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from handbench.eval.ablation import SUCCESS_MM, Report, Result
from handbench.eval.published import Published
from handbench.srn.presets import experiment

_NONE = "—"
_NUMBERS_FROM = 3  # the columns before it are words
_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "—": "---",
    "±": "$\\pm$",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "\\": "\\textbackslash{}",
    "<": "$<$",
    ">": "$>$",
}


def to_markdown(report: Report) -> str:
    """A heading, the table in aligned columns, and the footnotes as a list."""
    rows = [_header(report), *(_cells(result) for result in report.results)]
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = [("-" * width if i < _NUMBERS_FROM else "-" * (width - 1) + ":") for i, width in enumerate(widths)]
    lines = ["| " + " | ".join(_padded(row, widths)) + " |" for row in [rows[0], rule, *rows[1:]]]
    notes = [f"- {line}" for line in footnotes(report)]
    return "\n".join([f"### {report.experiment}: {report.title}", "", *lines, "", *notes, ""])


def to_latex(report: Report) -> str:
    """A `tabular` with the rules of booktabs, and the footnotes as paragraphs under it."""
    header, *body = [[_escape(cell) for cell in row] for row in [_header(report), *map(_cells, report.results)]]
    columns = "l" * _NUMBERS_FROM + "r" * (len(header) - _NUMBERS_FROM)
    lines = [
        f"% {report.experiment}, handbench {report.version}; needs \\usepackage{{booktabs}}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        " & ".join(header) + " \\\\",
        "\\midrule",
        *(" & ".join(row) + " \\\\" for row in body),
        "\\bottomrule",
        "\\end{tabular}",
        "",
        *(f"\\par\\noindent\\footnotesize {_escape(line)}" for line in footnotes(report)),
    ]
    return "\n".join(lines) + "\n"


def _header(report: Report) -> list[str]:
    ladder = experiment(report.experiment).is_ladder
    against = "row above" if ladder else experiment(report.experiment).reference
    percent = f"{100 * report.compare.confidence:g} %"
    return [
        "row",
        "what it is",
        "settings",
        "parameters",
        "last epoch, mm",
        "chosen epoch, mm",
        f"within {SUCCESS_MM} mm, %",
        f"less {against}, mm ({percent} interval)",
        "paper, mm",
    ]


def _cells(result: Result) -> list[str]:
    paper = result.paper.printed if result.paper else _NONE
    settings = ", ".join(f"{key}={_value(value)}" for key, value in result.settings.items())
    words = [result.name, result.title, settings]
    if result.error:
        return [*words, _NONE, "failed", _NONE, _NONE, _NONE, paper]
    chosen = _NONE if result.best_mm is None else f"{result.best_mm:.2f} ({result.best_epoch})"
    return [
        *words,
        f"{result.parameters:,}",
        f"{result.last_mm:.2f} ({result.last_epoch})",
        chosen,
        f"{result.success_20mm_percent:.1f}",
        _difference(result),
        paper,
    ]


def _difference(result: Result) -> str:
    if result.difference_mm is None or result.low is None or result.high is None:
        return _NONE
    return f"{_signed(result.difference_mm)} ({_signed(result.low)} to {_signed(result.high)})"


def _signed(value: float) -> str:
    return f"{value:+.2f}"


def _value(value: object) -> str:
    return "[" + ", ".join(map(_value, value)) + "]" if isinstance(value, list | tuple) else f"{value}"


def footnotes(report: Report) -> list[str]:
    """What the numbers mean and rest on, a line each."""
    return [*_what_it_means(report), *_what_it_rests_on(report), *_paper_notes(report.results), *_exceptions(report)]


def _what_it_means(report: Report) -> list[str]:
    percent = f"{100 * report.compare.confidence:g} %"
    return [
        "mean error over all labelled joints of all test frames; in brackets the epoch. Chosen epoch: the one with the "
        "smallest error on held-out training frames, never on test frames",
        f"within {SUCCESS_MM} mm: share of frames whose worst joint is (max-frame success), last epoch",
        f"differences: last epochs, negative where the row is better; {percent} intervals by a paired block bootstrap "
        f"of the test frames, {report.compare.resamples:,} resamples. One training a row, so they say nothing of "
        "another seed",
    ]


def _what_it_rests_on(report: Report) -> list[str]:
    facts = report.facts
    hands = ", synthetic hands" if facts["synthetic"] else ""
    changed = ", ".join(facts["set"]) or "nothing: the paper's schedule"
    epochs = f"{facts['epochs']} epoch{'s' * (facts['epochs'] != 1)}"
    lines = [
        f"{facts['dataset']}{hands}: {facts['train_frames']:,} frames in split {facts['train_split']}, "
        f"{facts['test_frames']:,} test frames, {facts['test_joints']} joints; store {facts['store']} "
        f"(sha256 {facts['store_sha256'][:12]}), centres {facts['center_method']}",
        f"changed in all rows: {changed}",
        f"{epochs}, batches of {facts['batch_size']}, crops of {facts['crop_size']} px, seed {facts['seed']}; "
        f"handbench {report.version}",
    ]
    if facts["localizer"]:
        sets = f" ({', '.join(facts['localizer_set'])})" if facts["localizer_set"] else ""
        lines.append(f"refined centres: those of {facts['localizer']}{sets}")
    return lines


def _paper_notes(results: Sequence[Result]) -> list[str]:
    known: dict[Published, list[str]] = {}
    for result in results:
        if result.paper:
            known.setdefault(result.paper, []).append(result.name)
    lines = [
        f"paper, {', '.join(names)}: {entry.method} on {entry.protocol}, full schedule, {entry.source.title}; "
        f"{entry.note}"
        for entry, names in known.items()
    ]
    if any(result.paper is None for result in results):
        lines.append(f"paper, {_NONE}: no source that can be named here prints the number")
    return lines


def _exceptions(report: Report) -> list[str]:
    lines = [f"{result.name} failed: {result.error}" for result in report.failed]
    for result in report.results:
        if result.run != result.name:
            lines.append(f"{result.name}: the same configuration, hence the same run, as {result.run}")
        elif result.compared_with and result.difference_mm is None and not result.error:
            lines.append(f"{result.name} has no difference, for {result.compared_with} failed")
    whole = len(experiment(report.experiment).rows)
    if len(report.results) < whole:
        lines.append(f"{len(report.results)} of {whole} rows were asked for")
    return lines


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if i < _NUMBERS_FROM else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _escape(text: str) -> str:
    escaped = re.sub("|".join(map(re.escape, _LATEX)), lambda match: _LATEX[match.group()], text)
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)  # a minus, not a hyphen
