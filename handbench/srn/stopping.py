"""Ctrl-C, and the SIGTERM that clusters send: a request to stop when the step in hand is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from handbench.console import note

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """Whether somebody has asked to stop.

    Attributes:
        asked: by any signal.
        interrupted: by Ctrl-C.
    """

    asked: bool = False
    interrupted: bool = False


class Stopped(KeyboardInterrupt):
    """Training has stopped as it was asked to, and all of it is saved."""


@contextmanager
def stop_on_signals(say: bool = True) -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request; a second SIGINT raises KeyboardInterrupt at once.

    In a thread that is not the main one, signals cannot be taken over, and nobody asks.

    Args:
        say: tell the person what happens.

    Yields:
        The request, for the loop to look at.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request.interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.interrupted |= number == signal.SIGINT  # a cluster may well send SIGTERM twice
        if say and not request.asked:
            note(
                "stopping after this step; another Ctrl-C stops at once and loses the steps since the last whole epoch"
            )
        request.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_interrupts_to_the_main_process(worker: int) -> None:
    """For processes that read frames, which a Ctrl-C in a terminal reaches too. SIGTERM is what they are ended by."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
