"""`torch.accelerator` and `torch.mps`: there is none."""

from __future__ import annotations

from typing import Any, NoReturn

from ... import cuda as _cuda
from ...core.errors import BackendError as _BackendError


def is_available() -> bool:
    """Whether there is a GPU."""
    return _cuda.is_available()


def device_count() -> int:
    """How many there are."""
    return _cuda.device_count()


def current_accelerator(check_available: bool = False) -> None:
    """The kind of GPU; None where there is none."""


def manual_seed(seed: int) -> None:
    """One generator serves all devices: nothing to do."""


def synchronize(device: Any = None) -> None:
    """Nothing runs beside Python."""


def empty_cache() -> None:
    """Nothing is cached."""


def set_device_index(device: Any) -> NoReturn:
    """Refused: there is no GPU."""
    raise _BackendError(f"accelerator.set_device_index({device!r}): no GPU is available")
