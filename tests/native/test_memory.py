"""Arrays that begin at a cache line."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn, optim
from ranvier.core.memory import STAGGERED, aligned_empty, aligned_full


def address(t: rv.Tensor) -> int:
    return t.detach().numpy().ctypes.data % 64


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (3, 5), (1000, 33)])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?"])
def test_aligned(shape: tuple[int, ...], dtype: str) -> None:
    for a in (aligned_empty(shape, dtype), aligned_full(shape, 0, dtype), aligned_full(shape, 1, dtype)):
        assert a.shape == shape and a.dtype == dtype and a.flags.c_contiguous and a.flags.writeable
        assert a.size == 0 or a.ctypes.data % 64 == 0
    assert (a == 1).all() and not aligned_full(shape, 0, dtype).any()


def test_large_arrays_begin_at_different_places_of_a_page() -> None:
    arrays = [aligned_empty((STAGGERED // 4,), "f4") for _ in range(4)]
    assert len({a.ctypes.data % 4096 for a in arrays}) == 4
    assert all(a.ctypes.data % 64 == 0 and a.nbytes == STAGGERED for a in arrays)


def test_negative_zero() -> None:
    assert np.signbit(aligned_full((3,), -0.0, "f4")).all()


def test_training_state() -> None:
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    optimizer = optim.Adam(model.parameters())

    @rv.compile
    def step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    for _ in range(2):
        step(rv.ones(4, 5))
    for p in model.parameters():
        assert address(p) == 0 and address(p.grad) == 0
        assert address(optimizer.state[p]["exp_avg"]) == address(optimizer.state[p]["exp_avg_sq"]) == 0
    for t in (rv.zeros(3), rv.ones(3, 3), rv.empty(5), rv.full((2,), 3.5)):
        assert address(t) == 0


def test_a_plan_larger_than_the_machine_is_refused_before_it_is_allocated():
    x = rv.ones(1, 1)

    def sums(x):
        return (x.expand(1 << 22, 1 << 20) + 1).cumsum(0).sum()

    with pytest.raises(MemoryError, match=r"plan: \d+ GiB of memory are needed, the most by instruction \d+ \(\w+\)"):
        rv.compile(sums)(x)
    assert rv.compile(lambda x: x + 1)(x).item() == 2
