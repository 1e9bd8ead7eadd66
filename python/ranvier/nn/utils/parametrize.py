"""Parameters that are functions of others: `register_parametrization(layer, "weight", f)` makes layer.weight f(original).

>>> import ranvier as rv
>>> from ranvier import nn
>>> from ranvier.nn.utils import parametrize
>>> class Symmetric(nn.Module):
...     def forward(self, x):
...         return x.triu() + x.triu(1).T
>>> layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
>>> bool((layer.weight == layer.weight.T).all()), [name for name, _ in layer.named_parameters()]
(True, ['bias', 'parametrizations.weight.original'])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...core.context import local, no_grad
from ...core.errors import DTypeError, ShapeError, StateError
from ...tensor import Tensor
from ..container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter
from .computed import computed, plain, plain_class

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip

_seen: dict[tuple[int, str], Tensor] = {}  # what was computed within `cached`
_depth = 0


@contextmanager
def cached() -> Iterator[None]:
    """Within it each parametrized tensor is computed once, at its first use. What is traced there is computed anew.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> from ranvier.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(nn.Linear(2, 2))
    >>> with parametrize.cached():
    ...     print(layer.weight is layer.weight)
    True
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _seen.clear()


def _register(module: Module, name: str, value: Tensor) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, the first one applied first, and what they start from: `original`, or
    `original0`, `original1`, ... where the last one's right_inverse gives several. Called, it computes the tensor.
    """

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False):
        if not modules:
            raise StateError("ParametrizationList: there must be at least one parametrization")
        super().__init__(modules)
        self.unsafe = unsafe
        new = self._inverted(original, lenient=True)
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            if new.dtype != original.dtype:
                raise DTypeError(
                    f"register_parametrization: right_inverse gave {new.dtype}, must keep the original's {original.dtype}"
                )
            if new is not original:
                original.data = new.detach().clone()
            _register(self, "original", original)
        else:
            for i, part in enumerate(new):
                part = part.detach().clone()
                if isinstance(original, Parameter):
                    part = Parameter(part, original.requires_grad)
                _register(self, f"original{i}", part)
        if not unsafe:
            self._check(original)

    def _check(self, original: Tensor) -> None:
        with no_grad():
            made = self()
        wanted = tuple(original.shape) if self.is_tensor else None
        if not isinstance(made, Tensor):
            raise DTypeError(f"register_parametrization: the result is {type(made).__name__}, must be a Tensor")
        if made.dtype != original.dtype:
            raise DTypeError(
                f"register_parametrization: the result is {made.dtype}, must be {original.dtype}, unless unsafe=True"
            )
        if wanted is not None and tuple(made.shape) != wanted:
            raise ShapeError(
                f"register_parametrization: the result is {tuple(made.shape)}, must be {wanted}, unless unsafe=True"
            )

    @no_grad()
    def _inverted(self, value: Any, lenient: bool) -> Any:
        """What the parametrizations make `value` of; without a right_inverse that is the value itself, if lenient."""
        for module in reversed(list(self)):
            inverse = getattr(module, "right_inverse", None)
            if inverse is None and not lenient:
                raise StateError(
                    f"a parametrized tensor is set: {type(module).__name__} must have a right_inverse to say what makes it"
                )
            if inverse is not None:
                try:
                    value = inverse(value)
                except NotImplementedError:
                    if not lenient:
                        raise
        if not isinstance(value, Tensor) and not (
            isinstance(value, (tuple, list)) and value and all(isinstance(v, Tensor) for v in value)
        ):
            raise DTypeError(f"right_inverse gave {type(value).__name__}, must give a Tensor or several")
        return value

    def originals(self) -> list[Tensor]:
        """The tensors that this one is computed from."""
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the tensor becomes `value`, as far as it can."""
        new = self._inverted(value, lenient=False)
        parts = [new] if isinstance(new, Tensor) else list(new)
        originals = self.originals()
        if [(tuple(p.shape), p.dtype) for p in parts] != [(tuple(o.shape), o.dtype) for o in originals]:
            raise ShapeError(
                f"a parametrized tensor is set: right_inverse gave {[tuple(p.shape) for p in parts]}, the originals have "
                f"{[tuple(o.shape) for o in originals]}"
            )
        with no_grad():
            for original, part in zip(originals, parts, strict=True):
                original.copy_(part)

    def forward(self) -> Any:  # type: ignore[override]
        """The tensor."""
        first, *rest = self
        value = first(*self.originals())
        for module in rest:
            value = module(value)
        return value


class _Parametrized:
    """The rule of a parametrized attribute."""

    def __init__(self, name: str):
        self.name = name

    def read(self, module: Module) -> Tensor:
        parts = module.parametrizations[self.name]
        if not _depth or local.tracer is not None:
            return parts()
        key = (id(module), self.name)
        if key not in _seen:
            _seen[key] = parts()
        return _seen[key]

    def write(self, module: Module, value: Any) -> None:
        module.parametrizations[self.name].right_inverse(value)
        _seen.pop((id(module), self.name), None)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module, or its tensor of this name, has a parametrization."""
    parts = module.__dict__.get("parametrizations")
    if not isinstance(parts, ModuleDict):
        return False
    return len(parts) > 0 if tensor_name is None else tensor_name in parts


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make `module.tensor_name`, a parameter or buffer, parametrization(original), computed when it is read.

    The original is the parameter as it was, under `parametrizations.tensor_name.original`. With a method right_inverse
    the parametrization says what to start from, and what an assignment to the tensor sets; it may give several
    tensors, which are then `original0`, `original1`, ..., and arguments of its forward. Several parametrizations of one
    tensor follow upon each other. The result must keep shape and dtype, unless `unsafe`. Returns the module.
    """
    if not isinstance(parametrization, Module):
        raise TypeError(f"register_parametrization: {type(parametrization).__name__} must be a Module")
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        parts = module.parametrizations[tensor_name]
        before = module.__getattribute__(tensor_name)
        with no_grad():
            value: Any = before
            if hasattr(parametrization, "right_inverse"):
                try:
                    value = parametrization.right_inverse(before)
                except NotImplementedError:
                    pass
            if not isinstance(value, Tensor):
                raise DTypeError(
                    "register_parametrization: only the first parametrization may start from several tensors"
                )
            made = parametrization(value)
        if not unsafe and (made.dtype != before.dtype or tuple(made.shape) != tuple(before.shape)):
            raise ShapeError(
                f"register_parametrization: the result is {made.dtype}{tuple(made.shape)}, must be "
                f"{before.dtype}{tuple(before.shape)}, unless unsafe=True"
            )
        if value is not before:
            parts.right_inverse(value)
        parts.append(parametrization)
        parts.unsafe |= unsafe
        module._edited()
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise StateError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer {tensor_name!r}"
        )
    original = getattr(module, tensor_name)
    if original is None:
        raise StateError(f"register_parametrization: {tensor_name!r} of {type(module).__name__} is None")
    parts = ParametrizationList([parametrization], original, unsafe)
    parts.train(module.training)
    if "parametrizations" not in module.__dict__:
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = parts
    computed(module, tensor_name, _Parametrized(tensor_name))
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the tensor a plain one again, of its present value; with leave_parametrized=False of the original's, where
    there is one. Returns the module, of its own class where nothing else is parametrized.
    """
    if not is_parametrized(module, tensor_name):
        raise StateError(f"remove_parametrizations: {type(module).__name__} has no parametrization of {tensor_name!r}")
    parts = module.parametrizations[tensor_name]
    first = parts.originals()[0]
    if not leave_parametrized and not parts.is_tensor:
        raise StateError("remove_parametrizations: leave_parametrized=False needs one original, there are several")
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
    original = first
    if leave_parametrized and parts.is_tensor:
        original.data = value
    elif leave_parametrized:
        original = Parameter(value, first.requires_grad) if isinstance(first, Parameter) else value
    plain(module, tensor_name)
    _register(module, tensor_name, original)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before it was parametrized."""
    return plain_class(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give `to_module` the parametrizations of `from_module`, of one tensor or of all, with their originals' values."""
    from copy import deepcopy

    if not is_parametrized(from_module, tensor_name):
        raise StateError(f"transfer_parametrizations_and_params: {type(from_module).__name__} is not parametrized")
    for name in [tensor_name] if tensor_name is not None else list(from_module.parametrizations.keys()):
        source = from_module.parametrizations[name]
        if is_parametrized(to_module, name):
            raise StateError(f"transfer_parametrizations_and_params: {name!r} of the other module is parametrized too")
        if not hasattr(to_module, name):
            with no_grad():
                _register(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        for part in source:
            register_parametrization(to_module, name, deepcopy(part), unsafe=source.unsafe)
        with no_grad():
            for mine, theirs in zip(to_module.parametrizations[name].originals(), source.originals(), strict=True):
                mine.copy_(theirs)
    return to_module
