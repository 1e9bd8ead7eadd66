"""Write tests/goldens/*.npz with PyTorch: python tests/support/make_goldens.py"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from torch_cases import CASES, NETS, OPTIMIZERS, evaluate, train

FOLDER = Path(__file__).parents[1] / "goldens"


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
    failed = pytest.main(["-q", "-p", "no:xdist", "-m", "torch", str(FOLDER.parent)])
    oracle.save(oracle.written)
    return failed


if __name__ == "__main__":
    sys.exit(main())
