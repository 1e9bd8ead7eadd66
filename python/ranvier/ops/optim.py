"""Optimizer ops: one call updates all parameters of a group, and their states, in one pass.

Inputs of each op, in order: `hyper` (float64 vector, see the op's `hyper` for the order), the parameters, their
gradients, each scalar state (float64 numbers, the first the steps done) and each kind of state for all parameters.
Outputs: the new parameters and states, which may share memory with their inputs. All numbers are run-time inputs: a new
learning rate needs no new plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..core.dtypes import float64, is_float
from ..core.errors import DTypeError, ShapeError
from .public import Array
from .record import Aval, Op, Sample

__all__: list[str] = []  # for optimizers, and nn.utils


class UpdateRule(Op):
    """The record of an optimizer op.

    Args:
        formula: `formula(h, c, p, g, *states, **flags)` -> (p, *states) for one parameter: the definition. `h` has the
            hyperparameters as attributes; `c` has the scalar states, `step` the number of this step.
            `g` is negated already where the objective is maximized.
        hyper: the entries of the hyper vector.
        scalars, states: the names of the scalar states and of the kinds of state, or a function of the flags for each.
        initial: states that do not begin at 0 -> their value; a string names the hyperparameter that gives it.
        tick: `tick(h, c)` sets the scalar states before the formula; `tock` after it, for the next step.
    """

    def __init__(
        self,
        name: str,
        formula: Callable,
        hyper: Sequence[str],
        states: Any,
        flags: dict[str, bool] | None = None,
        scalars: Any = ("step",),
        initial: dict[str, float | str] | None = None,
        tick: Callable | None = None,
        tock: Callable | None = None,
    ):
        self.formula, self.hyper, self.initial = formula, tuple(hyper), dict(initial or {})
        self._states, self._scalars, self.tick, self.tock = states, scalars, tick, tock
        flags = {"maximize": False, **(flags or {})}
        super().__init__(
            name, kind="optimizer", attrs=flags, infer=self._infer, reference=self._reference, saves="",
            elements=self._elements, inplace=self._shared, doc=formula.__doc__ or "",
        )  # fmt: skip

    def states(self, **flags: bool) -> tuple[str, ...]:
        """The kinds of state that each parameter has, under these flags."""
        return self._named(self._states, flags)

    def scalars(self, **flags: bool) -> tuple[str, ...]:
        """The scalar states that each parameter has, under these flags."""
        return self._named(self._scalars, flags)

    def _named(self, names: Any, flags: dict[str, bool]) -> tuple[str, ...]:
        return tuple(names(**{**self.defaults, **flags}) if callable(names) else names)

    def _count(self, n_inputs: int, flags: dict) -> tuple[int, int, int]:
        """How many parameters, and how many scalar and other states each has."""
        scalars, kinds = len(self.scalars(**flags)), len(self.states(**flags))
        n, rest = divmod(n_inputs - 1, 2 + scalars + kinds)
        if n < 1 or rest:
            raise ShapeError(
                f"{self.name}: {n_inputs} inputs must be hyper, and as many parameters, gradients, scalar states of "
                f"{scalars} kinds and states of {kinds} kinds each"
            )
        return n, scalars, kinds

    def _infer(self, *avals: Aval, **flags: bool) -> list:
        n, scalars, kinds = self._count(len(avals), flags)
        hyper = avals[0]
        if hyper.dtype != float64 or tuple(hyper.shape) != (len(self.hyper),):
            raise ShapeError(f"{self.name}: hyper is {hyper.dtype}{hyper.shape}, must be float64({len(self.hyper)},)")
        names = ("parameter", "gradient", *self.scalars(**flags), *self.states(**flags))
        for i in range(n):
            p = avals[1 + i]
            if not is_float(p.dtype) or p.dtype != avals[1].dtype:
                raise DTypeError(
                    f"{self.name}: parameter {i} has dtype {p.dtype}; all of a group must be float32 or all float64"
                )
            for k in range(1, 2 + scalars + kinds):
                other = avals[1 + k * n + i]
                number = 2 <= k < 2 + scalars
                shape, dtype = ((), float64) if number else (tuple(p.shape), p.dtype)
                if tuple(other.shape) != shape or other.dtype != dtype:
                    what = "gradient" if k == 1 else f"state {names[k]!r}"
                    must = "be a number, float64" if number else f"be like its parameter, {p.dtype}"
                    raise ShapeError(f"{self.name}: {what} {i} is {other.dtype}{other.shape}, must {must}{shape}")
        return [(tuple(a.shape), a.dtype) for a in (*avals[1 : 1 + n], *avals[1 + 2 * n :])]

    def _reference(self, xp: Any, hyper: Any, *tensors: Any, maximize: bool, **flags: bool) -> tuple:
        flags_of_all = {"maximize": maximize, **flags}
        n, scalars, kinds = self._count(1 + len(tensors), flags_of_all)
        names = self.scalars(**flags_of_all)
        h = SimpleNamespace(**dict(zip(self.hyper, map(float, hyper))))
        rows = []
        for i in range(n):
            p, g, *states = tensors[i::n]
            c = SimpleNamespace(**dict(zip(names, map(float, states[:scalars]))))
            if scalars:
                c.step += 1
            if self.tick is not None:
                self.tick(h, c)
            new_p, *new = self.formula(h, c, p, -g if maximize else g, *states[scalars:], **flags)
            if self.tock is not None:
                self.tock(h, c)
            rows.append((new_p, *(np.float64(getattr(c, name)) for name in names), *new))
        return tuple(row[k] for k in range(1 + scalars + kinds) for row in rows)

    def _shared(self, n_inputs: int, **flags: bool) -> dict[int, int]:
        n, scalars, kinds = self._count(n_inputs, flags)
        return {k * n + i: 1 + (k + (k > 0)) * n + i for k in range(1 + scalars + kinds) for i in range(n)}

    def _elements(self, hyper: Aval, *tensors: Aval, **flags: bool) -> int:
        n, _, _ = self._count(1 + len(tensors), flags)
        return sum(math.prod(p.shape) for p in tensors[:n]) * self._operations(**flags)

    @cache  # noqa: B019  (records live as long as the process)
    def _operations(self, maximize: bool, **flags: bool) -> int:
        """How many operations the formula has for an element, in a step that is not one of the first."""

        class Counted(np.ndarray):
            found = 0

            def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **kwargs: Any) -> Any:
                return count(ufunc, inputs, kwargs)

            def __array_function__(self, func: Any, types: Any, inputs: Any, kwargs: Any) -> Any:
                return count(func, inputs, kwargs)

        def count(function: Any, inputs: Any, kwargs: Any) -> Any:
            Counted.found += 1
            return function(*[np.asarray(x) for x in inputs], **kwargs).view(Counted)

        h = SimpleNamespace(**dict.fromkeys(self.hyper, 0.9))
        c = SimpleNamespace(**{**dict.fromkeys(self.scalars(**flags), 0.5), "step": 100})
        kinds = len(self.states(maximize=maximize, **flags))
        self.formula(h, c, *(np.ones(1).view(Counted) for _ in range(2 + kinds)), **flags)
        return Counted.found + maximize

    @cached_property
    def samples(self) -> tuple[Sample, ...]:  # type: ignore[override]
        return tuple(self._make_samples(self.defaults))

    def _make_samples(self, flags: dict) -> Any:
        random = np.random.default_rng(0)
        choices = [{k: bool(bits >> i & 1) for i, k in enumerate(flags)} for bits in range(2 ** len(flags))]
        shapes = [(3, 5), (), (40,), (0, 2)]
        for attrs in choices:
            scalars, kinds = len(self.scalars(**attrs)), len(self.states(**attrs))
            hyper = np.linspace(0.1, 0.4, len(self.hyper))
            numbers = [np.array(0.25 if k else 3.0) for k in range(scalars) for _ in shapes]
            # the first state is larger than the others' squares, as a mean of squares is
            groups = [
                [random.uniform(2, 4, s) if k == 2 else random.uniform(0.1, 1, s) for s in shapes]
                for k in range(2 + kinds)
            ]
            tensors = [t.astype(np.float32) for group in groups for t in group]
            given = 2 * len(shapes)
            yield Sample((hyper, *tensors[:given], *numbers, *tensors[given:]), attrs)


# ---------------------------------------------------------------- the formulas, PyTorch's


def _decay(h: Any, p: Any, g: Any, decoupled: bool) -> tuple:
    """Weight decay: on the parameter itself (decoupled), or as a part of the gradient."""
    return (p * (1 - h.lr * h.weight_decay), g) if decoupled else (p, g + h.weight_decay * p)


def _moments(h: Any, g: Any, m: Any, v: Any) -> tuple:
    return m + (1 - h.beta1) * (g - m), h.beta2 * v + (1 - h.beta2) * (g * g)


def _sgd(h: Any, c: Any, p: Any, g: Any, *buffer: Any, momentum: bool, nesterov: bool) -> tuple:
    """g += wd p; b = mu b + (1 - dampening) g (the first time g); p -= lr (g + mu b if nesterov else b)"""
    p, g = _decay(h, p, g, False)
    if not momentum:
        return (p - h.lr * g,)
    b = g if c.step == 1 else h.momentum * buffer[0] + (1 - h.dampening) * g
    return p - h.lr * (g + h.momentum * b if nesterov else b), b


def _adam(h: Any, c: Any, p: Any, g: Any, m: Any, v: Any, *top: Any, amsgrad: bool, decoupled: bool) -> tuple:
    """Kingma and Ba 2014; decoupled: AdamW, Loshchilov and Hutter 2017; amsgrad: Reddi et al. 2018"""
    p, g = _decay(h, p, g, decoupled)
    m, v = _moments(h, g, m, v)
    top = tuple(np.maximum(t, v) for t in top)
    denominator = np.sqrt(top[0] if amsgrad else v) / math.sqrt(1 - h.beta2**c.step) + h.eps
    return p - h.lr / (1 - h.beta1**c.step) * m / denominator, m, v, *top


def _adamax(h: Any, c: Any, p: Any, g: Any, m: Any, u: Any) -> tuple:
    """Adam with the infinity norm: u = max(beta2 u, |g| + eps); p -= lr/(1 - beta1^t) m/u"""
    p, g = _decay(h, p, g, False)
    m = m + (1 - h.beta1) * (g - m)
    u = np.maximum(h.beta2 * u, np.abs(g) + h.eps)
    return p - h.lr / (1 - h.beta1**c.step) * m / u, m, u


def _nadam_mu(h: Any, t: float) -> float:
    return h.beta1 * (1 - 0.5 * 0.96 ** (t * h.momentum_decay))


def _nadam_tick(h: Any, c: Any) -> None:
    c.mu_product *= _nadam_mu(h, c.step)


def _nadam(h: Any, c: Any, p: Any, g: Any, m: Any, v: Any, decoupled: bool) -> tuple:
    """Dozat 2016: Adam with Nesterov's momentum"""
    p, g = _decay(h, p, g, decoupled)
    m, v = _moments(h, g, m, v)
    mu, following = _nadam_mu(h, c.step), _nadam_mu(h, c.step + 1)
    step = h.lr * (1 - mu) / (1 - c.mu_product) * g + h.lr * following / (1 - c.mu_product * following) * m
    return p - step / (np.sqrt(v / (1 - h.beta2**c.step)) + h.eps), m, v


def _radam(h: Any, c: Any, p: Any, g: Any, m: Any, v: Any, decoupled: bool) -> tuple:
    """Liu et al. 2019: Adam whose adaptive step is rectified, or left out while its variance is unknown"""
    p, g = _decay(h, p, g, decoupled)
    m, v = _moments(h, g, m, v)
    correction = 1 - h.beta2**c.step
    limit = 2 / (1 - h.beta2) - 1
    rho = limit - 2 * c.step * h.beta2**c.step / correction
    step = h.lr / (1 - h.beta1**c.step) * m
    if rho > 5:
        rectified = math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
        step = step * (rectified * math.sqrt(correction)) / (np.sqrt(v) + h.eps)
    return p - step, m, v


def _rmsprop_states(centered: bool, momentum: bool, **_: bool) -> tuple[str, ...]:
    return ("square_avg", *(("grad_avg",) if centered else ()), *(("momentum_buffer",) if momentum else ()))


def _rmsprop(h: Any, c: Any, p: Any, g: Any, s: Any, *more: Any, centered: bool, momentum: bool) -> tuple:
    """Hinton 2012: s = alpha s + (1 - alpha) g^2; p -= lr g/(sqrt(s - mean^2 if centered else s) + eps)"""
    p, g = _decay(h, p, g, False)
    s = h.alpha * s + (1 - h.alpha) * (g * g)
    new = [s]
    if centered:
        new.append(more[0] + (1 - h.alpha) * (g - more[0]))
    d = g / (np.sqrt(s - new[1] * new[1] if centered else s) + h.eps)
    if momentum:
        d = h.momentum * more[-1] + d
        new.append(d)
    return p - h.lr * d, *new


def _adagrad(h: Any, c: Any, p: Any, g: Any, s: Any) -> tuple:
    """Duchi et al. 2011: s += g^2; p -= lr/(1 + (t - 1) lr_decay) g/(sqrt(s) + eps)"""
    p, g = _decay(h, p, g, False)
    s = s + g * g
    return p - h.lr / (1 + (c.step - 1) * h.lr_decay) * g / (np.sqrt(s) + h.eps), s


def _adadelta(h: Any, c: Any, p: Any, g: Any, s: Any, u: Any) -> tuple:
    """Zeiler 2012: d = g sqrt(u + eps)/sqrt(s + eps), s and u the running means of g^2 and d^2; p -= lr d"""
    p, g = _decay(h, p, g, False)
    s = h.rho * s + (1 - h.rho) * (g * g)
    d = np.sqrt(u + h.eps) / np.sqrt(s + h.eps) * g
    return p - h.lr * d, s, h.rho * u + (1 - h.rho) * (d * d)


def _asgd(h: Any, c: Any, p: Any, g: Any, average: Any) -> tuple:
    """Polyak and Juditsky 1992: p = (1 - lambd eta) p - eta g; the average takes a share mu of it"""
    p, g = _decay(h, p, g, False)
    p = p * (1 - h.lambd * c.eta) - c.eta * g
    return p, p if c.mu == 1 else average + c.mu * (p - average)


def _asgd_tock(h: Any, c: Any) -> None:
    c.eta = h.lr / (1 + h.lambd * h.lr * c.step) ** h.alpha
    c.mu = 1 / max(1.0, c.step - h.t0)


def _rprop(h: Any, c: Any, p: Any, g: Any, previous: Any, size: Any) -> tuple:
    """Riedmiller and Braun 1993: steps grow by etaplus while the gradient keeps its sign, else shrink by etaminus"""
    agreement = g * previous
    size = size * np.where(agreement > 0, h.etaplus, np.where(agreement < 0, h.etaminus, 1)).astype(p.dtype)
    size = np.minimum(np.maximum(size, h.step_min), h.step_max).astype(p.dtype)
    g = np.where(agreement < 0, 0, g).astype(p.dtype)
    return p - np.sign(g) * size, g, size


_ADAM = ("lr", "beta1", "beta2", "eps", "weight_decay")
_AVERAGES = ("exp_avg", "exp_avg_sq")

sgd = UpdateRule(
    "sgd", _sgd, ("lr", "momentum", "dampening", "weight_decay"),
    lambda momentum, **_: ("momentum_buffer",) if momentum else (), {"momentum": False, "nesterov": False},
    scalars=lambda momentum, **_: ("step",) if momentum else (),
)  # fmt: skip
adam = UpdateRule(
    "adam", _adam, _ADAM,
    lambda amsgrad, **_: (*_AVERAGES, "max_exp_avg_sq") if amsgrad else _AVERAGES, {"amsgrad": False, "decoupled": False},
)  # fmt: skip
adamax = UpdateRule("adamax", _adamax, _ADAM, ("exp_avg", "exp_inf"))
nadam = UpdateRule(
    "nadam", _nadam, (*_ADAM, "momentum_decay"), _AVERAGES, {"decoupled": False},
    scalars=("step", "mu_product"), initial={"mu_product": 1.0}, tick=_nadam_tick,
)  # fmt: skip
radam = UpdateRule("radam", _radam, _ADAM, _AVERAGES, {"decoupled": False})
rmsprop = UpdateRule(
    "rmsprop", _rmsprop, ("lr", "alpha", "eps", "weight_decay", "momentum"), _rmsprop_states,
    {"centered": False, "momentum": False},
)  # fmt: skip
adagrad = UpdateRule(
    "adagrad", _adagrad, ("lr", "lr_decay", "weight_decay", "eps"), ("sum",),
    initial={"sum": "initial_accumulator_value"},
)  # fmt: skip
adadelta = UpdateRule("adadelta", _adadelta, ("lr", "rho", "eps", "weight_decay"), ("square_avg", "acc_delta"))
asgd = UpdateRule(
    "asgd", _asgd, ("lr", "lambd", "alpha", "t0", "weight_decay"), ("ax",),
    scalars=("step", "eta", "mu"), initial={"eta": "lr", "mu": 1.0}, tock=_asgd_tock,
)  # fmt: skip
rprop = UpdateRule(
    "rprop", _rprop, ("etaminus", "etaplus", "step_min", "step_max"), ("prev", "step_size"),
    initial={"step_size": "lr"},
)  # fmt: skip


# ---------------------------------------------------------------- clipping: norm and scaling of many tensors


def _same_floats(name: str, tensors: Sequence[Aval]) -> np.dtype:
    if not tensors:
        raise ShapeError(f"{name}: takes at least one tensor")
    dtype = tensors[0].dtype
    for i, t in enumerate(tensors):
        if t.dtype != dtype or not is_float(t.dtype):
            raise DTypeError(
                f"{name}: tensor {i} is {t.dtype}, tensor 0 is {dtype}; all must be float32 or all float64"
            )
    return dtype


def _total_norm_reference(xp: Any, *tensors: Any, p: float) -> Any:
    sizes = [np.abs(t.astype(float64)) for t in tensors]
    if p == 0:
        return float(sum(np.count_nonzero(a) for a in sizes))
    if math.isinf(p):
        pick, start = (np.max, 0.0) if p > 0 else (np.min, math.inf)
        return pick(np.array([pick(a) for a in sizes if a.size] or [start]))
    total = sum(np.sum(a**p) for a in sizes)
    return total ** (1 / p)


_total_norm = Op(
    "total_norm", kind="kernel", attrs={"p": 2.0}, saves="",
    infer=lambda *tensors, p: ((), _same_floats("total_norm", tensors)),
    reference=_total_norm_reference,
    elements=lambda *tensors, p: 2 * sum(math.prod(t.shape) for t in tensors),
    terms=lambda *tensors, p: sum(math.prod(t.shape) for t in tensors),
    samples=[Sample(((3, 5), (40,), (), (0, 2)), {"p": p}) for p in (2.0, 1.0, 3.0, 0.0, math.inf, -math.inf)],
    doc="(sum |x|^p)^(1/p) over the elements of all inputs; p may be 0 (nonzeros), inf or -inf",
)  # fmt: skip


def _scale_all_infer(factor: Aval, *tensors: Aval) -> list:
    dtype = _same_floats("scale_all", tensors)
    if tuple(factor.shape) != () or factor.dtype != dtype:
        raise ShapeError(f"scale_all: factor is {factor.dtype}{factor.shape}, must be {dtype}()")
    return [(tuple(t.shape), t.dtype) for t in tensors]


_scale_all = Op(
    "scale_all", kind="optimizer", saves="",
    infer=_scale_all_infer,
    reference=lambda xp, factor, *tensors: tuple(t * factor for t in tensors),
    inplace=lambda n_inputs: {i: i + 1 for i in range(n_inputs - 1)},
    elements=lambda factor, *tensors: sum(math.prod(t.shape) for t in tensors),
    samples=[Sample(((), (3, 5), (40,), (0, 2)))],
    doc="each tensor times factor, in place",
)  # fmt: skip


def total_norm(tensors: Sequence[Array], p: float = 2.0) -> Array:
    """The p-norm of all elements of all `tensors`, as if they were one vector: (sum |x|^p)^(1/p).

    Has no gradient: it is made for gradients themselves.

    >>> import ranvier as rv
    >>> rv.ops.total_norm([rv.tensor([3.0]), rv.tensor([[4.0]])]).item()
    5.0
    """
    return _total_norm(*tensors, p=float(p))


def scale_all(tensors: Sequence[Array], factor: Array) -> tuple[Array, ...]:
    """Each of `tensors` times `factor`, a 0-d tensor of their dtype, in place."""
    return _scale_all(factor, *tensors)
