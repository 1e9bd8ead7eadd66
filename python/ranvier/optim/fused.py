"""FusedOptimizer: one op a group for each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from .. import ops
from ..compiling.guards import Guards
from ..core.context import current_backend, enable_grad, local, versions
from ..core.dtypes import float64
from ..core.errors import DTypeError, ShapeError
from ..core.memory import aligned_full
from ..core.tensor import from_numpy
from ..graph.ir import Graph
from ..ops.optim import UpdateRule
from ..tensor import Tensor
from .optimizer import Optimizer
from .watched import ParamGroup

# entries of an op's hyper vector and flags -> where a parameter group keeps them
_WITHIN = {
    "beta1": ("betas", 0), "beta2": ("betas", 1), "etaminus": ("etas", 0), "etaplus": ("etas", 1),
    "step_min": ("step_sizes", 0), "step_max": ("step_sizes", 1),
}  # fmt: skip
_FLAG = {"decoupled": "decoupled_weight_decay"}


class _Bucket:
    """Parameters of one group and dtype: what one op call updates."""

    def __init__(self, call: Any, hyper: Tensor, params: list[Tensor], states: list[Tensor]):
        self.call, self.hyper, self.params, self.states = call, hyper, params, states
        self._targets = (*params, *states)
        self._program: Any = None
        self._backend: Any = None
        self._guards: Any = None

    def trace(self, hyper: Tensor) -> None:
        """Record the update as a part of the function that is being traced."""
        outs = self.call.apply((hyper, *self.params, *(p.grad for p in self.params), *self.states))
        for target, out in zip(self._targets, outs, strict=True):
            target._assign(out)

    def run(self) -> None:
        """Update now, in place, by a program that is kept."""
        backend = current_backend()
        if backend is not self._backend or not self._guards.hold():
            self._guards, self._backend = Guards([self.hyper, *self._targets]), backend
            self._program = self._compile()
        grads: list[Any] = [p.grad for p in self.params]
        self._program.run(*[g._data for g in grads])
        for p in self.params:
            p._changed()
        version = next(versions)
        for t in self.states:  # no views, and not on the tape
            t._version = version

    def _compile(self) -> Any:
        graph = Graph()
        hyper, targets = graph.state(self.hyper), [graph.state(t) for t in self._targets]
        grads = [graph.input(p.shape, p.dtype) for p in self.params]
        inputs = [hyper, *targets[: len(grads)], *grads, *targets[len(grads) :]]
        node = graph.add(self.call, inputs, self.call.op.infer(*inputs, **self.call.attrs))
        graph.updates = dict(zip(targets, node.outputs, strict=True))
        return current_backend().compile(graph)


class _Plan:
    """The buckets of a group, for the flags and gradients of `key` and the states of `states`."""

    def __init__(self, key: list, buckets: list[_Bucket], states: list[tuple[Tensor, str, Tensor]]):
        self.key, self.buckets, self.states, self.edits = key, buckets, states, -1


class FusedOptimizer(Optimizer):
    """Base of the optimizers whose step is an op: a subclass names it (`_rule`) and its defaults.

    Hyperparameters are numbers, or tensors of one element, and are read from `param_groups` at each step, also by
    compiled steps; only flags such as `nesterov` make a compiled step trace again.

    Raises ValueError for hyperparameters out of range.
    """

    _rule: UpdateRule
    _own_step = False
    _entries: list[tuple[str, int | None]]  # where a group keeps the entries of the op's hyper vector
    _flag_names: list[str]
    _read: Callable[[ParamGroup], tuple]  # all of these options

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_rule" in vars(cls):
            cls._entries = [_WITHIN.get(name, (name, None)) for name in cls._rule.hyper]
            cls._flag_names = [_FLAG.get(name, name) for name in cls._rule.defaults]
            cls._read = staticmethod(itemgetter(*dict(cls._entries), *cls._flag_names))

    # ------------------------------------------------------------ options

    def _check(self, group: dict[str, Any]) -> None:
        """Refuse hyperparameters out of range."""
        name, places = type(self).__name__, dict(self._entries)
        for key in {**places, **{v: None for v in self._rule.initial.values() if isinstance(v, str)}}:
            value, pair = group[key], places.get(key) is not None
            if pair and isinstance(value, list):  # could be changed unseen by compiled steps
                value = group[key] = tuple(value)
            if pair and not (isinstance(value, tuple) and len(value) == 2):
                raise TypeError(f"{name}: {key}={value!r} must be a tuple of two numbers")
            low, high, fits = _RANGES.get(key, (-math.inf, math.inf, "a number"))
            for position, number in enumerate(value if pair else [value]):
                where = f"{key}[{position}]" if pair else key
                if isinstance(number, np.ndarray):  # compiled steps would not see it change
                    raise TypeError(f"{name}: {where} is an ndarray, must be a number; pass {where}.item()")
                if isinstance(number, Tensor) and number.numel() != 1:
                    raise ValueError(f"{name}: {where} is a Tensor of shape {number.shape}, must have one element")
                try:
                    inside = low <= _number(number) < high
                except (TypeError, ValueError):
                    raise TypeError(f"{name}: {where}={number!r} must be a number") from None
                if not inside:
                    raise ValueError(f"{name}: {where}={number} must be {fits}")
        if group.get("differentiable"):
            raise ValueError(f"{name}: differentiable=True is not supported")

    def _values(self, group: ParamGroup) -> list[Any]:
        return [group[key] if i is None else group[key][i] for key, i in self._entries]

    def _refresh(self, group: ParamGroup, traced: frozenset[int] = frozenset()) -> None:
        """Bring a group's flags, and its hyper vector, up to date, but for the tensors that a trace reads itself."""
        seen = self._read(group)
        if seen == group.seen:
            return
        if group.hyper is None:
            group.hyper = (from_numpy(np.zeros(len(self._entries))), [])
        hyper, last = group.hyper
        try:
            values = self._values(group)
            for i in traced:
                values[i] = 0.0 if isinstance(values[i], Tensor) else values[i]
            numbers = list(map(_number, values))
        except (TypeError, ValueError, LookupError):
            self._check(group)
            raise
        if numbers != last:
            hyper._data[:] = last[:] = numbers
            hyper._changed()
        group.flags = [type(value := group[name]) is Tensor or bool(value) for name in self._flag_names]
        group.seen = None if any(isinstance(value, Tensor) for value in self._values(group)) else seen

    def _traced_hyper(self, group: ParamGroup, traced: frozenset[int]) -> Tensor:
        """The hyper vector in a trace, in which the entries `traced` are tensors."""
        hyper, values = group.hyper[0], self._values(group)
        if not traced:
            return hyper
        return ops.stack([v.to(float64).reshape(()) if i in traced else hyper[i] for i, v in enumerate(values)])

    # ------------------------------------------------------------ steps

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient. `closure` computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._check_gradients()
        recording, local.grad_enabled = local.grad_enabled, False
        try:
            if local.tracer is not None:
                self._trace()
                return loss
            for group in self._param_groups:
                self._refresh(group)
                for bucket in self._plan(group).buckets:
                    bucket.run()
        finally:
            local.grad_enabled = recording
        return loss

    def _trace(self) -> None:
        """Record the updates of all groups as a part of the function that is being traced."""
        traced = []
        for group in self._param_groups:
            tensors = frozenset(i for i, value in enumerate(self._values(group)) if isinstance(value, Tensor))
            traced.append((group, tensors))
            self._refresh(group, tensors)
            hyper = self._traced_hyper(group, tensors)
            for bucket in self._plan(group).buckets:
                bucket.trace(hyper)
            for p in group["params"]:
                local.tracer.read_grad(p)
        local.tracer.guard(partial(self._structure, traced, [group.plan for group, _ in traced]))

    def _check_gradients(self) -> None:
        """Refuse gradients that do not fit, before anything changes."""
        for group in self._param_groups:
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

    def _structure(self, traced: list[tuple[ParamGroup, frozenset[int]]], plans: list[_Plan]) -> tuple:
        """What a compiled step depends on besides numbers, which are brought up to date by the way."""
        for group, tensors in traced:
            self._refresh(group, tensors)
        return all(map(self._holds, plans)), [
            (id(group), group.flags, list(map(id, group["params"])), group.seen is None and self._tensors(group))
            for group in self._param_groups
        ]

    def _tensors(self, group: ParamGroup) -> list[int]:
        return [id(value) for value in self._values(group) if isinstance(value, Tensor)]

    # ------------------------------------------------------------ states

    def _plan(self, group: ParamGroup) -> _Plan:
        """The op calls that a step of this group needs, made again when flags, states or the set of gradients change."""
        live = [p for p in group["params"] if p.grad is not None]
        key = [group.flags, list(map(id, live))]
        plan = group.plan
        if plan is None or plan.key != key or not self._holds(plan):
            plan = group.plan = self._make_plan(group, live, key)
        return plan

    def _holds(self, plan: _Plan) -> bool:
        """Whether the states are still those of the plan."""
        states = self._state
        if plan.edits != states.edits:
            if any(p not in states or states[p].get(name) is not state for p, name, state in plan.states):
                return False
            plan.edits = states.edits
        return True

    def _complete_states(self, group: ParamGroup, params: list[Tensor]) -> tuple[str, ...]:
        """Let each of `params` have all states that the group's flags ask for, and return their names."""
        attrs = dict(zip(self._rule.defaults, group.flags, strict=True))
        names = (*self._rule.scalars(**attrs), *self._rule.states(**attrs))
        taken: set[int] = set()
        for position, p in enumerate(params):
            entry = self._state[p]
            given = dict(entry)
            self._begin(given)
            for name in names:
                state = self._fitted(group, p, name, given.get(name), f"{type(self).__name__}.step: params[{position}]")
                if id(state) in taken:  # two parameters do not share a state
                    state = state.clone()
                taken.add(id(state))
                if entry.get(name) is not state:
                    entry.begin(name, state)
        return names

    def _make_plan(self, group: ParamGroup, live: list[Tensor], key: list) -> _Plan:
        names = self._complete_states(group, live)
        by_dtype: dict[Any, list[Tensor]] = {}
        for p in live:
            by_dtype.setdefault(p.dtype, []).append(p)
        kinds = [kind for params in by_dtype.values() for kind in _apart(params)]
        call = self._rule.bind(**dict(zip(self._rule.defaults, group.flags, strict=True)))
        buckets = [
            _Bucket(call, group.hyper[0], kind, [self._state[p][name] for name in names for p in kind])
            for kind in kinds
        ]
        plan = _Plan(key, buckets, [(p, name, self._state[p][name]) for p in live for name in names])
        plan.edits = self._state.edits
        return plan

    def _begin(self, entry: dict[str, Any]) -> None:
        """Complete what another library's optimizer leaves out of its states."""

    def _fitted(self, group: Mapping[str, Any], p: Tensor, name: str, value: Any, where: str) -> Tensor:
        """A state as the op needs it: `value` itself where it fits, else a copy, or the first value."""
        number = name in self._rule.scalars(**dict.fromkeys(self._rule.defaults, True))
        shape, dtype = ((), float64) if number else (p.shape, p.dtype)
        if value is None:
            initial = self._rule.initial.get(name, 0.0)
            return from_numpy(
                aligned_full(shape, float(group[initial] if isinstance(initial, str) else initial), dtype)
            )
        if (
            type(value) is Tensor
            and (value.shape, value.dtype) == (shape, dtype)
            and value.is_contiguous()
            and value._base is value._node is None
            and not value._requires_grad
        ):
            return value
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
        if array.size != 1 if number else array.shape != shape:
            raise ShapeError(f"{where}, state {name!r} has shape {array.shape}, must have {shape}")
        fitted = aligned_full(shape, 0, dtype)
        fitted[...] = array.reshape(shape)
        return from_numpy(fitted)

    def _loaded(self, p: Tensor, entry: Mapping[str, Any], where: str) -> dict[str, Any]:
        rule = self._rule
        known = {
            *rule.scalars(**dict.fromkeys(rule.defaults, True)),
            *rule.states(**dict.fromkeys(rule.defaults, True)),
        }
        loaded = super()._loaded(p, {k: v for k, v in entry.items() if v is not None}, where)
        self._begin(loaded)
        for name in known & loaded.keys():
            loaded[name] = self._fitted({}, p, name, loaded[name], where)
        return loaded


def _number(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError("a text is no number")
    return float(value)


def _apart(params: list[Tensor]) -> list[list[Tensor]]:
    """`params` without those that lie over the memory of another, then each of these by itself."""
    rest, reach = [], 0
    starts = [p.data_ptr() for p in params]
    for start, i in sorted(zip(starts, range(len(params)))):
        if start < reach:
            rest.append(params[i])
        reach = max(reach, start + params[i].nbytes)
    taken = set(map(id, rest))
    return [[p for p in params if id(p) not in taken], *([p] for p in rest)] if rest else [params]


_POSITIVE = (0.0, math.inf, ">= 0")
_RANGES: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(
        (
            "lr", "eps", "weight_decay", "momentum", "alpha", "momentum_decay", "lr_decay", "initial_accumulator_value",
        ),
        _POSITIVE,
    ),
    "betas": (0.0, 1.0, "in [0, 1)"),
    "rho": (0.0, math.nextafter(1.0, 2.0), "in [0, 1]"),
}  # fmt: skip
