"""Optimizer: parameter groups, states, and one op a group for each step."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..compiling.guards import Guards
from ..core.context import Epoch, current_backend, enable_grad, local
from ..core.dtypes import is_float
from ..core.errors import DTypeError, ShapeError
from ..core.memory import aligned_full
from ..core.tensor import from_numpy
from ..graph.ir import Graph
from ..ops.optim import UpdateRule
from ..tensor import Tensor
from .param_group import CountedList, ParamGroup

# entries of an op's hyper vector and flags -> where a parameter group keeps them
_WITHIN = {
    "beta1": ("betas", 0), "beta2": ("betas", 1), "etaminus": ("etas", 0), "etaplus": ("etas", 1),
    "step_min": ("step_sizes", 0), "step_max": ("step_sizes", 1),
}  # fmt: skip
_FLAG = {"decoupled": "decoupled_weight_decay"}


class _Bucket:
    """Parameters of one group and dtype that have made the same steps: what one op call updates."""

    def __init__(self, call: Any, hyper: Tensor, clock: Tensor, params: list[Tensor], states: list[Tensor]):
        self.call, self.hyper, self.params = call, hyper, params
        self.heads, self.states = (hyper, clock, *params), states
        self.targets = (clock, *params, *states)
        self._program: Any = None
        self._backend: Any = None
        self._guards: Any = None

    def trace(self) -> None:
        """Record the update as a part of the function that is being traced."""
        outs = self.call.apply((*self.heads, *(p.grad for p in self.params), *self.states))
        for target, out in zip(self.targets, outs, strict=True):
            target._assign(out)

    def run(self) -> None:
        """Update now, in place, by a program that is kept."""
        backend = current_backend()
        if backend is not self._backend or not self._guards.hold():
            self._guards, self._backend = Guards([*self.heads, *self.states]), backend
            self._program = self._compile()
        grads: list[Any] = [p.grad for p in self.params]
        self._program.run(*[g._data for g in grads])
        for t in self.targets:
            t._changed()

    def _compile(self) -> Any:
        graph = Graph()
        heads, states = [graph.state(t) for t in self.heads], [graph.state(t) for t in self.states]
        grads = [graph.input(p.shape, p.dtype) for p in self.params]
        inputs = [*heads, *grads, *states]
        node = graph.add(self.call, inputs, self.call.op.infer(*inputs, **self.call.attrs))
        graph.updates = dict(zip([*heads[1:], *states], node.outputs, strict=True))
        return current_backend().compile(graph)


class Optimizer:
    """Base class of all optimizers: `params` are Tensors, (name, Tensor) pairs, or dicts of groups with own
    options.

    A subclass names its op (`_rule`) and its defaults. Hyperparameters are read from `param_groups` at each
    step, also by compiled steps; only flags such as `nesterov` make a compiled step trace again.

    Raises ValueError for hyperparameters out of range, for tensors that are no leaves and for repeated ones.
    """

    _rule: UpdateRule
    # kind of state -> the hyperparameter that fills it; others begin with zeros
    _initial: dict[str, str] = {}
    _unused = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        if isinstance(params, Tensor):
            raise TypeError(f"{type(self).__name__}: params is one Tensor; pass a list of them")
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = CountedList()
        # steps done and scalar states, shared by the tensors of a bucket
        self._clocks: dict[Tensor, Tensor] = {}
        # of each group: the op's hyper vector, and its last values
        self._hypers: list[tuple[Tensor, list]] = []
        # of each group: what the buckets were made for, and the buckets
        self._plans: list[tuple] = []
        self._entries = [_WITHIN.get(name, (name, None)) for name in self._rule.hyper]
        self._flag_names = [_FLAG.get(name, name) for name in self._rule.defaults]
        self._generation = 0  # counts changes after which a compiled step no longer holds
        self._stepped = False
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{type(self).__name__}: params is a set, whose order changes from run to run; pass a list")
        try:
            groups = list(params)
        except TypeError:
            raise TypeError(
                f"{type(self).__name__}: params of type {type(params).__name__} must be a list of Tensors, such as "
                "model.parameters()"
            ) from None
        if not groups:
            raise ValueError(f"{type(self).__name__}: params is empty")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self) -> dict[str, Any]:  # copies and files hold no programs
        return {**self.__dict__, "_plans": [((), []) for _ in self._plans]}

    # ------------------------------------------------------------ groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a dict with "params" and options that differ from the defaults."""
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"{name}: a parameter group must be a dict with 'params'")
        listed = param_group["params"]
        listed = [listed] if isinstance(listed, Tensor) else list(listed)
        names = [item[0] for item in listed if isinstance(item, tuple)]
        if names and len(names) != len(listed):
            raise ValueError(f"{name}: name all parameters of a group, or none")
        params = [item[1] for item in listed] if names else listed
        taken = {id(p) for group in self.param_groups for p in group["params"]}
        for position, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{name}: params[{position}] is a {type(p).__name__}, must be a Tensor")
            if not p.is_leaf:
                raise ValueError(f"{name}: params[{position}], shape {p.shape}, is a result of operations, no leaf")
            if not is_float(p.dtype):
                raise ValueError(f"{name}: params[{position}] has dtype {p.dtype}, must be float32 or float64")
            if id(p) in taken:
                raise ValueError(f"{name}: params[{position}], shape {p.shape}, is there already")
            taken.add(id(p))
        unknown = param_group.keys() - self.defaults.keys() - {"params", "param_names", "initial_lr"}
        if unknown:
            raise ValueError(f"{name}: unknown options {sorted(unknown)}; it takes {', '.join(self.defaults)}")
        group = {**self.defaults, **param_group, "params": CountedList(params)}
        for key, place in self._entries:  # a list could be changed unseen by compiled steps
            if place is not None and isinstance(group[key], list):
                group[key] = tuple(group[key])
        if names:
            group["param_names"] = names
        self._check(group)
        self.param_groups.append(ParamGroup(group))
        self._hypers.append((from_numpy(np.zeros(len(self._rule.hyper))), []))
        self._plans.append(((), []))
        self._restructured()

    def _check(self, group: dict[str, Any]) -> None:
        """Refuse hyperparameters out of range."""
        name = type(self).__name__
        for key, value in group.items():
            if isinstance(value, bool) or key in ("params", "param_names"):
                continue
            places = [place for entry, place in self._entries if entry == key]  # None: the number itself
            if value is None and not places:
                continue
            if any(place is not None for place in places) and not isinstance(value, (tuple, list)):
                raise TypeError(f"{name}: {key}={value!r} must be a tuple of numbers")
            if isinstance(value, (Tensor, np.ndarray)):  # compiled steps would not see it change
                raise TypeError(f"{name}: {key} is a {type(value).__name__}, must be a number; pass {key}.item()")
            low, high, fits = _RANGES.get(key, (-math.inf, math.inf, ">= -inf"))
            for position, number in enumerate(value if isinstance(value, (tuple, list)) else [value]):
                try:
                    inside = low <= float(number) < high
                except (TypeError, ValueError):
                    raise TypeError(f"{name}: {key}={value!r} must be a number, or several of them") from None
                if not inside:
                    where = f"{key}[{position}]" if isinstance(value, (tuple, list)) else key
                    raise ValueError(f"{name}: {where}={number} must be {fits}")
        if group.get("differentiable"):
            raise ValueError(f"{name}: differentiable=True is not supported")

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
        for group in self.param_groups:
            if set_to_none:
                if local.tracer is not None:
                    local.tracer.grads_cleared(group["params"])
                for p in group["params"]:
                    p.grad = None
            else:
                for p in group["params"]:
                    if p.grad is not None:
                        p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient. `closure` computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._check_gradients()
        self._stepped = True
        tracer = local.tracer
        if tracer is not None:
            tracer.guard(self._structure)
        recording, local.grad_enabled = local.grad_enabled, False
        try:
            for index, group in enumerate(self.param_groups):
                if tracer is not None:  # each run of the trace will read the hyperparameters anew
                    tracer.host_update(partial(self._refresh, index))
                else:
                    self._refresh(index)
                for bucket in self._buckets(index, group):
                    if tracer is not None:
                        bucket.trace()
                    else:
                        bucket.run()
        finally:
            local.grad_enabled = recording
        return loss

    def _check_gradients(self) -> None:
        """Refuse gradients that do not fit, before anything changes."""
        for group in self.param_groups:
            for position, p in enumerate(group["params"]):
                g = p.grad
                if (
                    g is None
                    or isinstance(g, Tensor)
                    and g._data.shape == p._data.shape
                    and g._data.dtype == p._data.dtype
                ):
                    continue
                name = f"{type(self).__name__}.step: .grad of params[{position}]"
                if not isinstance(g, Tensor):
                    raise DTypeError(f"{name} is a {type(g).__name__}, must be a Tensor")
                if g.shape != p.shape:
                    raise ShapeError(f"{name} has shape {g.shape}, the parameter {p.shape}")
                raise DTypeError(f"{name} has dtype {g.dtype}, the parameter {p.dtype}")

    def _refresh(self, index: int) -> None:
        """Bring a group's numbers into its hyper vector."""
        group, (hyper, last) = self.param_groups[index], self._hypers[index]
        values = [float(group[key] if i is None else group[key][i]) for key, i in self._entries]
        if values != last:
            hyper._data[:] = last[:] = values
            hyper._changed()

    def _flags(self, group: dict[str, Any]) -> tuple[bool, ...]:
        return tuple([bool(group[name]) for name in self._flag_names])

    def _restructured(self) -> None:
        """Let compiled steps be traced again."""
        self._generation += 1
        Epoch.bump()

    def _structure(self) -> tuple:
        """What a compiled step depends on besides numbers."""
        members = [(id(group), *map(id, group["params"])) for group in self.param_groups]
        return (self._generation, *map(self._flags, self.param_groups), *members)

    # ------------------------------------------------------------ states

    def _buckets(self, index: int, group: dict[str, Any]) -> list[_Bucket]:
        """The op calls that a step of this group needs, made again when flags or the set of gradients
        change.
        """
        live = [p for p in group["params"] if p.grad is not None]
        flags = self._flags(group)
        key = (self._generation, flags, [id(p) for p in live])
        made_for, buckets = self._plans[index]
        if made_for == key:
            return buckets
        attrs = dict(zip(self._rule.defaults, flags, strict=True))
        kinds = self._rule.states(**attrs)
        by_clock: dict[tuple, list[Tensor]] = {}
        for p in live:
            by_clock.setdefault((p.dtype, id(self._clocks.get(p))), []).append(p)
        buckets = []
        for params in by_clock.values():
            clock = self._clock_of(params, group)
            for p in params:
                for kind in kinds:
                    if kind not in self.state[p]:
                        value = float(group[self._initial[kind]]) if kind in self._initial else 0.0
                        self.state[p][kind] = from_numpy(aligned_full(p.shape, value, p.dtype))
            states = [self.state[p][kind] for kind in kinds for p in params]
            buckets.append(_Bucket(self._rule.bind(**attrs), self._hypers[index][0], clock, params, states))
        self._plans[index] = ((self._generation, *key[1:]), buckets)
        return buckets

    def _clock_of(self, params: list[Tensor], group: dict[str, Any]) -> Tensor:
        """The clock that exactly these tensors share; one that others share too is split."""
        clock = self._clocks.get(params[0])
        if clock is not None:
            if sum(other is clock for other in self._clocks.values()) == len(params):
                return clock
            self._restructured()
            values = clock._data.copy()
        else:
            numbers = {name: float(group[name]) for name in self._rule.clock.values() if isinstance(name, str)}
            values = self._rule.first_clock(**numbers)
        return self._set_clock(params, values)

    def _set_clock(self, params: list[Tensor], values: np.ndarray) -> Tensor:
        clock = from_numpy(values)
        for p in params:
            self._clocks[p] = clock
            for position, name in enumerate(("step", *self._rule.clock)):
                self.state[p][name] = from_numpy(values[position : position + 1].reshape(()))
        return clock

    def state_dict(self) -> dict[str, Any]:
        """States and groups in PyTorch's layout, with tensors numbered in order of their groups."""
        number = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        return {
            "state": {number[id(p)]: dict(state) for p, state in self.state.items() if state},
            "param_groups": [
                {**group, "params": [number[id(p)] for p in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over states and options, also from PyTorch's optimizer of the same name.

        Raises ValueError, before anything changes, where groups, parameters or shapes do not fit.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"param_groups", "state"} <= state_dict.keys():
            raise ValueError(f"{name}.load_state_dict: a dict with 'state' and 'param_groups' is needed")
        saved = state_dict["param_groups"]
        sizes, own = [len(g["params"]) for g in saved], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(f"{name}.load_state_dict: groups of {sizes} parameters do not fit groups of {own}")
        tensors: dict[Tensor, dict[str, np.ndarray]] = {}
        clocks: list[dict[tuple, list[Tensor]]] = []
        scalars = ("step", *self._rule.clock)
        for group, theirs in zip(self.param_groups, saved, strict=True):
            clocks.append({})
            for p, number in zip(group["params"], theirs["params"], strict=True):
                entry = {k: _to_array(v) for k, v in state_dict["state"].get(number, {}).items() if v is not None}
                if not entry:
                    continue
                # an optimizer of PyTorch that counts no steps has made one where it has a state
                entry.setdefault("step", np.array(1.0))
                missing = [k for k in scalars if k not in entry]
                if missing:
                    raise ValueError(f"{name}.load_state_dict: state {number} lacks {missing}")
                values = tuple(float(entry.pop(k)) for k in scalars)
                for kind, value in entry.items():
                    if value.shape != p.shape:
                        raise ValueError(
                            f"{name}.load_state_dict: {kind!r} of parameter {number} has shape "
                            f"{value.shape}, the parameter {p.shape}"
                        )
                tensors[p] = {k: np.array(v, p.dtype) for k, v in entry.items()}
                clocks[-1].setdefault((p.dtype, values), []).append(p)
        for group, theirs in zip(self.param_groups, saved, strict=True):
            options = {k: tuple(v) if isinstance(v, list) else v for k, v in theirs.items()}
            group.update({k: v for k, v in options.items() if k not in ("params", "param_names")})
        self.state.clear()
        self._clocks.clear()
        for by_value in clocks:
            for (_, values), params in by_value.items():
                self._set_clock(params, np.array(values))
        for p, entry in tensors.items():
            self.state[p].update((kind, from_numpy(value)) for kind, value in entry.items())
        self._restructured()


def _to_array(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


_POSITIVE = (0.0, math.inf, ">= 0")
_RANGES: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(
        (
            "lr",
            "eps",
            "weight_decay",
            "momentum",
            "alpha",
            "momentum_decay",
            "lr_decay",
            "initial_accumulator_value",
        ),
        _POSITIVE,
    ),
    "betas": (0.0, 1.0, "in [0, 1)"),
    "rho": (0.0, math.nextafter(1.0, 2.0), "in [0, 1]"),
}
