"""Runs tasks by Dask: threads, processes, or a cluster that somebody has started."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

from handbench.errors import HandbenchError

LOCAL = ("threads", "processes")


def check_scheduler(scheduler: str) -> None:
    """Refuse a scheduler that Dask does not know.

    Raises:
        HandbenchError: naming those there are.
    """
    if scheduler not in LOCAL and not scheduler.startswith(("tcp://", "tls://", "ucx://")):
        raise HandbenchError(
            f"unknown scheduler {scheduler!r}; use threads, processes or an address as tcp://host:8786"
        )


def run(tasks: Sequence[Callable[[], int]], scheduler: str, workers: int, done: Callable[[int], None]) -> None:
    """Run every task; the first error stops the rest and is raised.

    Args:
        tasks: callables without arguments; for processes and clusters they are pickled.
        scheduler: "threads" (OpenCV and Blosc let go of the interpreter's lock), "processes", or the address of a
            Dask scheduler, whose workers must see the same files under the same paths.
        workers: how many at once for the local ones; 0 for one a core.
        done: called with the result of each task as it ends.

    Raises:
        HandbenchError: if the cluster cannot be reached.
    """
    if not tasks:
        return
    if scheduler in LOCAL:
        _run_local(tasks, scheduler, workers or os.cpu_count() or 1, done)
    else:
        _run_on_cluster(tasks, scheduler, done)


def _run_local(tasks: Sequence[Callable[[], int]], scheduler: str, workers: int, done: Callable[[int], None]) -> None:
    import dask
    from dask.callbacks import Callback

    def task_done(key: Any, result: int, *_: Any) -> None:
        done(result)

    delayed = [dask.delayed(task, pure=False, traverse=False)() for task in tasks]
    # One task at a time to each process: a task is seconds of work, and a chunk of six would starve the others.
    options = {"initializer": _begin_worker} if scheduler == "processes" else {}
    with Callback(posttask=task_done), dask.config.set(chunksize=1):
        dask.compute(*delayed, scheduler=scheduler, num_workers=workers, **options)


def _begin_worker() -> None:
    """In a new process: no threads below its one task, for the other cores have processes of their own."""
    import cv2
    import numcodecs.blosc

    Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    numcodecs.blosc.use_threads = False


def _end_with_parent() -> None:
    """Die with the conversion: a worker left alone would wait for ever, and first write what another conversion may.

    The lock of the store falls when the conversion is killed; so none of its workers may go on.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_on_cluster(tasks: Sequence[Callable[[], int]], address: str, done: Callable[[int], None]) -> None:
    from distributed import Client, as_completed

    try:
        client = Client(address, timeout="10s")
    except (OSError, TimeoutError, ValueError) as error:
        raise HandbenchError(f"no Dask scheduler answers at {address} ({error}); start one, or use threads") from error
    with client:
        futures = [client.submit(task, pure=False) for task in tasks]
        for future in as_completed(futures):
            done(future.result())
