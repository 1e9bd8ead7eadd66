"""PyTorch's own lists of inputs, run through both libraries.

`torch.testing._internal` lists, for each module (`module_db`) and each function (`op_db`), inputs with which PyTorch
tests it, and inputs that it refuses. `compare_module` and `compare_function` run the former and compare results,
gradients, changed buffers and changed arguments; `refuse_module` and `refuse_function` see that the latter are
refused. All are to be called with `torch`, so that nothing is imported where it is missing.

What an entry cannot run is named by its caller: `Skip(reason, when)`, `when` a predicate of the arguments. A skip
that no input meets fails too: it is out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import ranvier as rv
from ranvier import nn

RTOL = {"float64": 1e-9, "float32": 1e-5, "int64": 0.0}
FLOOR = 0.1  # inputs are some 1 to 10 in size: of results that are smaller this much counts as their scale


@dataclass(frozen=True)
class Skip:
    """Inputs that are passed over: those whose arguments, as one dict (positional ones by number), meet `when`."""

    reason: str
    when: Callable[[dict], bool] = lambda arguments: True


class Skips:
    """The skips of one entry, and which of them were needed."""

    def __init__(self, *skips: Skip):
        self._skips, self._met = skips, [False] * len(skips)

    def __call__(self, args: tuple, kwargs: dict) -> bool:
        arguments = {**dict(enumerate(args)), **kwargs}
        met = [skip.when(arguments) for skip in self._skips]
        self._met = [a or b for a, b in zip(self._met, met)]
        return any(met)

    def finish(self) -> None:
        idle = [skip.reason for skip, met in zip(self._skips, self._met) if not met]
        assert not idle, f"no input meets these skips: {idle}"


def modules(torch: Any) -> dict[str, Any]:
    """PyTorch's entries of modules by name, without "nn."."""
    from torch.testing._internal.common_modules import module_db

    return {info.name.removeprefix("nn."): info for info in module_db}


def functions(torch: Any) -> dict[str, Any]:
    """PyTorch's entries of `nn.functional` by name; variants of one function as "pad/reflect"."""
    from torch.testing._internal.common_methods_invocations import op_db

    entries = {}
    for info in op_db:
        if info.name.startswith("nn.functional."):
            name = info.name.removeprefix("nn.functional.")
            entries[f"{name}/{info.variant_test_name}" if info.variant_test_name else name] = info
    return entries


# ---------------------------------------------------------------------- from one library to the other


def ours(torch: Any, value: Any) -> Any:
    """The same value for Ranvier: tensors copied, dtypes by name, functions of `torch` by name, within containers too."""
    if isinstance(value, torch.Tensor):
        if value.dtype.is_complex:
            raise TypeError("complex numbers")
        return rv.tensor(value.detach().numpy().copy(), requires_grad=value.requires_grad)
    if isinstance(value, torch.dtype):
        return getattr(rv, str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, dict):
        return {key: ours(torch, v) for key, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(ours(torch, v) for v in value)
    if callable(value) and getattr(value, "__module__", None) in ("torch.nn.functional", "torch._C._nn"):
        return getattr(nn.functional, value.__name__)
    if isinstance(value, torch.nn.PairwiseDistance):
        return nn.PairwiseDistance(value.norm, value.eps, value.keepdim)
    if isinstance(value, torch.nn.TransformerEncoderLayer):
        attention = value.self_attn
        return nn.TransformerEncoderLayer(
            attention.embed_dim, attention.num_heads, value.linear1.out_features, value.dropout.p,
            ours(torch, value.activation), value.norm1.eps, bias=value.linear1.bias is not None,
            batch_first=attention.batch_first, norm_first=value.norm_first,
        )  # fmt: skip
    return value


def copied(torch: Any, value: Any) -> Any:
    """Tensors as leaves of their own: PyTorch's entries share some, and calls may change them."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: copied(torch, v) for key, v in value.items()}
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(copied(torch, v) for v in value)
    return value


def tensors(value: Any) -> Iterator[Any]:
    """The tensors in nested tuples, lists and dicts, of either library."""
    if hasattr(value, "requires_grad"):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from tensors(v)
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from tensors(v)


def array(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy()


# ---------------------------------------------------------------------- comparison


def assert_close(mine: Any, theirs: Any, what: str, rtol: float) -> None:
    a, b = array(mine), array(theirs)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, PyTorch's {b.shape}"
    assert a.dtype == b.dtype, f"{what}: dtype {a.dtype}, PyTorch's {b.dtype}"
    if b.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, err_msg=what)
        return
    scale = np.abs(b[np.isfinite(b)]).max(initial=FLOOR)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=what)


def assert_gradient(mine: Any, theirs: Any, what: str, rtol: float) -> None:
    """Equal; None and zeros are the same."""
    if mine is None or theirs is None:
        for g in (mine, theirs):
            assert g is None or not array(g).any(), f"{what}: one library has no gradient"
        return
    assert_close(mine, theirs, what, rtol)


def _backward(lib: Any, results: list[Any]) -> None:
    """Send drawn gradients back from all results that have one, the same in both libraries."""
    rng = np.random.default_rng(0)
    total = None
    for t in results:
        if not t.requires_grad:
            continue
        g = rng.uniform(0.5, 1.5, tuple(t.shape)).astype(array(t).dtype)
        part = (t * lib.from_numpy(np.asarray(g))).sum()
        total = part if total is None else total + part
    if total is not None:
        total.backward()


def compare(torch: Any, mine: Any, theirs: Any, given: tuple[Any, Any], what: str, rtol: float) -> None:
    """Results, then gradients of the tensors in `given`, ours and theirs, and the values they have afterwards."""
    a, b = list(tensors(mine)), list(tensors(theirs))
    assert len(a) == len(b), f"{what}: {len(a)} results, PyTorch has {len(b)}"
    for i, (x, y) in enumerate(zip(a, b)):
        assert_close(x, y, f"{what}: result {i}", rtol)
        assert x.requires_grad == y.requires_grad, f"{what}: result {i}: requires_grad {x.requires_grad}"
    _backward(rv, a)
    _backward(torch, b)
    before, after = (list(tensors(g)) for g in given)
    for i, (x, y) in enumerate(zip(before, after, strict=True)):
        assert_close(x, y, f"{what}: argument {i} afterwards", rtol)
        assert_gradient(x.grad, y.grad, f"{what}: gradient of argument {i}", rtol)


# ---------------------------------------------------------------------- modules


def _module_inputs(torch: Any, make: Any, info: Any, dtype: str, training: bool) -> list[Any]:
    torch.manual_seed(0)
    return list(
        make(info, device="cpu", dtype=getattr(torch, dtype), requires_grad=True, training=training) if make else ()
    )


First = Callable[[Any, Any], Any]  # what becomes of a call's first argument before the call: f(library, argument)


def _changed(lib: Any, args: tuple, first: First | None) -> tuple:
    return args if first is None else (first(lib, args[0]), *args[1:])


def compare_module(
    torch: Any, info: Any, dtype: str, skips: Skips, rtol: float | None = None, first: First | None = None
) -> int:
    """Each input of the entry, in training and evaluation, from PyTorch's own weights. Returns how many ran."""
    name, ran = info.name.removeprefix("nn."), 0
    for training in (True, False):
        for number, item in enumerate(_module_inputs(torch, info.module_inputs_func, info, dtype, training)):
            built, passed = item.constructor_input, item.forward_input
            if passed is None or skips(built.args + passed.args, {**built.kwargs, **passed.kwargs}):
                continue
            what = f"{name} {number} {item.desc}, {dtype}, {'training' if training else 'evaluation'}"
            torch.manual_seed(number)
            theirs = info.module_cls(*built.args, **built.kwargs).to(getattr(torch, dtype)).train(training)
            given = copied(torch, (passed.args, passed.kwargs))
            mine = getattr(nn, name)(*ours(torch, built.args), **ours(torch, built.kwargs)).to(dtype).train(training)
            mine.load_state_dict({key: array(t) for key, t in theirs.state_dict().items()})
            args, kwargs = ours(torch, given)
            result = mine(*_changed(rv, args, first), **kwargs)
            expected = theirs(*_changed(torch, given[0], first), **given[1])
            state = {k: theirs.state_dict(keep_vars=True)[k] for k in mine.state_dict()}
            compare(
                torch, result, expected, ((args, kwargs, mine.state_dict(keep_vars=True)), (given, state)), what,
                rtol or RTOL[dtype],
            )  # fmt: skip
            ran += 1
    return ran


def refuse_module(torch: Any, info: Any, skips: Skips) -> int:
    """Each input that PyTorch's module refuses. Returns how many ran."""
    from torch.testing._internal.common_modules import ModuleErrorEnum

    name, ran = info.name.removeprefix("nn."), 0
    for item in _module_inputs(torch, info.module_error_inputs_func, info, "float64", True):
        built, passed = item.module_error_input.constructor_input, item.module_error_input.forward_input
        args, kwargs = ours(torch, (built.args, built.kwargs))
        if skips(built.args + (passed.args if passed else ()), built.kwargs):
            continue
        ran += 1
        if item.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR:
            must_refuse(lambda: getattr(nn, name)(*args, **kwargs), f"{name}: {item.error_regex}")  # noqa: B023
            continue
        module = getattr(nn, name)(*args, **kwargs).to("float64")
        args, kwargs = ours(torch, (passed.args, passed.kwargs))
        must_refuse(lambda: module(*args, **kwargs), f"{name}: {item.error_regex}")  # noqa: B023
    return ran


def must_refuse(call: Callable[[], Any], what: str) -> None:
    """The call raises an error that says something, not one of a bug."""
    try:
        call()
    except (rv.RanvierError, TypeError, ValueError) as error:
        assert str(error), f"{what}: an error without a text"
        return
    raise AssertionError(f"{what}: is accepted, PyTorch refuses it")


# ---------------------------------------------------------------------- functions


def _function(name: str) -> Callable:
    """Ours, as PyTorch's entry of that name calls its own."""
    if name == "embedding":
        return lambda weight, numbers, **options: nn.functional.embedding(numbers, weight, **options)
    return getattr(nn.functional, name)


def compare_function(
    torch: Any, info: Any, dtype: str, skips: Skips, rtol: float | None = None, first: First | None = None
) -> int:
    """Each input of the entry. Returns how many ran."""
    name, ran = info.name.removeprefix("nn.functional."), 0
    torch.manual_seed(0)
    for number, item in enumerate(info.sample_inputs("cpu", getattr(torch, dtype), requires_grad=dtype != "int64")):
        if skips((item.input, *item.args), item.kwargs):
            continue
        given = copied(torch, ((item.input, *item.args), item.kwargs))
        args, kwargs = ours(torch, given)
        shown = [tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in given[0]]
        what = f"{name} {number} {shown} {item.kwargs}, {dtype}"
        result = _function(name)(*_changed(rv, args, first), **kwargs)
        expected = info.op(*_changed(torch, given[0], first), **given[1])
        compare(torch, result, expected, ((args, kwargs), given), what, rtol or RTOL[dtype])
        ran += 1
    return ran


def refuse_function(torch: Any, info: Any, skips: Skips) -> int:
    """Each input that PyTorch's function refuses. Returns how many ran."""
    name, ran = info.name.removeprefix("nn.functional."), 0
    for item in info.error_inputs("cpu") if info.error_inputs_func else ():
        sample = item.sample_input
        if skips((sample.input, *sample.args), sample.kwargs):
            continue
        args, kwargs = ours(torch, ((sample.input, *sample.args), sample.kwargs))
        must_refuse(lambda: _function(name)(*args, **kwargs), f"{name}: {item.error_regex}")  # noqa: B023
        ran += 1
    return ran


# ---------------------------------------------------------------------- families


@dataclass(frozen=True)
class Family:
    """Entries that are run, by name, and what is particular about some: skips, tolerances by (name, dtype), and what
    becomes of their first argument.
    """

    modules: list[str]
    functions: list[str]
    skips: dict[str, list[Skip]]
    tolerances: dict[tuple[str, str], float]
    first: dict[str, First]

    def module(self, torch: Any, name: str, dtype: str) -> None:
        skips = Skips(*self.skips.get(name, ()))
        info, rtol = modules(torch)[name], self.tolerances.get((name, dtype))
        assert compare_module(torch, info, dtype, skips, rtol, self.first.get(name)), "no input ran"
        skips.finish()

    def function(self, torch: Any, name: str, dtype: str) -> None:
        skips = Skips(*self.skips.get(name, ()))
        info, rtol = functions(torch)[name], self.tolerances.get((name, dtype))
        assert compare_function(torch, info, dtype, skips, rtol, self.first.get(name)), "no input ran"
        skips.finish()

    def refused(self, torch: Any, skips: dict[str, Skips]) -> int:
        """All that PyTorch refuses of these entries; returns how many inputs ran."""
        entries = modules(torch)
        ran = sum(refuse_module(torch, entries[name], skips.get(name, Skips())) for name in self.modules)
        entries = functions(torch)
        ran += sum(refuse_function(torch, entries[name], skips.get(name, Skips())) for name in self.functions)
        for skip in skips.values():
            skip.finish()
        return ran
