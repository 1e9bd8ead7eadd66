"""Values, gradients and dtypes of many calls are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn  # noqa: F401  (rv.nn)
from torch_cases import CASES, evaluate


def assert_agree(case, ours, theirs, dtype):
    what, eps = f"{case.name}, {dtype}", np.finfo("float32" if case.rounded else dtype).eps
    assert len(ours) == len(theirs), what
    for i, (a, b) in enumerate(zip(ours, theirs)):
        assert a.shape == b.shape, f"{what}, result {i}: shape {a.shape}, PyTorch's {b.shape}"
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=what)
            continue
        scale = np.abs(b).max(initial=0) + 0.1
        error = np.abs(a.astype(np.float64) - b).max(initial=0)
        assert error <= 64 * eps * scale, f"{what}, result {i}: off by {error} of {scale}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_values_and_gradients(oracle, case, dtype):
    ours = evaluate(case, rv, rv.from_numpy, dtype)
    theirs = oracle(lambda torch: evaluate(case, torch, torch.from_numpy, dtype))
    for a, b in zip(ours, theirs):
        assert a.dtype == b.dtype, f"{case.name}: dtype {a.dtype}, PyTorch's {b.dtype}"
    assert_agree(case, ours, theirs, dtype)
