"""The command `handbench results`: the numbers of the literature."""

from __future__ import annotations

import rich_click as click

from handbench.console import echo_json, json_option


@click.command()
@click.argument("data_set", metavar="DATASET")
@json_option
def results(data_set: str, as_json: bool) -> None:
    """Print the published mean errors of DATASET, the best first, each with its source."""
    from handbench.datasets import dataset
    from handbench.eval.published import results_of
    from handbench.eval.results_table import print_results

    spec = dataset(data_set)
    entries = results_of(spec.name)
    if as_json:
        echo_json({"dataset": spec.name, "results": [entry.to_dict() for entry in entries]})
    else:
        print_results(spec.title, entries)
