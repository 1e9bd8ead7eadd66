"""What all tests share: fixed seeds, settings put back after each test, and PyTorch's word."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "4")  # tests compare thread counts, also on machines with fewer cores
os.environ["RANVIER_BACKEND"] = "native"  # without the native module tests fail, and do not compare NumPy with itself

import pytest  # noqa: E402
import ranvier as rv  # noqa: E402
from oracle import Oracle  # noqa: E402


@pytest.fixture(autouse=True)
def fresh_settings():
    if "ranvier.torch" in sys.modules:  # which switches to PyTorch's numbers as it is imported
        sys.modules["ranvier.torch"].as_pytorch(False)
    rv.manual_seed(0)
    threads, dtype = rv.get_num_threads(), rv.get_default_dtype()
    yield
    assert rv.is_grad_enabled(), "a test left gradients switched off"
    assert rv.get_default_dtype() == dtype, "a test left another default dtype"
    if rv.get_num_threads() != threads:
        rv.set_num_threads(threads)


@pytest.fixture
def torch():
    """PyTorch, for tests that cannot do without: they are skipped where it is missing."""
    return pytest.importorskip("torch")


@pytest.fixture
def one_thread(torch):
    """PyTorch's threads wait in loops, which takes long where there are fewer cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def oracle(request):
    """PyTorch's results, where it is missing from goldens (tests/support/oracle.py)."""
    return Oracle(f"{request.path.stem}/{request.node.name}")


def pytest_collection_modifyitems(items):
    for item in items:
        if {"torch", "oracle"} & set(item.fixturenames):
            item.add_marker("torch")


@pytest.fixture
def double_scalars(torch):
    """PyTorch keeps scalar states, such as NAdam's product, in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
