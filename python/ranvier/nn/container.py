"""Containers: Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import index as as_index
from typing import Any

from ..core.errors import OutOfRangeError
from ..tensor import Tensor
from .module import Module, indent
from .parameter import Parameter

__all__ = ["Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"]


class _List(Module):
    """Children (or parameters) named "0", "1", ... and used like a Python list."""

    def _items(self) -> dict[str, Any]:
        return self._modules

    def _put(self, name: str, value: Any) -> None:
        self.add_module(name, value)

    def _refill(self, values: list[Any]) -> None:
        for name in list(self._items()):
            delattr(self, name)
        for i, value in enumerate(values):
            self._put(str(i), value)

    def _name(self, i: Any) -> str:
        n, i = len(self), as_index(i)
        if not -n <= i < n:
            raise OutOfRangeError(f"index {i} is out of range for {type(self).__name__} of length {n}")
        return list(self._items())[i]

    def _slice(self, i: slice) -> Any:
        return type(self)(list(self)[i])  # type: ignore[call-arg]

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items().values())

    def __getitem__(self, i: Any) -> Any:
        return self._slice(i) if isinstance(i, slice) else self._items()[self._name(i)]

    def __setitem__(self, i: int, value: Any) -> None:
        self._put(self._name(i), value)

    def __delitem__(self, i: Any) -> None:
        values = list(self)
        del values[i]
        self._refill(values)

    def append(self, value: Any) -> Any:
        """Add one at the end."""
        number = len(self)
        while str(number) in self._items():  # a slice keeps the names that its modules had
            number += 1
        self._put(str(number), value)
        return self

    def extend(self, values: Iterable[Any]) -> Any:
        """Add several at the end."""
        for value in list(values):
            self.append(value)
        return self

    def insert(self, i: int, value: Any) -> Any:
        """Insert one before position `i`."""
        values = list(self)
        values.insert(i, value)
        self._refill(values)
        return self

    def pop(self, i: int = -1) -> Any:
        """Remove and return the one at position `i`."""
        value = self[i]
        del self[i]
        return value

    def __iadd__(self, values: Iterable[Any]) -> Any:
        return self.extend(values)

    def __add__(self, values: Iterable[Any]) -> Any:
        return self._slice(slice(None)).extend(values)


class Sequential(_List):
    """Modules applied one after another: `Sequential(a, b)(x) = b(a(x))`; also takes an OrderedDict of them.

    >>> from ranvier import nn
    >>> nn.Sequential(nn.Linear(2, 4), nn.Tanh())
    Sequential(
      (0): Linear(in_features=2, out_features=4, bias=True)
      (1): Tanh()
    )
    """

    def __init__(self, *args: Any):
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def _slice(self, i: slice) -> Sequential:
        return Sequential({name: self._modules[name] for name in list(self._modules)[i]})  # names stay, as in PyTorch

    def __delitem__(self, i: Any) -> None:
        names = list(self._modules)
        plain = names == [str(k) for k in range(len(names))]
        for name in names[i] if isinstance(i, slice) else [self._name(i)]:
            delattr(self, name)
        if plain:
            self._refill(list(self))


class ModuleList(_List):
    """A list of modules; registers them, computes nothing."""

    def __init__(self, modules: Iterable[Module] = ()):
        self.extend(modules or ())

    def _child_lines(self) -> list[str]:
        """Runs of equal children on one line: `(0-2): 3 x Linear(...)`."""
        texts = [repr(child) for child in self]
        lines, start = [], 0
        for i, text in enumerate(texts):
            if i + 1 < len(texts) and texts[i + 1] == text:
                continue
            count = i + 1 - start
            label = f"({start}): " if count == 1 else f"({start}-{i}): {count} x "
            lines.append(label + indent(text))
            start = i + 1
        return lines


class _Dict(Module):
    """Children (or parameters) by name, used like a Python dict."""

    def _items(self) -> dict[str, Any]:
        return self._modules

    def _put(self, name: str, value: Any) -> None:
        self.add_module(name, value)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __contains__(self, name: object) -> bool:
        return name in self._items()

    def __getitem__(self, name: str) -> Any:
        return self._items()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._put(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self._items():
            raise KeyError(name)
        delattr(self, name)

    def keys(self) -> Any:
        return self._items().keys()

    def values(self) -> Any:
        return self._items().values()

    def items(self) -> Any:
        return self._items().items()

    def pop(self, name: str) -> Any:
        """Remove and return the one called `name`."""
        value = self[name]
        del self[name]
        return value

    def clear(self) -> None:
        """Remove all."""
        for name in list(self):
            del self[name]

    def update(self, items: Any) -> None:
        """Add or replace from a mapping or (name, value) pairs."""
        pairs = items.items() if isinstance(items, (Mapping, _Dict)) else items
        for name, value in list(pairs):
            self[name] = value


class ModuleDict(_Dict):
    """A dict of modules; registers them, computes nothing."""

    def __init__(self, modules: Any = None):
        self.update(modules or {})


def _parameter(value: Any) -> Parameter:
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor):
        return Parameter(value)
    raise TypeError(f"{type(value).__name__} must be a Tensor or Parameter")


def _parameter_line(name: str, p: Parameter) -> str:
    size = "x".join(map(str, p.shape))
    return f"({name}): Parameter containing: [{p.dtype} of size {size}]"


class ParameterList(_List):
    """A list of parameters; tensors become parameters."""

    def __init__(self, values: Iterable[Any] = ()):
        self.extend(values or ())

    def _items(self) -> dict[str, Any]:
        return self._parameters

    def _put(self, name: str, value: Any) -> None:
        self.register_parameter(name, _parameter(value))

    def _child_lines(self) -> list[str]:
        return [_parameter_line(name, p) for name, p in self._items().items()]


class ParameterDict(_Dict):
    """A dict of parameters; tensors become parameters."""

    def __init__(self, parameters: Any = None):
        self.update(parameters or {})

    def _items(self) -> dict[str, Any]:
        return self._parameters

    def _put(self, name: str, value: Any) -> None:
        self.register_parameter(name, _parameter(value))

    def _child_lines(self) -> list[str]:
        return [_parameter_line(name, p) for name, p in self._items().items()]
