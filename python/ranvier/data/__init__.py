"""Datasets, batches and scalers, with the names of `torch.utils.data` and scikit-learn.

Rows in memory are gathered natively, one call a batch; there is no Python work for single rows.
"""

from ..core.namespace import listing as _listing
from . import augment as augment
from .audio import log_mel, mel_filters, read_wav
from .dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from .files import read_cifar10, read_idx, read_images
from .loader import DataLoader, default_collate, get_worker_info
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from .scaling import MinMaxScaler, StandardScaler

__all__ = [
    "augment", "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset",
    "MinMaxScaler", "RandomSampler", "Sampler", "SequentialSampler", "StackDataset", "StandardScaler", "Subset",
    "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler", "default_collate", "get_worker_info", "log_mel",
    "mel_filters", "random_split", "read_cifar10", "read_idx", "read_images", "read_wav",
]  # fmt: skip

__dir__ = _listing(globals())
