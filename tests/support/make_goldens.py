"""Write tests/goldens/*.npz with PyTorch: python tests/support/make_goldens.py"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from torch_cases import CASES, NETS, OPTIMIZERS, evaluate, train

TESTS = Path(__file__).parents[1]
FOLDER = TESTS / "goldens"


class AskingTests:
    """Of the tests, those that ask PyTorch."""

    @staticmethod
    def pytest_collection_modifyitems(items: list) -> None:
        items[:] = [item for item in items if "oracle" in item.fixturenames]


def main() -> int:
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    calls = {}
    for case in CASES:
        for i, array in enumerate(evaluate(case, torch, torch.from_numpy, np.float64)):
            calls[f"{case.name}/{i}"] = array
    np.savez_compressed(FOLDER / "calls.npz", **calls)
    torch.set_default_dtype(torch.float64)  # the dtype of optimizers' scalar states
    runs = {
        f"{net.name}/{optimizer}": train(net, optimizer, torch, torch.from_numpy, np.float64).array()
        for net in NETS for optimizer in OPTIMIZERS
    }  # fmt: skip
    torch.set_default_dtype(torch.float32)
    np.savez_compressed(FOLDER / "trajectories.npz", **runs)
    oracle.written = {}
    failed = pytest.main(["-q", "-p", "no:xdist", str(TESTS / "nn"), str(TESTS / "ops")], plugins=[AskingTests()])
    oracle.save(oracle.written)
    return failed


if __name__ == "__main__":
    sys.exit(main())
