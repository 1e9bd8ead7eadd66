"""PyTorch's names, for scripts that were written for it: `import ranvier.torch as torch`.

`python -m ranvier.torch script.py` runs such a script as it is; see `runner.py`. The names stand in `doors.py`.
Importing this package switches to PyTorch's random numbers and print: see `as_pytorch`.

>>> import ranvier.torch as torch
>>> import ranvier.torch.nn as nn
>>> nn.Linear(2, 3)(torch.ones(4, 2)).shape
(4, 3)
"""

from __future__ import annotations

from typing import Any

from .. import random as _random
from ..core.printing import options as _printing
from . import doors as _doors
from .doors import MissingName as MissingName
from .installing import install as install
from .installing import uninstall as uninstall
from .mersenne import Mersenne as _Mersenne


def as_pytorch(mode: bool = True) -> None:
    """Draw PyTorch's random numbers (the same seed gives the same weights, masks and orders), and print tensors as PyTorch
    does; False goes back to Ranvier's own. The generator is newly seeded where it changes.

    >>> import ranvier.torch as torch
    >>> torch.as_pytorch()
    >>> _ = torch.manual_seed(0)
    >>> torch.rand(2)
    tensor([0.4963, 0.7682])
    >>> torch.as_pytorch(False)
    """
    _random.use_streams(_Mersenne if mode else _random.Philox)
    _printing["even"] = mode


as_pytorch()
_doors.open_doors()


def __getattr__(name: str) -> Any:
    return _doors.find("torch", name)


def __dir__() -> list[str]:
    return sorted({*_doors.names("torch"), "as_pytorch", "install", "uninstall"})
