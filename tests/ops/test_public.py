"""The outer layer of public functions: NumPy's spellings, and errors that say who refuses what."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier.core.errors import DTypeError
from ranvier.ops.public import SPELLINGS, explain


def public_functions():
    """Every public function of rv and F, under its own name and others."""
    found = {}
    for space, names in ((rv, dir(rv)), (F, F.__all__)):
        for name in names:
            function = getattr(space, name)
            if not name.startswith("_") and inspect.isroutine(function):
                found[f"{space.__name__.split('.')[-1]}.{name}"] = function
    return found


FUNCTIONS = public_functions()
EXPOSED = {name: f for name, f in FUNCTIONS.items() if hasattr(f, "__wrapped__")}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def required(function):
    return [p for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind in (0, 1)]


@every_function
@pytest.mark.parametrize("value", [None, [1.0, 2.0]], ids=["None", "list"])
def test_errors_name_the_function(name, value):
    """Whatever is not taken: the message begins with the function's name, and no AttributeError comes from inside."""
    function = FUNCTIONS[name]
    grad_enabled = rv.is_grad_enabled()
    try:
        function(*[value] * max(1, len(required(function))))
    except (TypeError, ValueError, IndexError) as error:
        assert str(error).startswith((f"{function.__name__}:", f"{function.__name__}()")), (
            f"{type(error).__name__}: {error}"
        )
    finally:
        rv.set_grad_enabled(grad_enabled)


def test_errors_name_argument_and_value():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(DTypeError, match=r"^matmul: other=None of type NoneType must be a Tensor or a NumPy array$"):
        rv.matmul(x, None)
    with pytest.raises(
        DTypeError, match=r"^softmax: input=\[1.0\] of type list must .* array; tensor\(\) or numpy.asarray"
    ):
        F.softmax([1.0], 0)
    with pytest.raises(DTypeError, match=r"^tril: .*; called with input=float32\(2, 3\), diagonal=None"):
        rv.tril(x, None)
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'ax'"):
        rv.sum(x, ax=1)
    with pytest.raises(DTypeError, match="^relu6: input=None"):  # composed of another op
        F.relu6(None)
    with pytest.raises(DTypeError, match="^mean: dtype int64"):  # the op's own message stands
        rv.mean(rv.arange(3))


# ---------------------------------------------------------------- NumPy's spellings


def spelled(function):
    """(their keyword, our parameter) of the function."""
    names = inspect.signature(function).parameters
    return [(theirs, our) for theirs, ours in SPELLINGS.items() for our in ours if our in names]


@pytest.mark.parametrize("name", [n for n, f in EXPOSED.items() if spelled(f)])
def test_numpy_spellings(name):
    """axis means dim: the same call, the same result or the same error."""
    function, x = EXPOSED[name], np.arange(1.0, 7.0, dtype=np.float32).reshape(1, 2, 3)
    for theirs, our in spelled(function):
        value = True if our == "keepdim" else 1 if our == "dim" else (1, 2)
        args = {p.name: x for p in required(function) if p.name != our}
        outcomes = []
        for keyword in (our, theirs):
            given = {keyword: value, **args}
            try:
                outcomes.append(function(**given))
            except (TypeError, ValueError, IndexError) as error:
                outcomes.append(str(error))
        ours, same = outcomes
        for a, b in zip(*(o if isinstance(o, (tuple, list)) else (o,) for o in (ours, same))):
            np.testing.assert_array_equal(a, b, err_msg=f"{name}: {our} and {theirs}")


@pytest.mark.parametrize("lib", [rv, np], ids=["ranvier", "numpy"])
def test_as_numpy_scripts_write_it(lib):
    x = np.arange(12.0).reshape(3, 4)
    results = [
        lib.sum(x, axis=1, keepdims=True), lib.mean(x, axis=(0, 1)), lib.max(x), lib.argmax(x, axis=0),
        lib.concatenate([x, x], axis=1), lib.stack((x, x), axis=-1), lib.squeeze(x[None], axis=0), lib.cumsum(x, axis=1),
        lib.flip(x, axis=1), lib.roll(x, 1, axis=0), lib.argsort(x, axis=0), lib.any(x > 3, axis=1), lib.prod(x, axis=0),
        lib.tensordot(x, x, axes=2), lib.clip(x, 2.0, 5.0), lib.count_nonzero(x, axis=0),
    ]  # fmt: skip
    expected = [
        x.sum(1, keepdims=True), x.mean(), x.max(), x.argmax(0), np.hstack([x, x]), np.dstack([x, x]), x, x.cumsum(1),
        x[:, ::-1], x[[2, 0, 1]], x.argsort(0), (x > 3).any(1), x.prod(0), (x * x).sum(), x.clip(2.0, 5.0), (x != 0).sum(0),
    ]  # fmt: skip
    for a, b in zip(results, expected):
        assert isinstance(a, (np.ndarray, np.generic))
        np.testing.assert_allclose(a, b)


def test_both_spellings_are_refused():
    x = rv.ones(2, 3)
    for call in (lambda: x.sum(0, axis=1), lambda: rv.sum(x, dim=0, axis=0), lambda: rv.cat([x, x], 0, axis=1)):
        with pytest.raises(TypeError, match="(sum|cat): dim and axis are the same: give one of them"):
            call()
    with pytest.raises(TypeError, match="sum: keepdim and keepdims are the same"):
        x.sum(0, True, keepdims=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'axis'"):
        rv.exp(x, axis=0)


def test_methods_and_lists_by_name():
    x = rv.arange(6).reshape(2, 3)
    assert x.sum(axis=0, keepdims=True).tolist() == [[3, 5, 7]]
    assert rv.flip(x, dims=(0, 1)).tolist() == [[5, 4, 3], [2, 1, 0]]
    assert x.permute(dims=(1, 0)).shape == rv.permute(input=x, dims=(1, 0)).shape == (3, 2)
    assert rv.zeros(size=(2, 3), dtype=rv.int64).shape == rv.reshape(x, shape=(2, 3)).shape == (2, 3)
    with pytest.raises(TypeError, match="dims"):
        rv.flip(x, 0, dims=(1,))


def test_gradients_and_traces_take_them_too():
    x = rv.ones(2, 3).requires_grad_()
    rv.compile(lambda: x.sum(axis=1).square().sum())().backward()
    assert x.grad.tolist() == [[6.0] * 3] * 2


# ---------------------------------------------------------------- still functions


def test_they_are_functions_to_everybody():
    assert EXPOSED["ranvier.sum"] is rv.sum and len(EXPOSED) > 150
    for f in EXPOSED.values():
        assert pickle.loads(pickle.dumps(f)) is f and copy.deepcopy(f) is f, f.__name__
        assert f.__doc__ and f.__name__ in repr(f) and callable(f) and hash(f) is not None
    assert list(inspect.signature(rv.amax).parameters) == ["input", "dim", "keepdim"]
    assert F.relu is rv.relu and rv.concat is rv.cat
    rv.sum.note = 1
    assert rv.sum.__dict__.pop("note") == 1


def test_other_errors_pass():
    from ranvier import _native as native

    def fails(error):
        raise error

    for error in (ValueError("v"), KeyboardInterrupt(), rv.errors.ShapeError("s")):
        with pytest.raises(type(error)) as caught:
            native.Public(fails, explain)(error)
        assert caught.value is error
    told = native.Public(fails, lambda *told: told)(kind := TypeError("t"))
    assert told == (fails, (kind,), {}, kind)
    told = native.Public(fails, lambda *told: told)(error=(kind := AttributeError("t")))
    assert told == (fails, (), {"error": kind}, kind)
    with pytest.raises(TypeError) as caught:
        native.Public(fails, lambda *told: NotImplemented)(kind := TypeError("t"))
    assert caught.value is kind
    with pytest.raises(ZeroDivisionError):
        native.Public(fails, lambda *told: 1 / 0)(TypeError())
    for wrong in ((), (1,), (1, 2, 3)):
        with pytest.raises(TypeError):
            native.Public(*wrong)


def test_without_the_native_module():
    """The same layer in Python, and a warning."""
    code = """if True:
        import os, sys, warnings
        sys.modules["ranvier._native"] = None
        del os.environ["RANVIER_BACKEND"]
        import numpy as np, ranvier as rv
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rv.exp(np.ones(2))
        assert "ranvier runs on NumPy only" in str(caught[0].message)
        assert rv.sum(np.ones((2, 3)), axis=0, keepdims=True).shape == (1, 3)
        assert rv.ones(2, 3).sum(axis=0).tolist() == [2.0, 2.0, 2.0]
        for call in (lambda: rv.sum(None), lambda: rv.sum(np.ones(2), foo=1)):
            try:
                call()
            except TypeError as error:
                print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "sum: input=None of type NoneType must be a Tensor or a NumPy array",
        "sum() got an unexpected keyword argument 'foo'",
    ]


# ---------------------------------------------------------------- what namespaces list

SPACES = [
    rv, rv.nn, F, rv.nn.init, rv.optim, rv.optim.lr_scheduler, rv.data, rv.train, rv.train.metrics, rv.random, rv.autograd,
    rv.linalg, rv.distributions,
]  # fmt: skip


@pytest.mark.parametrize("space", SPACES, ids=lambda m: m.__name__)
def test_namespaces_list_what_is_public(space):
    """Functions and classes of the package, dtypes, numbers and public modules: no helpers, nothing of other libraries."""
    for name in dir(space):
        value = getattr(space, name)
        home = getattr(value, "__module__", None) or type(value).__module__
        if inspect.ismodule(value):
            home = value.__name__
        assert (
            home.startswith("ranvier") or isinstance(value, (np.dtype, float)) or value in (np.finfo, np.iinfo, None)
        ), name
        assert not name.startswith("_")
    assert not {"Any", "np", "expose", "annotations", "core", "version", "check_probability", "scale_all"} & {
        *dir(space)
    }


def test_names_of_the_top_level():
    x = rv.zeros(2, 3)
    assert x.size() == (2, 3) and x.size().numel() == 6 and repr(x.size()) == "ranvier.Size([2, 3])" and x.size(1) == 3
    assert (
        rv.pi == np.pi and rv.inf == np.inf and rv.nan != rv.nan and rv.e == np.e and x[rv.newaxis].shape == (1, 2, 3)
    )
    assert rv.finfo(rv.float32).max == np.finfo("f4").max and rv.iinfo(rv.uint8).max == 255
    assert (
        rv.result_type(x, rv.tensor(1.0, dtype=rv.float64)) == rv.float32
        and rv.result_type(x.long(), 1.5) == rv.float32
    )
    assert rv.promote_types(rv.uint8, rv.int32) == rv.int32 and rv.promote_types(rv.int64, rv.float32) == rv.float32
    assert rv.can_cast(rv.int64, rv.float32) and not rv.can_cast(rv.int64, rv.bool) and rv.can_cast(rv.int64, rv.uint8)
    with pytest.raises(DTypeError, match="^can_cast: dtype='x' must be one of"):
        rv.can_cast("x", rv.bool)
    state = rv.get_rng_state()
    a = rv.rand(3)
    rv.set_rng_state(state)
    assert rv.rand(3).tolist() == a.tolist()
    with pytest.raises(rv.ShapeError, match="^set_rng_state: "):
        rv.set_rng_state(x)


def test_where_of_a_condition_alone():
    x = np.array([[0, 1], [2, 0]])
    for a, b in zip(rv.where(x), np.where(x), strict=True):
        assert type(a) is np.ndarray and a.tolist() == b.tolist()
    assert [t.tolist() for t in rv.where(rv.tensor(x))] == [t.tolist() for t in rv.tensor(x).nonzero(as_tuple=True)]
    with pytest.raises(rv.TraceError):
        rv.compile(lambda x: rv.where(x))(rv.tensor(x))
