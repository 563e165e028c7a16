"""The store: one Zarr group that says what every frame is. docs/store.md has the format."""

from handbench.store.layout import FORMAT, FrameStatus, FrameTable
from handbench.store.reader import Split, Store
from handbench.store.writer import StoreWriter

__all__ = ["FORMAT", "FrameStatus", "FrameTable", "Split", "Store", "StoreWriter"]
