"""Names of `torch.cuda` beyond `ranvier.cuda`."""

from __future__ import annotations

from typing import Any

from ... import cuda as _cuda
from ...core.errors import BackendError as _BackendError


class _Kind:
    """A constructor of tensors on the GPU: it can be named where there is none, and not called."""

    def __init__(self, name: str):
        self.__name__ = name

    def __call__(self, *data: Any) -> Any:
        raise _BackendError(f"cuda.{self.__name__}: no GPU is available; see cuda.is_available()")


FloatTensor, DoubleTensor, LongTensor = _Kind("FloatTensor"), _Kind("DoubleTensor"), _Kind("LongTensor")
IntTensor, ByteTensor, BoolTensor, HalfTensor = (_Kind(f"{name}Tensor") for name in ("Int", "Byte", "Bool", "Half"))


def is_bf16_supported() -> bool:
    """Whether the GPU computes in bfloat16."""
    return False


def set_device(device: Any) -> None:
    """Refused where there is no GPU."""
    if not _cuda.is_available():
        raise _BackendError(f"cuda.set_device({device!r}): no GPU is available; see cuda.is_available()")
