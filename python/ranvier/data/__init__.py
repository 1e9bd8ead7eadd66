"""Datasets, batches and scalers, with the names of `torch.utils.data` and scikit-learn.

Rows in memory are gathered natively, one call a batch; there is no Python work for single rows.
"""

from ..core.namespace import listing as _listing
from .dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from .loader import DataLoader, default_collate
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler
from .scaling import MinMaxScaler, StandardScaler

__all__ = [
    "BatchSampler", "ConcatDataset", "DataLoader", "Dataset", "MinMaxScaler", "RandomSampler",
    "Sampler", "SequentialSampler", "StandardScaler", "Subset", "TensorDataset", "WeightedRandomSampler",
    "default_collate", "random_split",
]  # fmt: skip

__dir__ = _listing(globals())
