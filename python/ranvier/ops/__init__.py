"""The op table, one record an op, and the public functions over it, in families that mirror csrc/cpu/."""
from __future__ import annotations

from importlib import import_module as _import

from . import apply as _apply  # noqa: F401  (connects the records with the engine)
from .op import OPS, Op, Sample

_FAMILIES = ("shape", "creation", "elementwise", "activation", "reduction", "softmax", "matmul", "einsum", "join", "index", "sort", "random", "optim")

PUBLIC: dict[str, object] = {}
METHODS: list[str] = []  # public functions of a tensor called `input`: they are Tensor methods too
INPLACE: list[str] = []  # those whose result has the input's shape by nature: `x.name_()` exists

for _name in _FAMILIES:
    try:
        _family = _import(f".{_name}", __name__)
    except ModuleNotFoundError as _error:  # BRING-UP
        print("missing", _name, _error)
        continue
    for _public in _family.__all__:
        _function = getattr(_family, _public)
        PUBLIC[_public] = globals()[_public] = _function
        _code = getattr(_function, "__code__", None)
        if _code is not None and _code.co_argcount and _code.co_varnames[0] == "input":
            METHODS.append(_public)
            if _name in ("elementwise", "activation", "index", "join"):
                INPLACE.append(_public)

__all__ = ["OPS", "Op", "Sample", *PUBLIC]
