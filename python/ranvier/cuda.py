"""NVIDIA's GPUs, as scripts ask for them. There is no kernel for them yet: none is available.

>>> import ranvier as rv
>>> rv.device("cuda" if rv.cuda.is_available() else "cpu")
device(type='cpu')
"""

from __future__ import annotations

from typing import Any, NoReturn

from .core.errors import BackendError

__all__ = [
    "current_device", "device_count", "empty_cache", "get_device_name", "is_available", "manual_seed", "manual_seed_all",
    "max_memory_allocated", "memory_allocated", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether tensors can lie on a GPU."""
    return False


def device_count() -> int:
    """The number of GPUs."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the GPU's generator, where there is one; one stream of numbers serves all devices."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Give unused memory back to the GPU, where there is one."""


def memory_allocated(device: Any = None) -> int:
    """The bytes of tensors on the GPU."""
    return 0


max_memory_allocated = memory_allocated


def _missing(name: str) -> NoReturn:
    raise BackendError(f"cuda.{name}: no GPU is available; see cuda.is_available()")


def current_device() -> int:
    """The index of the GPU in use."""
    _missing("current_device")


def get_device_name(device: Any = None) -> str:
    """The name that the GPU gives itself."""
    _missing("get_device_name")


def synchronize(device: Any = None) -> None:
    """Wait for the GPU."""
    _missing("synchronize")
