"""`torch.jit`: what traces is compiled, and what would be saved as TorchScript is refused."""

from __future__ import annotations

from typing import Any, NoReturn

from ...compiling import compile as _compile
from ...core.errors import BackendError as _BackendError


def trace(func: Any, example_inputs: Any = None, **options: Any) -> Any:
    """`rv.compile` of a module or function."""
    return _compile(func)


def script(obj: Any, **options: Any) -> Any:
    """`rv.compile` of a module or function, which is traced at its first call."""
    return _compile(obj)


def load(f: Any, map_location: Any = None) -> NoReturn:
    """Refused: TorchScript is code."""
    raise _BackendError("jit.load: TorchScript archives hold code, which is not run; save a state_dict instead")


save = load
