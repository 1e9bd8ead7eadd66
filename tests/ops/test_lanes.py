"""An element's bits depend on that element alone: not on its neighbours, its place, the length, or on being compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ranvier as rv
from ops_support import all_ops, same_bits
from ranvier.core.dtypes import is_float
from ranvier.core.errors import DTypeError

LANES = 17  # one more than the widest vector has
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, 1e-40, 3e6, -3e6, 3e38, -1e30, 1e300, 1.0, -1.0, 2.0, 0.5, -2.5]
PLAIN = [*np.geomspace(0.003, 90, 60), 1.7e9, 5.3e12]
ELEMENTWISE = [op for op in all_ops() if op.kind == "elementwise" and op.name != "cast"]


def operands(op: Any, dtype: str) -> list[np.ndarray]:
    """Every value beside special and plain ones, in each operand another order."""
    if is_float(np.dtype(dtype)):
        with np.errstate(all="ignore"):
            values = np.array(SPECIAL + PLAIN + [-x for x in PLAIN[::3]]).astype(dtype)
    else:
        info = np.iinfo(dtype)
        values = np.array([info.min, info.min + 1, 0, 1, 2, 3, 7, 100, 200, info.max - 1, info.max]).astype(dtype)
    rng = np.random.default_rng(len(op.name))
    arrays = [np.concatenate([rng.permutation(values) for _ in range(3)]) for _ in range(op.arity)]
    return [a != 0 if op.rule == "logical" or op.rule == "where" and k == 0 else a for k, a in enumerate(arrays)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_an_element_alone(op: Any, dtype: str) -> None:
    arrays = operands(op, dtype)
    try:
        whole = op(*arrays)
    except DTypeError:
        assert op.name.startswith(("bitwise", "relu", "elu")) or op.rule == "float", op
        return
    n = whole.size

    def check(got: Any, expected: np.ndarray, what: str) -> None:
        assert same_bits(got, expected), f"{op.name} {what}: {got} must be {expected}"

    check(rv.compile(op)(*map(rv.from_numpy, arrays)), whole, "compiled")
    for i in range(n):
        check(op(*(a[i : i + 1] for a in arrays)), whole[i : i + 1], f"of {[a[i] for a in arrays]} alone")
    for k in range(1, LANES):
        check(op(*(a[k:] for a in arrays)), whole[k:], f"moved by {k}")
        check(op(*(a[:k] for a in arrays)), whole[:k], f"of length {k}")
        check(op(*(a[::-k] for a in arrays)), whole[::-k], f"with strides of {-k}")
    for i in range(0, n, 5):  # one operand that is broadcast
        for k in range(op.arity if op.arity > 1 else 0):
            mixed = [a if k == j else a[i : i + 1] for j, a in enumerate(arrays)]
            full = [np.broadcast_to(a, (n,)).copy() for a in mixed]
            check(op(*mixed), op(*full), f"of {[a[0] for a in mixed]} broadcast")
