"""`weight_norm` and `spectral_norm` with their older keys: weight_g and weight_v, weight_orig, weight_u and weight_v."""

from __future__ import annotations

from typing import Any

from ...core.context import no_grad
from ...core.errors import StateError
from ..module import Module
from ..parameter import Parameter
from .computed import computed, plain, rules
from .parametrizations import (
    WeightNorm,
    as_matrix,
    by_its_norm,
    check_spectral,
    power_method,
    start_vectors,
    weight_of,
)

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]


class _Rule:
    """The rule of one weight; `parts` ends the names of what it is computed from."""

    parts: tuple[str, ...]

    def __init__(self, name: str):
        self.name = name

    def originals(self, module: Module) -> list[Any]:
        return [getattr(module, self.name + part) for part in self.parts]

    def read(self, module: Module) -> Any:
        raise NotImplementedError

    def write(self, module: Module, value: Any) -> None:
        parts = " and ".join(self.name + part for part in self.parts)
        raise StateError(f"{self.name!r} of {type(module).__name__} is computed from {parts}: set these")


class _ByLength(_Rule):
    parts = ("_g", "_v")

    def __init__(self, name: str, dim: int | None):
        super().__init__(name)
        self.norm = WeightNorm(dim)

    def read(self, module: Module) -> Any:
        return self.norm(*self.originals(module))


class _BySpectrum(_Rule):
    parts = ("_orig", "_u", "_v")

    def __init__(self, name: str, times: int, dim: int, eps: float):
        super().__init__(name)
        self.times, self.dim, self.eps = times, dim, eps
        self.hook: Any = None

    def read(self, module: Module) -> Any:
        weight, u, v = self.originals(module)
        return by_its_norm(weight, self.dim, u, v)

    def before_forward(self, module: Module, args: tuple) -> None:
        if module.training:
            weight, u, v = self.originals(module)
            matrix = as_matrix(weight.detach(), self.dim)
            power_method(matrix.transpose(0, 1), v, u, self.times, self.eps)  # v moves first


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """`parametrizations.weight_norm` with the parameters `weight_g` and `weight_v`. Returns the module.

    >>> from ranvier import nn
    >>> [key for key, _ in nn.utils.weight_norm(nn.Linear(2, 3)).named_parameters()]
    ['bias', 'weight_g', 'weight_v']
    """
    weight = weight_of("weight_norm", module, name)
    _refuse_twice("weight_norm", module, name)
    rule = _ByLength(name, dim)
    with no_grad():
        values = rule.norm.right_inverse(weight.detach())
    computed(module, name, rule)
    for part, value in zip(rule.parts, values, strict=True):
        module.register_parameter(name + part, Parameter(value.clone(), weight.requires_grad))
    return module


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """`parametrizations.spectral_norm` with the parameter `weight_orig` and the buffers `weight_u` and `weight_v`, which
    move once in each forward pass in training. Returns the module.

    >>> from ranvier import nn
    >>> list(nn.utils.spectral_norm(nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight: Any = weight_of("spectral_norm", module, name)
    _refuse_twice("spectral_norm", module, name)
    rule = _BySpectrum(name, n_power_iterations, check_spectral(module, weight, n_power_iterations, dim), eps)
    computed(module, name, rule)
    module.register_parameter(f"{name}_orig", weight)
    for part, start in zip(("_u", "_v"), start_vectors(weight, rule.dim, eps)):
        module.register_buffer(name + part, start)
    rule.hook = module.register_forward_pre_hook(rule.before_forward)
    return module


def _refuse_twice(function: str, module: Module, name: str) -> None:
    if name in rules(module):
        raise StateError(f"{function}: {name!r} of {type(module).__name__} is computed already")


def _removed(function: str, kind: type[_Rule], module: Module, name: str) -> Module:
    rule = rules(module).get(name)
    if not isinstance(rule, kind):
        raise StateError(f"{function}: {name!r} of {type(module).__name__} has no such norm")
    with no_grad():
        value = rule.read(module).detach().clone()
    first = rule.originals(module)[0]
    plain(module, name)
    for part in rule.parts:
        delattr(module, name + part)
    module.register_parameter(name, Parameter(value, first.requires_grad))
    if isinstance(rule, _BySpectrum):
        rule.hook.remove()
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a parameter again, of its present value."""
    return _removed("remove_weight_norm", _ByLength, module, name)


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a parameter again, of its present value."""
    return _removed("remove_spectral_norm", _BySpectrum, module, name)
