"""What PyTorch says, where it is not installed too: tests/goldens/oracle.npz holds it, written by `make_goldens.py`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FILE = Path(__file__).parents[1] / "goldens" / "oracle.npz"
OLD = "the golden is not what PyTorch says: run tests/support/make_goldens.py"
written: dict[str, list[np.ndarray]] | None = None  # what make_goldens.py collects


@functools.cache
def torch_or_none() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def save(goldens: dict[str, list[np.ndarray]]) -> None:
    """One array of all numbers, and where each result lies in it."""
    places: dict[str, list] = {}
    at = 0
    for key, arrays in sorted(goldens.items()):
        places[key] = []
        for a in arrays:
            places[key].append([at, a.dtype.name, a.shape])
            at += a.size
    numbers = [a.ravel().astype("f8") for _, arrays in sorted(goldens.items()) for a in arrays]
    np.savez_compressed(FILE, places=json.dumps(places), numbers=np.concatenate(numbers))


@functools.cache
def _load() -> tuple[dict[str, list], np.ndarray]:
    with np.load(FILE) as file:
        return json.loads(str(file["places"])), file["numbers"]


def _stored(key: str) -> list[np.ndarray]:
    places, numbers = _load()
    if key not in places:
        pytest.fail(f"PyTorch's results for {key} are missing: run tests/support/make_goldens.py")
    return [numbers[at : at + int(np.prod(s))].reshape(s).astype(dtype) for at, dtype, s in places[key]]


class Oracle:
    """`oracle(f)`, a fixture: the arrays that f(torch) returns. The calls of a test are told apart by their order, or by
    `key` where several tests want the same.
    """

    def __init__(self, test: str):
        self._test, self._calls = test, 0

    def __call__(self, compute: Callable[[Any], Any], key: str | None = None) -> list[np.ndarray]:
        name = f"{self._test}/{self._calls}" if key is None else key
        self._calls += 1
        torch = torch_or_none()
        if torch is None:
            return _stored(name)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # that of optimizers' scalar states
        try:
            results = [np.asarray(a.detach() if hasattr(a, "detach") else a) for a in compute(torch)]
        finally:
            torch.set_default_dtype(before)
        if written is not None:
            written[name] = results
            return results
        stored = _stored(name)
        assert [(a.shape, a.dtype) for a in stored] == [(a.shape, a.dtype) for a in results], f"{name}: {OLD}"
        for a, b in zip(stored, results, strict=True):
            scale = np.abs(b[np.isfinite(b)]).max(initial=0)
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * scale, err_msg=f"{name}: {OLD}")
        return results
