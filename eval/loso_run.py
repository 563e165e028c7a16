"""Carries out folds: here one after the other, in processes, on a Dask cluster, or by a job array."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from handbench.console import note, progress
from handbench.errors import HandbenchError
from handbench.eval.loso import Fold

LOCAL = ("sequential", "processes")
_PATIENCE = "10s"  # with a scheduler that does not answer
_RESOURCE = "GPU"  # what a fold asks of a worker, so that each has one to itself


def check_scheduler(scheduler: str) -> None:
    """Refuse a scheduler that there is not.

    Raises:
        HandbenchError: naming those there are.
    """
    if scheduler not in LOCAL and not scheduler.startswith(("tcp://", "tls://", "ucx://")):
        raise HandbenchError(
            f"unknown scheduler {scheduler!r}; use {', '.join(LOCAL)} or an address as tcp://host:8786"
        )


def run_folds(folds: Sequence[Fold], scheduler: str, workers: int) -> dict[str, str]:
    """Carry out folds; one that fails does not stop the others.

    Args:
        folds: those that are not done yet are run.
        scheduler: one of `LOCAL`, or the address of a Dask scheduler whose workers offer a resource "GPU" and see the
            same files under the same paths.
        workers: how many processes.

    Returns:
        Subject -> why its fold failed.

    Raises:
        HandbenchError: if the cluster cannot be reached or offers no GPU.
    """
    left = [fold for fold in folds if not fold.is_done]
    if scheduler == "sequential":
        reasons = {fold.subject: fold() for fold in left}
    elif left:
        with _client(scheduler, workers) as client:
            reasons = _submit(client, left)
    else:
        reasons = {}
    return {subject: reason for subject, reason in reasons.items() if reason}


def _submit(client: Any, folds: Sequence[Fold]) -> dict[str, str]:
    from distributed import as_completed

    futures = {client.submit(fold, pure=False, resources={_RESOURCE: 1}): fold.subject for fold in folds}
    reasons = {}
    with progress("folds", len(folds), "folds") as advance:
        for future in as_completed(futures):
            error = future.exception()
            reasons[futures[future]] = future.result() if error is None else f"{type(error).__name__}: {error}"
            note(f"fold of {futures[future]}: {reasons[futures[future]] or 'done'}")
            advance(1)
    return reasons


@contextmanager
def _client(scheduler: str, workers: int) -> Iterator[Any]:
    from distributed import Client

    if scheduler == "processes":
        # No dashboard: nobody asked for an open port.
        options = {"n_workers": workers, "threads_per_worker": 1, "resources": {_RESOURCE: 1}}
        with Client(processes=True, dashboard_address=None, **options) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=_PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise HandbenchError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one, or leave it out"
        ) from error
    with client:
        known = client.scheduler_info(n_workers=-1)["workers"].values()
        if not any(worker["resources"].get(_RESOURCE) for worker in known):
            raise HandbenchError(
                f"no worker at {scheduler} offers a {_RESOURCE}; start them with dask worker ... --resources GPU=1"
            )
        yield client


def slurm_script(folds: Sequence[Fold], options: Sequence[str]) -> str:
    """A job array for SLURM with a job for each fold.

    Args:
        folds: all of them.
        options: of `handbench loso`, as typed.
    """
    command = shlex.join(["handbench", "loso", *options])
    return f"""#!/bin/bash
#SBATCH --job-name=loso
#SBATCH --array=0-{len(folds) - 1}
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --output=loso-%A_%a.log
#SBATCH --requeue
# One job a fold: {", ".join(fold.subject for fold in folds)}. A job that is started again goes on where it stopped.
# When all are done, the table and the merged predictions come from
#   {command}
set -euo pipefail
{command} --fold "$SLURM_ARRAY_TASK_ID"
"""
