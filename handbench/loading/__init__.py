"""Batches of augmented crops for torch: from a store on disk through workers, or from memory without any."""

from handbench.loading.dataset import HandDataset, Sample
from handbench.loading.order import BatchOrder, EpochOrder
from handbench.loading.resident import ResidentBatches
from handbench.loading.samples import croppable_rows, stored_box

__all__ = ["BatchOrder", "EpochOrder", "HandDataset", "ResidentBatches", "Sample", "croppable_rows", "stored_box"]
