"""Write tests/goldens/oracle.npz with PyTorch: python tests/support/make_goldens.py"""

from __future__ import annotations

import sys
from pathlib import Path

import oracle
import pytest
import torch


def main() -> int:
    torch.set_num_threads(1)
    oracle.written = {}
    failed = pytest.main(["-q", "-p", "no:xdist", "-m", "torch", str(Path(__file__).parents[1])])
    oracle.save(oracle.written)
    return failed


if __name__ == "__main__":
    sys.exit(main())
