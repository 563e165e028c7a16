"""The errors that handbench raises on purpose."""


class HandbenchError(Exception):
    """A user's mistake, in one line: what is wrong, where, and what to do. A command prints it and exits with 2."""


class ShapeError(HandbenchError):
    """An array whose shape does not fit what the function documents."""


class FrameError(HandbenchError):
    """One raw frame that cannot be read. A conversion keeps its row, sets its status and goes on.

    Attributes:
        status: a value of `handbench.store.FrameStatus`.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
