"""Rules that values must keep, also those that a compiled function computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import local
from ..core.dtypes import bool_
from ..core.errors import DomainError, DTypeError, OutOfRangeError, ShapeError
from ..core.tensor import TensorBase
from .record import Aval, Op, Sample, Spec


def _infer(holds: Aval, values: Aval, *, rule: str, index: bool) -> Spec:
    if holds.dtype != bool_:
        raise DTypeError(f"require: holds has dtype {holds.dtype}, must be bool")
    if holds.shape != values.shape:
        raise ShapeError(f"require: holds{tuple(holds.shape)} and values{tuple(values.shape)} must have one shape")
    return (0,), bool_


def _reference(xp: Any, holds: Any, values: Any, *, rule: str, index: bool) -> Any:
    if not holds.all():
        position = int(np.argmin(np.ravel(holds)))
        error = OutOfRangeError if index else DomainError
        value = float(np.ravel(values)[position])
        raise error(f"{rule}: {value:.{15 if value.is_integer() else 9}g} at position {position}")
    return np.zeros(0, bool_)


_require = Op(
    "require", kind="kernel", attrs={"rule": "", "index": False}, saves="", infer=_infer, reference=_reference,
    encode=lambda holds, values, *, rule, index: {"index": index}, effect=True,
    samples=[
        Sample((np.ones((2, 3), bool), (2, 3)), {"rule": "values"}),
        Sample((np.ones((), bool), ()), {"rule": "a value", "index": True}),
        Sample((np.ones((0, 2), bool), (0, 2)), {"rule": "nothing"}),
    ],
    doc="nothing, or an error that says `rule` and the value where `holds` is false",
)  # fmt: skip


def require(holds: Any, values: Any, rule: str, index: bool = False) -> None:
    """Raise DomainError (`index`: OutOfRangeError), of the text `rule`, with the first of `values` where `holds` is False.

    In a compiled function each run looks, before anything that comes later.
    """
    if local.tracer is not None and isinstance(holds, TensorBase):
        _require(holds, values, rule=rule, index=index)
    else:
        arrays = [getattr(x, "_data", x) for x in (holds, values)]
        _reference(np, *arrays, rule=rule, index=index)
