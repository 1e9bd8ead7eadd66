"""Names of `torch.nn` beyond `ranvier.nn`."""

from __future__ import annotations

from typing import Any

from ...core.errors import BackendError as _BackendError
from ...nn import Linear as _Linear
from ...nn import Module as _Module

NonDynamicallyQuantizableLinear = _Linear


class DataParallel(_Module):
    """The module on one device; its parameters are below `module`, as in PyTorch."""

    def __init__(self, module: _Module, device_ids: Any = None, output_device: Any = None, dim: int = 0):
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


def data_parallel(module: _Module, inputs: Any, device_ids: Any = None, *options: Any) -> Any:
    """`module(*inputs)`."""
    return module(*inputs) if isinstance(inputs, tuple) else module(inputs)


class DistributedDataParallel:
    """Refused: several processes are not started from here."""

    def __init__(self, module: Any, **options: Any):
        raise _BackendError("DistributedDataParallel: there is one process; use the module itself")
