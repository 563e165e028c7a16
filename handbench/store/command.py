"""`handbench info`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from handbench.console import echo_json, json_option


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@json_option
def info(store: Path, as_json: bool) -> None:
    """Say what the store STORE holds: frames, status, camera, centres, and what it was made from."""
    from handbench.store import Store
    from handbench.store.describe import describe, text

    facts = describe(Store(store))
    if as_json:
        echo_json(facts)
    else:
        click.echo("\n".join(text(facts)))
