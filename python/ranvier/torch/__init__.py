"""PyTorch's names, for scripts that were written for it: `import ranvier.torch as torch`.

`python -m ranvier.torch script.py` runs such a script as it is; see `runner.py`. The names stand in `doors.py`. Importing this
package lets random numbers come from PyTorch's generator: the same seed gives the same numbers as there.

>>> import ranvier.torch as torch
>>> import ranvier.torch.nn as nn
>>> _ = torch.manual_seed(0)
>>> torch.rand(2)
tensor([0.4963, 0.7682])
"""

from __future__ import annotations

from typing import Any

from .. import random as _random
from ..core.printing import options as _printing
from . import doors as _doors
from .doors import MissingName as MissingName
from .installing import install as install, uninstall as uninstall
from .mersenne import Mersenne as _Mersenne

_random.use_streams(_Mersenne)
_printing["even"] = True
_doors.open_doors()


def __getattr__(name: str) -> Any:
    return _doors.find("torch", name)


def __dir__() -> list[str]:
    return sorted({*_doors.names("torch"), "install", "uninstall"})
