"""Optimizer: groups of parameters, states, hooks, and what is saved of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from ..autograd.hooks import RemovableHandle
from ..core.context import Epoch, local, phase
from ..core.dtypes import is_float
from ..core.memory import aligned_copy
from ..core.tensor import from_numpy, with_grad
from ..tensor import Tensor
from .watched import GroupList, ParamGroup, States

_HINTS = {"learning_rate": "lr", "l2": "weight_decay", "beta_1": "betas", "beta_2": "betas", "epsilon": "eps"}

Kind = TypeVar("Kind", bound="Optimizer")


def _hooked(step: Callable) -> Callable:
    """`step` with the hooks before and after it; one that calls its base's runs them once."""

    @functools.wraps(step)
    def noted(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if local.tracer is None:
            return run(self, *args, **kwargs)
        with phase("optimizer"):
            return run(self, *args, **kwargs)

    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._stepped = True
        if local.tracer is not None:
            local.tracer.guard(self._hooks)
        if self._in_step or not (self._own_step or self._before_step or self._after_step):
            return step(self, *args, **kwargs)
        for hook in list(self._before_step.values()):
            replaced = hook(self, args, kwargs)
            if replaced is not None:
                args, kwargs = replaced
        self._in_step = True
        try:
            result = step(self, *args, **kwargs)
        finally:
            self._in_step = False
        if self._own_step and local.tracer is not None:
            local.tracer.guard(self._options)
        for hook in list(self._after_step.values()):
            hook(self, args, kwargs)
        return result

    return noted


class Optimizer:
    """Base class of all optimizers: `params` are Tensors, (name, Tensor) pairs, or dicts of groups with own
    options, which may hold further keys of your own.

    `param_groups` and `state` are what steps work with: change them, replace them or take entries out, and the next
    step does as they say, also in a compiled function. An optimizer of your own defines `step`, and keeps tensors
    that it changes in place in `state[p]`:

    >>> import ranvier as rv
    >>> class SignDescent(rv.optim.Optimizer):
    ...     def __init__(self, params, lr=0.1):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     @rv.no_grad()
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 if p.grad is not None:
    ...                     p.sub_(group["lr"] * p.grad.sign())
    >>> w = rv.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = SignDescent([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5, -1.5]

    Raises ValueError for tensors that are no leaves and for repeated ones.
    """

    _own_step = False  # whether `step` is Python that may read any option
    # taken for PyTorch's sake: every step is fused
    _unused = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _hooked(cls.step)  # type: ignore[method-assign]
            cls._own_step = vars(cls).get("_own_step", True)

    def __new__(cls: type[Kind], *args: Any, **kwargs: Any) -> Kind:
        for wrong in kwargs.keys() & _HINTS.keys():
            if wrong not in inspect.signature(cls.__init__).parameters:
                raise TypeError(f"{cls.__name__}: unexpected argument {wrong!r}; it is called {_HINTS[wrong]!r} here")
        return super().__new__(cls)

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise TypeError(f"{name}: params is one Tensor; pass a list of them")
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{name}: params is a set, whose order changes from run to run; pass a list")
        self.defaults = defaults
        self._state, self._param_groups = States(), GroupList()
        self._before_step: dict[int, Callable] = {}
        self._after_step: dict[int, Callable] = {}
        self._stepped = self._in_step = False
        try:
            groups = list(params)
        except TypeError:
            raise TypeError(
                f"{name}: params of type {type(params).__name__} must be a list of Tensors, such as model.parameters()"
            ) from None
        if not groups:
            raise ValueError(f"{name}: params is empty")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_before_step": {}, "_after_step": {}}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    # ------------------------------------------------------------ groups and states

    @property
    def state(self) -> dict[Any, Any]:
        """Parameter -> its states by name. What is taken out begins anew at the next step."""
        return self._state

    @state.setter
    def state(self, entries: Mapping[Any, Any]) -> None:
        self._state = entries if type(entries) is States else States(entries)
        Epoch.bump()

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups: dicts of "params" and options, which may be changed at any time."""
        return self._param_groups

    @param_groups.setter
    def param_groups(self, groups: Iterable[dict[str, Any]]) -> None:
        self._param_groups = GroupList(self._as_group(group) for group in groups)
        Epoch.bump()

    def _as_group(self, group: Any) -> ParamGroup:
        """A group with the defaults of what it does not say."""
        if type(group) is ParamGroup:
            return group
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f"{type(self).__name__}: a parameter group must be a dict with 'params'")
        return ParamGroup({**self.defaults, **group})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a dict with "params" and options that differ from the defaults."""
        name = type(self).__name__
        group = self._as_group(dict(param_group) if isinstance(param_group, dict) else param_group)
        names = [item[0] for item in group["params"] if isinstance(item, tuple)]
        if names and len(names) != len(group["params"]):
            raise ValueError(f"{name}: name all parameters of a group, or none")
        if names:
            group["params"], group["param_names"] = [item[1] for item in group["params"]], names
        taken = {id(p) for other in self._param_groups for p in other["params"]}
        for position, p in enumerate(group["params"]):
            if not isinstance(p, Tensor):
                raise TypeError(f"{name}: params[{position}] is a {type(p).__name__}, must be a Tensor")
            if not p.is_leaf:
                raise ValueError(f"{name}: params[{position}], shape {p.shape}, is a result of operations, no leaf")
            if not is_float(p.dtype):
                raise ValueError(f"{name}: params[{position}] has dtype {p.dtype}, must be float32 or float64")
            if id(p) in taken:
                raise ValueError(f"{name}: params[{position}], shape {p.shape}, is there already")
            taken.add(id(p))
        for wrong in group.keys() & _HINTS.keys() - self.defaults.keys():
            raise TypeError(f"{name}: unexpected option {wrong!r} of a group; it is called {_HINTS[wrong]!r} here")
        self._check(group)
        self._param_groups.append(group)

    def _check(self, group: dict[str, Any]) -> None:
        """Refuse options that do not fit."""

    def __repr__(self) -> str:
        lines = []
        for index, group in enumerate(self.param_groups):
            shown = {k: v for k, v in group.items() if k not in ("params", "param_names", *self._unused)}
            lines.append(
                f"  group {index}: {len(group['params'])} tensors, " + ", ".join(f"{k}={v}" for k, v in shown.items())
            )
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"

    # ------------------------------------------------------------ steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or fill them with zeros."""
        for group in self._param_groups:
            if set_to_none:
                if local.tracer is not None:
                    local.tracer.grads_cleared(group["params"])
                for p in group["params"]:
                    p.grad = None
            else:
                for p in with_grad(group["params"]):
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient. `closure` computes the loss and its gradients first."""
        raise NotImplementedError(f"{type(self).__name__} must define step()")

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return other (args, kwargs) for it."""
        return _register(self._before_step, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return _register(self._after_step, hook)

    def _hooks(self) -> list[int]:
        """Which hooks run around a step."""
        return [*map(id, self._before_step.values()), 0, *map(id, self._after_step.values())]

    def _options(self) -> list:
        """Whatever a step in Python may have read besides tensors' values."""
        plain = (int, float, str, tuple, type(None))
        groups = [
            (
                list(map(id, g["params"])),
                {k: v if isinstance(v, plain) else id(v) for k, v in g.items() if k != "params"},
            )
            for g in self._param_groups
        ]
        return [self._state.edits, groups]

    # ------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Any]:
        """States and groups in PyTorch's layout, with tensors numbered in order of their groups."""
        groups = self._param_groups
        number = {id(p): i for i, p in enumerate(p for group in groups for p in group["params"])}
        states = {
            number[id(key)] if isinstance(key, Tensor) else key: dict(entry) if isinstance(entry, dict) else entry
            for key, entry in self._state.items()
            if entry and (not isinstance(key, Tensor) or id(key) in number)
        }
        return {
            "state": states,
            "param_groups": [{**group, "params": [number[id(p)] for p in group["params"]]} for group in groups],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over states and options, also from PyTorch's optimizer of the same name.

        Raises ValueError or TypeError, before anything changes, where groups, parameters, options or shapes do not
        fit.
        """
        where = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping) or not {"param_groups", "state"} <= state_dict.keys():
            raise ValueError(f"{where}: a dict with 'state' and 'param_groups' is needed")
        saved, groups = state_dict["param_groups"], self._param_groups
        sizes, own = [len(g["params"]) for g in saved], [len(g["params"]) for g in groups]
        if sizes != own:
            raise ValueError(f"{where}: groups of {sizes} parameters do not fit groups of {own}")
        states, rest, options = {}, dict(state_dict["state"]), []
        for group, theirs in zip(groups, saved, strict=True):
            options.append({k: tuple(v) if isinstance(v, list) else v for k, v in theirs.items() if k != "params"})
            if "param_names" in theirs:
                options[-1]["param_names"] = group.get("param_names", theirs["param_names"])
            self._check({**group, **options[-1]})
            for p, number in zip(group["params"], theirs["params"], strict=True):
                entry = rest.pop(number, None)
                if entry:
                    states[p] = self._loaded(p, entry, f"{where}: state {number}")
        states.update((key, entry) for key, entry in rest.items() if not isinstance(key, int))
        for group, changed in zip(groups, options, strict=True):
            group.update(changed)
        self.state = states

    def _loaded(self, p: Tensor, entry: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The states of `p` from a file, as copies: floats of its shape in its dtype."""
        return {name: _copied(value, p, name == "step") for name, value in entry.items()}


def _copied(value: Any, p: Tensor, count: bool) -> Any:
    """A copy of a state of `p`, or of a list of them, made of Ranvier's tensors."""
    if isinstance(value, (list, tuple)):
        return [_copied(v, p, count) for v in value]
    if not hasattr(value, "detach") and not isinstance(value, np.ndarray):
        return value
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    like_p = array.shape == p.shape and not count and np.issubdtype(array.dtype, np.floating)
    return from_numpy(aligned_copy(np.asarray(array, p.dtype if like_p else array.dtype)))


def _register(hooks: dict[int, Callable], hook: Callable) -> RemovableHandle:
    number = max(hooks, default=-1) + 1
    hooks[number] = hook
    Epoch.bump()

    def take_off(number: int) -> None:
        hooks.pop(number, None)
        Epoch.bump()

    return RemovableHandle(take_off, number)
