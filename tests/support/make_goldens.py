"""Write tests/goldens/*.npz with PyTorch, in float64: python tests/make_goldens.py"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch_cases import CASES, NETS, OPTIMIZERS, evaluate, train

FOLDER = Path(__file__).parents[1] / "goldens"


def main() -> None:
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
    np.savez_compressed(FOLDER / "trajectories.npz", **runs)


if __name__ == "__main__":
    main()
