"""The op record: all that is known of one op, in one place.

An `Op` is called with tensors (or NumPy arrays) and its attributes: `softmax(x, dim=1)` runs
`softmax.bind(dim=1).apply((x,))`. Everything else (native dispatch, tape, tracing, tests, docs) reads the record.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

import numpy as np

from ..core.dtypes import bool_, is_float, new_defaults
from ..core.errors import DTypeError, OutOfRangeError, ShapeError
from ..core.recent import Recent
from .dispatch import Call

Aval = Any  # anything with .shape (a tuple) and .dtype: ndarray, graph Value
Spec = tuple[tuple[int, ...], np.dtype]  # shape and dtype of one output

OPS: dict[str, Op] = {}
MAX_CALLS = 4096  # Calls remembered for one op

EDGES = (-np.inf, -100.0, -1.0, -1e-3, -0.0, 0.0, 1e-3, 0.5, 1.0, 100.0, np.inf, np.nan)


@dataclass(frozen=True)
class Sample:
    """One test case: `inputs` are shapes (filled from the op's domain), arrays or numbers."""

    inputs: tuple
    attrs: dict[str, Any] = field(default_factory=dict)


def _mask(positions: str) -> int:
    if not positions:
        return -1
    return -1 << int(positions[:-1]) if positions[-1] == "-" else sum(1 << int(p) for p in positions)


def _masks(saves: str) -> tuple[int, int]:
    """Bit masks of the inputs and of the outputs that `saves` names (see Op)."""
    inputs, named, outputs = saves.partition("o")
    return _mask(inputs[1:]) if inputs else 0, _mask(outputs) if named else 0


class Op:
    """The record of one op.

    Args:
        name: unique; also the native row in csrc/core/*.def (views have none).
        kind: "elementwise" (broadcasts, promotes, fuses), "view" (an alias of its input: no work),
            "kernel" (everything else), "optimizer" (updates in place many tensors in one pass), "host" (the reference is
            all there is: it runs eagerly, and traces refuse it).
        infer: `infer(*avals, **attrs)` -> (shape, dtype), or a list of them for an op of several outputs.
            Raises ShapeError/DTypeError/OutOfRangeError with the op's name, all shapes and the rule. Elementwise
            ops leave it out: `rule` says it.
        reference: `reference(xp, *arrays, **attrs)`: array-API code, the definition of the op. It is called
            with dtypes that `infer` admits and returns the inferred dtype.
        vjp: `vjp(g, out, *inputs, **attrs)` -> one gradient (or None) an input, written with ops on tensors.
            For several outputs `g` and `out` are tuples (a g may be None). Results may keep broadcast axes:
            the engine sums them away. None: not differentiable.
        attrs: names and defaults; values must be hashable.
        rule: elementwise only: "promote" (to a common dtype), "float" (the same, ints become float),
            "compare" (common dtype in, bool out), "logical" (bools in and out), "where" (bool, T, T).
        encode: `encode(*avals, **attrs)` -> attributes as the native kernel takes them, by name, where they are not the
            op's: the kernel reads those that it declares. Elementwise ops leave it out: their attributes become
            constant operands, in order.
        saves: what vjp reads: "i" the inputs, "o" the outputs, "i02" those at the positions 0 and 2, "i1-" all from 1 on,
            "i0o1" and so on, "" nothing; or a tuple of what the gradient of each input reads.
        inplace: {output: input} pairs that may share memory, or a function of the number of inputs and the
            attributes that gives them (elementwise ops need not say so).
        extras: how many trailing outputs are for vjp alone. The attribute `training` (False), which `Call.apply` sets where
            it records, tells infer, reference and encode to make them; callers see the other outputs only.
        kernel: name of the native kernel where it is not the op's.
        macs: `macs(*avals, **attrs)` -> multiply-adds of its products.
        elements: `elements(*avals, **attrs)` -> its other operations, one for each element that it computes or that a sum,
            or the like, goes over. Left out: those of the result of an elementwise op, else of the largest array, where
            `flops` says that it computes at all.
        flops: `flops(*avals, **attrs)` -> an estimate of the floating-point instructions, or their number an element; left
            out: 2 macs + elements. Ops that only move data have none of the three. See `graph/cost.py`.
        domain: (low, high) from which tests draw inputs. samples: test cases beyond the kind's own; a
            function of none that makes them at first use, where that takes time.
        edges: extra inputs for elementwise ops. max_ulp: of the native float32 result against the reference.
        ulp_floor: results nearer to zero count their error in units of numbers of this size.
        terms: `terms(*avals, **attrs)`: how many products or terms one result sums; sets tests' tolerance.
        neutral: {position: number}: with that number there, a binary op returns its other input unchanged.
        setting: a function that says what a process-wide setting, a default of the attributes, is now: traces hold
            while it stays that. `set_default` changes it.
        epilogue: the native kernel can run a tile program on its result, in the same instruction.
        affine: `affine(do, *others)` -> (scale, shift), where the result is x scale + shift of the first input x; None for
            one that is not there. `do(name, *inputs, **attrs)` is a call of an op on values of a graph.
        absorb: (axis, f): what scales and shifts the results by channel, along `axis`, can go into the inputs but the first:
            `f(do, *others, scale=, shift=)` gives the new ones.
        picks: its first output holds elements of its input, at the places that the second one tells.
        puts: it lays its first input at the places that the second one tells, sums where several meet, and 0 elsewhere.
        masks: it is its first input where the second one, element by element, says so, and 0 elsewhere.
        effect: it may raise, so that a graph keeps it though nothing reads its result; its attribute `rule` says of what.
        yields: "probabilities" where the results are that: losses that want raw scores warn of them.
        sums: it adds two arrays. sum_of_calls: `sum_of_calls(attrs, attrs)` -> the attributes with which one call, of the
            inputs of both, gives the sum of what two calls give; or None.
        onnx: the name in ONNX's standard op set, if there is one.
    """

    def __init__(
        self,
        name: str,
        *,
        kind: str,
        reference: Callable,
        infer: Callable | None = None,
        vjp: Callable | None = None,
        attrs: dict[str, Any] | None = None,
        rule: str | None = None,
        arity: int | None = None,
        encode: Callable | None = None,
        saves: str | tuple[str, ...] = "io",
        extras: int = 0,
        inplace: dict[int, int] | Callable[..., dict[int, int]] | None = None,
        macs: Callable | None = None,
        elements: Callable | None = None,
        flops: Callable | int = 0,
        domain: tuple[float, float] = (-3.0, 3.0),
        samples: Sequence[Sample] | Callable[[], Sequence[Sample]] = (),
        edges: tuple = EDGES,
        max_ulp: float = 4.0,
        ulp_floor: float = 0.0,
        terms: Callable | None = None,
        neutral: dict[int, float] | None = None,
        setting: Callable | None = None,
        epilogue: bool = False,
        affine: Callable | None = None,
        picks: bool = False,
        puts: bool = False,
        masks: bool = False,
        absorb: tuple[int, Callable] | None = None,
        sums: bool = False,
        sum_of_calls: Callable | None = None,
        kernel: str | None = None,
        yields: str = "",
        effect: bool = False,
        onnx: str | None = None,
        doc: str = "",
    ):
        if name in OPS:
            raise ValueError(f"op {name!r} is defined twice")
        if kind == "elementwise":
            infer = infer or elementwise_infer(name, rule or "promote")
        assert infer is not None, f"op {name!r} needs an infer rule"
        self.name, self.kind, self.infer, self.reference, self.vjp = (
            name,
            kind,
            _addressable(name, infer),
            reference,
            vjp,
        )
        self.defaults = dict(attrs or {})
        self.rule = rule or ("promote" if kind == "elementwise" else None)
        self.arity, self.encode, self.extras, self.inplace = arity, encode, extras, inplace or {}
        # of inputs, of outputs
        self.saves = _masks(saves) if isinstance(saves, str) else tuple(zip(*map(_masks, saves)))
        self.macs, self.elements, self.flops = macs, elements, flops
        self.domain, self._samples, self.edges = domain, samples, edges
        self.max_ulp, self.ulp_floor, self.terms, self.onnx, self.doc = max_ulp, ulp_floor, terms, onnx, doc
        self.strides: Callable | None = None  # views: where the result lies in memory (ops/shape.py)
        self.put: Callable | None = None  # views: put(x, new, **attrs) is x with `new` in place of what the view shows
        self.kernel = kernel or name
        self.yields, self.effect = yields, effect
        self.affine, self.absorb = affine, absorb
        self.sums, self.sum_of_calls = sums, sum_of_calls
        self.picks, self.puts, self.masks = picks, puts, masks
        self.neutral, self.setting, self.epilogue = neutral or {}, setting, epilogue
        self._calls = Recent(MAX_CALLS)  # slices with ever new bounds must not pile up
        self.default_call = self.bind()
        OPS[name] = self

    @functools.cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The test cases beyond the kind's own."""
        return tuple(self._samples() if callable(self._samples) else self._samples)

    def bind(self, **attrs: Any) -> Call:
        """The interned Call of this op with `attrs` (missing ones take their defaults)."""
        if attrs.keys() - self.defaults.keys():
            raise TypeError(f"{self.name}: unknown attributes {sorted(attrs.keys() - self.defaults.keys())}")
        full = {**self.defaults, **attrs} if attrs else self.defaults
        key = tuple(full.items())
        call = self._calls[key]
        if call is None:
            call = self._calls[key] = Call(self, full)
        return call

    def set_default(self, **attrs: Any) -> None:
        """Change the defaults of attributes: all later calls that leave them out are meant."""
        self.default_call = self.bind(**attrs)
        self.defaults = self.default_call.attrs
        new_defaults()

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        if not attrs:
            return self.default_call.apply(inputs)
        call = self._calls[tuple(attrs.items())]
        return (self.bind(**attrs) if call is None else call).apply(inputs)

    def call(self, **attrs: Any) -> Call:
        """`bind`, quicker where all attributes are given in the order of the record."""
        call = self._calls[tuple(attrs.items())]
        return self.bind(**attrs) if call is None else call

    def label(self, attrs: dict[str, Any]) -> str:
        """What a fault of a call says first."""
        return attrs["rule"] if self.effect else self.name

    def aliases(self, n_inputs: int, attrs: dict[str, Any]) -> dict[int, int]:
        """{output: input} pairs that may share memory, for a call with `n_inputs` inputs."""
        return self.inplace(n_inputs, **attrs) if callable(self.inplace) else self.inplace

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def prepared(make: Callable) -> Callable:
    """The public function that runs what `make(input, ...)` returns: a Call and its inputs. Where it is called in place
    (`input.name_()`), the call may run in `input`'s own memory.
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        call, inputs = make(*args, **kwargs)
        return call.apply(inputs)

    function = functools.update_wrapper(function, make)
    del function.__wrapped__  # for it is not what this returns
    function.__signature__ = inspect.signature(make)  # type: ignore[attr-defined]
    function.prepare = make  # type: ignore[attr-defined]
    return function


# ---------------------------------------------------------------- shape rules


def _addressable(name: str, infer: Callable) -> Callable:
    """The rule `infer`, which refuses results whose bytes have no 64-bit number."""

    @functools.wraps(infer)
    def checked(*avals: Aval, **attrs: Any) -> Spec | list[Spec]:
        specs = infer(*avals, **attrs)
        for shape, dtype in specs if type(specs) is list else (specs,):
            if math.prod(n or 1 for n in shape) * dtype.itemsize >= 2**63:
                raise ShapeError(
                    f"{name}: a result of shape {tuple(shape)} and dtype {dtype} is larger than memory can be"
                )
        return specs

    return checked


def broadcast_shapes(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's rule: aligned at the right, each axis equal or 1."""
    first = shapes[0]
    if all(s == first for s in shapes):
        return first
    ndim = max(map(len, shapes))
    result = []
    for axis in range(ndim):
        sizes = {s[axis - ndim + len(s)] for s in shapes if axis - ndim + len(s) >= 0} - {1}
        if len(sizes) > 1:
            listed = ", ".join(map(str, shapes))
            raise ShapeError(
                f"{name}: shapes {listed} do not broadcast: axis {axis - ndim} has sizes {sorted(sizes)}, "
                "which must be equal or 1"
            )
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def elementwise_infer(name: str, rule: str) -> Callable:
    """Output spec of an elementwise op whose inputs `Call.apply` has brought to the dtypes that `rule` asks for."""

    def infer(*avals: Aval, **attrs: Any) -> Spec:
        shape = broadcast_shapes(name, *(a.shape for a in avals))
        dtype = avals[-1].dtype
        if rule == "float" and not is_float(dtype):
            raise DTypeError(f"{name}: dtype {dtype} must be float32 or float64")
        return shape, (bool_ if rule in ("compare", "logical") else dtype)

    return infer


def as_sizes(name: str, shape: tuple) -> tuple[int, ...]:
    """Sizes given as f(2, 3), f((2, 3)) or f([2, 3])."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    for n in shape:
        if n.__class__ is not int:
            break
    else:
        return shape
    try:
        return tuple(n.__index__() for n in shape)
    except AttributeError:
        raise DTypeError(f"{name}: sizes {shape} must be integers") from None


def normalize_axis(name: str, axis: int, ndim: int) -> int:
    """`axis` counted from the front; 0-d arrays take 0 and -1, as in PyTorch."""
    if axis.__class__ is int and 0 <= axis < ndim:  # as nearly always
        return axis
    try:
        number = index(axis)
    except TypeError:
        raise DTypeError(f"{name}: dim={axis!r} must be an integer") from None
    extent = max(ndim, 1)
    if not -extent <= number < extent:
        raise OutOfRangeError(f"{name}: dim={number} must be in [{-extent}, {extent - 1}] for {ndim} axes")
    return number % extent


def own_axis(name: str, axis: int, ndim: int) -> int:
    """`normalize_axis` for functions that need an axis: 0-d inputs have none."""
    if not ndim:
        raise ShapeError(f"{name}: a 0-d input has no axis, dim={axis} must be one")
    return normalize_axis(name, axis, ndim)


def normalize_axes(name: str, axes: Any, ndim: int) -> tuple[int, ...]:
    """A sorted tuple of distinct axes; None or () means all."""
    if axes is None or (isinstance(axes, (tuple, list)) and not axes):
        return tuple(range(ndim))
    if not isinstance(axes, (tuple, list)):
        axes = (axes,)
    result = tuple(sorted(normalize_axis(name, a, ndim) for a in axes))
    if len(set(result)) != len(result):
        raise ShapeError(f"{name}: dim={tuple(axes)} names an axis twice")
    return tuple(a for a in result if a < ndim)
